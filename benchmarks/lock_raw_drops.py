"""What locks take from an attacker: percentiles beside the raw values behind them, over all pairs of tasks.

    python benchmarks/lock_raw_drops.py [--space transnas_micro] [--seeds 3] [--budget 300]

One lock for each (source, target) pair with the target known and gate pct:98: 42 pairs of TransNAS-Bench-101 micro, 6
of NAS-Bench-201 (validation accuracy). "reduction" is against the best source architecture, "against the gate" against
the mean architecture that passes it, both in per cent of a percentile; "raw" in per cent of the raw value of the best
source architecture. Means over pairs and seeds with 95 % bootstrap intervals over pairs. Needs the tables in the folder
that OGIVE_SHARED names.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
from pathlib import Path

import numpy as np

from ogive.methods.archlock import LockProblem, lock
from ogive.metrics.percentile import reduction
from ogive.metrics.tables import import_table
from ogive.spaces.base import get_space

SPACES = {
    "transnas_micro": (
        "transnasbench101_micro.csv.gz",
        [
            f"{task}_val"
            for task in (
                "class_object",
                "class_scene",
                "room_layout",
                "jigsaw",
                "segmentsemantic",
                "normal",
                "autoencoder",
            )
        ],
    ),
    "nasbench201": (
        "nasbench201.csv.gz",
        ["cifar10_val_accuracy", "cifar100_val_accuracy", "imagenet16_120_val_accuracy"],
    ),
}
FIGURES = ("before", "after", "reduction", "against the gate", "raw", "source pct", "source raw")


def figures(space: str, source: str, target: str, budget: int, seed: int) -> list[float]:
    """Return the `FIGURES` of one lock."""
    problem = LockProblem.from_table("t", get_space(space), source, [target], budget=budget, seed=seed)
    found = lock(problem)
    assert found.null is not None
    return [
        found.winner.apt,
        found.chosen.apt,
        found.reduction,
        reduction(found.null.apt, found.chosen.apt),
        found.raw_drop(f"{target}@t") or 0.0,
        found.chosen.source.percentile,
        found.raw_drop(f"{source}@t") or 0.0,
    ]


def shown(values: np.ndarray) -> str:
    """Return a mean with its bootstrap interval over rows."""
    drawn = np.random.default_rng(0).integers(0, len(values), size=(2000, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])
    return f"{values.mean():6.2f} ({low:5.2f} to {high:5.2f})"


def main() -> None:
    """Print a line a figure, then the reduction and the raw drop by target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", choices=sorted(SPACES), default="transnas_micro")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", type=int, default=300)
    given = parser.parse_args()
    file, columns = SPACES[given.space]
    pairs = list(itertools.permutations(columns, 2))
    with tempfile.TemporaryDirectory() as home:
        os.environ["OGIVE_DATA"] = home
        import_table(Path(os.environ.get("OGIVE_SHARED", "../shared/data")) / file, "t", given.space)
        every = np.array(
            [
                [figures(given.space, source, target, given.budget, seed) for seed in range(given.seeds)]
                for source, target in pairs
            ]
        )
    means = every.mean(axis=1)
    print(f"{given.space}: {len(pairs)} pairs, {given.seeds} seeds, {given.budget} evaluations")
    for name, column in zip(FIGURES, means.T, strict=True):
        print(f"{name:>18} {shown(column)}")
    print(f"{'median raw':>18} {np.median(means[:, 4]):6.2f}")
    print(f"{'source pct >= 98':>18} {(every[..., 5] >= 98).mean():6.1%}")
    for target in columns:
        at = [i for i, pair in enumerate(pairs) if pair[1] == target]
        reduced, raw = means[at, 2].mean(), means[at, 4].mean()
        print(f"{target:>28}: percentile {reduced:5.1f} % lower, raw {raw:5.2f} %")


if __name__ == "__main__":
    main()
