"""Why the search does what it does: evidence, coverage, bias, pairs, and what a swap of one option would do."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from ogive._errors import InputError, UnknownNameError
from ogive.metrics.base import Cost, resolve
from ogive.metrics.evaluate import evaluate
from ogive.strategies.coverage import bias, coverage
from ogive.strategies.evidence import suggestions
from ogive.strategies.interactions import interactions
from ogive.studio.graph import part_id
from ogive.studio.weights import scores
from ogive.study.known import Known
from ogive.study.problem import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ogive.spaces.base import Genotypes, Space
    from ogive.strategies.coverage import Bias
    from ogive.strategies.evidence import Evidence
    from ogive.studio.reading import Reading

_LINKED = 5
_SHOWN_PAIRS = 10

_ANSWERS: WeakKeyDictionary[Reading, tuple[int, dict[str, Any]]] = WeakKeyDictionary()


def evidence(reading: Reading) -> dict[str, Any]:
    """Return what the evaluations say of every option, what they suggest, and what has not been looked at."""
    seq, told = _ANSWERS.get(reading, (-1, {}))
    if seq != reading.seq:
        told = _evidence(reading)
        _ANSWERS[reading] = reading.seq, told
    return told


def _evidence(reading: Reading) -> dict[str, Any]:
    space, seen = reading.steering.space, Known.of(reading.study)
    found = seen.evidence(space)
    drawn = reading.study.results().rows.genotypes
    proposed = bias(space, space.parts(drawn).sum(axis=0))
    trained = [] if found.exposure is None else bias(space, found.exposure)
    return {
        "epoch": int(seen.epoch.max(initial=0)),
        "evaluated": len(seen.rows),
        "objectives": list(reading.problem.objectives),
        "options": _options(reading, space, found, seen),
        "suggestions": _suggestions(space, found, seen),
        "bias": [_bias(space, b) for b in proposed],
        "training": [_bias(space, b) for b in trained],
        "coverage": coverage(space, seen.rows.genotypes).to_dict(),
    }


def _options(reading: Reading, space: Space, found: Evidence, seen: Known) -> list[dict[str, Any]]:
    parts, records = space.parts(seen.rows.genotypes), found.to_dict()
    inside = space.permits(seen.rows.genotypes)
    template = reading.steering.revisions[0].settings.template
    first = None if template is None else {node["id"] for node in template["nodes"]}
    order = np.argsort(-seen.standing, kind="stable")
    out = []
    # One step a part: each links to candidates of its own.
    for i, record in enumerate(records):
        choice, option = record.pop("choice"), record.pop("option")
        name = part_id(space, choice, option)
        if name == "off":
            continue
        have = order[parts[order, i]]
        worst = have[::-1][: min(_LINKED, max(0, len(have) - _LINKED))]
        out.append(
            {"id": name, "group": choice, **record}
            | {"new": first is not None and record["n"] == 0 and name not in first and name != choice}
            | {"best": seen.rows.candidate[have[:_LINKED]].tolist(), "worst": seen.rows.candidate[worst].tolist()}
            | {"exclude": _cost(space, found, seen, inside, i, without=True)}
            | {"lock": _cost(space, found, seen, inside, i, without=False)}
        )
    return out


def _cost(
    space: Space, found: Evidence, seen: Known, inside: NDArray[np.bool_], part: int, *, without: bool
) -> dict[str, Any] | None:
    """Return what excluding a part, or locking it, takes away; None where it changes nothing or leaves nothing."""
    j = int(found.choice[part])
    sets = space.part_sets[j][:, part - int(np.searchsorted(found.choice, j))]
    allowed = space.restriction.allowed[j, : len(sets)]
    gone = allowed & (sets if without else ~sets)
    if not gone.any() or gone.sum() == allowed.sum():
        return None
    rest = space.restriction.allowed.sum(axis=1).tolist()
    rest[j] = int(gone.sum())
    lost = np.flatnonzero(inside & gone[seen.rows.genotypes[:, j]] & np.isfinite(seen.rows.values).all(axis=1))
    best = int(lost[np.argmax(seen.standing[lost])]) if lost.size else None
    return {
        "removes": math.prod(rest),
        "share": float(gone.sum() / allowed.sum()),
        "loses": None if best is None else int(seen.rows.candidate[best]),
        "standing": None if best is None else float(seen.standing[best]),
    }


def _suggestions(space: Space, found: Evidence, seen: Known) -> list[dict[str, Any]]:
    out = []
    for s in suggestions(space, found, seen.rows.genotypes, seen.standing):
        name, rival = (part_id(space, s.choice, o) for o in (s.option, s.sibling))
        if "off" in (name, rival):
            continue
        text = (
            f"{s.n} evaluations have it; their contrast is {s.contrast:+.2f} ({s.low:+.2f} to {s.high:+.2f}), "
            f"and its fitness {s.fitness:.2f} lies behind the {s.sibling_fitness:.2f} of {s.sibling}"
        )
        best = int(seen.rows.candidate[s.best])
        out.append(
            {"id": f"{name}|{s.sibling}", "option": name, "group": s.choice, "sibling": rival, "action": "exclude"}
            | {"text": text, "removes": s.removes, "share": s.share, "loses": best, "n": s.n, "fitness": s.fitness}
            | {"sibling_fitness": s.sibling_fitness, "contrast": s.contrast, "low": s.low, "high": s.high}
        )
    return out


def _bias(space: Space, found: Bias) -> dict[str, Any]:
    told = found.to_dict()
    named = {part_id(space, found.choice, o): share for o, share in told["share"].items()}
    return {"group": found.choice, "ratio": told["ratio"], "gini": found.gini, "flag": found.red, "share": named}


def pairs(reading: Reading) -> Callable[[], dict[str, Any]]:
    """Return what works out which options matter together; that takes a moment and needs no lock."""
    space, seen = reading.steering.space, Known.of(reading.study)

    def answer() -> dict[str, Any]:
        found = interactions(space, seen.rows.genotypes, seen.standing)
        names = [part_id(space, choice, option) for choice, option in space.part_names]
        told = [
            {"a": names[a], "b": names[b], "effect": e} for a, b, e in found.pairs if "off" not in (names[a], names[b])
        ]
        return {"r2": found.r2, "r2_parts": found.r2_parts, "pairs": told[:_SHOWN_PAIRS]}

    return answer


def genotype_of(reading: Reading, number: int) -> Genotypes:
    """Return the genotype of a candidate in the present space, ``(n_choices,)``.

    Raises
    ------
    UnknownNameError
        If it was not measured.
    InputError
        If the space has been redrawn since and has no such architecture.
    """
    if reading.columns.row(number) is None:
        raise UnknownNameError(f"no candidate {number} was measured in this run")
    rows = reading.study.results().rows
    at = np.flatnonzero(rows.candidate == number)
    if not at.size:
        raise InputError(f"candidate {number} is no architecture of the present drawing; go back to its revision")
    return np.asarray(rows.genotypes[at[0]])


def neighbours(reading: Reading, number: int) -> Callable[[], dict[str, Any]]:
    """Return what works out how much each swap of one option would change the objectives.

    A value comes from the log where the neighbour was measured, from a table or a count where the metric is one, from
    the supernet that the run keeps where there is one; else it is not known. Nothing is trained.
    """
    space, problem, own = reading.steering.space, reading.problem, genotype_of(reading, number)
    near, at = _swapped(space, own)
    rows = reading.study.results().rows
    rows = rows.take(rows.status == Status.DONE)
    held = dict(zip(space.keys(space.canonical(rows.genotypes)), rows.values, strict=True)) if len(rows) else {}
    here, table = np.vstack([own[None], near]), {}
    keys = space.keys(space.canonical(here))
    for metric in problem.objectives:
        column = problem.column(metric)
        table[metric] = np.array([held[k][column] if k in held else np.nan for k in keys])
    folder, config = reading.directory.path, reading.config

    def answer() -> dict[str, Any]:
        deltas = []
        for metric in problem.objectives:
            values, source = table[metric], np.where(np.isnan(table[metric]), "", "measured").astype(object)
            if (kind := resolve(metric)).cost <= Cost.COUNT:
                computed = evaluate([metric], space, here, problem.context).values[metric]
                source[np.isnan(values) & np.isfinite(computed)] = "computed"
                values = np.where(np.isnan(values), computed, values)
            elif kind.name.partition("@")[2].startswith("supernet"):
                # All under the same weights: those of the log are from different moments of the training.
                values = scores(folder, config, problem, here, metric)
                source[:] = "supernet"
            for i, (choice, option) in enumerate(at):
                delta = float(values[i + 1] - values[0])
                told = np.isfinite(delta)
                deltas.append(
                    {"group": choice, "option": option, "metric": metric}
                    | {"delta": delta if told else None, "known": source[i + 1] if told else None}
                )
        return {"deltas": deltas}

    return answer


def _swapped(space: Space, own: Genotypes) -> tuple[Genotypes, list[tuple[str, str]]]:
    """Return the architectures one allowed option away that compute something else, and what each swaps."""
    near, at = [], []
    for j, choice in enumerate(space.choices):
        for code in np.flatnonzero(space.restriction.allowed[j, : len(choice.options)]).tolist():
            if code != own[j]:
                near.append(own.copy())
                near[-1][j] = code
                option = choice.options[code]
                known_part = (choice.name, option) in space.part_names and option != "off"
                at.append((choice.name, part_id(space, choice.name, option) if known_part else option))
    if not near:
        return own[None][:0], []
    rows = np.stack(near)
    keep = space.valid(rows)
    keep[keep] = (space.canonical(rows[keep]) != space.canonical(own[None])).any(axis=1)
    return rows[keep], [a for a, there in zip(at, keep.tolist(), strict=True) if there]


def costs(reading: Reading, number: int) -> Callable[[], dict[str, Any]]:
    """Return what counts the parameters and multiply-accumulates of a candidate; none where no network can be built.

    Nor is there one of a candidate that the space, redrawn since, no longer has.
    """
    problem = reading.problem
    if problem.context.task is None or not problem.space.buildable:
        return lambda: {"costs": {}}
    try:
        own = genotype_of(reading, number)
    except UnknownNameError:
        raise
    except InputError:
        return lambda: {"costs": {}}

    def answer() -> dict[str, Any]:
        found = evaluate(["params", "macs"], problem.space, own[None], problem.context)
        return {"costs": {k: float(v[0]) for k, v in found.values.items() if np.isfinite(v[0])}}

    return answer
