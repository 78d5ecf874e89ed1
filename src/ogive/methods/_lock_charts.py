"""Drawings of a lock's report as plain SVG and HTML text; colours come from the page."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from ogive.metrics.base import resolve
from ogive.study._charts import Axis, Frame, full

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ogive.methods._lock_answer import Lock
    from ogive.methods._lock_explain import Effect, Explanation

_MOST_CHOICES = 12


def mark(kind: str, x: float, y: float, told: str, size: float = 5.0) -> str:
    """Return one mark with the text that pointing at it shows; a diamond for the chosen and the best possible."""
    if kind in {"chosen", "oracle"}:
        r = size + 3.0
        shape = f'<path d="M{x} {y - r}L{x + r} {y}L{x} {y + r}L{x - r} {y}Z"'
    elif kind == "outside":
        shape = f'<path d="M{x - 3} {y - 3}l6 6m0 -6l-6 6"'
    else:
        shape = f'<circle cx="{x}" cy="{y}" r="{size:g}"'
    return f'{shape} class="mark {kind}"><title>{escape(told)}</title></{shape[1 : shape.index(" ")]}>'


def legend(kinds: Iterable[tuple[str, str]]) -> str:
    """Return the explanation of marks, from (kind, text)."""
    return '<div class="legend">' + "".join(f'<span><i class="{k}"></i>{t}</span>' for k, t in kinds) + "</div>"


def before_after(lock: Lock) -> str:
    """Return the percentiles of the best source architecture, of the mean that passes and of the lock, by metric."""
    p, null = lock.problem, lock.null
    metrics = (p.source, *p.targets)
    width, left, right, top, step = 1040.0, 210.0, 250.0, 8.0, 38.0
    axis = Axis("percentile", 0.0, 100.0)
    height = top + step * len(metrics) + 44

    def px(value: float) -> float:
        return round(left + float(axis.inside(np.array([value]))[0]) * (width - left - right), 1)

    parts = [f'<svg class="chart" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="Percentiles by metric">']
    for tick in axis.ticks():
        parts.append(f'<line class="grid" x1="{px(tick)}" x2="{px(tick)}" y1="{top}" y2="{height - 40}"/>')
        parts.append(f'<text class="tick" x="{px(tick)}" y="{height - 24}" text-anchor="middle">{tick:g}</text>')
    for k, metric in enumerate(metrics):
        y, name = top + step * (k + 0.5), lock.name(metric)
        before, after = lock.standing(lock.winner, metric), lock.standing(lock.chosen, metric)
        parts.append(f'<text class="label" x="{left - 16}" y="{y + 4}" text-anchor="end">{escape(_fit(name))}</text>')
        if not lock.exact:
            parts.append(f'<line class="range chosen" x1="{px(after.low)}" x2="{px(after.high)}" y1="{y}" y2="{y}"/>')
        parts.append(f'<line class="move" x1="{px(before.percentile)}" x2="{px(after.percentile)}" y1="{y}" y2="{y}"/>')
        if null is not None:
            at = px(null.source if metric == p.source else null.targets[metric])
            parts.append(f'<line class="null" x1="{at}" x2="{at}" y1="{y - 9}" y2="{y + 9}"/>')
        parts.append(mark("winner", px(before.percentile), y, f"best source architecture: {before.percentile:.1f}"))
        parts.append(mark("chosen", px(after.percentile), y, f"the lock: {after.percentile:.1f}"))
        drop = lock.raw_drop(metric)
        change = "" if drop is None else f" ({-drop:+.2g} %)" if _better_up(metric) else f" ({drop:+.2g} %)"
        raw = f"{full(before.value)} → {full(after.value)}{change}"
        parts.append(f'<text class="label" x="{width - right + 24}" y="{y + 4}">{escape(raw)}</text>')
    middle = (left + width - right) / 2
    parts.append(f'<text class="label" x="{middle}" y="{height - 5}" text-anchor="middle">percentile</text>')
    parts.append(f'<text class="label" x="{width - right + 24}" y="{height - 5}">raw value</text></svg>')
    kinds = [("winner", "best source architecture"), ("chosen", "the lock")]
    kinds += [("null", "mean that passes the gate")] if null is not None else []
    return "".join(parts) + legend(kinds)


def _better_up(metric: str) -> bool:
    return resolve(metric).direction == "max"


def _fit(text: str, length: int = 28) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def front(lock: Lock) -> str:
    """Return every evaluated architecture: source percentile against aggregated percentile of what was searched."""
    e, p = lock.evaluated, lock.problem
    of = "auxiliary tasks" if p.setting == "tu" else "targets"
    frame = Frame(
        Axis("source percentile", 0.0, 100.0), Axis(f"{p.aggregate} percentile of the {of}", 0.0, 100.0), width=1040.0
    )
    gate = float(e.source[e.passes].min()) if e.passes.any() else 100.0
    px, py = frame.px(e.source).tolist(), frame.py(e.score).tolist()
    archs = p.space.format_many(e.genotypes)
    on_front, own = set(e.front.tolist()), lock.chosen.arch
    kinds = [
        "chosen" if arch == own else "front" if i in on_front else "trial" if ok else "outside"
        for i, (arch, ok) in enumerate(zip(archs, e.passes.tolist(), strict=True))
    ]
    parts = [frame.bound(gate, vertical=True, text=f"gate {p.gate}")]
    for i in sorted(range(len(kinds)), key=lambda i: ("outside", "trial", "front", "chosen").index(kinds[i])):
        told = f"{archs[i]}: source {e.source[i]:.1f}, {of} {e.score[i]:.1f}"
        parts.append(mark(kinds[i], px[i], py[i], told, size=5.0 if kinds[i] == "front" else 3.6))
    shown = [("chosen", "the lock"), ("front", "non-dominated"), ("trial", "passes the gate"), ("outside", "does not")]
    if lock.oracle is not None and p.setting == "tk":
        at = p.aggregate(np.array([t.percentile for t in lock.oracle.targets.values()]))
        x, y = (
            float(f(np.array([v]))[0]) for f, v in ((frame.px, lock.oracle.source.percentile), (frame.py, float(at)))
        )
        parts.append(mark("oracle", x, y, f"the best possible: {lock.oracle.arch}", size=6.0))
        shown.append(("oracle", "the best possible, by looking everything up"))
    return frame.svg("".join(parts), "source against targets") + legend(shown)


# -------------------------------------------------------------------- which choices


def shares(lock: Lock) -> str:
    """Return the Shapley value of each choice of the lock as a bar."""
    assert lock.explanation.shapley is not None
    own = {e.choice: e.option for e in lock.explanation.effects if e.chosen}
    rows = sorted(lock.explanation.shapley.items(), key=lambda item: -abs(item[1]))[:_MOST_CHOICES]
    values = np.array([v for _, v in rows])
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    width, left, right, step = 1040.0, 250.0, 60.0, 27.0
    scale = (width - left - right) / ((high - low) or 1.0)
    zero = round(left - low * scale, 1)
    parts = [
        f'<svg class="chart" viewBox="0 0 {width:g} {step * len(rows) + 6:g}" role="img" aria-label="Shapley values">'
    ]
    for k, (choice, value) in enumerate(rows):
        y, length = 4 + step * k, round(abs(value) * scale, 1)
        start = zero if value >= 0 else zero - length
        label = escape(_fit(f"{choice}: {own.get(choice, '')}", 36))
        parts.append(f'<text class="label" x="{left - 50}" y="{y + 15}" text-anchor="end">{label}</text>')
        kind = "bar" if value >= 0 else "bar against"
        parts.append(f'<rect class="{kind}" x="{start}" y="{y + 2}" width="{length}" height="{step - 8}" rx="3"/>')
        at, anchor = (start + length + 6, "start") if value >= 0 else (start - 6, "end")
        parts.append(f'<text class="tick" x="{at}" y="{y + 15}" text-anchor="{anchor}">{value:+.1f}</text>')
    parts.append(f'<line class="axis" x1="{zero}" x2="{zero}" y1="2" y2="{step * len(rows) + 4}"/>')
    return "".join(parts) + "</svg>"


def effects(explanation: Explanation) -> str:
    """Return what every option does to the gap, a row a choice, the choices that matter most first."""
    by_choice: dict[str, list[Effect]] = {}
    for e in explanation.effects:
        by_choice.setdefault(e.choice, []).append(e)
    order = sorted(by_choice, key=lambda c: -max(abs(e.effect) for e in by_choice[c]))
    most = max((abs(e.effect) for e in explanation.effects), default=0.0) or 1.0
    rows = []
    for choice in order[:_MOST_CHOICES]:
        cells = []
        for e in by_choice[choice]:
            kind = ("for" if e.effect >= 0 else "against") + (" own" if e.chosen else "")
            between = "" if math.isclose(e.low, e.high) else f" ({e.low:+.1f} to {e.high:+.1f})"
            cells.append(
                f'<td class="{kind}" style="--much:{45 * abs(e.effect) / most:.0f}%">{e.effect:+.1f}{between}'
                f"<span>{escape(e.option)}</span></td>"
            )
        rows.append(f"<tr><td>{escape(choice)}</td>{''.join(cells)}</tr>")
    left_out = len(order) - _MOST_CHOICES
    more = f"; {left_out} choices that matter less are left out" if left_out > 0 else ""
    hint = f"Points of gap against the mean of the choice's options{more}. Framed: what the lock has."
    table = f'<table class="effects"><tbody>{"".join(rows)}</tbody></table>'
    return f'<p class="hint">{hint}</p><div class="scroll">{table}</div>'
