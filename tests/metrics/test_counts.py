"""Counts of any module, against closed forms and PyTorch's own FLOP counter; counts of spaces, against networks."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from ogive._errors import InputError
from ogive.metrics.base import METRICS, Context, Cost
from ogive.metrics.counts import Counts, count_module
from ogive.metrics.evaluate import evaluate
from ogive.spaces.base import Choice, Space, get_space

COUNTS = ["params", "macs", "relus", "depth"]


@dataclass(frozen=True)
class FakeTask:
    """Only shapes: counting needs no data."""

    input_shape: tuple[int, ...] = (3, 32, 32)
    n_outputs: int = 10


class Lambda(nn.Module):
    def __init__(self, function, **modules):
        super().__init__()
        self.function = function
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x):
        return self.function(self, x)


# ---------------------------------------------------------------- multiply-accumulates


@pytest.mark.parametrize(
    ("module", "shape", "macs"),
    [
        (nn.Linear(5, 7), (5,), 35),
        (nn.Linear(5, 7), (4, 3, 5), 12 * 35),
        (nn.Conv1d(4, 6, 3, stride=2), (4, 11), 5 * 6 * 4 * 3),
        (nn.Conv2d(4, 6, (3, 5), padding=2, dilation=2), (4, 9, 12), 6 * 4 * 15 * 9 * 8),
        (nn.Conv2d(8, 12, 3, groups=4, padding=1), (8, 5, 5), 25 * 12 * 2 * 9),
        (nn.Conv2d(8, 8, 3, groups=8, padding=1, bias=False), (8, 5, 5), 25 * 8 * 9),
        (nn.Conv3d(2, 3, 2), (2, 4, 5, 6), 3 * 4 * 5 * 3 * 2 * 8),
        (nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), (4, 5, 7), 35 * 4 * 3 * 9),
        (nn.ConvTranspose1d(4, 6, 4, stride=3), (4, 9), 9 * 4 * 6 * 4),
        (nn.Bilinear(3, 4, 5), None, None),
    ],
)
def test_macs_of_layers(module, shape, macs):
    if shape is None:
        with pytest.raises(InputError, match="Bilinear cannot be counted"):
            count_module(module, (3,))
        return
    assert count_module(module, shape).macs == macs


def heavy_models():
    attention = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    u_net = Lambda(
        lambda m, x: m.up(F.relu(m.down(x))) + x, down=nn.Conv2d(3, 8, 4, 2, 1), up=nn.ConvTranspose2d(8, 3, 4, 2, 1)
    )
    return {
        "attention": (attention, (7, 16)),
        "u_net": (u_net, (3, 16, 16)),
        "products": (Lambda(lambda _, x: torch.einsum("bij,bkj->bik", x, x) @ x), (5, 6)),
        "lstm": (Lambda(lambda m, x: m.rnn(x)[0], rnn=nn.LSTM(8, 16, batch_first=True)), (5, 8)),
        "nasbench201": (get_space("nasbench201:C=4,N=1").build(np.full(6, 3), FakeTask()), (3, 32, 32)),
        "transnas": (get_space("transnas_micro:C=8").build(np.full(6, 1), FakeTask()), (3, 32, 32)),
    }


@pytest.mark.parametrize("name", heavy_models())
def test_macs_are_half_of_what_torch_counts(name):
    model, shape = heavy_models()[name]
    model.eval()
    with (
        FlopCounterMode(display=False) as oracle,
        torch.no_grad(),
        torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
    ):
        # With gradients the attention layer takes its ordinary path, which the oracle can see.
        with torch.enable_grad():
            model(torch.randn(1, *shape))
    macs = count_module(model, shape).macs
    if name == "lstm":
        # The oracle does not see inside the fused kernel: four gates of 8 + 16 inputs to 16, five steps.
        assert macs == 5 * 4 * 16 * (8 + 16)
    else:
        assert macs == oracle.get_total_flops() / 2 > 0


# ---------------------------------------------------------------- comparisons


@pytest.mark.parametrize(
    ("function", "per_element"),
    [
        (F.relu, 1),
        (lambda x: F.relu(x, inplace=True), 1),
        (torch.relu, 1),
        (lambda x: x.clamp(min=0), 1),
        (lambda x: x.clamp(0, 6), 2),
        (lambda x: torch.maximum(x, -x), 1),
        (lambda x: torch.clamp_(x, min=0), 1),
        (nn.LeakyReLU(0.1), 1),
        (nn.PReLU(4), 1),
        (nn.RReLU(), 1),
        (nn.ELU(), 1),
        (nn.CELU(), 1),
        (nn.SELU(), 1),
        (nn.Threshold(0, 0), 1),
        (nn.ReLU6(), 2),
        (nn.Hardtanh(), 2),
        (nn.Hardswish(), 2),
        (nn.Hardsigmoid(), 2),
        (nn.GELU(), 0),
        (nn.SiLU(), 0),
        (nn.Sigmoid(), 0),
        (nn.Softmax(dim=1), 0),
    ],
)
def test_comparisons_of_activations(function, per_element):
    model = function if isinstance(function, nn.Module) else Lambda(lambda _, x: function(x))
    assert count_module(model, (4, 5, 6)).relus == per_element * 120


@pytest.mark.parametrize(
    ("module", "shape", "relus"),
    [
        (nn.MaxPool2d(3, 2, 1), (4, 9, 9), 4 * 25 * 8),
        (nn.MaxPool2d((2, 3)), (4, 8, 9), 4 * 4 * 3 * 5),
        (nn.MaxPool1d(3), (4, 9), 4 * 3 * 2),
        (nn.MaxPool3d(2), (4, 8, 8, 8), 4 * 64 * 7),
        # Ten columns in three windows of 4, 4 and 4 (0-4, 3-7, 6-10): nine comparisons a row.
        (nn.AdaptiveMaxPool1d(3), (4, 10), 4 * 9),
        # Windows of 4 rows by 2 columns: 3 x 5 outputs, seven comparisons each.
        (nn.AdaptiveMaxPool2d((3, 5)), (4, 10, 10), 4 * 15 * 7),
        # 5 in two windows of 3.
        (nn.AdaptiveMaxPool3d(2), (4, 5, 5, 5), 4 * 8 * 26),
        (Lambda(lambda _, x: x.amax(dim=(1, 2))), (4, 5, 6), 120 - 6),
        (Lambda(lambda _, x: x.max(dim=1).values), (4, 5), 15),
        (nn.AvgPool2d(2), (4, 8, 8), 0),
    ],
)
def test_comparisons_of_maxima(module, shape, relus):
    assert count_module(module, shape).relus == relus


# ---------------------------------------------------------------- parameters and depth


def test_shared_modules_cost_at_every_use_and_store_once():
    shared = nn.Linear(6, 6)
    counts = count_module(nn.Sequential(shared, nn.ReLU(), shared, nn.ReLU(), shared), (6,))
    assert counts == Counts(params=42, macs=108, relus=12, depth=3)


def test_frozen_parameters_are_not_trainable():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    model[0].weight.requires_grad_(False)
    assert count_module(model, (3,)).params == 4 + 8


@pytest.mark.parametrize(
    ("function", "depth"),
    [
        (lambda m, x: m.a(m.a(x)) + m.a(x), 2),
        (lambda m, x: x, 0),
        (lambda m, x: m.a(torch.zeros_like(x)), 0),
        (lambda m, x: m.a(m.a(x)) * 0 + x, 2),
        (lambda m, x: m.a(x) + m.a(m.a(x.new_ones(x.shape))), 1),
        (lambda m, x: torch.cat([m.a(x).chunk(2, dim=1)[0], x], dim=1), 1),
        (lambda m, x: F.relu_(m.a(x).view(-1)), 1),
        (lambda m, x: x @ x.transpose(1, 2) @ m.a(x), 1),
        (lambda m, x: F.linear(x, m.a.weight * 2), 1),
        (lambda m, x: (m.a(m.a(x)), x), 2),
    ],
)
def test_depth_follows_the_longest_path(function, depth):
    assert count_module(Lambda(function, a=nn.Linear(6, 6)), (6, 6)).depth == depth


def test_depth_sees_writes_into_views():
    def forward(m, x):
        out = torch.zeros(1, 2, 6)
        out[:, 0] = m.a(m.a(x))
        return out

    assert count_module(Lambda(forward, a=nn.Linear(6, 6)), (6,)).depth == 2


# ---------------------------------------------------------------- manners


def test_the_model_is_left_alone():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.ReLU(inplace=True)).train()
    model.mask = torch.ones(3)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    held = {k: id(v) for k, v in model.named_parameters()}
    count_module(model, (3, 8, 8))
    assert model.training
    assert all(m.training for m in model)
    assert {k: id(v) for k, v in model.named_parameters()} == held
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.device.type == "cpu" and p.requires_grad and p.grad is None for p in model.parameters())


def test_no_weight_is_allocated():
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(10**6, 10**6), nn.ReLU(), nn.Linear(10**6, 10**6))
    assert count_module(model, (10**6,)) == Counts(2 * 10**12 + 2 * 10**6, 2 * 10**12, 10**6, 2)


def test_modules_that_make_tensors_or_hold_plain_ones():
    model = Lambda(lambda m, x: m.a(x * m.scale + torch.arange(6.0)), a=nn.Linear(6, 2))
    model.scale = torch.rand(6)
    assert count_module(model, (6,)) == Counts(14, 12, 0, 1)


def test_token_and_half_precision_inputs():
    model = nn.Sequential(nn.Embedding(11, 4), nn.Linear(4, 3))
    assert count_module(model, (5,), dtype=torch.long) == Counts(59, 60, 0, 1)
    assert count_module(nn.Linear(4, 3).half(), (4,)).macs == 12
    assert count_module(nn.Linear(4, 3).double(), (4,)).macs == 12


@pytest.mark.parametrize(
    ("model", "shape", "reason"),
    [
        (nn.Linear(4, 3), (5,), "reduction dim|cannot be multiplied"),
        (nn.Conv2d(3, 4, 3), (1, 8, 8), "channel"),
        (nn.LazyLinear(3), (5,), "lazy layers"),
        (Lambda(lambda _, x: x if x.sum() > 0 else -x), (5,), "meta"),
    ],
)
def test_what_cannot_be_counted_is_one_clear_line(model, shape, reason):
    with pytest.raises(InputError, match=reason) as error:
        count_module(model, shape)
    assert "\n" not in str(error.value)


def test_a_module_that_cannot_be_copied_is_one_clear_line():
    model = nn.Linear(2, 2)
    model.handle = (i for i in range(3))
    with pytest.raises(InputError, match="Linear cannot be counted, because it cannot be copied"):
        count_module(model, (2,))


# ---------------------------------------------------------------- metrics


def test_metadata_of_the_registered_counts():
    for name in COUNTS:
        m = METRICS.get(name)
        assert (m.direction, m.cost, m.batched, m.needs) == ("min", Cost.TABLE, True, {"task"})
        assert m.description


@pytest.mark.parametrize("spec", ["nasbench201", "transnas_micro", "transnas_macro"])
def test_closed_forms_are_what_the_networks_cost(spec):
    space, task = get_space(spec), FakeTask((2, 23, 30), 7)
    g = space.sample(4, np.random.default_rng(5))
    scores = evaluate(COUNTS, space, g, Context(task=task))
    for i, row in enumerate(g):
        with torch.device("meta"):
            network = space.build(row, task)
        counts = vars(count_module(network, task.input_shape))
        assert {k: scores.values[k][i] for k in COUNTS} == counts


def test_degenerate_cells_of_nasbench201():
    space, task = get_space("nasbench201"), FakeTask()
    g = space.parse(
        [
            "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
            "|none~0|+|none~0|nor_conv_3x3~1|+|none~0|nor_conv_1x1~1|nor_conv_3x3~2|",
            "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|",
        ]
    )
    counts = space.count(g, task)
    # No path, with and without layers that run on zeros; then a layer that leads nowhere, on no path but paid for.
    assert counts["depth"].tolist() == [0, 0, 6]
    assert (np.diff(counts["params"][[0, 2, 1]]) > 0).all()
    for i, row in enumerate(g):
        assert {k: int(v[i]) for k, v in counts.items()} == vars(count_module(space.build(row, task), (3, 32, 32)))


class NoFormula(Space):
    name = "no-formula"
    buildable = True
    choices = (Choice("width", ("3", "5")),)
    built = 0

    def build(self, genotype, task):
        type(self).built += 1
        width = int(self.choices[0].options[genotype[0]])
        return nn.Sequential(nn.Flatten(), nn.Linear(12, width), nn.ReLU(), nn.Linear(width, task.n_outputs))


def test_a_space_without_a_formula_is_counted_by_building_each_network_once():
    task = FakeTask((3, 2, 2), 2)
    scores = evaluate(COUNTS, NoFormula(), np.array([[1], [0], [1]]), Context(task=task))
    assert scores.values["params"].tolist() == [77, 47, 77]
    assert scores.values["macs"].tolist() == [70, 42, 70]
    assert scores.values["relus"].tolist() == [5, 3, 5]
    assert scores.values["depth"].tolist() == [2, 2, 2]
    assert NoFormula.built == 2


def test_counting_without_a_task_says_so():
    with pytest.raises(InputError, match="needs a task"):
        evaluate(["macs"], get_space("nasbench201"), np.zeros((1, 6), dtype=int), Context())


def test_closed_forms_do_not_import_torch():
    program = (
        "import sys, numpy as np; from ogive.metrics.base import Context;"
        "from ogive.metrics.evaluate import evaluate; from ogive.spaces import *;"
        "evaluate(['macs'], get_space('nasbench201'), np.zeros((1, 6), int), Context(task=Shape((3, 8, 8), 2)));"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
