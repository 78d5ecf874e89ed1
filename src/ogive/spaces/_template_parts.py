"""The parts of a template - nodes, groups, edges - and reading them from plain data, with errors that name the part."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING, Any, NamedTuple

from ogive._errors import InputError, nearest
from ogive.spaces._catalogue import BLOCKS, read_arguments

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MAX_NODES, MAX_OPTIONS, MAX_SUBSETS = 2000, 60, 1024

NONE = "none"
"""How the empty subset of a group is written."""

_NODE_ID = re.compile(r"\w[\w.]*", re.ASCII)
_GROUP_ID = re.compile(r"\w[\w.>-]*", re.ASCII)


@dataclass(frozen=True)
class Node:
    """A block with its arguments.

    Attributes
    ----------
    id : str
    op : str
        Name of the block in the catalogue.
    args : dict
        All its arguments.
    """

    id: str
    op: str
    args: Mapping[str, Any]


@dataclass(frozen=True)
class Group:
    """A place where alternatives compete.

    Attributes
    ----------
    id : str
    options : tuple of str
        Its nodes.
    low, high : int
        Cardinality: how many of them an architecture has, at least and at most.
    """

    id: str
    options: tuple[str, ...]
    low: int = 1
    high: int = 1

    def subsets(self) -> list[tuple[int, ...]]:
        """Return the allowed sets of options, as positions: the smaller ones first."""
        sizes = range(self.low, self.high + 1)
        return [chosen for size in sizes for chosen in combinations(range(len(self.options)), size)]

    def names(self) -> tuple[str, ...]:
        """Return how each allowed set is written: ids joined by a plus sign."""
        return tuple("+".join(self.options[i] for i in chosen) or NONE for chosen in self.subsets())


@dataclass(frozen=True)
class Edge:
    """A connection from a node, or every option of a group, to a node, or every option of a group.

    Attributes
    ----------
    source, target : str
    optional : bool
        Whether an architecture may leave it out.
    """

    source: str
    target: str
    optional: bool = False

    @property
    def name(self) -> str:
        """How the edge is named among the choices."""
        return f"{self.source}->{self.target}"


class Parts(NamedTuple):
    """What a document holds; `retired` are ids that were used once and are never given again."""

    title: str
    nodes: list[Node]
    groups: list[Group]
    edges: list[Edge]
    retired: tuple[str, ...]


def read_parts(document: object) -> Parts:
    """Read the title, nodes, groups, edges and retired ids of a document.

    Raises
    ------
    InputError
        Naming the part that is wrong and how to mend it.
    """
    fields = _fields("template", document, {"title", "nodes", "groups", "edges", "retired"}, {"nodes", "edges"})
    title = fields.get("title", "")
    if not isinstance(title, str):
        raise InputError(f"template: title is a text, not {title!r}")
    taken: set[str] = set()
    nodes = [_node(i, item, taken) for i, item in enumerate(_items("nodes", fields["nodes"]))]
    if len(nodes) > MAX_NODES:
        raise InputError(f"template: {len(nodes)} nodes are more than {MAX_NODES}; draw a smaller graph")
    by_id = {node.id: node for node in nodes}
    grouped: dict[str, str] = {}
    groups = [_group(i, g, taken, by_id, grouped) for i, g in enumerate(_items("groups", fields.get("groups", [])))]
    known = {*by_id, *(group.id for group in groups)}
    edges = [_edge(i, item, known) for i, item in enumerate(_items("edges", fields["edges"]))]
    retired = _items("retired", fields.get("retired", []))
    for name in retired:
        if not isinstance(name, str) or name in known:
            raise InputError(f"template retired: {name!r} is no id that was given up; take it off the list")
    return Parts(title, nodes, groups, edges, tuple(retired))


def write_parts(
    title: str,
    nodes: Sequence[Node],
    groups: Sequence[Group],
    edges: Sequence[Edge],
    retired: Sequence[str],
) -> dict[str, Any]:
    """Return the document that `read_parts` reads again; arguments at their default are left out."""
    document: dict[str, Any] = {"title": title} if title else {}
    document["nodes"] = [{"id": n.id, "op": n.op, **_changed(n)} for n in nodes]
    if groups:
        document["groups"] = [{"id": g.id, "options": list(g.options), "cardinality": [g.low, g.high]} for g in groups]
    document["edges"] = [
        {"from": e.source, "to": e.target, "optional": True} if e.optional else [e.source, e.target] for e in edges
    ]
    if retired:
        document["retired"] = list(retired)
    return document


def _changed(node: Node) -> dict[str, Any]:
    return {key: value for key, value in node.args.items() if value != BLOCKS[node.op][key].default}


def _items(what: str, value: object) -> list[Any]:
    if not isinstance(value, list):
        raise InputError(f"template: {what} is a list, not {value!r}")
    return value


def _fields(where: str, item: object, known: Iterable[str], needed: Iterable[str]) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise InputError(f"{where}: expected a mapping with {', '.join(sorted(needed))}, not {item!r}")
    for key in item:
        if key not in known:
            raise InputError(f"{where}: unknown entry '{key}' ({nearest(str(key), known)})")
    for key in sorted(needed):
        if key not in item:
            raise InputError(f"{where}: '{key}' is missing")
    return item


def _identifier(where: str, value: object, legal: re.Pattern[str], taken: set[str]) -> str:
    if not (isinstance(value, str) and legal.fullmatch(value) and value != NONE):
        raise InputError(f"{where}: id {value!r} is not a text of letters, digits, '_' and '.' other than '{NONE}'")
    if value in taken:
        raise InputError(f"{where}: id '{value}' is used twice; give every node and group its own")
    taken.add(value)
    return value


def _node(i: int, item: object, taken: set[str]) -> Node:
    where = f"template nodes[{i}]"
    if not isinstance(item, dict):
        raise InputError(f"{where}: expected a mapping with id and op, not {item!r}")
    given = dict(item)
    _fields(where, given, given, {"id", "op"})
    name = _identifier(where, given.pop("id"), _NODE_ID, taken)
    op = given.pop("op")
    if not (isinstance(op, str) and op in BLOCKS):
        raise InputError(f"template node '{name}': unknown op '{op}' ({nearest(str(op), BLOCKS)})")
    try:
        return Node(name, op, read_arguments(op, given))
    except ValueError as error:
        raise InputError(f"template node '{name}': {error}") from None


def _group(i: int, item: object, taken: set[str], nodes: Mapping[str, Node], grouped: dict[str, str]) -> Group:
    fields = _fields(f"template groups[{i}]", item, {"id", "options", "cardinality"}, {"id", "options"})
    name = _identifier(f"template groups[{i}]", fields["id"], _GROUP_ID, taken)
    where = f"template group '{name}'"
    options = _items(f"options of group '{name}'", fields["options"])
    for option in options:
        if not (isinstance(option, str) and option in nodes):
            raise InputError(f"{where}: option '{option}' is no node ({nearest(str(option), nodes)})")
        if nodes[option].op in ("input", "output"):
            raise InputError(f"{where}: node '{option}' is an {nodes[option].op}, which cannot compete")
        if option in grouped:
            raise InputError(f"{where}: node '{option}' is already an option of group '{grouped[option]}'")
        grouped[option] = name
    bounds = fields.get("cardinality", [1, 1])
    if not (isinstance(bounds, list) and [type(b) for b in bounds] == [int, int]):
        raise InputError(f"{where}: cardinality is [min, max], not {bounds!r}")
    low, high = bounds
    if not (0 <= low <= high <= len(options) and high >= 1):
        raise InputError(f"{where}: cardinality [{low}, {high}] does not fit {len(options)} options")
    subsets = sum(comb(len(options), size) for size in range(low, high + 1))
    if len(options) > MAX_OPTIONS or subsets > MAX_SUBSETS:
        raise InputError(
            f"{where}: {len(options)} options in {subsets} allowed sets are more than {MAX_OPTIONS} in {MAX_SUBSETS}; "
            "lower the cardinality or divide the group"
        )
    return Group(name, tuple(options), low, high)


def _edge(i: int, item: object, known: Iterable[str]) -> Edge:
    where = f"template edges[{i}]"
    if isinstance(item, list):
        if len(item) != 2:
            raise InputError(f"{where}: an edge is [from, to], not {item!r}")
        item = dict(zip(("from", "to"), item, strict=True))
    fields = _fields(where, item, {"from", "to", "optional"}, {"from", "to"})
    for end in ("from", "to"):
        if not (isinstance(fields[end], str) and fields[end] in known):
            raise InputError(f"{where}: '{fields[end]}' is no node or group ({nearest(str(fields[end]), known)})")
    optional = fields.get("optional", False)
    if not isinstance(optional, bool):
        raise InputError(f"{where}: optional is true or false, not {optional!r}")
    return Edge(fields["from"], fields["to"], optional)
