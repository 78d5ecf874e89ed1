"""The functional encoding against brute-force path enumeration and the published classes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogive.spaces.base import Choice, Graphs, Space, get_space
from ogive.spaces.paths import CUT, PASS, Layout, functional, kernel_area, live_forms, written_cost


def brute_paths(graphs: Graphs, row: int) -> Counter:
    """Walk every path from input to output."""
    ops, adjacency, words = graphs.ops[row], graphs.adjacency[row], graphs.vocabulary
    found: Counter = Counter()

    def walk(v: int, sequence: tuple[str, ...]) -> None:
        word = words[ops[v]]
        if word in CUT:
            return
        if word == "output":
            found[sequence] += 1
            return
        if word not in PASS and word != "input":
            sequence = (*sequence, word)
        for t in np.flatnonzero(adjacency[v]):
            walk(int(t), sequence)

    walk(int(np.flatnonzero(ops == 0)[0]), ())
    return found


def named(layout: Layout) -> list[tuple[str, ...]]:
    out: list[tuple[str, ...]] = [()]
    level = [()]
    for _ in range(layout.longest):
        level = [(*s, k) for s in level for k in layout.kinds]
        out += level
    return out


@pytest.mark.parametrize("name", ["nasbench201", "transnas_micro"])
def test_paths_are_those_of_a_walk(name):
    space = get_space(name)
    genotypes = space.sample(300, np.random.default_rng(0))
    columns = named(Layout.of(space))
    paths, _ = functional(space, genotypes)
    assert paths.shape == (300, len(columns))
    graphs = space.graph(space.canonical(genotypes))
    for i in range(300):
        found = brute_paths(graphs, i)
        assert {c: n for c, n in zip(columns, paths[i].tolist(), strict=True) if n} == found


def test_nasbench201_has_the_published_classes():
    space = get_space("nasbench201")
    everything = space.enumerate()
    paths, _ = functional(space, everything)
    assert paths.shape == (15625, 40)
    assert len(np.unique(paths, axis=0)) == 4120


@pytest.mark.parametrize("name", ["nasbench201", "transnas_micro", "transnas_macro"])
def test_equal_functions_have_equal_features(name):
    space = get_space(name)
    genotypes = space.sample(2000, np.random.default_rng(1))
    np.testing.assert_array_equal(
        space.encode(genotypes, "functional"), space.encode(space.canonical(genotypes), "functional")
    )
    keys = space.keys(space.canonical(genotypes))
    rows = space.encode(genotypes, "functional")
    first: dict[bytes, int] = {}
    for i, key in enumerate(keys):
        np.testing.assert_array_equal(rows[i], rows[first.setdefault(key, i)])


def test_counts_of_a_known_cell():
    space = get_space("nasbench201")
    # Node 2 is dead: nothing leaves it. 0 -3x3-> 1 -1x1-> 3 and 0 -skip-> 3.
    cell = space.parse(["|nor_conv_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|skip_connect~0|nor_conv_1x1~1|none~2|"])
    counts = functional_of_itself(space, cell)
    assert counts.tolist() == [1, 1, 1, 0, 10, 2]  # skip, 1x1, 3x3, pool, kernel areas, depth
    nothing = functional_of_itself(space, np.zeros(6, dtype=np.uint8)[None])
    assert nothing.tolist() == [0, 0, 0, 0, 0, -1]


def functional_of_itself(space, genotype):
    class Plain(type(space)):
        def canonical(self, genotypes):
            return np.asarray(genotypes)

    return functional(Plain(), np.atleast_2d(genotype))[1][0]


class Drawn(Space):
    """Three vertices in a row with every shortcut; long enough for paths to be cut off at a small limit."""

    name = "drawn"
    choices = tuple(Choice(f"v{i}", ("a", "b", "skip", "none")) for i in range(3))

    def graph(self, genotypes):
        g = np.asarray(genotypes)
        ops = np.zeros((len(g), 5), dtype=np.int8)
        ops[:, 1:4], ops[:, 4] = g + 1, 5
        adjacency = np.broadcast_to(np.triu(np.ones((5, 5), dtype=np.bool_), 1), (len(g), 5, 5))
        return Graphs(ops, adjacency, ("input", "a", "b", "skip", "none", "output"))


@given(st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=8))
def test_paths_of_a_drawn_graph(rows):
    space = Drawn()
    genotypes = np.array(rows, dtype=np.uint8)
    paths, _ = functional(space, genotypes)
    columns = named(Layout.of(space))
    graphs = space.graph(genotypes)
    for i in range(len(rows)):
        assert {c: n for c, n in zip(columns, paths[i].tolist(), strict=True) if n} == brute_paths(graphs, i)


def test_longer_paths_count_by_their_last_operations(monkeypatch):
    monkeypatch.setattr("ogive.spaces.paths._MAX_PATHS", 7)  # lengths 0 to 2 of two operations
    space = Drawn()
    layout = Layout.of(space)
    assert layout.longest == 2
    genotypes = space.enumerate()
    paths, _ = functional(space, genotypes)
    graphs = space.graph(genotypes)
    for i in range(len(genotypes)):
        short: Counter = Counter()
        for sequence, n in brute_paths(graphs, i).items():
            short[sequence[-2:]] += n
        assert {c: n for c, n in zip(named(layout), paths[i].tolist(), strict=True) if n} == short


def test_blocks_change_nothing(monkeypatch):
    space = get_space("nasbench201")
    genotypes = space.sample(50, np.random.default_rng(2))
    whole = space.encode(genotypes, "functional")
    monkeypatch.setattr("ogive.spaces.paths._MAX_CELLS", 8 * 40 * 7)
    np.testing.assert_array_equal(space.encode(genotypes, "functional"), whole)
    assert space.encode(genotypes[:0], "functional").shape == (0, whole.shape[1])


def test_a_chain_is_told_by_its_choices():
    space = get_space("transnas_macro")
    genotypes = space.sample(20, np.random.default_rng(0))
    paths, counts = functional(space, genotypes)
    np.testing.assert_array_equal(paths, np.hstack([space.encode(genotypes), space.encode(genotypes, "ordinal")]))
    codes = (genotypes[:, :, None] == np.arange(5)).sum(axis=1)
    assert counts.shape == (20, 6)
    assert (counts[:, :4].sum(axis=1) == 6 - codes[:, 0] + (genotypes[:, :4] == 0).sum(axis=1)).all()


@pytest.mark.parametrize(
    ("name", "area"),
    [
        ("nor_conv_3x3", 9),
        ("conv1x1-bn-relu", 1),
        ("sep_conv_5x5", 25),
        ("dil_conv_3x3", 9),
        ("maxpool3x3", 0),
        ("avg_pool_3x3", 0),
        ("skip_connect", 0),
        ("conv_7x1_1x7", 7),
        ("conv", 1),
    ],
)
def test_kernel_areas(name, area):
    assert kernel_area(name) == area


def test_written_cost_counts_dead_layers_too():
    space = get_space("nasbench201")
    cells = space.parse(
        [
            "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|",
            "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|",
        ]
    )
    assert written_cost(space, cells).tolist() == [10.0, 0.0]


@pytest.mark.parametrize(("name", "forms"), [("nasbench201", 9445), ("transnas_micro", 2128)])
def test_live_forms_differ_in_live_edges_only(name: str, forms: int) -> None:
    """9,445 is the published count of cells once dead edges are removed; the rule is written out again here."""
    space = get_space(name)
    genotypes = space.enumerate()
    edges = [tuple(map(int, choice.name.split("->"))) for choice in space.choices]
    alive = genotypes != 0
    ahead, behind = np.zeros((2, len(genotypes), 4), dtype=bool)
    ahead[:, 0] = behind[:, 3] = True
    for v in range(4):
        for k, (a, b) in enumerate(edges):
            ahead[:, b] |= (b == v) & alive[:, k] & ahead[:, a]
    for v in reversed(range(4)):
        for k, (a, b) in enumerate(edges):
            behind[:, a] |= (a == v) & alive[:, k] & behind[:, b]
    used = np.stack([ahead[:, a] & behind[:, b] for a, b in edges], axis=1)
    expected = np.unique(np.where(used, genotypes, 0), axis=0, return_inverse=True)[1].reshape(-1)
    found = live_forms(space, genotypes)
    assert found.max() + 1 == forms
    assert len(np.unique(np.column_stack([found, expected]), axis=0)) == forms, "the same partition"
