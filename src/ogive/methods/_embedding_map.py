"""The page of ``ogive embed map``: an embedding in two dimensions, coloured by a metric, and what lies near what."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import KDTree

from ogive._errors import InputError
from ogive.predictors.base import rank_gaussian
from ogive.predictors.graph_batches import classes
from ogive.study._charts import Axis, Frame, full, short
from ogive.study._page import page, section, tiles, write

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray

    from ogive.predictors.base import Floats
    from ogive.predictors.graph_autoencoder import Embedding
    from ogive.spaces.base import Genotypes

_STYLES = """
:root { --low: #d9d39a; --middle: #2f9fb4; --high: #1b2a78; --l: 52%; }
@media (prefers-color-scheme: dark) { :root { --low: #35406f; --middle: #2aa0b0; --high: #f5efa0; --l: 76%; } }
.dot { fill: var(--c); } .dot.unknown { fill: none; stroke: var(--outside); }
.dot.back { fill: var(--trial); opacity: .45; }
.member { fill: var(--c); stroke: var(--card); stroke-width: 1; }
.spoke { stroke: var(--c); stroke-width: 1; opacity: .6; }
.near td:nth-child(2), .near th:nth-child(2) { font: inherit; text-align: right; }
.near td:last-child, .near th:last-child { text-align: left; white-space: normal; } .near th { padding: 7px 10px; }
"""
_SHADES = 10
_DRAWN, _BEHIND = 5000, 1500
_SHOWN_CLASSES = 6
_NEIGHBOURS, _ASKED = 10, 1000


def project(vectors: NDArray[np.floating[Any]], dimensions: int = 2) -> tuple[Floats, Floats]:
    """Project rows onto their principal components.

    Parameters
    ----------
    vectors : ndarray of float, (n, d)
    dimensions : int

    Returns
    -------
    points : ndarray of float64, (n, dimensions)
        Centred; a component points to where its largest loading is positive. Zero beyond the d-th.
    shares : ndarray of float64, (dimensions,)
        Of the variance, in [0, 1].
    """
    centred = np.asarray(vectors, dtype=np.float64)
    centred = centred - centred.mean(axis=0)
    variances, components = np.linalg.eigh(centred.T @ centred)
    variances, components = variances[::-1], components[:, ::-1]
    largest = components[np.abs(components).argmax(axis=0), range(len(variances))]
    points, shares = np.zeros((len(centred), dimensions)), np.zeros(dimensions)
    k = min(dimensions, len(variances))
    points[:, :k] = centred @ (components * np.sign(largest))[:, :k]
    shares[:k] = np.maximum(variances[:k], 0) / (variances.sum() or 1.0)
    return points, shares


def neighbour_gap(vectors: NDArray[np.floating[Any]], values: Floats) -> float:
    """Return how different the values of near rows are, relative to those of random pairs; NaN if all are equal.

    The difference is that of normal scores of ranks, averaged over the ten nearest rows of 1,000 random ones. 0 means
    that neighbours are alike, 1 that they have nothing to do with one another.
    """
    scores = rank_gaussian(values)
    rng = np.random.default_rng(0)
    asked = rng.permutation(len(scores))[:_ASKED]
    near = _nearest(vectors, asked)
    random = np.abs(scores[rng.permutation(len(scores))] - scores).mean()
    gap = np.abs(scores[near] - scores[asked, None]).mean()
    return float(gap / random) if random > 0 else float("nan")


def twin_distance(vectors: NDArray[np.floating[Any]], kinds: NDArray[np.integer[Any]]) -> float:
    """Return the mean distance of two rows of one class relative to that of two random rows; NaN without such rows.

    Two random members of each class that has two, so that classes count alike.
    """
    rng = np.random.default_rng(0)
    order = rng.permutation(len(kinds))
    order = order[np.argsort(kinds[order], kind="stable")]
    first = np.unique(kinds[order], return_index=True)[1]
    first = first[np.diff(first, append=len(kinds)) > 1]
    apart = np.linalg.norm(vectors - vectors[rng.permutation(len(vectors))], axis=1).mean()
    if not len(first) or apart == 0:
        return float("nan")
    return float(np.linalg.norm(vectors[order[first]] - vectors[order[first + 1]], axis=1).mean() / apart)


def _nearest(vectors: NDArray[np.floating[Any]], rows: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Return the k nearest other rows of each of `rows`, ``(len(rows), k)``; k is 10, or all there are."""
    k = min(_NEIGHBOURS, len(vectors) - 1)
    found = np.asarray(KDTree(vectors).query(vectors[rows], k=k + 1)[1])
    # A row is among its own nearest, unless more than k others coincide with it.
    itself = found == rows[:, None]
    itself[~itself.any(axis=1), -1] = True
    return np.asarray(found[~itself].reshape(len(rows), k))


def embedding_map(embedding: Embedding, genotypes: Genotypes, values: Floats, metric: str, out: str | Path) -> Path:
    """Draw architectures where an embedding puts them, as a page.

    Parameters
    ----------
    embedding : Embedding
    genotypes : ndarray of int, (n, n_choices)
        At least three.
    values : ndarray of float64, (n,)
        What colours them; NaN where it is not known.
    metric : str
        Its name.
    out : path
        The page to write.

    Raises
    ------
    InputError
        If there are fewer than three architectures, or fewer than three known values.
    StorageError
        If the page cannot be written.
    """
    known = np.isfinite(values)
    if known.sum() < 3:
        raise InputError(f"a map needs '{metric}' of at least 3 architectures, not {known.sum()}")
    vectors = embedding.vectors(genotypes)
    points, shares = project(vectors)
    kinds = classes(embedding.space, genotypes)
    gap, twins = neighbour_gap(vectors[known], values[known]), twin_distance(vectors, kinds)
    facts = {
        "architectures": full(len(genotypes)),
        "different functions": full(kinds.max() + 1),
        "numbers a vector": full(vectors.shape[1]),
        "of the variance is drawn": f"{shares.sum():.0%}",
        "gap to neighbours / random gap": _ratio(gap),
        "distance of equals / random": _ratio(twins),
    }
    frame = _frame(points, shares)
    body = (
        tiles(facts)
        + _coloured(frame, points, values, metric, embedding.space.format_many(genotypes))
        + _alike(frame, embedding, genotypes, points, kinds)
        + _around(embedding, genotypes, vectors, values, metric)
    )
    lead = f"Embedding '{embedding.preset}' of {embedding.space.spec}, {len(genotypes):,} architectures."
    return write(out, page(f"A map of {embedding.space.name} by {metric}", escape(lead), body, _styles()))


def _ratio(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "–"


def _frame(points: Floats, shares: Floats) -> Frame:
    x, y = (
        Axis.of(f"principal component {k + 1} ({shares[k]:.0%} of the variance)", points[:, k], also=points[:, k])
        for k in range(2)
    )
    return Frame(x, y, 1040.0, 620.0)


def _styles() -> str:
    """Return the colours: tenths of the values from low to high, and hues of the classes."""
    rules = [_STYLES]
    for i in range(_SHADES):
        at = 2 * i / (_SHADES - 1)
        near, far, share = ("low", "middle", at) if at < 1 else ("middle", "high", at - 1)
        rules.append(f".v{i}{{--c:color-mix(in oklab,var(--{far}) {100 * share:.0f}%,var(--{near}))}}")
    rules += [f".c{i}{{--c:oklch(var(--l) .16 {25 + 360 * i // _SHOWN_CLASSES})}}" for i in range(_SHOWN_CLASSES)]
    return "\n".join(rules)


def _coloured(frame: Frame, points: Floats, values: Floats, metric: str, archs: list[str]) -> str:
    """Return the map, coloured by tenths: accuracies have a long tail of bad ones, which would flatten the rest."""
    known = np.isfinite(values)
    edges = np.quantile(values[known], np.linspace(0, 1, _SHADES + 1))
    shade = np.searchsorted(edges[1:-1], values, side="right")
    # Drawn in random order, so that neither good nor bad ones cover the others.
    drawn = np.random.default_rng(0).permutation(len(points))[:_DRAWN]
    px, py = frame.px(points[drawn, 0]).tolist(), frame.py(points[drawn, 1]).tolist()
    dots = [
        f'<circle class="dot {f"v{shade[i]}" if known[i] else "unknown"}" cx="{x}" cy="{y}" r="3">'
        f"<title>{escape(archs[i])}\n{escape(metric)} {full(values[i])}</title></circle>"
        for i, x, y in zip(drawn.tolist(), px, py, strict=True)
    ]
    part = f" {len(drawn):,} of {len(points):,}, drawn at random." if len(drawn) < len(points) else ""
    hint = (
        f"A tenth of the architectures has each colour.{part} Point at one to see it. Gap: difference in rank of "
        f"{metric} to the ten nearest; 0 where neighbours are alike, 1 where the map says nothing."
    )
    return section("Where they lie", hint, frame.svg("".join(dots), f"map by {metric}") + _scale(edges, metric))


def _scale(edges: Floats, metric: str) -> str:
    width, step, left = 1040.0, 84.0, 100.0
    parts = [f'<svg class="chart" viewBox="0 0 {width:g} 44" role="img" aria-label="colours of {escape(metric)}">']
    parts += [
        f'<rect class="dot v{i}" x="{left + step * i:g}" y="4" width="{step:g}" height="12"/>' for i in range(_SHADES)
    ]
    parts += [
        f'<text class="tick" x="{left + step * i:g}" y="32" text-anchor="middle">{short(edge)}</text>'
        for i, edge in enumerate(edges.tolist())
    ]
    return "".join(parts) + "</svg>"


def _alike(frame: Frame, embedding: Embedding, genotypes: Genotypes, points: Floats, kinds: NDArray[np.int64]) -> str:
    """Return a few classes of architectures that compute the same, each member joined to their middle."""
    title, sizes = "Cells that compute the same", np.bincount(kinds)
    shared = np.flatnonzero(sizes > 1)
    if not shared.size:
        return section(title, "No two of these architectures are known to compute the same.", "")
    large = shared[sizes[shared] >= np.quantile(sizes[shared], 0.9)]
    # Classes from one side of the map to the other.
    middles = np.stack([np.bincount(kinds, points[:, k]) / sizes for k in range(2)], axis=1)
    order = large[np.argsort(middles[large, 0], kind="stable")]
    shown = order[np.linspace(0, len(order) - 1, min(_SHOWN_CLASSES, len(order))).astype(np.intp)]
    behind = np.random.default_rng(1).permutation(len(points))[:_BEHIND]
    spots = zip(frame.px(points[behind, 0]).tolist(), frame.py(points[behind, 1]).tolist(), strict=True)
    parts = [f'<circle class="dot back" cx="{x}" cy="{y}" r="2"/>' for x, y in spots]
    for colour, kind in enumerate(shown.tolist()):
        rows = np.flatnonzero(kinds == kind)
        (cx,), (cy,) = frame.px(middles[[kind], 0]).tolist(), frame.py(middles[[kind], 1]).tolist()
        xs, ys = frame.px(points[rows, 0]).tolist(), frame.py(points[rows, 1]).tolist()
        archs = embedding.space.format_many(genotypes[rows])
        parts += [
            f'<line class="spoke c{colour}" x1="{cx}" y1="{cy}" x2="{x}" y2="{y}"/>'
            for x, y in zip(xs, ys, strict=True)
        ]
        parts += [
            f'<circle class="member c{colour}" cx="{x}" cy="{y}" r="4.5"><title>{escape(arch)}\n'
            f"one of {len(rows)} that compute the same</title></circle>"
            for x, y, arch in zip(xs, ys, archs, strict=True)
        ]
    hint = (
        f"{len(shown)} of the largest classes, a colour each, every member joined to their middle. An embedding that "
        "knows what a cell computes puts all of them on one point."
    )
    return section(title, hint, frame.svg("".join(parts), title))


def _around(
    embedding: Embedding, genotypes: Genotypes, vectors: NDArray[np.float32], values: Floats, metric: str
) -> str:
    """Return the architecture with the highest value and what lies nearest to it."""
    centre = int(np.where(np.isfinite(values), values, -np.inf).argmax())
    near = _nearest(vectors, np.array([centre]))[0]
    rows = np.concatenate([[centre], near])
    away = np.linalg.norm(vectors[rows] - vectors[centre], axis=1)
    changed = (genotypes[rows] != genotypes[centre]).sum(axis=1)
    body = "".join(
        f"<tr><td>{d:.3g}</td><td>{c}</td><td>{full(v)}</td><td><code>{escape(arch)}</code></td></tr>"
        for d, c, v, arch in zip(away, changed, values[rows], embedding.space.format_many(genotypes[rows]), strict=True)
    )
    table = (
        f'<div class="scroll"><table class="near"><thead><tr><th>distance</th><th>choices changed</th>'
        f"<th>{escape(metric)}</th><th>architecture</th></tr></thead><tbody>{body}</tbody></table></div>"
    )
    return section(f"Around the highest {metric}", "In the space of the vectors, not of the drawing.", table)
