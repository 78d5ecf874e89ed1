"""The search space as the page draws it - nodes, groups, edges - and what a candidate uses of it."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive.spaces._catalogue import BLOCKS, MERGES, Channels, Merge, Whole
from ogive.spaces.template import PROBE, Template

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from ogive.spaces.base import Genotypes, Space, TaskShape

    Bools = NDArray[np.bool_]


def drawing(space: Space, task: TaskShape | None) -> dict[str, Any]:
    """Return the title, nodes, groups and edges of a space as JSON values.

    A template is drawn as it is. Any other space becomes a chain with a group for each choice, and a node
    ``choice/option`` for each option.

    Parameters
    ----------
    space : Space
    task : Task, optional
        Gives a template's shapes; without one they are those of 3 x 32 x 32 images.
    """
    if isinstance(space, Template):
        return _of_template(space, task or PROBE)
    groups = [_group(c.name, [f"{c.name}/{option}" for option in c.options]) for c in space.choices]
    nodes = [_node(f"{c.name}/{option}", option, c.name) for c in space.choices for option in c.options]
    return {
        "title": space.reference,
        "nodes": nodes,
        "groups": groups,
        "edges": [_edge(a.name, b.name) for a, b in pairwise(space.choices)],
    }


def _of_template(space: Template, task: TaskShape) -> dict[str, Any]:
    home = {option: group.id for group in space.groups for option in group.options}
    shapes = space.shapes(task)
    return {
        "title": space.title,
        "nodes": [_node(n.id, n.op, home.get(n.id), dict(n.args), _shape_text(shapes[n.id])) for n in space.nodes],
        "groups": [_group(g.id, list(g.options), g.low, g.high) for g in space.groups],
        "edges": [_edge(e.source, e.target, e.optional) for e in space.edges],
    }


def _node(
    name: str, op: str, group: str | None, args: dict[str, Any] | None = None, shape: str | None = None
) -> dict[str, Any]:
    label = name.removeprefix(f"{group}/")
    return {"id": name, "label": label, "op": op, "args": args or {}, "group": group, "shape": shape}


def _group(name: str, options: list[str], low: int = 1, high: int = 1) -> dict[str, Any]:
    return {"id": name, "label": name, "options": options, "cardinality": [low, high]}


def _edge(source: str, target: str, optional: bool = False) -> dict[str, Any]:
    return {"id": f"{source}->{target}", "source": source, "target": target, "optional": optional}


def _shape_text(shapes: Iterable[tuple[int, ...]]) -> str:
    """Write the shapes a node's output can have, ``16×32×32``; several are parted by a stroke."""
    return " | ".join("×".join(map(str, shape)) for shape in sorted(shapes))


def catalogue() -> list[dict[str, Any]]:
    """Return the blocks a template is drawn from, with the arguments each takes."""
    return [{"op": op, "args": {name: _argument(a) for name, a in args.items()}} for op, args in BLOCKS.items()]


def _argument(argument: Whole | Channels | Merge) -> dict[str, Any]:
    if isinstance(argument, Whole):
        step = 2 if argument.odd else 1
        return {
            "type": "integer",
            "default": argument.default,
            "choices": list(range(argument.low, argument.high + 1, step)),
        }
    kind, choices = ("choice", list(MERGES)) if isinstance(argument, Merge) else ("channels", None)
    return {"type": kind, "default": argument.default, "choices": choices}


def part_id(space: Space, choice: str, option: str) -> str:
    """Return the id on the page of an option of a choice: a node, an optional edge, or ``choice/option``."""
    if isinstance(space, Template):
        return choice if option == "on" and choice not in {g.id for g in space.groups} else option
    return f"{choice}/{option}"


def shown_parts(space: Space) -> tuple[list[str], Bools]:
    """Return the ids of what a candidate may have or lack, and which of the space's parts these are.

    They are all, but that an optional edge which is off is nothing to show.
    """
    edges = {edge.name for edge in space.switches} if isinstance(space, Template) else set()
    shown = np.array([not (choice in edges and option == "off") for choice, option in space.part_names])
    names = [part_id(space, c, o) for (c, o), there in zip(space.part_names, shown, strict=True) if there]
    return names, shown


def parts(space: Space, genotypes: Genotypes) -> Bools:
    """Return which of the shown parts each candidate has and uses, ``(n, n_shown)``."""
    return space.parts(genotypes)[:, shown_parts(space)[1]]
