"""Which parts of a template are alive in a batch of genotypes, and which genotypes differ only in dead parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ogive.spaces._template_parts import Group
    from ogive.spaces._types import Genotypes
    from ogive.spaces._wiring import Wiring

    Bools = NDArray[np.bool_]
    Ints = NDArray[np.int64]


class Liveness:
    """Follows paths through a template, all genotypes of a batch at once.

    Genotypes have a column for each group, the number of its allowed set, and then one for each optional edge.

    Parameters
    ----------
    wiring : Wiring
    groups : sequence of Group
    """

    def __init__(self, wiring: Wiring, groups: Sequence[Group]) -> None:
        self.wiring = wiring
        at = {node.id: i for i, node in enumerate(wiring.nodes)}
        self.members = [np.array([at[option] for option in group.options]) for group in groups]
        # Allowed sets as bits, the first option lowest.
        self.sets = [np.array([sum(1 << i for i in chosen) for chosen in group.subsets()]) for group in groups]
        self.source, self.target, self.switch = (
            np.array([[arc.source, arc.target, arc.switch] for arc in wiring.arcs], dtype=np.intp).reshape(-1, 3).T
        )
        # Arcs into each node and out of each node, the nodes in topological order.
        self.into = [np.flatnonzero(self.target == v) for v in range(len(wiring.nodes))]
        self.out_of = [np.flatnonzero(self.source == v) for v in range(len(wiring.nodes))]
        self.inputs, self.outputs = (np.array([node.op == op for node in wiring.nodes]) for op in ("input", "output"))

    def chosen(self, genotypes: Genotypes) -> tuple[Bools, Bools]:
        """Return which nodes are chosen, and which arcs are on between chosen nodes."""
        g = np.asarray(genotypes)
        nodes = np.ones((len(g), len(self.wiring.nodes)), dtype=np.bool_)
        for i, (members, sets) in enumerate(zip(self.members, self.sets, strict=True)):
            nodes[:, members] = sets[g[:, i], None] >> np.arange(len(members)) & 1
        return nodes, self._switched(g) & nodes[:, self.source] & nodes[:, self.target]

    def _switched(self, genotypes: Genotypes) -> Bools:
        """Return which arcs are fixed or belong to an edge that is on."""
        edges = np.asarray(genotypes)[:, len(self.members) :] == 1
        fixed = np.ones((len(edges), 1), dtype=np.bool_)
        return np.concatenate([edges, fixed], axis=1)[:, self.switch]

    def reach(self, arcs: Bools) -> tuple[Bools, Bools]:
        """Return which nodes an input reaches, and which reach an output, ``(n, nodes)`` each."""
        reached = np.repeat(self.inputs[:, None], len(arcs), axis=1)
        reaching = np.repeat(self.outputs[:, None], len(arcs), axis=1)
        on = arcs.T
        # One step a node, in topological order; each step takes all genotypes.
        for v, e in enumerate(self.into):
            if e.size:
                reached[v] = (reached[self.source[e]] & on[e]).any(axis=0)
        for v, e in reversed(list(enumerate(self.out_of))):
            if e.size:
                reaching[v] = (reaching[self.target[e]] & on[e]).any(axis=0)
        return reached.T, reaching.T

    def live(self, genotypes: Genotypes) -> tuple[Bools, Bools]:
        """Return which nodes and arcs lie on a path from an input to an output."""
        nodes, arcs = self.chosen(genotypes)
        reached, reaching = self.reach(arcs)
        alive = nodes & reached & reaching
        return alive, arcs & alive[:, self.source] & alive[:, self.target]

    def canonical(self, genotypes: Genotypes) -> Genotypes:
        """Switch dead edges off and give every group the first set that leaves what is alive as it is.

        A group whose live options are an allowed set gets that set. Where the cardinality asks for more, the smallest
        set that adds only options which are dead where they stand; groups are settled in turn until none changes.
        """
        out = np.array(genotypes)
        if not len(out):
            return out
        alive, arcs = self.live(out)
        for j in range(out.shape[1] - len(self.members)):
            out[:, len(self.members) + j] = arcs[:, self.switch == j].any(axis=1)
        needed = [self._bits(alive[:, members]) for members in self.members]
        deficient: list[tuple[int, NDArray[np.intp]]] = []
        for i, (bits, sets) in enumerate(zip(needed, self.sets, strict=True)):
            order = np.argsort(sets)
            code = order[np.minimum(np.searchsorted(sets, bits, sorter=order), len(sets) - 1)]
            exact = sets[code] == bits
            out[exact, i] = code[exact]
            if not exact.all():
                deficient.append((i, np.flatnonzero(~exact)))
        changed = True
        while changed:
            changed = False
            for i, rows in deficient:
                code = self._first_set(i, out[rows], needed[i][rows])
                changed |= bool((out[rows, i] != code).any())
                out[rows, i] = code
        return out

    def _bits(self, alive: Bools) -> Ints:
        return np.asarray(alive.astype(np.int64) @ (1 << np.arange(alive.shape[1], dtype=np.int64)))

    def _first_set(self, i: int, genotypes: Genotypes, needed: Ints) -> Ints:
        """Return the first allowed set of group i that has the needed options and otherwise dead ones."""
        nodes, arcs = self.chosen(genotypes)
        members = self.members[i]
        own_source, own_target = np.isin(self.source, members), np.isin(self.target, members)
        # What would reach each option, and what each would reach, if the group's dead options were not there.
        there = np.zeros_like(nodes)
        there[:, members] = needed[:, None] >> np.arange(len(members)) & 1
        on, g = self._switched(genotypes), np.asarray(genotypes)
        kept = arcs & (there[:, self.source] | ~own_source) & (there[:, self.target] | ~own_target)
        reached, reaching = self.reach(kept)
        from_there, to_there = nodes & reached, nodes & reaching
        entered = [(on[:, e] & from_there[:, self.source[e]]).any(axis=1) for e in (self.into[v] for v in members)]
        leaving = [(on[:, e] & to_there[:, self.target[e]]).any(axis=1) for e in (self.out_of[v] for v in members)]
        revived = self._bits(np.array(entered).T & np.array(leaving).T)
        out = np.asarray(g[:, i]).astype(np.int64)
        todo = np.ones(len(g), dtype=np.bool_)
        for code, options in enumerate(self.sets[i].tolist()):
            fits = todo & (needed & ~options == 0) & (options & ~needed & revived == 0)
            out[fits] = code
            todo &= ~fits
            if not todo.any():
                break
        return out
