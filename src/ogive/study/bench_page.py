"""A comparison of strategies as one HTML file that loads nothing: regret over budget, ranks, and all figures."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from ogive.study import _page
from ogive.study._charts import Axis, Frame, full, short
from ogive.study.directory import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ogive.study.bench import BenchRow
    from ogive.study.bench_grid import Bench, Case
    from ogive.study.bench_stats import Ranking

# Okabe and Ito's colours, which people with any colour vision can tell apart; lighter where the paper is dark.
_LIGHT = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b58900", "#8c4a1f", "#4b4b4b", "#7a4fbf")
_DARK = ("#56b4e9", "#f0a030", "#2fc79a", "#e6a0c8", "#f0e442", "#d39b74", "#c8c8c8", "#b79cf0")
_DASHES = ("none", "7 4", "2 3", "9 3 2 3")


def write_page(bench: Bench, folder: Path) -> Path:
    """Write `bench.html` into a folder and return its path.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    return RunDirectory(folder).write("bench.html", page(bench))


def page(bench: Bench) -> str:
    """Return the comparison as one HTML document."""
    title = f"{len(bench.strategies)} strategies, {bench.seeds:,} runs each"
    lead = "Regret: how far the chosen architecture is from the best of the table."
    drawn = "".join(_regret(bench, case) for case in bench.cases)
    body = f"{_legend(bench)}{drawn}{_ranks(bench)}{_table(bench)}"
    return _page.page(title, lead, body, _styles(len(bench.strategies)))


def _styles(n: int) -> str:
    def colours(palette: tuple[str, ...]) -> str:
        return ":root{" + "".join(f"--s{i}:{palette[i % len(palette)]};" for i in range(n)) + "}"

    rules = [colours(_LIGHT), "@media (prefers-color-scheme: dark){" + colours(_DARK) + "}"]
    for i in range(n):
        dash = _DASHES[i // len(_LIGHT) % len(_DASHES)]
        rules.append(f".s{i}{{--c:var(--s{i})}} .line.s{i}{{stroke:var(--s{i});stroke-dasharray:{dash}}}")
    rules += [
        ".band{fill:var(--c);opacity:.16} .mark{fill:var(--c,var(--trial));fill-opacity:1}",
        ".legend i{background:var(--c)} .lead{fill:none;stroke:var(--soft);stroke-width:1}",
        ".bar{stroke:var(--ink);stroke-width:4;stroke-linecap:round} th{padding:7px 10px}",
        "td:nth-child(2),th:nth-child(2){font:inherit;text-align:right} td:first-child,th:first-child{text-align:left}",
        "td:last-child,th:last-child{text-align:left;white-space:normal;min-width:220px}",
        "h3{font-size:14px;margin:18px 0 0}",
    ]
    return "".join(rules)


def _legend(bench: Bench) -> str:
    items = "".join(f'<span><i class="s{i}"></i>{escape(s)}</span>' for i, s in enumerate(bench.strategies))
    return f'<div class="legend">{items}</div>'


def _of(bench: Bench, case: Case) -> dict[str, list[BenchRow]]:
    """Return the rows of a case by strategy, by rising budget."""
    each = len(bench.rows) // len(bench.cases)
    first, b = bench.cases.index(case) * each, len(bench.budgets)
    return {s: bench.rows[first + k * b : first + (k + 1) * b] for k, s in enumerate(bench.strategies)}


def _regret(bench: Bench, case: Case) -> str:
    """Return means over the budgets with their intervals as bands, and the noise floor."""
    rows, unit = _of(bench, case), case.table.column(case.report).unit
    budgets = np.array(bench.budgets, dtype=np.float64)
    bands = np.array([[r.regret_ci for r in line] for line in rows.values()])  # (strategies, budgets, 2)
    label = "regret" if unit == "1" else f"regret ({unit})"
    x = Axis.of("evaluations", budgets, log=True, also=budgets)
    frame = Frame(x, Axis.of(label, bands.ravel(), log=True, also=bands.ravel()), width=1040.0, height=380.0)
    parts = []
    for i, line in enumerate(rows.values()):
        px = frame.px(budgets).tolist()
        low, high = frame.py(bands[i, :, 0]).tolist(), frame.py(bands[i, :, 1]).tolist()
        mean = frame.py(np.array([r.regret_mean for r in line])).tolist()
        around = [*zip(px, high, strict=True), *zip(px[::-1], low[::-1], strict=True)]
        parts.append(f'<path class="band s{i}" d="M{_path(around)}Z"/>')
        parts.append(f'<path class="line s{i}" d="M{_path(list(zip(px, mean, strict=True)))}"/>')
        for a, b, row in zip(px, mean, line, strict=True):
            told = f"{row.strategy} after {row.budget:,}: {row.regret_mean:.3g} ({_interval(row)})"
            parts.append(f'<circle class="mark s{i}" cx="{a}" cy="{b}" r="4"><title>{escape(told)}</title></circle>')
    floor = rows[bench.strategies[0]][0].noise_floor
    if floor is None:
        hint = "No two architectures of this table are isomorphic, so its noise is unknown."
    else:
        parts.append(frame.bound(floor, vertical=False, text="noise floor"))
        hint = (
            f"Noise floor {short(floor)}: the spread between architectures that are the same function. Differences "
            "under it are not distinguishable."
        )
    body = frame.svg("".join(parts), f"regret on {case}")
    hint = f"Mean over {bench.seeds:,} runs; bands are 95 % bootstrap intervals of the mean. {hint}"
    return f'<section><h2>{escape(str(case))}</h2><p class="hint">{hint}</p>{body}</section>'


def _path(spots: Sequence[tuple[float, float]]) -> str:
    return "L".join(f"{x} {y}" for x, y in spots)


def _interval(row: BenchRow) -> str:
    return "{:.3g} to {:.3g}".format(*row.regret_ci)


# -------------------------------------------------------------------- ranks


def _ranks(bench: Bench) -> str:
    if not bench.rankings:
        return ""
    drawn = "".join(_ranking(r, bench.strategies) for r in bench.rankings)
    hint = (
        f"Average rank by regret over {bench.rankings[0].blocks:,} blocks (a run on a table), 1 is best. A bar joins "
        "strategies that are not distinguishable: their average ranks differ by less than the critical difference "
        "(Nemenyi, 5 %). Runs on one table are no independent tables: this holds for these tables."
    )
    return f'<section><h2>Critical difference</h2><p class="hint">{hint}</p>{drawn}</section>'


def _ranking(ranking: Ranking, strategies: Sequence[str]) -> str:
    """Return the diagram of one budget: better half labelled at the left, worse half at the right."""
    order = sorted(ranking.average, key=lambda s: ranking.average[s])
    k, width, left, right, top, step = len(order), 1040.0, 290.0, 290.0, 50.0, 22.0
    below = top + 14.0 + 10.0 * len(ranking.groups)
    half = (k + 1) // 2
    height = below + step * half + 8.0

    def px(rank: float) -> float:
        return round(left + (rank - 1) / max(k - 1, 1) * (width - left - right), 1)

    name = f"critical difference after {ranking.budget:,} evaluations"
    parts = [f'<svg class="chart" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{name}">']
    end = px(min(1 + ranking.cd, k))
    parts.append(f'<path class="axis" fill="none" d="M{px(1)} 12v8M{px(1)} 16H{end}M{end} 12v8"/>')
    parts.append(f'<text class="tick" x="{end + 8}" y="20">CD {ranking.cd:.3g}</text>')
    parts.append(f'<line class="axis" x1="{px(1)}" x2="{px(k)}" y1="{top}" y2="{top}"/>')
    for rank in range(1, k + 1):
        parts.append(f'<line class="axis" x1="{px(rank)}" x2="{px(rank)}" y1="{top - 5}" y2="{top}"/>')
        parts.append(f'<text class="tick" x="{px(rank)}" y="{top - 9}" text-anchor="middle">{rank}</text>')
    for i, s in enumerate(order):
        at, better = px(ranking.average[s]), i < half
        y = below + step * (i if better else k - 1 - i) + 8.0
        edge, anchor = (left - 26, "end") if better else (width - right + 26, "start")
        kind, shown = f"s{strategies.index(s)}", s if len(s) <= 34 else s[:33] + "…"
        parts.append(
            f'<path class="lead" d="M{at} {top}V{y}H{edge}"/><circle class="mark {kind}" cx="{at}" cy="{top}" r="5"/>'
        )
        parts.append(
            f'<text class="label" x="{edge + (-6 if better else 6)}" y="{y + 4}" text-anchor="{anchor}">'
            f"<title>{escape(s)}</title>{escape(shown)} {ranking.average[s]:.2f}</text>"
        )
    for i, group in enumerate(ranking.groups):
        y = top + 12.0 + 10.0 * i
        first, last = px(ranking.average[group[0]]) - 5, px(ranking.average[group[-1]]) + 5
        parts.append(f'<line class="bar" x1="{first}" x2="{last}" y1="{y}" y2="{y}"/>')
    p = "p < 0.001" if ranking.p < 0.001 else f"p = {ranking.p:.3f}"
    head = f'<h3>After {ranking.budget:,} evaluations</h3><p class="hint">Friedman {ranking.statistic:.4g}, {p}</p>'
    return head + "".join(parts) + "</svg>"


# -------------------------------------------------------------------- figures


def _table(bench: Bench) -> str:
    heads = (
        "strategy",
        "budget",
        "regret",
        "95 % interval",
        "median",
        "noise floor",
        "seen",
        "optimum",
        "differs from",
    )
    head = "".join(f'<th scope="col">{h}</th>' for h in heads)
    body = []
    for case in bench.cases:
        body.append(f'<tr><td colspan="{len(heads)}"><b>{escape(str(case))}</b></td></tr>')
        for row in (r for line in _of(bench, case).values() for r in line):
            cells = [
                escape(row.strategy),
                f"{row.budget:,}",
                f"{row.regret_mean:.3g}",
                _interval(row),
                f"{row.regret_median:.3g}",
                "–" if row.noise_floor is None else f"{row.noise_floor:.3g}",
                full(float(f"{row.objective_regret_mean:.3g}")),
                f"{row.optimum_found:.0%}",
                _apart(row, len(bench.strategies)),
            ]
            body.append("<tr>" + "".join(f"<td>{c}</td>" for c in cells) + "</tr>")
    hint = (
        "Seen: mean regret in the column that chose; optimum: share of runs that found its best. Strategies differ if "
        "their mean regrets are at least the noise floor apart and the 95 % interval of the difference leaves out zero."
    )
    rows = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    return f'<section><h2>Figures</h2><p class="hint">{hint}</p><div class="scroll">{rows}</div></section>'


def _apart(row: BenchRow, strategies: int) -> str:
    if len(row.distinguishable) == strategies - 1 > 1:
        return "all others"
    return escape(", ".join(row.distinguishable)) or "none (not distinguishable)"
