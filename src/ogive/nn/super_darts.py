"""The supernet of DARTS: every operation on every edge a node may have."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ogive.nn.darts import DartsNetwork, TwoInputCell
from ogive.nn.supernet import Alternatives, SuperNetwork, active_state

if TYPE_CHECKING:
    from collections.abc import Sequence

    Pairs = Sequence[Sequence[tuple[int, int]]]
    Run = tuple[int, ...] | None


class SuperTwoInputCell(TwoInputCell):
    """A cell whose nodes may read all earlier states, with all operations; `incoming` says which edges run.

    Parameters
    ----------
    edges
        All edges, node by node, with all operations; the first node has two.
    *args, **kwargs
        As for `TwoInputCell`.
    """

    def __init__(self, edges: Sequence[tuple[tuple[str, ...], int]], *args: Any, **kwargs: Any) -> None:
        super().__init__(edges, *args, **kwargs)
        starts = [i for i, (_, source) in enumerate(edges) if source == 0]
        self.all_edges = [tuple(range(a, b)) for a, b in itertools.pairwise([*starts, len(edges)])]
        self.incoming = [edges[:2] for edges in self.all_edges]

    def place(self, node: int, source: int) -> Alternatives:
        """Return the operations between two states; node 0 is the first that is no input."""
        place = self.ops[str(self.all_edges[node][source])]
        assert isinstance(place, Alternatives)
        return place

    def active_state(self) -> dict[str, Tensor]:
        """Return the tensors of the edges that run, numbered as in a plain cell."""
        rows: dict[str, nn.Module] = {"before": self.before, "last": self.last}
        rows |= {f"ops.{i}": self.ops[str(edge)] for i, edge in enumerate(itertools.chain(*self.incoming))}
        return {f"{name}.{key}": t for name, row in rows.items() for key, t in active_state(row).items()}


class SuperDartsNetwork(SuperNetwork, DartsNetwork):
    """The network of DARTS with all operations on all edges; the two kinds of cell have their own choices.

    Which operation an edge carries is up to one of two choices, the node's first or second operation, as its source is
    the lower or the higher one of the pair. Only an edge from the lowest source and one from the highest belong to
    one choice alone: what is shelved with an excluded operation is theirs.

    Parameters
    ----------
    ops : tuple of str
        Operations to choose from.
    pairs : sequence of sequence of (int, int)
        For each node, the pairs of sources to choose from, lower first; the first node has one. The choices of a kind
        of cell are, for each node, the pair (not of the first node), the first and the second operation.
    *args, **kwargs
        As for `DartsNetwork`, without its edges.
    """

    cell = SuperTwoInputCell

    def __init__(self, ops: tuple[str, ...], pairs: Pairs, *args: Any, **kwargs: Any) -> None:
        edges = [(ops, source) for node in range(len(pairs)) for source in range(node + 2)]
        super().__init__(edges, edges, *args, **kwargs)
        self.pairs = pairs
        kind = [n for node in pairs for n in (len(node), len(ops), len(ops))][1:]
        self._options = kind + kind
        self._codes: Sequence[int] = [0] * len(self._options)
        cells = [cell for cell in self.cells if isinstance(cell, SuperTwoInputCell)]
        # Every node of both kinds of cell, its three choices, and the cells it is in; the first node has no pair.
        self._nodes = [
            (node, (at + 3 * node - 1, at + 3 * node, at + 3 * node + 1), [c for c in cells if c.stride == stride])
            for at, stride in ((0, 1), (len(kind), 2))
            for node in range(len(pairs))
        ]
        for node, (_, first, second), alike in self._nodes:
            for cell in alike:
                self.bind(first, cell.place(node, 0))
                self.bind(second, cell.place(node, node + 1))

    def select(self, codes: Sequence[int]) -> None:
        """Make the path of one genotype the active one, and end a mixture."""
        mixed = self._mixed
        super().select(codes)
        self._codes = codes
        for node, (pair, first, second), cells in self._nodes:
            low, high = self.pairs[node][codes[pair] if node else 0]
            for cell in cells:
                cell.incoming[node] = cell.all_edges[node][low], cell.all_edges[node][high]
                cell.place(node, low).active = codes[first]
                cell.place(node, high).active = codes[second]
                for source in range(node + 2) if mixed else ():
                    place = cell.place(node, source)
                    place.weights = place.run = None

    def mix(self, weights: Sequence[Tensor | None], run: Sequence[Run] | None = None) -> None:
        """Run weighted sums until the next `select`: over pairs of sources, and over operations in each pair.

        As a node adds its two edges, the sum over pairs is one over sources: the operation k of an edge weighs
        ``p_low * first[k] + p_high * second[k]``, p being the weights of the pairs in which the source is the lower or
        higher one.

        Parameters
        ----------
        weights, run
            As for `SuperNetwork.mix`.
        """
        tables = [self._table(choice, w, None if run is None else run[choice]) for choice, w in enumerate(weights)]
        n_ops = self._options[0]
        for node, (pair, first, second), cells in self._nodes:
            share, likely = tables[pair] if node else (self.head.weight.new_ones(1), (0,))
            for source in range(node + 2):
                total, codes = self.head.weight.new_zeros(n_ops), set[int]()
                for side, choice in enumerate((first, second)):
                    fitting = [k for k, sources in enumerate(self.pairs[node]) if sources[side] == source]
                    total = total + share[fitting].sum() * tables[choice][0]
                    codes.update(tables[choice][1] if set(fitting) & set(likely) else ())
                for cell in cells:
                    place = cell.place(node, source)
                    place.weights, place.run = total, tuple(sorted(codes))
                    cell.incoming[node] = cell.all_edges[node]
        self._mixed = True

    def _table(self, choice: int, weights: Tensor | None, run: Run) -> tuple[Tensor, tuple[int, ...]]:
        """Return the weights of a choice and the codes that run; without weights it stays at its active option."""
        if weights is None:
            code = self._codes[choice]
            return torch.eye(self._options[choice]).to(self.head.weight)[code], (code,)
        return weights, tuple(range(len(weights))) if run is None else run
