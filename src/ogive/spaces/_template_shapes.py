"""The symbolic pass over a template: every shape that any of its architectures can have, without weights or data."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ogive._errors import InputError
from ogive.nn.template import merged_shape, output_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ogive.spaces._template_parts import Group, Node
    from ogive.spaces._wiring import Slot, Wiring

    Shape3 = tuple[int, ...]

MAX_SHAPES = 256
"""Most shapes that may enter one node."""


class Passing(NamedTuple):
    """The shapes that can enter a node's block, its inputs merged, and those that its output can have."""

    entering: set[Shape3]
    leaving: set[Shape3]


def possible_shapes(wiring: Wiring, groups: Sequence[Group], input_shape: Shape3, n_outputs: int) -> dict[str, Passing]:
    """Return the shapes that can pass each node, and check that shapes agree along every permitted edge.

    Whatever may enter a node at the same time must agree; only options of a group that takes one at most exclude each
    other. Where sources of a concatenation may be left out, every width that can arise is followed.

    Raises
    ------
    InputError
        If shapes disagree or a block cannot take what may enter it, naming the node.
    """
    found: list[Passing] = []
    for node, slots in zip(wiring.nodes, wiring.slots(groups)[0], strict=True):
        entering = {tuple(input_shape)} if node.op == "input" else _entering(node, slots, wiring, found)
        found.append(
            Passing(entering, {output_shape(node.id, node.op, node.args, s, n_outputs) for s in sorted(entering)})
        )
    return {node.id: shapes for node, shapes in zip(wiring.nodes, found, strict=True)}


def _entering(node: Node, slots: Sequence[Slot], wiring: Wiring, found: Sequence[Passing]) -> set[Shape3]:
    """Return the shapes of what can enter a node, merged."""
    options = [
        [(wiring.nodes[arc.source].id, shape) for arc in slot.arcs for shape in sorted(found[arc.source].leaving)]
        for slot in slots
    ]
    if len(slots) == 1:
        return _few(node, {shape for _, shape in options[0]})
    merge = node.args["merge"]
    pairs = [pair for slot in options for pair in slot]
    first, shape = pairs[0]
    for source, other in pairs:
        merged_shape(node.id, merge, [(first, shape), (source, other)])
    if merge != "concat":
        return {shape}
    widths = {0}
    for slot, choices in zip(slots, options, strict=True):
        longer = {w + s[0] for w in widths for _, s in choices}
        widths = longer if slot.certain else widths | longer
        _few(node, {(w,) for w in widths})
    return {(w, *shape[1:]) for w in widths - {0}}


def _few(node: Node, shapes: set[Shape3]) -> set[Shape3]:
    if len(shapes) > MAX_SHAPES:
        raise InputError(
            f"template node '{node.id}': more than {MAX_SHAPES} different shapes can enter it; give the blocks before "
            "it a fixed number of channels"
        )
    return shapes
