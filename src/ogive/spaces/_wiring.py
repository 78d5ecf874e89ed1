"""How the nodes of a template hang together: arcs in topological order, and the checks that a drawing makes sense."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ogive._errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ogive.spaces._template_parts import Edge, Group, Node

MAX_ARCS = 20_000


@dataclass(frozen=True)
class Arc:
    """A connection of two nodes; many may belong to one edge between groups.

    Attributes
    ----------
    source, target : int
        Positions in topological order.
    switch : int
        Number of the optional edge it belongs to, -1 for a fixed one.
    """

    source: int
    target: int
    switch: int


class Slot(NamedTuple):
    """Arcs into a node of which an architecture has one at most; `certain` where it always has one."""

    arcs: tuple[Arc, ...]
    certain: bool


@dataclass(frozen=True)
class Wiring:
    """The nodes in topological order, and their arcs, sorted by target, then as drawn.

    Attributes
    ----------
    nodes : tuple of Node
    arcs : tuple of Arc
    member : tuple of int
        Number of the group of each node, -1 for a node in none.
    """

    nodes: tuple[Node, ...]
    arcs: tuple[Arc, ...]
    member: tuple[int, ...]

    @classmethod
    def of(cls, nodes: Sequence[Node], groups: Sequence[Group], edges: Sequence[Edge]) -> Wiring:
        """Connect the parts, or say which node is in the way.

        Raises
        ------
        InputError
            If there is a cycle, a node on no path from an input to an output, two alternatives on one path, an edge
            into an input, out of an output or drawn twice, or too many connections.
        """
        options = {group.id: group.options for group in groups}
        pairs: dict[tuple[str, str], int] = {}
        switch = -1
        for edge in edges:
            switch += edge.optional
            for s in options.get(edge.source, (edge.source,)):
                for t in options.get(edge.target, (edge.target,)):
                    if (s, t) in pairs:
                        raise InputError(f"template edge '{edge.name}': '{s}' and '{t}' are connected twice")
                    pairs[s, t] = switch if edge.optional else -1
            if len(pairs) > MAX_ARCS:
                raise InputError(f"template: more than {MAX_ARCS} connections; draw a smaller graph")
        _check_ends(nodes, pairs)
        order = _sorted(nodes, pairs)
        at = {node.id: i for i, node in enumerate(order)}
        arcs = sorted((Arc(at[s], at[t], number) for (s, t), number in pairs.items()), key=lambda arc: arc.target)
        group_of = {option: i for i, group in enumerate(groups) for option in group.options}
        wiring = cls(tuple(order), tuple(arcs), tuple(group_of.get(node.id, -1) for node in order))
        wiring._check_paths()
        wiring._check_alternatives(groups)
        return wiring

    def slots(self, groups: Sequence[Group]) -> tuple[list[list[Slot]], list[bool]]:
        """Return what enters each node, and whether something that depends on the input always does.

        Options of a group that takes one at most share a slot. A node in a group is judged as if it were chosen.
        """
        entering: list[dict[int, list[Arc]]] = [{} for _ in self.nodes]
        for arc in self.arcs:
            entering[arc.target].setdefault(self.member[arc.source], []).append(arc)
        slots: list[list[Slot]] = []
        certain: list[bool] = []
        for node, by_group in zip(self.nodes, entering, strict=True):
            mine, sure = [], node.op == "input"
            for number, arcs in by_group.items():
                fixed = [arc.switch < 0 and certain[arc.source] for arc in arcs]
                if number < 0:
                    mine += [Slot((arc,), there) for arc, there in zip(arcs, fixed, strict=True)]
                    sure |= any(fixed)
                    continue
                group = groups[number]
                whole = len(arcs) == len(group.options) and all(fixed)
                sure |= whole and group.low >= 1
                if group.high == 1:
                    mine.append(Slot(tuple(arcs), whole and group.low == 1))
                else:
                    mine += [
                        Slot((arc,), there and group.low == len(group.options))
                        for arc, there in zip(arcs, fixed, strict=True)
                    ]
            slots.append(mine)
            certain.append(sure)
        return slots, certain

    def _check_paths(self) -> None:
        """Make sure that every node lies on a path from an input to an output."""
        reached = [node.op == "input" for node in self.nodes]
        reaching = [node.op == "output" for node in self.nodes]
        for arc in self.arcs:
            reached[arc.target] |= reached[arc.source]
        for arc in reversed(self.arcs):
            reaching[arc.source] |= reaching[arc.target]
        for node, to, on in zip(self.nodes, reached, reaching, strict=True):
            if not (to and on):
                why = "no path from an input reaches it" if not to else "no path leads from it to an output"
                raise InputError(f"template node '{node.id}': {why}; connect or remove it")

    def _check_alternatives(self, groups: Sequence[Group]) -> None:
        """Make sure that no path goes through two options of a group; paths are followed as sets of bits."""
        before = [0] * len(self.nodes)
        for arc in self.arcs:
            before[arc.target] |= before[arc.source] | 1 << arc.source
        together = [0] * len(groups)
        for i, group in enumerate(self.member):
            if group >= 0:
                together[group] |= 1 << i
        for i, group in enumerate(self.member):
            rivals = before[i] & together[group] if group >= 0 else 0
            if rivals:
                first = self.nodes[rivals.bit_length() - 1].id
                raise InputError(
                    f"template group '{groups[group].id}': a path goes through both '{first}' and "
                    f"'{self.nodes[i].id}'; alternatives stand side by side"
                )


def _check_ends(nodes: Sequence[Node], pairs: Mapping[tuple[str, str], int]) -> None:
    ops = {node.id: node.op for node in nodes}
    for op in ("input", "output"):
        if op not in ops.values():
            raise InputError(f"template: there is no {op}; add a node with op: {op}")
    for s, t in pairs:
        if ops[t] == "input":
            raise InputError(f"template node '{t}': an input takes no edge, but one comes from '{s}'")
        if ops[s] == "output":
            raise InputError(f"template node '{s}': an output gives no edge, but one goes to '{t}'")


def _sorted(nodes: Sequence[Node], pairs: Mapping[tuple[str, str], int]) -> list[Node]:
    """Sort nodes so that every edge goes forward, otherwise as drawn."""
    targets: dict[str, list[str]] = {node.id: [] for node in nodes}
    waiting = dict.fromkeys(targets, 0)
    for s, t in pairs:
        targets[s].append(t)
        waiting[t] += 1
    by_id = {node.id: node for node in nodes}
    ready = [node.id for node in nodes if not waiting[node.id]]
    order: list[Node] = []
    for name in ready:
        order.append(by_id[name])
        for t in targets[name]:
            waiting[t] -= 1
            if not waiting[t]:
                ready.append(t)
    if len(order) < len(nodes):
        loop = _cycle(targets, {name for name, number in waiting.items() if number})
        raise InputError(f"template: nodes {loop} form a cycle; cut it")
    return order


def _cycle(targets: Mapping[str, Sequence[str]], left: set[str]) -> str:
    """Return the names along one cycle among the nodes that sorting left over."""
    sources = {t: s for s in sorted(left) for t in targets[s] if t in left}
    path = [min(left)]
    while path[-1] not in path[:-1]:
        path.append(sources[path[-1]])
    loop = path[path.index(path[-1]) :][::-1]
    return " -> ".join(f"'{name}'" for name in loop)
