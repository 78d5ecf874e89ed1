"""Charts of the report as plain SVG text: axes, points, steps, parallel coordinates. Colours come from the page."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def short(value: float) -> str:
    """Write a number in few characters, for ticks: 131904 as 132k."""
    if not math.isfinite(value):
        return "–"
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"


def full(value: float) -> str:
    """Write a number in full, for tables and tooltips."""
    if not math.isfinite(value):
        return "–"
    return f"{value:,.0f}" if value == int(value) and abs(value) < 1e15 else f"{value:.6g}"


@dataclass(frozen=True)
class Axis:
    """A quantity on a line of the drawing.

    Attributes
    ----------
    label : str
    low, high : float
        Ends of the scale.
    log : bool
    names : tuple of str
        Option names of a categorical axis, at 0, 1, 2, ...
    """

    label: str
    low: float
    high: float
    log: bool = False
    names: tuple[str, ...] = field(default=())

    @classmethod
    def of(cls, label: str, values: Floats, *, log: bool = False, also: Sequence[float] | Floats = ()) -> Axis:
        """Return an axis with a margin; a logarithmic one only if all values are positive.

        Values far below or above the others (a network that learned nothing) would flatten the rest; they lie beyond
        the scale, unless they are among `also`.
        """
        seen = np.concatenate([_core(values[np.isfinite(values)]), also])
        if not seen.size:
            return cls(label, 0.0, 1.0)
        low, high = float(seen.min()), float(seen.max())
        if log and low > 0 and high / low > 20:
            return cls(label, low / 1.15, high * 1.15, log=True)
        margin = (high - low) * 0.06 or abs(high) * 0.05 or 1.0
        return cls(label, low - margin, high + margin)

    def at(self, values: Floats) -> Floats:
        """Return positions on the axis from 0 to 1."""
        if self.log:
            values = np.log(values)
            low, high = math.log(self.low), math.log(self.high)
        else:
            low, high = self.low, self.high
        return (np.asarray(values, dtype=np.float64) - low) / (high - low)

    def inside(self, values: Floats) -> Floats:
        """Return positions as `at`, with values beyond the scale moved to its end."""
        return np.clip(self.at(values), 0.0, 1.0)

    def ticks(self) -> list[float]:
        """Return round numbers within the scale."""
        if self.names:
            return [float(i) for i in range(len(self.names))]
        if self.log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            found = [m * 10.0**d for d in decades for m in (1, 2, 5) if self.low <= m * 10.0**d <= self.high]
            return found if len(found) <= 7 else [t for t in found if f"{t:e}".startswith("1.")]
        rough = (self.high - self.low) / 5
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
        first = math.ceil(self.low / step)
        return [round(i * step, 12) for i in range(first, math.floor(self.high / step) + 1)]

    def text(self, tick: float) -> str:
        """Return what stands at a tick."""
        return self.names[int(tick)] if self.names else short(tick)


def _core(values: Floats) -> Floats:
    """Return the values without those more than six interquartile ranges outside the quartiles."""
    if values.size < 5:
        return values
    q1, q3 = np.quantile(values, [0.25, 0.75])
    reach = 6 * (q3 - q1) or np.inf
    return np.asarray(values[(values >= q1 - reach) & (values <= q3 + reach)])


@dataclass(frozen=True)
class Frame:
    """A plotting area with an axis below and one at the left."""

    x: Axis
    y: Axis
    width: float = 640.0
    height: float = 360.0
    left: float = 64.0
    bottom: float = 46.0
    top: float = 14.0
    right: float = 16.0

    def px(self, values: Floats) -> Floats:
        """Return horizontal pixel positions."""
        return np.round(self.left + self.x.inside(values) * (self.width - self.left - self.right), 1)

    def py(self, values: Floats) -> Floats:
        """Return vertical pixel positions."""
        return np.round(self.height - self.bottom - self.y.inside(values) * (self.height - self.top - self.bottom), 1)

    def svg(self, body: str, title: str) -> str:
        """Return the drawing with its axes around `body`."""
        w, h = self.width, self.height
        return (
            f'<svg class="chart" viewBox="0 0 {w:g} {h:g}" role="img" aria-label="{escape(title)}">'
            f"{self._grid()}{body}</svg>"
        )

    def _grid(self) -> str:
        w, h = self.width, self.height
        floor, end = h - self.bottom, w - self.right
        parts = []
        for tick in self.x.ticks():
            at = float(self.px(np.array([tick]))[0])
            parts.append(f'<line class="grid" x1="{at}" x2="{at}" y1="{self.top}" y2="{floor}"/>')
            parts.append(
                f'<text class="tick" x="{at}" y="{floor + 17}" text-anchor="middle">{self.x.text(tick)}</text>'
            )
        for tick in self.y.ticks():
            at = float(self.py(np.array([tick]))[0])
            parts.append(f'<line class="grid" x1="{self.left}" x2="{end}" y1="{at}" y2="{at}"/>')
            parts.append(
                f'<text class="tick" x="{self.left - 8}" y="{at + 4}" text-anchor="end">{self.y.text(tick)}</text>'
            )
        middle = (self.left + end) / 2
        parts.append(f'<text class="label" x="{middle}" y="{h - 8}" text-anchor="middle">{escape(self.x.label)}</text>')
        up = (self.top + floor) / 2
        parts.append(
            f'<text class="label" transform="translate(14 {up}) rotate(-90)" text-anchor="middle">'
            f"{escape(self.y.label)}</text>"
        )
        return "".join(parts)

    def bound(self, value: float, *, vertical: bool, text: str) -> str:
        """Return the line of a constraint; empty where it lies outside the drawing."""
        axis = self.x if vertical else self.y
        if not axis.low < value < axis.high:
            return ""
        if vertical:
            at = float(self.px(np.array([value]))[0])
            line = f'<line class="bound" x1="{at}" x2="{at}" y1="{self.top}" y2="{self.height - self.bottom}"/>'
            return line + f'<text class="note" x="{at - 5}" y="{self.top + 11}" text-anchor="end">{escape(text)}</text>'
        at = float(self.py(np.array([value]))[0])
        line = f'<line class="bound" x1="{self.left}" x2="{self.width - self.right}" y1="{at}" y2="{at}"/>'
        return line + f'<text class="note" x="{self.left + 6}" y="{at - 5}">{escape(text)}</text>'


def points(frame: Frame, x: Floats, y: Floats, ids: Sequence[int], kinds: Sequence[str]) -> str:
    """Return one mark an architecture; its kind decides colour and shape ("trial", "front", "chosen", "outside")."""
    parts = []
    for px, py, i, kind in zip(frame.px(x).tolist(), frame.py(y).tolist(), ids, kinds, strict=True):
        if not (math.isfinite(px) and math.isfinite(py)):
            continue
        if kind == "chosen":
            shape = f'<path d="M{px} {py - 8}L{px + 8} {py}L{px} {py + 8}L{px - 8} {py}Z"'
        elif kind == "outside":
            shape = f'<path d="M{px - 3.5} {py - 3.5}l7 7m0 -7l-7 7"'
        else:
            shape = f'<circle cx="{px}" cy="{py}" r="{5 if kind == "front" else 3.6}"'
        parts.append(f'{shape} class="mark {kind}" data-i="{i}"/>')
    return "".join(parts)


def steps(frame: Frame, x: Floats, y: Floats, kind: str) -> str:
    """Return a staircase through points ordered by x."""
    keep = np.isfinite(x) & np.isfinite(y)
    px, py = frame.px(x[keep]).tolist(), frame.py(y[keep]).tolist()
    if not px:
        return ""
    path = f"M{px[0]} {py[0]}" + "".join(f"H{a}V{b}" for a, b in zip(px[1:], py[1:], strict=True))
    return f'<path class="line {kind}" d="{path}"/>'


def parallel(axes: Sequence[Axis], table: Floats, ids: Sequence[int], kinds: Sequence[str]) -> str:
    """Return parallel coordinates: a line an architecture across one vertical axis a quantity.

    Parameters
    ----------
    axes : sequence of Axis, length k
    table : ndarray of float64, (n, k)
    ids, kinds : sequences of length n
    """
    width, height, top, bottom, left, right = 1040.0, 330.0, 44.0, 18.0, 24.0, 96.0
    gap = (width - left - right) / max(len(axes) - 1, 1)
    xs = [round(left + k * gap, 1) for k in range(len(axes))]
    spread = np.stack([a.inside(table[:, k]) for k, a in enumerate(axes)], axis=1)
    ys = np.round(height - bottom - spread * (height - top - bottom), 1)
    parts = [
        f'<svg class="chart parallel" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="Parallel coordinates">'
    ]
    order = sorted(range(len(ids)), key=lambda r: ("trial", "front", "chosen").index(kinds[r]))
    for r in order:
        if np.isfinite(ys[r]).all():
            path = "M" + "L".join(f"{x} {y}" for x, y in zip(xs, ys[r].tolist(), strict=True))
            at = " ".join(f"{v:.4f}" for v in spread[r].tolist())
            parts.append(f'<path class="path {kinds[r]}" d="{path}" data-i="{ids[r]}" data-at="{at}"/>')
    for k, (axis, x) in enumerate(zip(axes, xs, strict=True)):
        parts.append(f'<line class="axis" x1="{x}" x2="{x}" y1="{top}" y2="{height - bottom}"/>')
        anchor, high = ("start" if k == 0 else "middle"), (16 if k % 2 else 30)
        parts.append(f'<text class="label" x="{x}" y="{high}" text-anchor="{anchor}">{escape(axis.label)}</text>')
        for tick in axis.ticks():
            y = round(height - bottom - float(axis.at(np.array([tick]))[0]) * (height - top - bottom), 1)
            parts.append(f'<text class="tick halo" x="{x + 5}" y="{y + 3.5}">{escape(axis.text(tick))}</text>')
        parts.append(
            f'<rect class="brush" data-axis="{k}" data-top="{top}" data-bottom="{height - bottom}" '
            f'x="{x - 10}" y="{top}" width="20" height="{height - top - bottom}"/>'
        )
    return "".join(parts) + "</svg>"


def intervals(rows: Sequence[tuple[str, str, float, float, float, Sequence[float]]], label: str) -> str:
    """Return means with intervals, one row each: text, kind, mean, low, high, single values."""
    every = np.array([v for r in rows for v in (*r[2:5], *r[5])], dtype=np.float64)
    axis = Axis.of(label, every)
    width, step, left, right, top = 640.0, 40.0, 130.0, 24.0, 6.0
    height = top + step * len(rows) + 44

    def px(value: float) -> float:
        return round(left + float(axis.inside(np.array([value]))[0]) * (width - left - right), 1)

    parts = [f'<svg class="chart narrow" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}">']
    for tick in axis.ticks():
        parts.append(f'<line class="grid" x1="{px(tick)}" x2="{px(tick)}" y1="{top}" y2="{height - 40}"/>')
        parts.append(f'<text class="tick" x="{px(tick)}" y="{height - 24}" text-anchor="middle">{short(tick)}</text>')
    for k, (text, kind, mean, low, high, values) in enumerate(rows):
        y = top + step * (k + 0.5)
        parts.append(f'<text class="label" x="{left - 14}" y="{y + 4}" text-anchor="end">{escape(text)}</text>')
        parts += [f'<circle class="mark faint" cx="{px(v)}" cy="{y}" r="4"/>' for v in values]
        if math.isfinite(low):
            parts.append(f'<line class="range {kind}" x1="{px(low)}" x2="{px(high)}" y1="{y}" y2="{y}"/>')
        parts.append(f'<circle class="mark {kind}" cx="{px(mean)}" cy="{y}" r="6"/>')
    middle = (left + width - right) / 2
    parts.append(f'<text class="label" x="{middle}" y="{height - 5}" text-anchor="middle">{escape(label)}</text>')
    return "".join(parts) + "</svg>"
