"""The last word of a search: the chosen architecture trained anew and tested, beside random ones under the same rules.

Validation chose, so validation flatters; test has not been looked at until now. Random architectures that meet the
same constraints, trained by the same recipe, say what the search was worth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive.study import finalists
from ogive.study.journal import RETRAIN
from ogive.study.problem import Rows, Status

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import nn

    from ogive.spaces.base import Genotypes
    from ogive.study.problem import Problem
    from ogive.study.study import Study
    from ogive.training.trainer import TrainResult

FIRST_SEED = 1000
"""Seed of the first training of each role; the search itself uses the study's own seed."""

_DRAWN_TOGETHER = 64


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval.

    Attributes
    ----------
    mean : float
    low, high : float
        Student's t interval over `values`; NaN for fewer than two values.
    values : tuple of float
    """

    mean: float
    low: float
    high: float
    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """Return the mean of `values` and its interval."""
        n = len(values)
        mean = float(np.mean(values)) if n else math.nan
        if n < 2:
            return cls(mean, math.nan, math.nan, tuple(values))
        from scipy import stats

        half = float(stats.t.ppf(0.975, n - 1)) * float(np.std(values, ddof=1)) / math.sqrt(n)
        return cls(mean, mean - half, mean + half, tuple(values))


@dataclass(frozen=True)
class Verdict:
    """Test accuracy of the chosen architecture and of random ones.

    Attributes
    ----------
    arch : str
        The chosen architecture.
    chosen : Estimate
        Test accuracy in percent over training seeds.
    baseline : Estimate
        Test accuracy in percent over random architectures that meet the cheap constraints, one training each.
    difference : Estimate
        Chosen minus baseline, Welch's interval.
    """

    arch: str
    chosen: Estimate
    baseline: Estimate
    difference: Estimate

    @property
    def sentence(self) -> str:
        """What the numbers allow one to say."""
        d = self.difference
        if not math.isfinite(d.low):
            return "too few runs to say whether the chosen one differs from a random one"
        gap = f"{d.mean:+.2f} points, 95 % interval {d.low:+.2f} to {d.high:+.2f}"
        if d.low > 0:
            return f"the chosen one is better than a random one that meets the constraints ({gap})"
        if d.high < 0:
            return f"the chosen one is worse than a random one that meets the constraints ({gap})"
        return f"no evidence that the chosen one tests better than a random one that meets the constraints ({gap})"

    @classmethod
    def of(cls, arch: str, chosen: Sequence[float], baseline: Sequence[float]) -> Verdict:
        """Compare two sets of test accuracies."""
        a, b = Estimate.of(chosen), Estimate.of(baseline)
        gap = Estimate(a.mean - b.mean, math.nan, math.nan, ())
        if len(chosen) > 1 and len(baseline) > 1 and np.ptp(chosen) + np.ptp(baseline) > 0:
            from scipy import stats

            low, high = stats.ttest_ind(chosen, baseline, equal_var=False).confidence_interval(0.95)
            gap = Estimate(a.mean - b.mean, float(low), float(high), ())
        return cls(arch, a, b, gap)

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as JSON values."""

        def plain(e: Estimate) -> dict[str, Any]:
            return {"mean": e.mean, "interval": [e.low, e.high], "values": list(e.values)}

        return {
            "arch": self.arch,
            "test_accuracy": plain(self.chosen),
            "baseline": plain(self.baseline),
            "difference": {"mean": self.difference.mean, "interval": [self.difference.low, self.difference.high]},
            "statement": self.sentence,
        }


def train_and_test(
    problem: Problem, genotype: Genotypes, seed: int, weights: str | Path | None = None
) -> dict[str, float]:
    """Train one architecture from scratch by the study's recipe; return validation and test accuracy in percent.

    Parameters
    ----------
    problem : Problem
    genotype : ndarray of int, (n_choices,)
    seed : int
        Fixes initial weights and data order.
    weights : path, optional
        Where to put the trained weights, as safetensors.
    """
    from ogive.training.export import save_weights
    from ogive.training.seeding import seeded
    from ogive.training.trainer import score, train

    context = problem.context
    task = context.need_task("test accuracy")
    with seeded(seed):
        model = problem.space.build(genotype, task)
    result = train(model, task, context.options.get("train"), seed=seed, device=context.device)
    if weights is not None:
        save_weights(model, weights)
    test = score(model, task, "test", device=context.device)
    return {
        "validation": judged(problem, model, result)["accuracy"],
        "test": test["accuracy"],
        "seconds": result.seconds,
    }


def judged(problem: Problem, model: nn.Module, result: TrainResult) -> dict[str, float]:
    """Return accuracy (percent) and loss (nats) on validation of a network that was trained alone.

    Where a supernet ranked, only on the part of validation that its scores have not seen.
    """
    import torch

    from ogive.training.recalibration import examples, score_examples
    from ogive.training.supernet_config import SupernetConfig
    from ogive.training.supernet_data import val_parts

    context = problem.context
    supernet = context.options.get("supernet")
    if supernet is None:
        return {"accuracy": result.accuracy, "loss": result.loss}
    task = context.need_task("validation accuracy")
    share = supernet.get("anchors", SupernetConfig.anchors) if isinstance(supernet, Mapping) else SupernetConfig.anchors
    rows = val_parts(task, share)[1]
    if not len(rows):
        return {"accuracy": result.accuracy, "loss": result.loss}
    return score_examples(model.eval(), *examples(task, "val", rows, torch.device(context.device)))


def random_feasible(problem: Problem, n: int, seed: int, max_draws: int) -> Genotypes:
    """Draw up to `n` different architectures uniformly among those that meet the cheap constraints, (m, n_choices)."""
    rng = np.random.default_rng([seed, FIRST_SEED])
    found: dict[bytes, Any] = {}
    for _ in range(0, max_draws, _DRAWN_TOGETHER):
        if len(found) >= n:
            break
        rows = Rows.blank(0, problem.space.sample(_DRAWN_TOGETHER, rng), len(problem.metrics))
        problem.look(rows)
        fit = rows.genotypes[~np.isin(rows.status, (Status.REFUSED, Status.FAILED))]
        found |= dict(zip(problem.space.keys(fit), fit, strict=True))
    return np.array(list(found.values())[:n], dtype=problem.space.dtype).reshape(-1, problem.space.n_choices)


@dataclass(frozen=True)
class Run:
    """One training of the final stage."""

    role: str
    genotype: Genotypes
    seed: int


def planned_runs(study: Study, seeds: int, baseline: int) -> list[Run]:
    """Return what the final stage trains: `baseline` random architectures once, the chosen one with `seeds` seeds.

    Where shared weights ranked, there are several finalists in its place, and the chosen one is among them.
    """
    best = study.best
    if best is None:
        return []
    others = random_feasible(study.problem, baseline, study.config.seed, study.config.max_draws)
    role, several = (
        ("chosen", best.genotype[None])
        if not finalists.needed(study.problem)
        else (finalists.FINALIST, finalists.choose(study))
    )
    chosen = [Run(role, g, FIRST_SEED + i) for g in several for i in range(seeds)]
    return chosen + [Run("baseline", g, FIRST_SEED + i) for i, g in enumerate(others)]


def finished_runs(study: Study) -> dict[tuple[str, bytes, int], dict[str, Any]]:
    """Return the trainings that are in the log, by role, architecture and seed."""
    keys = study.problem.space.keys
    found = {}
    for event in study.events(kinds=(RETRAIN,)):
        genotype = np.array([event.data["genotype"]], dtype=study.problem.space.dtype)
        found[event.data["role"], keys(genotype)[0], event.data["seed"]] = event.data
    return found


def verdict(study: Study) -> Verdict | None:
    """Return what the log says of the present best architecture and the random ones; None before the final stage."""
    best = study.best
    if best is None:
        return None
    key = study.problem.space.keys(best.genotype[None])[0]
    # By seed, whatever the order in which the workers finished.
    done = sorted(finished_runs(study).items(), key=lambda item: item[0][2])
    chosen = [d["test"] for (role, k, _), d in done if role != "baseline" and k == key and d["test"] is not None]
    others = [d["test"] for (role, _, _), d in done if role == "baseline" and d["test"] is not None]
    return Verdict.of(best.arch, chosen, others) if chosen and others else None


def missing_runs(study: Study, seeds: int, baseline: int) -> list[Run]:
    """Return the trainings of the final stage that are not in the log yet."""
    done = finished_runs(study)
    keys = study.problem.space.keys
    return [r for r in planned_runs(study, seeds, baseline) if (r.role, keys(r.genotype[None])[0], r.seed) not in done]


def entry(run: Run, found: dict[str, float] | None, reason: str | None) -> dict[str, Any]:
    """Return the data of the event of one training; one that failed has a reason and no accuracy."""
    empty = {"validation": None, "test": None, "seconds": 0.0}
    return {
        "role": run.role,
        "genotype": run.genotype.tolist(),
        "seed": run.seed,
        **(found or empty),
        **({"reason": reason} if reason else {}),
    }
