"""Architectures across revisions of a template, and what a selection of architectures has in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._errors import InputError
from ogive.spaces.template import Template

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ogive.spaces._template_parts import Edge, Group
    from ogive.spaces.base import Genotypes

    Bools = NDArray[np.bool_]


def translate(old: Template, new: Template, genotypes: Genotypes) -> tuple[Genotypes, Bools]:
    """Return the genotypes of another revision's architectures, and which of them are the same networks there.

    Options and edges are followed by their ids. What `old` left dead may change. Where an architecture's live nodes,
    their arguments and their connections are not all in `new`, its row is only a near one. The same network can be
    missed where single options have edges of their own and a dead group has to take another option to stay dead.

    Parameters
    ----------
    old, new : Template
        Two revisions of one drawing, in any order.
    genotypes : ndarray of int, (n, old.n_choices)

    Returns
    -------
    genotypes : ndarray of int, (n, new.n_choices)
    same : ndarray of bool, (n,)
    """
    g = old.check(genotypes)
    names, pairs = [node.id for node in old.wiring.nodes], _pairs(old)
    alive, arcs = old.live(g)
    # As it was chosen, dead parts and all; where those would wake up in `new`, as little as keeps what is alive.
    switched = {edge.name: g[:, [len(old.groups) + i]] == 1 for i, edge in enumerate(old.switches)}
    drafts = []
    for nodes, edges in ((old.chosen(g), switched), (alive, {})):
        sets = [_nearest_set(t, _pick(nodes, names, t.options), _pick(alive, names, t.options)) for t in new.groups]
        on = [edges.get(edge.name, _pick(arcs, pairs, own)) for edge, own in _switches(new)]
        drafts.append(np.stack([*sets, *(np.asarray(columns.any(axis=1)) for columns in on)], axis=1).astype(new.dtype))
    as_was, as_little = drafts
    out = np.where(_same(old, new, alive, arcs, as_was)[:, None], as_was, as_little)
    return out, _same(old, new, alive, arcs, out)


def _same(old: Template, new: Template, alive: Bools, arcs: Bools, translated: Genotypes) -> Bools:
    """Return which genotypes of `new` have the live nodes, blocks and arcs that they had in `old`."""
    names, new_names = ([node.id for node in t.wiring.nodes] for t in (old, new))
    blocks, new_blocks = ({node.id: (node.op, node.args) for node in t.wiring.nodes} for t in (old, new))
    redrawn = [name for name in names if name in new_blocks and blocks[name] != new_blocks[name]]
    there, joined = new.live(translated)
    same = _equal(alive, names, there, new_names) & _equal(arcs, _pairs(old), joined, _pairs(new))
    return same & ~_pick(alive, names, redrawn).any(axis=1)


def union(template: Template, genotypes: Genotypes) -> Template:
    """Return the template of everything that any of the architectures uses, and nothing else.

    Groups keep their cardinality where enough options remain; an edge that all use stays optional. A group that an
    architecture does not use may be left empty, where it had stayed dead by an option that is not drawn any more.

    Raises
    ------
    InputError
        If there is no architecture, or nothing is left to choose.
    """
    g = _some(template, genotypes)
    smaller = _used(template, g, empty=False)
    return smaller if translate(template, smaller, g)[1].all() else _used(template, g, empty=True)


def _used(template: Template, genotypes: Genotypes, *, empty: bool) -> Template:
    """Draw what the architectures use; with `empty`, groups need no more options than an architecture has alive."""
    alive, arcs = template.live(genotypes)
    options, switches = _parts(template, alive, arcs)
    used = {template.wiring.nodes[i].id for i in np.flatnonzero(alive.any(axis=0))}
    document = template.to_dict()
    document["nodes"] = [node for node in document["nodes"] if node["id"] in used]
    document["groups"] = groups = []
    for group in template.groups:
        kept = [option for option in group.options if option in used]
        least = int(np.sum([options[o] for o in group.options], axis=0).min()) if empty else len(kept)
        if kept:
            bounds = [min(group.low, least), min(group.high, len(kept))]
            groups.append({"id": group.id, "options": kept, "cardinality": bounds})
    there = {*used, *(group["id"] for group in groups)}
    document["edges"] = [
        drawn
        for drawn, edge in zip(document["edges"], template.edges, strict=True)
        if {edge.source, edge.target} <= there and (not edge.optional or switches[edge.name].any())
    ]
    ids = [*(node.id for node in template.nodes), *(group.id for group in template.groups)]
    document["retired"] = [*template.retired, *(name for name in ids if name not in there)]
    return Template(document)


def intersection(template: Template, genotypes: Genotypes) -> tuple[str, ...]:
    """Return the options and optional edges that all the architectures use, for ``Template.steer(lock=...)``.

    Raises
    ------
    InputError
        If there is no architecture.
    """
    alive, arcs = template.live(_some(template, genotypes))
    nodes, edges = _parts(template, alive, arcs)
    return tuple(name for name, used in {**nodes, **edges}.items() if used.all())


def complement(template: Template, genotypes: Genotypes) -> tuple[str, ...]:
    """Return the options and optional edges that none of the architectures uses, for ``Template.steer(exclude=...)``.

    A dead option counts as used where the canonical form needs it to meet a group's cardinality.

    Raises
    ------
    InputError
        If there is no architecture.
    """
    g = template.canonical(_some(template, genotypes))
    nodes, edges = _parts(template, template.chosen(g), template.live(g)[1])
    return tuple(name for name, used in {**nodes, **edges}.items() if not used.any())


def _some(template: Template, genotypes: Genotypes) -> Genotypes:
    g = template.check(genotypes)
    if not len(g):
        raise InputError("a set operation needs one architecture at least; select some")
    return g


def _parts(template: Template, nodes: Bools, arcs: Bools) -> tuple[dict[str, Bools], dict[str, Bools]]:
    """Return for every option, and for every optional edge, which rows have it, given nodes and live arcs."""
    at = {node.id: i for i, node in enumerate(template.wiring.nodes)}
    switch = np.array([arc.switch for arc in template.wiring.arcs])
    return (
        {option: nodes[:, at[option]] for group in template.groups for option in group.options},
        {edge.name: np.asarray(arcs[:, switch == i].any(axis=1)) for i, edge in enumerate(template.switches)},
    )


def _pairs(template: Template) -> list[tuple[str, str]]:
    """Return the ids that each arc joins."""
    nodes = template.wiring.nodes
    return [(nodes[arc.source].id, nodes[arc.target].id) for arc in template.wiring.arcs]


def _switches(template: Template) -> list[tuple[Edge, list[tuple[str, str]]]]:
    """Return every optional edge with the ids that its arcs join."""
    own: list[list[tuple[str, str]]] = [[] for _ in template.switches]
    for pair, arc in zip(_pairs(template), template.wiring.arcs, strict=True):
        if arc.switch >= 0:
            own[arc.switch].append(pair)
    return list(zip(template.switches, own, strict=True))


def _pick(table: Bools, names: Sequence[Any], wanted: Sequence[Any]) -> Bools:
    """Return the columns called `wanted`, all false where there is none of that name."""
    at = {name: i for i, name in enumerate(names)}
    padded = np.concatenate([table, np.zeros((len(table), 1), dtype=np.bool_)], axis=1)
    return padded[:, [at.get(name, -1) for name in wanted]]


def _equal(a: Bools, a_names: Sequence[Any], b: Bools, b_names: Sequence[Any]) -> Bools:
    """Return which rows are true under the same names in both tables."""
    names = list(dict.fromkeys([*a_names, *b_names]))
    return np.asarray((_pick(a, a_names, names) == _pick(b, b_names, names)).all(axis=1))


def _nearest_set(group: Group, chosen: Bools, alive: Bools) -> NDArray[np.intp]:
    """Return the allowed set that was chosen; else the smallest with all that was alive; else the first."""
    sets = np.zeros((len(group.subsets()), len(group.options)), dtype=np.bool_)
    for row, members in zip(sets, group.subsets(), strict=True):
        row[list(members)] = True
    # How many options each side has and the other lacks, as products: rows x sets instead of rows x sets x options.
    extra = (~chosen).astype(np.int64) @ sets.T
    lost = chosen.astype(np.int64) @ (~sets).T
    vital = alive.astype(np.int64) @ (~sets).T
    return np.asarray(np.argmax((vital == 0) * (1 + (extra == 0) * (1 + (lost == 0))), axis=1))
