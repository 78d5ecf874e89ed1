"""Pages of ``ogive latency``: the matrix of devices, what an adaptation changed, the measured front."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive.study._charts import Axis, Frame, full, points
from ogive.study._page import page, section, tiles, write

if TYPE_CHECKING:
    from pathlib import Path

    from ogive.methods._latency_search import Front
    from ogive.methods.one_proxy import Adaptation, Check
    from ogive.predictors.base import Floats
    from ogive.predictors.monotonicity import Agreement

_STYLES = """
.two { margin-top: 16px; }
.matrix td { text-align: center; padding: 3px 5px; font-variant-numeric: tabular-nums; }
.matrix th { font-weight: 500; font-size: 12px; padding: 3px 6px; text-align: right; white-space: nowrap; }
.matrix thead th { writing-mode: vertical-rl; transform: rotate(180deg); text-align: left; padding: 6px 2px; }
.matrix td { background: color-mix(in srgb, var(--front) var(--much), transparent); }
.matrix td.own { background: none; color: var(--soft); }
.diagonal { stroke: var(--soft); stroke-dasharray: 4 4; }
.whisker { stroke: var(--trial); stroke-width: 1; opacity: .5; }
.warn { border-left: 4px solid var(--bound); padding: 2px 0 2px 12px; margin: 12px 0 4px; }
"""
_DRAWN = 2000


def write_monotonicity(document: dict[str, Any], path: str | Path) -> Path:
    """Write the matrix of rank correlations as a page.

    Parameters
    ----------
    document : dict
        What ``ogive latency monotonicity --json`` prints.
    path : path
    """
    names = document["devices"]
    upper = [v for i, row in enumerate(document["srcc"]) for v in row[i + 1 :]]
    facts = {
        "architectures": full(document["architectures"]),
        "devices": full(len(names)),
        "median SRCC of a pair": f"{np.nanmedian(upper):.3f}" if upper else "–",
        "pairs at 0.9 or more": full(sum(v >= 0.9 for v in upper)),
    }
    near = "".join(f"<p>Near copies of one another: {escape(', '.join(f))}.</p>" for f in document["families"])
    failed = {n: k for n, k in document["failed"].items() if k}
    lost = "".join(f"<p>{escape(n)}: {k} networks failed and are left out.</p>" for n, k in failed.items())
    body = tiles(facts) + section(
        "Spearman's rank correlation of every pair, times 100",
        "Where it is 90 or more, one device's Pareto set serves the other. Darker is higher.",
        f'<div class="scroll" style="max-height:none">{_heat(names, document["srcc"])}</div>{near}{lost}',
    )
    lead = "Do these devices put architectures into the same order?"
    return write(path, page("Latency: one order or many", escape(lead), body, _STYLES))


def _heat(names: list[str], values: list[list[float]]) -> str:
    head = "".join(f"<th>{escape(n)}</th>" for n in names)
    rows = []
    for i, (name, row) in enumerate(zip(names, values, strict=True)):
        cells = [_cell(f"{name}, {names[j]}", v) for j, v in enumerate(row)]
        cells[i] = '<td class="own">·</td>'
        rows.append(f"<tr><th>{escape(name)}</th>{''.join(cells)}</tr>")
    return f'<table class="matrix"><thead><tr><th></th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def _cell(pair: str, value: float) -> str:
    much = f"{max(0.0, 100 * value - 20):.0f}%"
    return f'<td style="--much:{much}" title="{escape(pair)}: {value:.3f}">{100 * value:.0f}</td>'


def write_adaptation(found: Adaptation, check: Check, path: str | Path, truth: Floats | None = None) -> Path:
    """Write what an adaptation changed as a page.

    Parameters
    ----------
    found : Adaptation
    check : Check
        Of `found` on `truth`.
    path : path
    truth : ndarray of float64, (N,), optional
        Measurements that the model has not seen, in ms; NaN elsewhere.
    """
    seen = np.full(len(found.mean), np.nan)
    seen[found.index] = found.latency
    rest = seen if truth is None else np.where(np.isin(np.arange(len(seen)), found.index), np.nan, truth)
    charts = []
    if check.before is not None:
        known, label = found.candidates.pool[found.proxy], f"{found.proxy} (ms)"
        charts.append(_scatter(known, rest, seen, label, "Before: the proxy as it is", check.before))
    after = "After: the adapted model"
    charts.append(_scatter(found.mean, rest, seen, "predicted (ms)", after, check.after, equal=True))
    warned = "".join(f'<p class="warn">{escape(w)}</p>' for w in found.warnings)
    facts = {
        "measurements": full(len(found.index)),
        "SRCC before": "–" if check.before is None else f"{check.before.srcc:.3f}",
        "SRCC after": f"{check.after.srcc:.3f}",
        "95 % sure above": f"{check.after.lower:.3f}",
        "mean error": f"{check.mape:.1f} %",
        "inside the 90 % interval": f"{100 * check.coverage:.0f} %",
    }
    learned = f"Predictor {found.predictor}; learned from {', '.join(found.pool) or 'no other device'}."
    kept = f" Kept out as near copies: {', '.join(found.family)}." if found.family else ""
    body = (
        tiles(facts)
        + warned
        + f'<div class="two">{"".join(charts)}</div>'
        + section("How it was made", f"{found.stopped}.", f"<p>{escape(learned + kept)}</p>")
    )
    lead = f"{found.space.spec}, {len(found.mean):,} architectures. Blue: learned from; grey: checked afterwards."
    return write(path, page(f"Latency of {found.device}", escape(lead), body, _STYLES))


def _scatter(
    x: Floats, rest: Floats, seen: Floats, label: str, title: str, agreement: Agreement, *, equal: bool = False
) -> str:
    rows = np.flatnonzero(np.isfinite(rest) & np.isfinite(x))
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), _DRAWN)).astype(np.intp)] if len(rows) else rows
    told = np.flatnonzero(np.isfinite(seen) & np.isfinite(x))
    told = told[~np.isin(told, rows)]
    y = np.where(np.isfinite(rest), rest, seen)
    both = np.concatenate([rows, told])
    across, up = Axis.of(label, x[both], log=True), Axis.of("measured (ms)", y[both], log=True)
    if equal:
        low, high = min(across.low, up.low), max(across.high, up.high)
        across, up = Axis(label, low, high, up.log), Axis("measured (ms)", low, high, up.log)
    frame = Frame(across, up, 520.0, 380.0)
    line = ""
    if equal:
        ends = np.array([across.low, across.high])
        (x1, x2), (y1, y2) = frame.px(ends).tolist(), frame.py(ends).tolist()
        line = f'<line class="diagonal" x1="{x1}" x2="{x2}" y1="{y1}" y2="{y2}"/>'
    kinds = ["trial"] * len(rows) + ["front"] * len(told)
    drawn = line + points(frame, x[both], y[both], both.tolist(), kinds)
    hint = f"SRCC {agreement.srcc:.3f}, 95 % sure above {agreement.lower:.3f}: {agreement.state}"
    return section(title, hint, frame.svg(drawn, title))


def write_search(found: Adaptation, front: Front, maximize: str, cap: float | None, path: str | Path) -> Path:
    """Write the measured front as a page, with what the predictions had said."""
    a = found
    spread = 1.645 * front.spread
    ends = np.concatenate([front.predicted - spread, front.predicted + spread, [] if cap is None else [cap]])
    frame = Frame(Axis.of("latency (ms)", front.latency, also=ends), Axis.of(maximize, front.worth), 1040.0, 400.0)
    low, high = frame.px(front.predicted - spread).tolist(), frame.px(front.predicted + spread).tolist()
    parts = [
        f'<line class="whisker" x1="{x1}" x2="{x2}" y1="{y}" y2="{y}"/>'
        for x1, x2, y in zip(low, high, frame.py(front.worth).tolist(), strict=True)
    ]
    kinds = ["chosen" if row == front.chosen else "front" for row in front.rows.tolist()]
    parts.append(points(frame, front.predicted, front.worth, front.rows.tolist(), ["trial"] * len(front.rows)))
    parts.append(points(frame, front.latency, front.worth, front.rows.tolist(), kinds))
    if cap is not None:
        parts.append(frame.bound(cap, vertical=True, text=f"cap {cap:g} ms"))
    archs = a.space.format_many(a.genotypes[front.rows])
    rows = "".join(
        f"<tr><td>{full(w)}</td><td>{t:.4g}</td><td>{p:.4g} ± {s:.2g}</td><td><code>{escape(arch)}</code></td></tr>"
        for w, t, p, s, arch in zip(front.worth, front.latency, front.predicted, spread, archs, strict=True)
    )
    table = (
        f"<table><thead><tr><th>{escape(maximize)}</th><th>measured ms</th><th>predicted ms (90 %)</th>"
        f"<th>architecture</th></tr></thead><tbody>{rows}</tbody></table>"
    )
    facts = {
        "measured to learn": full(len(a.index)),
        "measured to verify": full(len(front.verified)),
        "on the front": full(len(front.rows)),
    }
    hint = "Coloured: measured. Grey with a bar: what the model had said, and its 90 % interval."
    body = (
        tiles(facts)
        + section("Front", hint, frame.svg("".join(parts), "Measured front"))
        + section("Architectures", "Fastest first.", f'<div class="scroll">{table}</div>')
    )
    lead = f"{a.space.spec}, {len(a.mean):,} candidates, predictor {a.predictor}."
    return write(path, page(f"{maximize} under the latency of {a.device}", escape(lead), body, _STYLES))
