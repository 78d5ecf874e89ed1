"""Where the page puts nodes, groups and edges: layers from left to right, few crossings, places kept between revisions.

Layers follow the longest path from the inputs (Sugiyama, Tagawa and Toda, IEEE Trans. Systems, Man and Cybernetics
11(2), 1981, steps 1 to 3); within a layer blocks are ordered by the barycentre of their neighbours, sweeping to and
fro. No random numbers: equal drawings get equal layouts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WIDTH, HEIGHT = 132, 36
"""Size of a node, in pixels at zoom 1."""
PADDING, HEADING = 10, 26
"""Inside a group: around its options, and above them for its name."""
GAP_X, GAP_Y = 40, 20
"""Between layers, and between blocks or options of a layer."""
MARGIN = 24
_SWEEPS = 4
_LANE = 10
"""Height kept free for an edge that passes through a layer."""
_PITCH = WIDTH + 2 * PADDING + GAP_X


@dataclass
class _Block:
    """A node in no group, a whole group, or the place where an edge passes through a layer."""

    id: str
    height: float
    layer: int = 0
    y: float = 0.0
    fixed: bool = False
    before: list[_Port] = field(default_factory=list)
    after: list[_Port] = field(default_factory=list)

    @property
    def middle(self) -> float:
        return self.y + self.height / 2


_Port = tuple[_Block, float]
"""Where an edge meets a block: the block and the distance from its top."""


def layout(drawing: Mapping[str, Any], previous: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the places of a drawing's nodes, groups and edges.

    Parameters
    ----------
    drawing : mapping
        What `ogive.studio.graph.drawing` gives.
    previous : mapping, optional
        The layout of an earlier revision: what is in the same layer as then, and no taller, stays where it was.

    Returns
    -------
    dict
        ``width`` and ``height`` of all; ``nodes`` and ``groups``: id to x, y, w, h of the box; ``edges``: id to the
        points of a line, from the right side of its source to the left side of its target.
    """
    groups = {g["id"]: g for g in drawing["groups"]}
    grouped = {option for g in drawing["groups"] for option in g["options"]}
    blocks = {n["id"]: _Block(n["id"], HEIGHT) for n in drawing["nodes"] if n["id"] not in grouped}
    blocks |= {name: _Block(name, _group_height(len(g["options"]))) for name, g in groups.items()}
    ports = _ports(blocks, groups)
    ends = {e["id"]: (ports[e["source"]], ports[e["target"]]) for e in drawing["edges"]}
    _assign_layers(blocks, {(s.id, t.id) for (s, _), (t, _) in ends.values()})
    lanes = {edge: _thread(*pair) for edge, pair in ends.items()}
    layers = _by_layer([*blocks.values(), *(lane for passed in lanes.values() for lane in passed)])
    for layer in layers:
        _stack(layer)
    _sweep(layers)
    if previous is not None:
        _keep(blocks, lanes, layers, previous)
    return _places(drawing, groups, blocks, lanes)


def _group_height(options: int) -> float:
    return _option_top(options)


def _option_top(i: int) -> float:
    return HEADING + i * (HEIGHT + PADDING)


def _ports(blocks: Mapping[str, _Block], groups: Mapping[str, Any]) -> dict[str, _Port]:
    """Return where an edge to a node or group meets its block."""
    ports = {name: (block, block.height / 2) for name, block in blocks.items()}
    for name, group in groups.items():
        for i, option in enumerate(group["options"]):
            ports[option] = (blocks[name], _option_top(i) + HEIGHT / 2)
    return ports


def _assign_layers(blocks: Mapping[str, _Block], links: set[tuple[str, str]]) -> None:
    """Give each block the length of the longest path that leads to it."""
    targets: dict[str, list[str]] = {name: [] for name in blocks}
    waiting = dict.fromkeys(blocks, 0)
    for source, target in sorted(links):
        targets[source].append(target)
        waiting[target] += 1
    ready = [name for name in blocks if not waiting[name]]
    for name in ready:
        for target in targets[name]:
            blocks[target].layer = max(blocks[target].layer, blocks[name].layer + 1)
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)


def _thread(source: _Port, target: _Port) -> list[_Block]:
    """Return the lanes of an edge in the layers between its ends, and link neighbours across layers."""
    layers = range(source[0].layer + 1, target[0].layer)
    lanes = [_Block(f"{source[0].id}->{target[0].id}", _LANE, layer) for layer in layers]
    for a, b in pairwise([source, *((lane, _LANE / 2) for lane in lanes), target]):
        a[0].after.append(b)
        b[0].before.append(a)
    return lanes


def _by_layer(blocks: Sequence[_Block]) -> list[list[_Block]]:
    layers: list[list[_Block]] = [[] for _ in range(1 + max((b.layer for b in blocks), default=0))]
    for block in blocks:
        layers[block.layer].append(block)
    return layers


def _stack(layer: list[_Block]) -> None:
    """Put the blocks of a layer below each other in their order, centred on the line y = 0."""
    total = sum(b.height for b in layer) + GAP_Y * (len(layer) - 1)
    y = -total / 2
    for block in layer:
        block.y = y
        y += block.height + GAP_Y


def _sweep(layers: list[list[_Block]]) -> None:
    """Order each layer by the barycentre of the neighbours on one side, forwards and backwards by turns."""
    for turn in range(_SWEEPS):
        forwards = turn % 2 == 0
        for layer in layers if forwards else reversed(layers):
            # Sorting is stable: ties, and blocks without neighbours on that side, keep their order.
            layer.sort(key=lambda block: _barycentre(block, block.before if forwards else block.after))
            _stack(layer)
    for layer in layers:
        wish = {id(block): _barycentre(block, block.before) - block.height / 2 for block in layer}
        for block in layer:
            block.y = wish[id(block)]
        _push_apart(layer)


def _barycentre(block: _Block, neighbours: Sequence[_Port]) -> float:
    return sum(b.y + offset for b, offset in neighbours) / len(neighbours) if neighbours else block.middle


def _push_apart(layer: list[_Block]) -> None:
    """Move blocks no further than needed so that none touches the next, keeping their order and their mean."""
    before = sum(b.y for b in layer)
    for upper, lower in pairwise(layer):
        lower.y = max(lower.y, upper.y + upper.height + GAP_Y)
    shift = (before - sum(b.y for b in layer)) / len(layer) if layer else 0.0
    for block in layer:
        block.y += shift


def _keep(
    blocks: Mapping[str, _Block],
    lanes: Mapping[str, Sequence[_Block]],
    layers: list[list[_Block]],
    previous: Mapping[str, Any],
) -> None:
    """Put what was in the same layer before back in its place, and the rest into the nearest gaps."""
    old = {**previous["nodes"], **previous["groups"]}
    for name, block in blocks.items():
        place = old.get(name)
        if place and place["x"] == _left(block, grouped=name in previous["groups"]) and block.height <= place["h"]:
            block.fixed, block.y = True, place["y"]
    for edge, passed in lanes.items():
        heights = dict(previous["edges"].get(edge, [])[1:-1])
        for lane in passed:
            y = heights.get(_left(lane, grouped=True))
            if y is not None:
                lane.fixed, lane.y = True, y - lane.height / 2
    for layer in layers:
        settled = [b for b in layer if b.fixed]
        for block in (b for b in layer if not b.fixed):
            block.y = _nearest_gap(block, settled, _barycentre(block, block.before) - block.height / 2)
            settled.append(block)


def _nearest_gap(block: _Block, settled: Sequence[_Block], wish: float) -> float:
    """Return the free place for a block that is nearest to where it would like to be."""
    tries = [wish]
    for other in settled:
        tries += [other.y - GAP_Y - block.height, other.y + other.height + GAP_Y]
    free = [y for y in tries if all(y + block.height + GAP_Y <= o.y or o.y + o.height + GAP_Y <= y for o in settled)]
    return min(free, key=lambda y: (abs(y - wish), y))


def _left(block: _Block, *, grouped: bool) -> float:
    return MARGIN + block.layer * _PITCH + (0 if grouped else PADDING)


def _places(
    drawing: Mapping[str, Any],
    groups: Mapping[str, Any],
    blocks: Mapping[str, _Block],
    lanes: Mapping[str, Sequence[_Block]],
) -> dict[str, Any]:
    """Turn blocks into boxes and lines."""
    kept = any(block.fixed for block in blocks.values())
    every = [*blocks.values(), *(lane for passed in lanes.values() for lane in passed)]
    # Places that are kept are in the page's coordinates already; a new layout starts at the margin.
    down = 0.0 if kept else MARGIN - min((b.y for b in every), default=0.0)
    boxes: dict[str, dict[str, float]] = {}
    for name, block in blocks.items():
        x, y = _left(block, grouped=name in groups), block.y + down
        if name not in groups:
            boxes[name] = _box(x, y, WIDTH, HEIGHT)
            continue
        boxes[f"group {name}"] = _box(x, y, WIDTH + 2 * PADDING, block.height)
        for i, option in enumerate(groups[name]["options"]):
            boxes[option] = _box(x + PADDING, y + _option_top(i), WIDTH, HEIGHT)
    found = {name: boxes[f"group {name}"] for name in groups}
    edges = {}
    for edge in drawing["edges"]:
        s, t = (found.get(edge[end]) or boxes[edge[end]] for end in ("source", "target"))
        middle = [
            [_left(lane, grouped=True) + dx, round(lane.middle + down, 1)]
            for lane in lanes[edge["id"]]
            for dx in (0, WIDTH + 2 * PADDING)
        ]
        edges[edge["id"]] = [[s["x"] + s["w"], s["y"] + s["h"] / 2], *middle, [t["x"], t["y"] + t["h"] / 2]]
    return {
        "width": max((b["x"] + b["w"] for b in boxes.values()), default=0) + MARGIN,
        "height": max([b["y"] + b["h"] for b in boxes.values()] + [p[1] for e in edges.values() for p in e]) + MARGIN,
        "nodes": {n["id"]: boxes[n["id"]] for n in drawing["nodes"]},
        "groups": found,
        "edges": edges,
    }


def _box(x: float, y: float, w: float, h: float) -> dict[str, float]:
    return {"x": x, "y": round(y, 1), "w": w, "h": h}
