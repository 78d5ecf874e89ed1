"""An architecture drawn as a graph, left to right in layers.

Layers are longest distances from the input; an edge that spans several gets a waypoint in each layer between; the order
within layers comes from sweeps that move every vertex to the mean position of its neighbours (Sugiyama's method).
"""

from __future__ import annotations

import itertools
from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ogive.spaces.base import Graphs

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _MARGIN = 128.0, 38.0, 66.0, 16.0, 12.0
_WAYPOINT = 14.0
_SWEEPS = 8
NOTHING = frozenset({"none", "zero", "zeroize"})
"""Operations that pass nothing on."""


def draw_graph(graphs: Graphs, which: int = 0) -> str:
    """Return one graph as SVG; vertices that carry nothing from input to output are drawn faint."""
    ops = graphs.ops[which]
    real = np.flatnonzero(ops >= 0)
    names = [graphs.vocabulary[o] for o in ops[real]]
    edges = [(int(s), int(t)) for s, t in np.argwhere(graphs.adjacency[which][np.ix_(real, real)])]
    alive = _alive(names, edges)
    layers, chains = _layered(len(names), edges)
    place = _coordinates(layers, len(names))
    width = len(layers) * (_WIDTH + _GAP_X) - _GAP_X + 2 * _MARGIN
    height = max(y for _, y in place.values()) + _HEIGHT / 2 + _MARGIN
    parts = [f'<svg class="chart graph" viewBox="0 0 {width:g} {height:g}" style="max-width:{width:g}px" role="img" ']
    parts.append(f'aria-label="{escape(" → ".join(names))}">')
    for chain in chains:
        faint = "" if alive[chain[0]] and alive[chain[-1]] else " faint"
        parts.append(f'<path class="edge{faint}" d="{_curve([place[v] for v in chain])}"/>')
    for v, name in enumerate(names):
        x, y = place[v]
        kind = "end" if name in {"input", "output"} else "op"
        kind += "" if alive[v] else " faint"
        left, top = x - _WIDTH / 2, y - _HEIGHT / 2
        parts.append(
            f'<g class="vertex {kind}"><rect x="{left:g}" y="{top:g}" width="{_WIDTH:g}" height="{_HEIGHT:g}" rx="9"/>'
            f'<text x="{x:g}" y="{y + 4.5:g}" text-anchor="middle">{escape(_fit(name))}</text></g>'
        )
    return "".join(parts) + "</svg>"


def _fit(name: str) -> str:
    return name if len(name) <= 17 else name[:16] + "…"


def _alive(names: list[str], edges: list[tuple[int, int]]) -> list[bool]:
    """Return which vertices lie on a path from input to output that carries something."""
    n = len(names)
    forward, backward = [False] * n, [False] * n
    passes = [name not in NOTHING for name in names]
    for v in range(n):
        forward[v] = passes[v] and (names[v] == "input" or any(forward[s] for s, t in edges if t == v))
    for v in reversed(range(n)):
        backward[v] = passes[v] and (names[v] == "output" or any(backward[t] for s, t in edges if s == v))
    return [f and b for f, b in zip(forward, backward, strict=True)]


def _layered(n: int, edges: list[tuple[int, int]]) -> tuple[list[list[int]], list[list[int]]]:
    """Return vertices by layer, ordered, and every edge as a chain of vertices and waypoints (numbers from `n`)."""
    depth = [0] * n
    for s, t in sorted(edges):
        depth[t] = max(depth[t], depth[s] + 1)
    layers: list[list[int]] = [[] for _ in range(max(depth) + 1)]
    for v, d in enumerate(depth):
        layers[d].append(v)
    chains, fresh = [], n
    for s, t in edges:
        chain = [s]
        for d in range(depth[s] + 1, depth[t]):
            layers[d].append(fresh)
            chain.append(fresh)
            fresh += 1
        chains.append([*chain, t])
    links = [(a, b) for chain in chains for a, b in itertools.pairwise(chain)]
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for layer in layers if down else reversed(layers):
            rank = {v: i for other in layers for i, v in enumerate(other)}
            near = {v: [rank[a] if b == v else rank[b] for a, b in links if (b if down else a) == v] for v in layer}
            layer.sort(key=lambda v, near=near, rank=rank: np.mean(near[v]) if near[v] else rank[v])  # type: ignore[misc]
    return layers, chains


def _coordinates(layers: list[list[int]], n: int) -> dict[int, tuple[float, float]]:
    heights = [[_HEIGHT if v < n else _WAYPOINT for v in layer] for layer in layers]
    totals = [sum(h) + _GAP_Y * (len(h) - 1) for h in heights]
    place = {}
    for k, (layer, sizes, total) in enumerate(zip(layers, heights, totals, strict=True)):
        y = _MARGIN + (max(totals) - total) / 2
        x = _MARGIN + _WIDTH / 2 + k * (_WIDTH + _GAP_X)
        for v, size in zip(layer, sizes, strict=True):
            place[v] = (x, y + size / 2)
            y += size + _GAP_Y
    return place


def _curve(spots: list[tuple[float, float]]) -> str:
    """Return a smooth path from the right side of the first box through waypoints to the left side of the last."""
    half = _WIDTH / 2
    (x0, y0), (x1, y1) = spots[0], spots[-1]
    path = f"M{x0 + half:g} {y0:g}"
    at = (x0 + half, y0)
    for x, y in spots[1:-1]:
        middle = (at[0] + x - half) / 2
        path += f"C{middle:g} {at[1]:g} {middle:g} {y:g} {x - half:g} {y:g}H{x + half:g}"
        at = (x + half, y)
    middle = (at[0] + x1 - half) / 2
    return path + f"C{middle:g} {at[1]:g} {middle:g} {y1:g} {x1 - half:g} {y1:g}"
