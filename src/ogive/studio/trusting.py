"""How far the scores of a search can be trusted, judged by what was trained alone."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive.metrics.trust import choose_anchors, judge
from ogive.study.known import Known

if TYPE_CHECKING:
    from ogive.metrics.trust import Trust
    from ogive.studio.reading import Reading

_WANTED, _REPEATED = 12, 4


def trust(reading: Reading) -> dict[str, Any]:
    """Return the anchors of a run, what they say of its scores, and which one to train next.

    An anchor's score is its standing in the search, the mid-rank percentile within its evidence epoch: values of
    different moments of a supernet's training do not compare, and with several objectives it is that of the front.
    """
    seen = Known.of(reading.study)
    space, metric = reading.problem.space, reading.problem.objectives[0]
    row_of = {arch: i for i, arch in enumerate(space.format_many(seen.rows.genotypes) if len(seen.rows) else [])}
    values, anchors = seen.rows.values[:, reading.problem.column(metric)], reading.study.anchors()
    alone: dict[int, dict[int, float]] = {}
    for anchor in anchors:
        if "accuracy" in anchor and anchor["arch"] in row_of:
            alone.setdefault(row_of[anchor["arch"]], {})[anchor["seed"]] = anchor["accuracy"]
    shared = metric.partition("@")[2].partition("/")[0] == "supernet"
    who = "the supernet" if shared else "the search"
    told: dict[str, Any] = {"who": who, "metric": metric, "unit": "%", "why_not": _why_not(reading)}
    told |= {"anchors": [_shown(seen, values, row, runs) for row, runs in alone.items()]}
    line = _under_way(reading, {a["command"] for a in anchors})
    told |= {"next": _next(reading, seen, alone, {c["arch"] for c in line}), "under_way": line}
    empty = {"tau": None, "low": None, "high": None, "rho": None, "order": None, "top_k": None}
    if not alone:
        sentence = f"Nothing has been trained alone yet, so nothing is known of how well {who} ranks."
        return told | empty | {"regret": None, "ceiling": None, "verdict": "unknown", "sentence": sentence}
    seeds = sorted({seed for runs in alone.values() for seed in runs})
    truth = np.array([[runs.get(seed, np.nan) for seed in seeds] for runs in alone.values()])
    return told | _judged(judge(seen.standing[list(alone)], truth), who)


def _shown(seen: Known, values: Any, row: int, runs: dict[int, float]) -> dict[str, Any]:
    value = float(values[row])
    return {
        "id": int(seen.rows.candidate[row]),
        "supernet": value if np.isfinite(value) else None,
        "standing": float(seen.standing[row]),
        "alone": float(np.mean(list(runs.values()))),
        "seeds": {str(seed): found for seed, found in runs.items()},
    }


def _judged(found: Trust, who: str) -> dict[str, Any]:
    order = found.order
    if found.wording == "too few anchors":
        count = "1 anchor is" if found.anchors == 1 else f"{found.anchors} anchors are"
        sentence = f"{count} too few to say how well {who} ranks; train at least six alone."
    elif order.value is None or order.low is None or order.high is None:
        sentence = f"The {found.anchors} anchors do not say how well {who} ranks: one side is constant."
    else:
        sentence = (
            f"Of two random candidates, {who} orders about {100 * order.value:.0f} % correctly "
            f"(90 % interval {100 * order.low:.0f} to {100 * order.high:.0f} %, from {found.anchors} anchors)."
        )
    return {
        "tau": found.tau.value,
        "low": found.tau.low,
        "high": found.tau.high,
        "rho": asdict(found.rho),
        "order": asdict(order),
        "top_k": asdict(found.hit) | {"k": found.k},
        "regret": asdict(found.regret),
        "ceiling": asdict(found.ceiling),
        "verdict": found.wording,
        "sentence": sentence,
    }


def _why_not(reading: Reading) -> str | None:
    """Say why nothing can be trained alone in this run; None where it can."""
    if reading.problem.context.task is None:
        return "this run has no task to train on"
    if not reading.problem.space.buildable:
        return f"space '{reading.problem.space.name}' only names architectures"
    return None


def _next(
    reading: Reading, seen: Known, alone: dict[int, dict[int, float]], waiting: set[str]
) -> dict[str, Any] | None:
    """Return what to train next: a new anchor, from the top, the rest and at random in turn, then some once more."""
    done = np.flatnonzero(np.isfinite(reading.problem.worth(seen.rows)).all(axis=1))
    if not done.size or _why_not(reading):
        return None
    pins = {int(t) for t, note in reading.steering.notes.items() if note["pinned"] and t.isdigit()}
    pinned = np.flatnonzero(np.isin(seen.rows.candidate[done], list(pins))).tolist()
    chosen = choose_anchors(seen.standing[done], pinned=pinned, m=_WANTED, seed=reading.config.seed)
    third = max(1, len(chosen) // 3)
    in_turn = [pick for start in range(third) for pick in chosen[start::third]]
    seed = reading.config.seed
    options = [(int(done[i]), why, seed) for i, why in in_turn] if len(alone) < _WANTED else []
    options += [(row, "again, with another seed", max(runs) + 1) for row, runs in list(alone.items())[:_REPEATED]]
    for row, why, asked in options:
        arch = reading.problem.space.format(seen.rows.genotypes[row])
        if asked not in alone.get(row, {}) and arch not in waiting and (asked != seed or row not in alone):
            return {"id": int(seen.rows.candidate[row]), "arch": arch, "why": why, "seed": asked}
    return None


def _under_way(reading: Reading, done: set[str]) -> list[dict[str, Any]]:
    """Return the trainings that were asked for and have not ended, oldest first."""
    asked = [c for c in reading.study.commands() if c.get("op") == "train_alone" and c["status"] != "rejected"]
    columns = reading.columns.since(0)
    ids = dict(zip(columns["arch"], columns["ids"], strict=True))
    return [
        {"command": c["id"], "arch": arch, "id": ids.get(arch), "seed": c["args"].get("seed", reading.config.seed)}
        for c in asked
        if c["id"] not in done
        for arch in [c["args"]["arch"]]
    ]
