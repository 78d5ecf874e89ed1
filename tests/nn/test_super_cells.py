"""Mixtures on the edges of cells, and the rows of the macro supernet."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from ogive._errors import InputError
from ogive.nn.cells import Cell, edge_operation
from ogive.spaces.base import Shape, get_space

TASK = Shape((3, 12, 8), 5)
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")


def images(n=2):
    return torch.randn(n, *TASK.input_shape, generator=torch.Generator().manual_seed(0))


def supernet(spec):
    torch.manual_seed(0)
    return get_space(spec).supernet(TASK).eval()


def one_hot(code, n=5):
    return torch.eye(n)[code]


@pytest.mark.parametrize(("c_in", "c_out", "stride"), [(4, 4, 1), (4, 6, 2)])
def test_an_edge_with_several_names_holds_what_each_name_alone_gives(c_in, c_out, stride):
    place = edge_operation(OPS[:4], c_in, c_out, stride)
    alone = [edge_operation(name, c_in, c_out, stride) for name in OPS[:4]]
    assert [type(m) for m in place.table] == [type(m) for m in alone]


@pytest.mark.parametrize("spec", ["nasbench201:C=4,N=1", "transnas_micro:C=4"])
def test_a_mixture_of_sure_things_is_the_path(spec):
    network, x = supernet(spec), images()
    n = len(get_space(spec).choices[0].options)
    for path in get_space(spec).sample(3, np.random.default_rng(0)).tolist():
        with torch.inference_mode():
            network.select(path)
            expected = network(x)
            for run in (None, [(code,) for code in path]):
                network.mix([one_hot(code, n) for code in path], run)
                torch.testing.assert_close(network(x), expected, rtol=1e-5, atol=1e-5)


def test_a_mixture_on_the_last_edges_is_the_mean_of_all_paths():
    # The edges into the last node of the one cell of a chain add up, so the cell is linear in their weights.
    torch.manual_seed(0)
    cell = Cell([OPS] * 6, EDGES, 4, 4).eval()
    places, x = list(cell.edges.values()), torch.randn(2, 4, 5, 5)
    for place, code in zip(places, (3, 1, 2, 0, 0, 0), strict=True):
        place.active = code
    weights = torch.softmax(torch.randn(3, 5), dim=1)
    expected = torch.zeros_like(x)
    with torch.inference_mode():
        for codes in itertools.product(range(5), repeat=3):
            for place, code in zip(places[3:], codes, strict=True):
                place.active = code
            expected += weights[range(3), codes].prod() * cell(x)
        for place, w in zip(places[3:], weights, strict=True):
            place.weights = w
        torch.testing.assert_close(cell(x), expected, rtol=1e-4, atol=1e-5)


def test_a_node_that_only_bare_weights_reach_is_constant():
    cell = Cell([OPS] * 6, EDGES, 2, 3, stride=2)
    for place in cell.edges.values():
        place.weights, place.run = torch.tensor([0.0, 0.5, 0.0, 0.0, 0.25]), (0,)
    assert torch.equal(cell(torch.randn(2, 2, 4, 6)), torch.full((2, 3, 2, 3), 3 * 0.75))


def test_the_choice_of_an_edge_gets_a_gradient_from_every_cell():
    network = supernet("nasbench201:C=4,N=2")
    weights = [torch.full((5,), 0.2, requires_grad=True) for _ in range(6)]
    network.mix(weights)
    network(images()).square().sum().backward()
    for w in weights:
        # The empty operation adds nothing, whatever its weight.
        assert w.grad[0] == 0
        assert (w.grad[1:] != 0).all()


# ---------------------------------------------------------------- the macro space


def test_positions_have_weights_for_every_width_they_are_entered_with():
    network = supernet("transnas_macro:C=4")
    # At most three of the modules before a position have doubled the width.
    widths = [[4], [4, 8], [4, 8, 16], [4, 8, 16, 32], [4, 8, 16, 32], [4, 8, 16, 32]]
    assert [[int(c) for c in stage] for stage in network.stages] == widths
    assert list(network.heads) == ["8", "16", "32"]
    space = get_space("transnas_macro:C=4")
    for path in space.enumerate()[:: space.size // 60]:
        network.select(path.tolist())
        plain = space.build(path, TASK)
        state = network.active_state()
        assert {k: v.shape for k, v in state.items()} == {k: v.shape for k, v in plain.state_dict().items()}
        assert network(images()).shape == (2, 5)


def test_modules_that_are_entered_alike_share_their_weights():
    network = supernet("transnas_macro:C=4")
    normal, wider, half, half_wider = range(4)

    def weights(path):
        network.select(path)
        return {k: v.data_ptr() for k, v in network.active_state().items()}

    # Codes of the last two modules are one higher: "end" comes first.
    one, other = weights([wider, half, normal, wider, 0, 0]), weights([wider, normal, normal, wider, 0, 0])
    same = {k for k in one if k in other and one[k] == other[k]}
    assert {k for k in one if k.startswith(("stem.", "body.0.", "body.1.", "body.4.", "body.7.", "head."))} <= same
    assert not any(k.startswith(("body.2.", "body.3.")) and "num_batches" not in k for k in same)
    narrow, wide = weights([half, half, normal, wider, 0, 0]), weights([half, half_wider, normal, wider, 0, 0])
    assert narrow["body.4.conv_a.conv.weight"] != wide["body.4.conv_a.conv.weight"]


def test_rows_of_blocks_cannot_be_mixed():
    with pytest.raises(InputError, match="cannot be mixed"):
        supernet("transnas_macro:C=4").mix([torch.ones(4)] * 4 + [torch.ones(5)] * 2)
