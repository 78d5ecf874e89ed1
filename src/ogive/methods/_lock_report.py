"""What a lock leaves in its run directory: `lock.json`, `best/arch.json` and a page that loads nothing, `lock.html`."""

from __future__ import annotations

import json
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive.methods._lock_charts import before_after, effects, front, shares
from ogive.metrics.base import resolve
from ogive.study import _page
from ogive.study._charts import full
from ogive.study._drawing import draw_graph

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ogive.methods._lock_answer import Lock, Placed
    from ogive.study.directory import RunDirectory
    from ogive.study.final import Estimate

PAGE, ANSWER = "lock.html", "lock.json"

_STYLES = """
h3 { font-size: 14px; margin: 18px 0 2px; }
th { padding: 7px 10px; font-weight: 600; }
td:first-child, th:first-child { text-align: left; }
td:nth-child(2), th:nth-child(2) { text-align: left; }
td:nth-child(2) { font: inherit; }
.mark.winner { fill: var(--card); stroke: var(--ink); stroke-width: 2; }
.mark.oracle { fill: none; stroke: var(--chosen); stroke-width: 2; }
.move { stroke: var(--soft); stroke-width: 2; }
.null { stroke: var(--bound); stroke-width: 2.5; }
.legend .winner { background: none; border: 2px solid var(--ink); }
.legend .oracle { background: none; border: 2px solid var(--chosen); border-radius: 1px; transform: rotate(45deg); }
.legend .null { width: 3px; border-radius: 0; background: var(--bound); }
.bar { fill: var(--front); }
.bar.against { fill: var(--soft); }
td:has(code) { white-space: normal; min-width: 300px; text-align: left; }
.effects td, .effects td:nth-child(2) { text-align: left; white-space: normal; min-width: 96px; font: inherit; }
.effects td { background: color-mix(in srgb, var(--tone, transparent) var(--much, 0%), transparent); }
.effects span { display: block; color: var(--soft); font-size: 12px; }
.effects .for { --tone: var(--front); }
.effects .against { --tone: var(--soft); }
.effects .own { outline: 2px solid var(--chosen); outline-offset: -3px; border-radius: 6px; }
.warn { border-left: 4px solid var(--bound); padding: 2px 0 2px 12px; margin: 12px 0 4px; }
"""


def write_lock(lock: Lock, directory: RunDirectory, command: str) -> Lock:
    """Write the files and return the lock with their places.

    Raises
    ------
    StorageError
        If one cannot be written.
    """
    lock = replace(lock, run=str(directory.path), report=str(directory.path / PAGE))
    facts = _plain(lock.to_dict())
    directory.write(ANSWER, json.dumps(facts, indent=2) + "\n")
    # The study under the lock knows no gate by percentile: its best architecture is the source-only one.
    own = {k: facts[k] for k in ("space", "arch")} | {"genotype": lock.chosen.genotype.tolist()}
    own |= {"metrics": facts["values"], "seed": facts["seed"]}
    directory.write("best/arch.json", json.dumps(own, indent=2) + "\n")
    directory.write(PAGE, page(lock, directory.path.name, command))
    return lock


def _plain(value: Any) -> Any:
    """Return JSON values with null for what is not finite."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def page(lock: Lock, run: str, command: str) -> str:
    """Return the report as one HTML document that loads nothing and runs no script."""
    p = lock.problem
    title = f"A lock for {lock.name(p.source)}"
    unknown = "targets unknown to the search" if p.setting == "tu" else "targets known"
    lead = (
        f"run <b>{escape(run)}</b> · space {escape(p.space.spec)} · {unknown} · gate {escape(str(p.gate))} · "
        f"aggregation {escape(str(p.aggregate))} · seed {p.seed}"
    )
    parts = (_summary, _standing, _front, _why, _drawn, _certificate, _evaluated)
    return _page.page(title, lead, "".join(part(lock) for part in parts) + _made(command), _STYLES)


def _section(title: str, hint: str, body: str) -> str:
    return f'<section><h2>{title}</h2><p class="hint">{hint}</p>{body}</section>'


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f'<th scope="col">{h}</th>' for h in heads)
    body = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


# -------------------------------------------------------------------- what it says


def sentences(lock: Lock) -> list[str]:
    """Return what the numbers allow one to say, plainly; for the page and the terminal."""
    p, c, w = lock.problem, lock.chosen, lock.winner
    drop = lock.raw_drop(p.source)
    cost = "" if drop is None else f", {drop:.2g} % below the best known one in its own unit"
    found = [
        f"At {lock.name(p.source)} the lock stands at percentile {c.source.percentile:.1f} (the gate: {p.gate}){cost}.",
        f"Its mean target percentile is {c.apt:.1f}, that of the best source architecture {w.apt:.1f}: "
        + _less(lock.reduction),
    ]
    if lock.null is not None:
        found.append(
            f"That of a random architecture that passes the gate is {lock.null.apt:.1f} (mean of {lock.null.n:,}): "
            + _less(lock.reduction_vs_feasible_mean)
        )
    drops = {lock.name(t): d for t in p.targets if (d := lock.raw_drop(t)) is not None}
    if drops:
        text = ", ".join(f"{name} {drop:.2g} %" for name, drop in drops.items())
        cost = "That is what the lock costs them; percentiles exaggerate it."
        if max(drops.values()) <= 0:
            cost = "The lock costs them nothing."
        found.append(f"In its own unit the attacker loses, against the best source architecture: {text}. {cost}")
    return found


def _less(percent: float | None) -> str:
    if percent is None or np.isnan(percent):
        return "there is nothing to compare."
    return (
        f"the lock is {percent:.1f} % lower."
        if percent >= 0
        else f"the lock is {-percent:.1f} % higher, so it is none."
    )


def _percent(value: float | None) -> str:
    return "–" if value is None or np.isnan(value) else f"{value:.1f} %"


def _summary(lock: Lock) -> str:
    tiles = [
        (f"{lock.chosen.source.percentile:.1f}", "source percentile"),
        (f"{lock.chosen.apt:.1f}", "mean target percentile"),
        (_percent(lock.reduction), "below the source winner"),
        (_percent(lock.reduction_vs_feasible_mean), "below the mean that passes"),
        (f"{lock.evaluations[lock.problem.source]:,}", "evaluations"),
    ]
    drawn = "".join(f'<div class="tile"><b>{n}</b><span>{t}</span></div>' for n, t in tiles)
    first, *rest = (escape(s) for s in sentences(lock))
    notes = "".join(f'<p class="warn">{escape(n[0].upper() + n[1:])}.</p>' for n in lock.notes)
    body = f'<p class="statement">{first} {rest[0]}</p>' + "".join(f"<p>{s}</p>" for s in rest[1:])
    scope = ""
    if lock.certificate is None:
        scope = (
            '<p class="hint">All of this is training from scratch. Whether the lock holds against fine-tuning is '
            "another question: <code>ogive certify</code> answers it by attacking.</p>"
        )
    return f'<section><h2>Summary</h2>{body}<div class="tiles">{drawn}</div>{notes}{scope}</section>'


def _standing(lock: Lock) -> str:
    p, of = lock.problem, f"all {lock.reference:,} architectures of the space"
    if not lock.exact:
        of = f"a random sample of {lock.reference:,} architectures, with 95 % intervals"
    rows = []
    for metric in (p.source, *p.targets):
        info, before, after = resolve(metric), lock.standing(lock.winner, metric), lock.standing(lock.chosen, metric)
        drop = lock.raw_drop(metric)
        between = "" if lock.exact else f" ({after.low:.0f} to {after.high:.0f})"
        rows.append(
            [
                escape(lock.name(metric)),
                "source" if metric == p.source else "target",
                f"{before.percentile:.1f}",
                f"{after.percentile:.1f}{between}",
                full(before.value),
                full(after.value),
                "–" if drop is None else f"{drop:.2f} %",
                ("higher" if info.direction == "max" else "lower") + ("" if info.unit == "1" else f", {info.unit}"),
            ]
        )
    heads = ["metric", "role", "percentile before", "after", "raw value before", "after", "raw drop", "better, unit"]
    hint = (
        f"Before: the best source architecture. After: the lock. Percentiles are of {of}: the share that is not "
        "better. A percentile says how many are worse, not how much worse; the raw columns do."
    )
    return _section("Before and after", hint, before_after(lock) + _table(heads, rows))


def _front(lock: Lock) -> str:
    p = lock.problem
    seen = "the auxiliary tasks, the only ones the search could see" if p.setting == "tu" else "the targets"
    hint = (
        "Every evaluated architecture: to the right better at the source, down better locked "
        f"({escape(str(p.aggregate))} percentile of {seen}). Right of the line they pass the gate. Point at a mark to "
        "see which it is."
    )
    return _section("Source against targets", hint, front(lock))


def _why(lock: Lock) -> str:
    e = lock.explanation
    basis = (
        f"Exact: averages over all {e.n:,} architectures."
        if e.exact
        else f"Estimated from the {e.n:,} evaluated architectures, with 95 % intervals; a search looks mostly where "
        "locks are, so this is no survey of the space."
    )
    hint = (
        "The gap is source percentile less aggregated target percentile: "
        f"{e.gap:.1f} for the lock, {e.mean:.1f} for the mean architecture. {basis}"
    )
    body = f"<h3>What each option does to the gap</h3>{effects(e)}"
    if e.shapley is not None:
        body = f"<h3>What each choice of the lock adds (Shapley values)</h3>{shares(lock)}" + body
    return _section("Which choices drive the gap", hint, body)


def _drawn(lock: Lock) -> str:
    def one(title: str, placed: Placed) -> str:
        drawn = draw_graph(lock.problem.space.graph(placed.genotype[None]))
        return f"<h3>{title}</h3>{drawn}<pre>{escape(placed.arch)}</pre>"

    body = one("The lock", lock.chosen) + one("The best source architecture", lock.winner)
    return _section("The architectures", "Faint parts carry nothing from input to output.", body)


def _certificate(lock: Lock) -> str:
    found = lock.certificate
    if found is None:
        return ""
    rows = []
    for label, finding in [*((str(i), f) for i, f in enumerate(found.findings, start=1)), ("unlocked", found.unlocked)]:
        worst = max((c.advantage for c in finding.contests), key=lambda e: e.high)
        arch = f"<code>{escape(finding.arch)}</code>"
        rows.append([label, finding.verdict, _shown(finding.source), _shown(worst), arch])
    heads = ["", "verdict", "source accuracy (%)", "attacker's advantage at most (points)", "architecture"]
    nothing = " The unlocked one passes too: there was nothing to lock." if found.unlocked.locked else ""
    hint = (
        f"{found.trainings:,} trainings: shipped networks were fine-tuned, probed and adapted to every target. Locked "
        f"means that with 95 % confidence an attacker gains less than {found.limit:g} points over a public network "
        f"trained from scratch, and the source holds ({escape(found.gate)}). The lock is number 1.{nothing}"
    )
    doubts = "".join(f"<li>{i}: {escape(d)}</li>" for i, f in enumerate(found.findings, start=1) for d in f.doubts)
    return _section("Certificate", hint, _table(heads, rows) + (f"<ul>{doubts}</ul>" if doubts else ""))


def _shown(e: Estimate) -> str:
    return "–" if np.isnan(e.mean) else f"{e.mean:.1f} ({e.low:.1f} to {e.high:.1f})"


def _evaluated(lock: Lock) -> str:
    p = lock.problem
    roles = {p.source: "source"} | dict.fromkeys(p.targets, "target") | dict.fromkeys(p.auxiliary, "auxiliary")
    rows = [
        [escape(lock.name(m)), roles[m], f"{n:,}", f"{lock.checks.get(m, 0):,}"] for m, n in lock.evaluations.items()
    ]
    failing = "those" if lock.rejected is None else f"the {lock.rejected:,}"
    hint = f"Every evaluation counts, also {failing} of architectures that do not pass the gate and those that failed."
    if p.setting == "tu" and not lock.leak:
        hint += (
            " While the search ran, reading a target raised an error; the targets were read when it was over, for this "
            "report."
        )
    return _section("What was measured", hint, _table(["metric", "role", "in the search", "for this report"], rows))


def _made(command: str) -> str:
    return _section("How this was made", "The command that makes this run again.", f"<pre>{escape(command)}</pre>")
