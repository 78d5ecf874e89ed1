"""The files a run leaves for people: `report.html` (one file, no network), `front.csv`, `best/`."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive.study._charts import Axis, Frame, full, intervals, parallel, points, steps
from ogive.study._drawing import draw_graph
from ogive.study.problem import COUNTED, KNOWN, Status

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ogive.metrics.base import Metric
    from ogive.study.directory import RunDirectory
    from ogive.study.final import Verdict
    from ogive.study.problem import Rows
    from ogive.study.results import Results
    from ogive.study.study import Study

_MOST_ROWS = 2000
_MOST_LINES = 500
_MOST_CHOICES = 8

_ARCH = (
    '<svg viewBox="0 0 46 58" aria-hidden="true"><path fill="none" stroke="currentColor" stroke-width="4" '
    'd="M4 56V30C4 18 12 8 23 2C34 8 42 18 42 30V56M14 56V34C14 25 18 18 23 14C28 18 32 25 32 34V56"/></svg>'
)


def write_report(study: Study, directory: RunDirectory) -> Path:
    """Write all files and return the path of `report.html`.

    Raises
    ------
    StorageError
        If one cannot be written.
    """
    results = study.results()
    directory.write("front.csv", _front_csv(results))
    best = results.best()
    if best is not None:
        verdict = study.verdict
        facts: dict[str, Any] = {
            "space": study.config.space,
            "arch": best.arch,
            "task": study.config.task,
            "genotype": best.genotype.tolist(),
            "metrics": {k: v if np.isfinite(v) else None for k, v in best.metrics.items()},
            "seed": study.config.seed,
        }
        if verdict is not None:
            facts["test"] = verdict.to_dict()
        _drop_stale(directory.path / "best", best.arch)
        directory.write("best/arch.json", json.dumps(facts, indent=2) + "\n")
    return directory.write("report.html", page(study, results, directory.path.name))


def _drop_stale(folder: Path, arch: str) -> None:
    """Remove weights that belong to an architecture that is not the best any more."""
    noted = folder / "arch.json"
    if noted.exists() and json.loads(noted.read_text(encoding="utf-8")).get("arch") != arch:
        for name in ("weights.safetensors", "model.onnx"):
            (folder / name).unlink(missing_ok=True)


def _front_csv(results: Results) -> str:
    rows = results.rows.take(results.front_positions())
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["arch", *results.problem.metrics])
    archs = results.problem.space.format_many(rows.genotypes) if len(rows) else []
    writer.writerows([a, *values] for a, values in zip(archs, rows.values.tolist(), strict=True))
    return text.getvalue()


# -------------------------------------------------------------------- the page


def page(study: Study, results: Results, name: str) -> str:
    """Return the report as one HTML document that loads nothing."""
    view = _View(results)
    assets = files("ogive.study")
    title = escape(f"{name}: {_goal(study)}")
    # The policy makes a browser refuse any request, should one ever slip into the page.
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
    sections = [
        _summary(study, results),
        f'<div class="two">{_front(view)}{_history(view)}</div>',
        _parallel(view),
        _best(study, results),
        _table(view),
        _made(study, results),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>'
        f"<style>{assets.joinpath('report.css').read_text(encoding='utf-8')}</style></head><body><main>"
        f"<header>{_ARCH}<div><h1>{escape(_goal(study))}</h1>"
        f'<div class="soft">run <b>{escape(name)}</b> · space {escape(study.config.space)} · '
        f"task {escape(str(study.config.task))} · strategy {escape(study.steering.settings.strategy)} · "
        f"seed {study.config.seed}"
        f"</div></div></header>{''.join(sections)}"
        f"<footer>Made by Ogive {escape(study.config.versions.get('ogive', ''))}. Everything is in this file; it loads "
        'nothing.</footer></main><div id="tip" hidden></div>'
        f"<script>{assets.joinpath('report.js').read_text(encoding='utf-8')}</script></body></html>\n"
    )


def _goal(study: Study) -> str:
    asked = study.steering.settings
    up, down = asked.maximize, asked.minimize
    parts = [*([f"maximise {_and(up)}"] if up else []), *([f"minimise {_and(down)}"] if down else [])]
    return " and ".join(parts).capitalize()


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


class _View:
    """The rows that the drawings and the table show, and the role of each."""

    def __init__(self, results: Results) -> None:
        self.results, self.problem = results, results.problem
        rows = results.rows
        front = results.front_positions()
        role = np.where(COUNTED[rows.status], 1, 0)
        role[front] = 2
        role[front[:1]] = 3
        shown = np.flatnonzero(role)
        if len(shown) > _MOST_ROWS:
            # The front is always shown; of the others an even choice over the run.
            others = shown[role[shown] == 1]
            even = others[np.linspace(0, len(others) - 1, max(_MOST_ROWS - len(front), 1)).astype(int)]
            shown = np.union1d(even, shown[role[shown] > 1])
        self.total = int((role > 0).sum())
        self.rows: Rows = rows.take(shown)
        self.role = role[shown]
        self.number = (np.cumsum(COUNTED[rows.status]) - 1)[shown]
        self.ids = list(range(len(shown)))

    def kinds(self) -> list[str]:
        outside = (self.rows.violation > 0) | ~KNOWN[self.rows.status]
        return [
            "chosen" if r == 3 else "front" if r == 2 else "outside" if o else "trial"
            for r, o in zip(self.role.tolist(), outside.tolist(), strict=True)
        ]

    def column(self, metric: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        return self.rows.values[:, self.problem.column(metric)]

    def axis(self, metric: str) -> Axis:
        info, column = self.problem.info[metric], self.column(metric)
        return Axis.of(_label(info), column, log=info.scale == "log", also=column[self.role > 1])


def _label(metric: Metric) -> str:
    return metric.name if metric.unit == "1" else f"{metric.name} ({metric.unit})"


def _section(title: str, hint: str, body: str) -> str:
    return f'<section><h2>{title}</h2><p class="hint">{hint}</p>{body}</section>'


def _summary(study: Study, results: Results) -> str:
    counts = results.counts()
    best, front = results.best(), results.front_positions()
    bounds = study.steering.settings.where
    where = f", where {escape(_and(bounds))}" if bounds else ""
    free = counts.get("repeat", 0) + counts.get("awaited", 0)
    tiles = [
        (f"{results.n_trials:,}", "trials"),
        (f"{len(front):,}", "on the front"),
        (f"{counts.get('refused', 0) + counts.get('rejected', 0):,}", "refused by constraints"),
        (f"{free:,}", "repeats, free"),
        (f"{counts.get('failed', 0):,}", "failed"),
    ]
    body = f"<p>Asked: {escape(_goal(study).lower())} in {escape(study.config.space)}{where}.</p>"
    if best is None:
        body += "<p>Found: no architecture that meets the constraints.</p>"
    else:
        values = ", ".join(f"{escape(m)} {full(v)}" for m, v in best.metrics.items())
        body += f"<p>Found: <code>{escape(best.arch)}</code> with {values}.</p>"
    tiles_html = "".join(f'<div class="tile"><b>{n}</b><span>{t}</span></div>' for n, t in tiles)
    verdict = study.verdict
    test = _verdict(verdict) if verdict is not None else _untested(results)
    return f'<section><h2>Summary</h2>{body}<div class="tiles">{tiles_html}</div>{test}</section>'


def _verdict(verdict: Verdict) -> str:
    rows = [
        ("the chosen one", "chosen", verdict.chosen),
        ("random ones", "baseline", verdict.baseline),
    ]
    drawn = [(text, kind, e.mean, e.low, e.high, e.values) for text, kind, e in rows]
    return (
        f'<p class="statement">{escape(verdict.sentence[0].upper() + verdict.sentence[1:])}.</p>'
        + intervals(drawn, "test accuracy (%)")
        + f'<p class="hint">Validation chose; test was looked at once, at the end. Faint points are single trainings '
        f"from scratch: {len(verdict.chosen.values)} seeds of the chosen one, {len(verdict.baseline.values)} random "
        "architectures under the same cheap constraints. Bars are 95 % intervals of the mean (Student's t).</p>"
    )


def _untested(results: Results) -> str:
    if results.n_trials == 0 or "accuracy@train" not in results.problem.metrics:
        return ""
    return '<p class="hint">Not tested yet: the accuracy above chose this architecture, so it flatters it.</p>'


def _front(view: _View) -> str:
    problem = view.problem
    names = [*problem.objectives, *(m for m in problem.metrics if m not in problem.objectives)]
    pairs = [(y, x) for k, y in enumerate(problem.objectives) for x in problem.objectives[k + 1 :]] or [
        (names[0], names[1] if len(names) > 1 else "")
    ]
    drawings = []
    for y, x in pairs[:3]:
        horizontal = view.column(x) if x else view.number.astype(np.float64)
        frame = Frame(view.axis(x) if x else Axis.of("trial", horizontal), view.axis(y), width=560.0)
        body = "".join(
            frame.bound(c.bound, vertical=c.metric == x, text=str(c)) for c in problem.constraints if c.metric in {x, y}
        )
        body += _on_top(frame, horizontal, view.column(y), view.ids, view.kinds())
        drawings.append(frame.svg(body, f"{y} against {x or 'trial'}"))
    hint = "Each mark is an architecture; point at it to find it in every drawing. At the rim: beyond the scale."
    return _section("Pareto front", hint, "".join(drawings) + _legend(view.kinds()))


def _on_top(frame: Frame, x: Any, y: Any, ids: Sequence[int], kinds: Sequence[str]) -> str:
    """Return the marks so that what matters more covers what matters less."""
    order = sorted(range(len(ids)), key=lambda i: ("outside", "trial", "front", "chosen").index(kinds[i]))
    at = np.array(order, dtype=np.intp)
    return points(frame, x[at], y[at], [ids[i] for i in order], [kinds[i] for i in order])


def _legend(kinds: Sequence[str]) -> str:
    words = {
        "chosen": "chosen",
        "front": "non-dominated",
        "trial": "dominated",
        "outside": "breaks a constraint or failed",
    }
    shown = "".join(f'<span><i class="{k}"></i>{text}</span>' for k, text in words.items() if k in kinds)
    return f'<div class="legend">{shown}</div>'


def _history(view: _View) -> str:
    best = view.results.history()
    objective = view.problem.objectives[0]
    x = np.arange(len(best), dtype=np.float64)
    at = (
        np.unique(np.linspace(0, len(best) - 1, min(len(best), _MOST_ROWS)).astype(int)) if len(best) else x.astype(int)
    )
    frame = Frame(Axis.of("trial", x), view.axis(objective), width=560.0)
    body = steps(frame, x[at], best[at], "chosen")
    body += _on_top(frame, view.number.astype(np.float64), view.column(objective), view.ids, view.kinds())
    hint = f"In the order they were drawn; the line is the best {escape(objective)} so far that meets all constraints."
    return _section("History", hint, frame.svg(body, f"{objective} by trial"))


def _parallel(view: _View) -> str:
    kinds = ["trial" if k == "outside" else k for k in view.kinds()]
    usable = [i for i, s in enumerate(view.rows.status.tolist()) if KNOWN[s]]
    rank = sorted(usable, key=lambda i: (kinds[i] == "trial", i))[:_MOST_LINES]
    space, rows = view.problem.space, view.rows
    axes: list[Axis] = []
    columns = []
    if space.n_choices <= _MOST_CHOICES:
        for k, choice in enumerate(space.choices):
            axes.append(Axis(choice.name, -0.3, len(choice.options) - 0.7, names=choice.options))
            columns.append(rows.genotypes[:, k].astype(np.float64))
    for metric in view.problem.metrics:
        axes.append(view.axis(metric))
        columns.append(view.column(metric))
    if len(axes) < 2 or not rank:
        return ""
    table = np.stack(columns, axis=1)[rank]
    drawn = parallel(axes, table, [view.ids[i] for i in rank], [kinds[i] for i in rank])
    left_out = f" {len(usable) - len(rank):,} dominated ones are left out." if len(usable) > len(rank) else ""
    hint = f"Drag along an axis to keep only the architectures that cross it there; click it to let go.{left_out}"
    return _section("Choices and metrics", hint, drawn)


def _best(study: Study, results: Results) -> str:
    best = results.best()
    if best is None:
        return ""
    drawn = draw_graph(study.problem.space.graph(best.genotype[None]))
    hint = "Faint parts carry nothing from input to output."
    return _section("The chosen architecture", hint, drawn + f"<pre>{escape(best.arch)}</pre>")


def _table(view: _View) -> str:
    rows, problem = view.rows, view.problem
    archs = problem.space.format_many(rows.genotypes) if len(rows) else []
    heads = ["trial", "architecture", *(_label(problem.info[m]) for m in problem.metrics), "status"]
    head = "".join(f'<th scope="col"><button>{escape(h)}</button></th>' for h in heads)
    lines = []
    for i, (arch, kind) in enumerate(zip(archs, view.kinds(), strict=True)):
        values = "".join(f'<td data-v="{v!r}">{full(v)}</td>' for v in rows.values[i].tolist())
        status = Status(int(rows.status[i])).name.lower()
        if rows.violation[i] > 0:
            status = "breaks a constraint"
        number = int(view.number[i])
        lines.append(
            f'<tr class="{kind}" data-i="{i}"><td data-v="{number}">{number}</td><td>{escape(arch)}</td>{values}'
            f'<td title="{escape(rows.reasons.get(int(rows.candidate[i]), ""))}">{status}</td></tr>'
        )
    part = f" of {view.total:,}; the front and an even choice of the others" if len(rows) < view.total else ""
    tools = (
        '<input id="search" type="search" placeholder="search, such as skip_connect" aria-label="Search the table"> '
        f'<span class="soft"><span id="shown">{len(rows):,}</span> shown{part}</span>'
    )
    body = (
        f'{tools}<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
    )
    return _section("All trials", "Click a heading to sort.", body)


def _made(study: Study, results: Results) -> str:
    reasons = Counter(results.rows.reasons.values())
    failures = "".join(f"<li>{n:,} × {escape(text)}</li>" for text, n in reasons.most_common(8))
    measured = float(results.rows.seconds.sum())
    versions = ", ".join(f"{escape(k)} {escape(v)}" for k, v in study.config.versions.items())
    settings = escape(json.dumps({k: v for k, v in study.config.to_dict().items() if k != "versions"}, indent=2))
    body = (
        f'<div><button class="copy">copy</button><pre>{escape(study.config.command)}</pre></div>'
        f"<p>Seed {study.config.seed}; {versions}. Measuring took {measured:,.1f} s in all.</p>"
    )
    if failures:
        body += f"<p>What failed, and why:</p><ul>{failures}</ul>"
    body += f"<details><summary>All settings</summary><pre>{settings}</pre></details>"
    return _section("How this was made", "The command that makes this run again.", body)
