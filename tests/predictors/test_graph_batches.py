import networkx as nx
import numpy as np
import pytest

from ogive.predictors.graph_batches import GraphBatch, classes
from ogive.spaces.base import get_space
from ogive.spaces.paths import functional

NB201, NB101, DARTS = get_space("nasbench201"), get_space("nasbench101"), get_space("darts")


def sampled(space, n=300, seed=0):
    return space.sample(n, np.random.default_rng(seed))


def networks(batch):
    """The graphs as networkx sees them, without padding."""
    out = []
    for ops, adjacency in zip(batch.ops, batch.adjacency, strict=True):
        graph = nx.MultiDiGraph()
        graph.add_nodes_from((int(v), {"op": int(ops[v])}) for v in np.flatnonzero(ops >= 0))
        for s, t in np.argwhere(adjacency):
            graph.add_edges_from([(int(s), int(t))] * int(adjacency[s, t]))
        out.append(graph)
    return out


def same(a, b):
    return nx.is_isomorphic(a, b, node_match=lambda x, y: x["op"] == y["op"])


class TestFormats:
    def test_nasbench201_has_the_published_wiring_and_columns(self):
        batch = GraphBatch.of(NB201, NB201.enumerate())
        edges = [(0, 1), (0, 2), (0, 4), (1, 3), (1, 5), (2, 6), (3, 6), (4, 7), (5, 7), (6, 7)]
        assert batch.adjacency.shape == (15625, 8, 8)
        assert (batch.adjacency == batch.adjacency[0]).all()
        assert list(map(tuple, np.argwhere(batch.adjacency[0]).tolist())) == edges
        assert batch.onehot.shape == (15625, 8, 7)
        cell = NB201.parse("|nor_conv_1x1~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|none~1|nor_conv_1x1~2|")
        assert GraphBatch.of(NB201, cell[None]).onehot[0].argmax(axis=1).tolist() == [0, 1, 2, 3, 4, 5, 1, 6]

    def test_nasbench101_is_padded_behind_the_output(self):
        cell = NB101.parse("011001000:input,maxpool3x3,output")
        batch = GraphBatch.of(NB101, cell[None])
        assert batch.vocabulary == ("input", "conv1x1-bn-relu", "conv3x3-bn-relu", "maxpool3x3", "output")
        assert batch.ops.tolist() == [[0, 3, 4, -1, -1, -1, -1]]
        assert batch.onehot[0, 3:].sum() == 0
        assert np.argwhere(batch.adjacency[0]).tolist() == [[0, 1], [0, 2], [1, 2]]

    def test_darts_gives_two_cells_of_eleven_vertices(self):
        cells = [("sep_conv_3x3", 0), ("max_pool_3x3", 1), ("skip_connect", 0), ("dil_conv_5x5", 2)]
        cells += [("avg_pool_3x3", 1), ("sep_conv_5x5", 3), ("dil_conv_3x3", 0), ("skip_connect", 4)]
        other = [("skip_connect", 0), ("skip_connect", 1)] * 4
        arch = f"Genotype(normal={cells}, normal_concat=[2, 3, 4, 5], reduce={other}, reduce_concat=[2, 3, 4, 5])"
        batch = GraphBatch.of(DARTS, DARTS.parse(arch)[None])
        assert (len(batch), batch.cells, batch.onehot.shape[1:]) == (2, 2, (11, 11))
        assert [batch.vocabulary[o].split("_")[0] for o in batch.ops[0, 2:10]] == [
            "sep", "max", "skip", "dil", "avg", "sep", "dil", "skip",
        ]  # fmt: skip
        # Node 3's second edge reads node 2, which is the vertices 2 and 3; node 4's reads node 3; node 5's node 4.
        into = [[0], [1], [0], [2, 3], [1], [4, 5], [0], [6, 7]]
        assert [np.flatnonzero(batch.adjacency[0, :, v]).tolist() for v in range(2, 10)] == into
        assert np.flatnonzero(batch.adjacency[0, :, 10]).tolist() == list(range(2, 10))

    @pytest.mark.parametrize("name", ["nasbench101", "nasbench201", "transnas_micro", "transnas_macro", "darts", "ofa"])
    def test_the_graphs_are_those_of_the_space(self, name):
        space = get_space(name)
        genotypes = sampled(space, 20)
        batch, graphs = GraphBatch.of(space, genotypes), space.graph(genotypes)
        assert len(batch) == batch.cells * 20
        assert not np.tril(batch.adjacency.any(axis=0)).any()
        words = [sorted(graphs.vocabulary[o].removesuffix("/2") for o in row if o >= 0) for row in graphs.ops]
        rows = batch.ops.reshape(20, -1)
        mine = [sorted(batch.vocabulary[o] for o in row if o >= 0) for row in rows]
        if batch.cells == 2:  # the cells share input and output there
            mine = [sorted([*row[: row.index("output")], *row[row.index("output") + 1 :], "input"]) for row in mine]
        assert mine == words


class TestIdentity:
    def test_hashes_are_equal_for_isomorphic_cells_and_no_others(self):
        genotypes = sampled(NB101, 400)
        published, ours = NB101.hash(genotypes), GraphBatch.of(NB101, genotypes).hash()
        pairs = set(zip(published, ours.tolist(), strict=True))
        assert len(pairs) == len(set(published)) == len(set(ours.tolist())) > 100

    def test_hashes_agree_with_networkx_on_free_graphs(self):
        rng = np.random.default_rng(1)
        adjacency = np.triu(rng.random((60, 4, 4)) < 0.5, 1).astype(np.uint8)
        batch = GraphBatch(rng.integers(0, 2, (60, 4)).astype(np.int8), adjacency, ("a", "b"))
        number, nets = batch.hash(), networks(batch)
        found = [[same(a, b) for b in nets] for a in nets]
        assert np.array_equal(number[:, None] == number, np.array(found))
        assert np.array(found).sum() > 60

    def test_classes_are_those_of_the_space(self):
        assert len(np.unique(classes(NB201, NB201.enumerate()))) == 6466


class TestComputation:
    def test_equal_paths_mean_isomorphic_only_where_networkx_says_so(self):
        batch = GraphBatch.of(NB201, sampled(NB201, 150)).computation()
        number, nets = batch.hash(), networks(batch)
        found = np.array([[same(a, b) for b in nets] for a in nets])
        assert np.array_equal(number[:, None] == number, found)

    def test_equal_computations_have_equal_paths(self):
        genotypes = NB201.enumerate()
        merged = np.unique(GraphBatch.of(NB201, genotypes).computation().hash(), return_inverse=True)[1]
        paths = np.unique(functional(NB201, genotypes)[0], axis=0, return_inverse=True)[1].reshape(-1)
        assert len(np.unique(np.stack([paths, merged]), axis=1).T) == merged.max() + 1 > paths.max() + 1 == 4120

    def test_skips_are_followed_and_dead_layers_removed(self):
        # Node 1 takes a skip of the input and feeds the output through a convolution; the rest is cut or dead.
        cell = NB201.parse("|skip_connect~0|+|nor_conv_3x3~0|none~1|+|none~0|nor_conv_1x1~1|none~2|")
        batch = GraphBatch.of(NB201, cell[None]).computation()
        live = np.flatnonzero(batch.ops[0] >= 0)
        assert [batch.vocabulary[batch.ops[0, v]] for v in live] == ["input", "nor_conv_1x1", "output"]
        assert batch.adjacency[0][np.ix_(live, live)].tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 0]]

    def test_two_skips_into_one_vertex_count_twice(self):
        cell = NB201.parse("|skip_connect~0|+|none~0|none~1|+|skip_connect~0|skip_connect~1|none~2|")
        batch = GraphBatch.of(NB201, cell[None]).computation()
        assert batch.adjacency[0, 0, -1] == 2

    def test_a_cut_cell_keeps_its_ends(self):
        batch = GraphBatch.of(NB201, np.zeros((1, 6), dtype=np.uint8)).computation()
        assert batch.ops[0].tolist() == [0, -1, -1, -1, -1, -1, -1, 6]
        assert batch.adjacency.sum() == 0
