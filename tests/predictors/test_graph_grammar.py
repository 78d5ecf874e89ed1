import numpy as np
import pytest

from ogive._errors import InputError
from ogive.predictors._graph_grammar import grammar
from ogive.predictors.graph_batches import GraphBatch
from ogive.spaces.base import get_space

NAMES = ["nasbench101", "nasbench201", "transnas_micro", "darts"]


def one_cell(name, n=500):
    """Architectures and one graph of each; DARTS with both cells equal."""
    space = get_space(name)
    genotypes = space.sample(n, np.random.default_rng(0))
    if name == "darts":
        genotypes = np.hstack([genotypes[:, :11]] * 2)
    batch = GraphBatch.of(space, genotypes)
    return space, genotypes, batch[:: batch.cells]


@pytest.mark.parametrize("name", NAMES)
class TestEveryGrammar:
    def test_reads_what_the_space_writes(self, name):
        space, genotypes, batch = one_cell(name)
        found, legal = grammar(space).read(batch)
        assert legal.all()
        assert grammar(space).loose(batch).all()
        # Dead vertices of NAS-Bench-101 are not in the graph.
        assert np.array_equal(space.canonical(found), space.canonical(genotypes))

    def test_one_wrong_edge_or_operator_makes_another_cell_or_none(self, name):
        space, _, batch = one_cell(name)
        rng = np.random.default_rng(1)
        ops, adjacency = batch.ops.copy(), batch.adjacency.copy()
        rows, last = np.arange(len(ops)), (ops >= 0).sum(axis=1) - 1
        s = (rng.random(len(rows)) * last).astype(int)
        t = s + 1 + (rng.random(len(rows)) * (last - s)).astype(int)
        adjacency[rows, s, t] ^= 1
        flipped = GraphBatch(ops, adjacency, batch.vocabulary)
        found, legal = grammar(space).read(flipped)
        if name != "nasbench101":
            assert not legal.any()
        else:
            again = GraphBatch.of(space, found[legal])
            assert (flipped[np.flatnonzero(legal)].adjacency.sum(axis=(1, 2)) >= again.adjacency.sum(axis=(1, 2))).all()
            assert not legal.all()
        ops[:, 1] = 0
        ops[:, 0] = 1
        assert not grammar(space).read(GraphBatch(ops, batch.adjacency, batch.vocabulary))[1].any()

    def test_any_scores_give_legal_cells_and_clear_ones_the_cell_itself(self, name):
        space, _, batch = one_cell(name)
        rules, rng = grammar(space), np.random.default_rng(2)
        shape = (*batch.ops.shape, len(batch.vocabulary))
        noise = rules.nearest(
            rng.normal(size=shape).astype(np.float32), rng.normal(size=batch.adjacency.shape).astype(np.float32)
        )
        space.check(noise)
        clear = rules.nearest(9 * batch.onehot, batch.adjacency * np.float32(2) - 1)
        assert np.array_equal(clear, rules.read(batch)[0])


def test_the_published_check_of_nasbench201_is_blind_to_edges_and_to_the_first_operator():
    space, _, batch = one_cell("nasbench201", 1)
    rules = grammar(space)
    ops, adjacency = batch.ops.copy(), np.zeros_like(batch.adjacency)
    ops[:, 1] = 0
    wrong = GraphBatch(ops, adjacency, batch.vocabulary)
    assert rules.loose(wrong).all()
    assert not rules.read(wrong)[1].any()
    ops[:, 2] = 0
    assert not rules.loose(GraphBatch(ops, adjacency, batch.vocabulary)).any()


def test_nasbench101_without_a_path_gets_one():
    space, _, batch = one_cell("nasbench101", 3)
    found = grammar(space).nearest(9 * batch.onehot, np.full(batch.adjacency.shape, -1, dtype=np.float32))
    assert space.format(found)[0].split(":")[0] == "0000001" + "0" * 42


def test_other_spaces_are_refused_by_name():
    with pytest.raises(InputError, match=r"transnas_macro.*nasbench201"):
        grammar(get_space("transnas_macro"))
