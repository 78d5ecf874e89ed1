"""Edits of a drawn template: each returns a new, checked template and leaves the old one as it is, or says why not.

Nodes keep their ids through every edit, and an id that was removed is never given again: trained weights and evidence
are filed under it. The new template is in no file and carries no restriction.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ogive._errors import InputError, UnknownNameError
from ogive.spaces._template_parts import Edge
from ogive.spaces.template import PROBE, Template

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ogive.spaces.base import TaskShape

Block = dict[str, Any]
"""A node as a document writes it: ``id``, ``op`` and the arguments that differ from their defaults."""


class _Draft:
    """The parts of a template while one edit changes them.

    Parameters
    ----------
    template : Template
    edit : str
        What is being done, for the message if it fails.
    """

    def __init__(self, template: Template, edit: str) -> None:
        document = template.to_dict()
        self.edit = edit
        self.title = template.title
        self.nodes: dict[str, Block] = {node["id"]: node for node in document["nodes"]}
        self.groups: dict[str, dict[str, Any]] = {group["id"]: group for group in document.get("groups", [])}
        self.edges = list(template.edges)
        self.retired = dict.fromkeys(template.retired)

    def finish(self, task: TaskShape | None) -> Template:
        """Return the template, its shapes checked on `task` if there is one."""
        document = {
            "title": self.title,
            "nodes": list(self.nodes.values()),
            "groups": list(self.groups.values()),
            "edges": [{"from": e.source, "to": e.target, "optional": e.optional} for e in self.edges],
            "retired": list(self.retired),
        }
        try:
            template = Template(document)
            if task is not None:
                template.shapes(task)
        except InputError as error:
            raise self.refuse(str(error)) from error
        return template

    def refuse(self, reason: str) -> InputError:
        return InputError(f"cannot {self.edit}: {reason}")

    def node(self, name: str) -> Block:
        if name not in self.nodes:
            raise UnknownNameError.of("node of the template", name, self.nodes)
        return self.nodes[name]

    def group(self, name: str) -> dict[str, Any]:
        if name not in self.groups:
            raise UnknownNameError.of("group of the template", name, self.groups)
        return self.groups[name]

    def add(self, name: str, op: str, args: Mapping[str, Any] | None) -> None:
        """Add an unconnected node."""
        self.claim(name)
        self.nodes[name] = {**(args or {}), "id": name, "op": op}

    def claim(self, name: str) -> None:
        """Refuse an id that is, or once was, another's."""
        if not isinstance(name, str):
            raise self.refuse(f"an id is a text, not {name!r}")
        if name in self.nodes or name in self.groups or name in self.retired:
            when = "was used before" if name in self.retired else "is taken"
            raise self.refuse(f"id '{name}' {when}; '{self.fresh(name)}' is free")

    def fresh(self, name: str) -> str:
        """Return an id like `name` that no part has or had."""
        number = 2
        while any(f"{name}_{number}" in used for used in (self.nodes, self.groups, self.retired)):
            number += 1
        return f"{name}_{number}"

    def wire(self, name: str, sources: Iterable[str], targets: Iterable[str], on: str | None) -> None:
        """Connect a part to others, or put it into the middle of the edge called `on`."""
        self.edges += [Edge(source, name) for source in sources] + [Edge(name, target) for target in targets]
        if on is not None:
            edge = self.cut(on)
            self.edges += [replace(edge, target=name), Edge(name, edge.target)]

    def cut(self, name: str) -> Edge:
        """Take away the edge called ``source->target``."""
        names = [edge.name for edge in self.edges]
        if name not in names:
            raise UnknownNameError.of("edge of the template", name, names)
        return self.edges.pop(names.index(name))

    def drop(self, name: str) -> None:
        """Take away a node or group, its id and its edges."""
        self.nodes.pop(name, None)
        self.groups.pop(name, None)
        self.retired[name] = None
        self.edges = [edge for edge in self.edges if name not in (edge.source, edge.target)]


# -------------------------------------------------------------------- growing


def add_node(
    template: Template,
    name: str,
    op: str,
    args: Mapping[str, Any] | None = None,
    *,
    sources: Iterable[str] = (),
    targets: Iterable[str] = (),
    on: str | None = None,
    task: TaskShape = PROBE,
) -> Template:
    """Return the template with one more node that every architecture may use.

    Parameters
    ----------
    template : Template
    name, op : str
        Id and block of the node; the id must never have been used in this template.
    args : mapping, optional
        Arguments of the block, as a document writes them.
    sources, targets : iterable of str
        Nodes or groups to read from and to feed.
    on : str, optional
        Name ``source->target`` of an edge to put the node into; an optional edge stays one.
    task : TaskShape
        What shapes are checked with; 3 x 32 x 32 images by default.

    Raises
    ------
    InputError
        Naming the node or edge that breaks a rule of templates; see `Template`. So do all edits.
    UnknownNameError
        If a node, group or edge does not exist. So do all edits.
    """
    draft = _Draft(template, f"add node '{name}'")
    draft.add(name, op, args)
    draft.wire(name, sources, targets, on)
    return draft.finish(task)


def add_option(
    template: Template,
    group: str,
    name: str,
    op: str,
    args: Mapping[str, Any] | None = None,
    *,
    sources: Iterable[str] = (),
    targets: Iterable[str] = (),
    task: TaskShape = PROBE,
) -> Template:
    """Return the template with one more option in a group; it gets the group's edges, and its own as in `add_node`."""
    draft = _Draft(template, f"add option '{name}' to group '{group}'")
    draft.group(group)["options"].append(name)
    draft.add(name, op, args)
    draft.wire(name, sources, targets, None)
    return draft.finish(task)


def add_group(
    template: Template,
    name: str,
    options: Sequence[Block],
    *,
    cardinality: tuple[int, int] = (1, 1),
    sources: Iterable[str] = (),
    targets: Iterable[str] = (),
    on: str | None = None,
    task: TaskShape = PROBE,
) -> Template:
    """Return the template with one more group, connected as in `add_node`.

    Parameters
    ----------
    template : Template
    name : str
        Id of the group.
    options : sequence of dict
        Its nodes, each with ``id``, ``op`` and arguments.
    cardinality : (int, int)
        How many options an architecture has, at least and at most.
    sources, targets, on, task
        As in `add_node`.
    """
    draft = _Draft(template, f"add group '{name}'")
    draft.claim(name)
    for option in options:
        if not {"id", "op"} <= option.keys():
            raise draft.refuse(f"an option has id and op, not {option!r}")
        draft.add(option["id"], option["op"], option)
    draft.groups[name] = {"id": name, "options": [o["id"] for o in options], "cardinality": list(cardinality)}
    draft.wire(name, sources, targets, on)
    return draft.finish(task)


def duplicate_group(
    template: Template, group: str, name: str | None = None, *, behind: bool = False, task: TaskShape = PROBE
) -> Template:
    """Return the template with a copy of a group: same blocks, same cardinality, ids with a number behind them.

    Parameters
    ----------
    template : Template
    group : str
    name : str, optional
        Id of the copy; by default the group's with a number behind it.
    behind : bool
        Whether the copy reads the group and takes over what it feeds. Otherwise it stands beside the group, with the
        same edges.
    task : TaskShape
    """
    draft = _Draft(template, f"duplicate group '{group}'")
    original = draft.group(group)
    copy = draft.fresh(group) if name is None else name
    draft.claim(copy)
    draft.groups[copy] = {**original, "id": copy, "options": []}
    twin = {group: copy}
    for option in original["options"]:
        twin[option] = draft.fresh(option)
        draft.nodes[twin[option]] = {**draft.nodes[option], "id": twin[option]}
        draft.groups[copy]["options"].append(twin[option])
    if behind:
        moved = [replace(e, source=twin.get(e.source, e.source)) for e in draft.edges]
        draft.edges = [*moved, Edge(group, copy)]
    else:
        draft.edges += [
            replace(e, source=twin.get(e.source, e.source), target=twin.get(e.target, e.target))
            for e in template.edges
            if e.source in twin or e.target in twin
        ]
    return draft.finish(task)


# -------------------------------------------------------------------- shrinking and changing


def remove(template: Template, name: str, *, task: TaskShape = PROBE) -> Template:
    """Return the template without a node or a whole group, and without its edges.

    A group that loses an option asks for no more options than it has left.

    Raises
    ------
    InputError
        Also if a group would have fewer options than it needs.
    """
    draft = _Draft(template, f"remove '{name}'")
    if name in draft.groups:
        for option in draft.groups[name]["options"]:
            draft.drop(option)
    else:
        draft.node(name)
        for group in draft.groups.values():
            if name in group["options"]:
                _shrink(draft, group, name)
    draft.drop(name)
    return draft.finish(task)


def _shrink(draft: _Draft, group: dict[str, Any], option: str) -> None:
    """Take an option out of its group, unless the group needs it."""
    low, high = group["cardinality"]
    if len(group["options"]) <= max(low, 1):
        raise draft.refuse(
            f"group '{group['id']}' has {len(group['options'])} options and needs {max(low, 1)}; lower its cardinality "
            "or remove the group"
        )
    group["options"].remove(option)
    group["cardinality"] = [low, min(high, len(group["options"]))]


def connect(
    template: Template, source: str, target: str, *, optional: bool = False, task: TaskShape = PROBE
) -> Template:
    """Return the template with an edge between two nodes or groups; an edge drawn already becomes optional or fixed."""
    draft = _Draft(template, f"connect '{source}' to '{target}'")
    edge = Edge(source, target, optional)
    if edge in draft.edges:
        raise draft.refuse(f"edge '{edge.name}' is drawn already")
    names = [other.name for other in draft.edges]
    if edge.name in names:
        draft.edges[names.index(edge.name)] = edge
    else:
        draft.edges.append(edge)
    return draft.finish(task)


def disconnect(template: Template, source: str, target: str, *, task: TaskShape = PROBE) -> Template:
    """Return the template without the edge drawn from `source` to `target`."""
    draft = _Draft(template, f"disconnect '{source}' from '{target}'")
    draft.cut(Edge(source, target).name)
    return draft.finish(task)


def set_args(template: Template, name: str, args: Mapping[str, Any], *, task: TaskShape = PROBE) -> Template:
    """Return the template with some arguments of a node's block changed; the others stay."""
    draft = _Draft(template, f"change node '{name}'")
    node = draft.node(name)
    if args.keys() & {"id", "op"}:
        raise draft.refuse("its id and op stay; add another node instead")
    draft.nodes[name] = {**node, **args, "id": name, "op": node["op"]}
    return draft.finish(task)


def set_cardinality(template: Template, group: str, low: int, high: int, *, task: TaskShape = PROBE) -> Template:
    """Return the template whose group takes at least `low` and at most `high` options."""
    draft = _Draft(template, f"set the cardinality of group '{group}'")
    draft.group(group)["cardinality"] = [low, high]
    return draft.finish(task)


def retire(template: Template, names: Iterable[str]) -> Template:
    """Return the template in which more ids are used up: those that other branches of its history gave away."""
    draft = _Draft(template, "retire ids")
    draft.retired |= dict.fromkeys(n for n in names if n not in draft.nodes and n not in draft.groups)
    return draft.finish(None)
