"""Three objectives on NAS-Bench-201: hypervolume after a budget, as a share of that of the exact front of all cells.

    python benchmarks/multi_objective_search.py [--seeds 20] [--first-seed 0] [--strategies random;nsga2;bo]
                                                [--budgets 50 100]

Accuracy (CIFAR-10, single-run validation, up), latency on a Pixel 3 (ms, down), ReLUs (down). The reference point lies
a tenth of the exact front's extent below its worst value in every objective. Needs `nasbench201.csv.gz` and
`nb201_device_latency_help.csv.gz` in the folder that OGIVE_SHARED names.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd

from ogive.spaces.base import Shape, get_space
from ogive.strategies import get_strategy
from ogive.strategies.pareto import hypervolume, pareto_mask


def objectives(folder: Path) -> tuple:
    """Return the space and the objectives of every cell by its index, all maximised, scaled to the exact front."""
    space = get_space("nasbench201")
    accuracy = pd.read_csv(folder / "nasbench201.csv.gz")
    latency = pd.read_csv(folder / "nb201_device_latency_help.csv.gz")
    assert (accuracy["arch"] == latency["arch"]).all()
    genotypes = space.parse(accuracy["arch"].tolist())
    relus = space.count(genotypes, Shape((3, 32, 32), 10))["relus"]
    values = np.stack([accuracy["cifar10_val_accuracy"], -latency["pixel3"], -relus], axis=1).astype(float)
    front = values[pareto_mask(values)]
    scaled = (values - front.min(axis=0)) / np.ptp(front, axis=0)
    by_index = np.empty_like(scaled)
    by_index[space.index(genotypes)] = scaled
    return space, by_index, scaled


def run(spec: str, space, by_index, seed: int, budgets: list[int]) -> list[float]:
    """Return the hypervolume after every budget."""
    strategy = get_strategy(spec, space, n_objectives=3, seed=seed)
    seen = np.empty((0, 3))
    for _ in range(max(budgets)):
        genotypes = strategy.ask(1)
        values = by_index[space.index(genotypes)]
        strategy.tell(genotypes, values)
        seen = np.concatenate([seen, values])
    return [volume(seen[:b]) for b in budgets]


def volume(values: np.ndarray) -> float:
    return hypervolume(values[pareto_mask(values)], np.full(3, -0.1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=1000)
    parser.add_argument("--strategies", default="random;nsga2;nsga2:population=20;bo", help="separated by semicolons")
    parser.add_argument("--budgets", type=int, nargs="+", default=[50, 100, 200], help="evaluations")
    options = parser.parse_args()
    budgets = options.budgets
    space, by_index, scaled = objectives(Path(os.environ["OGIVE_SHARED"]))
    exact = volume(scaled)
    print(f"exact front: {int(pareto_mask(scaled).sum())} cells, hypervolume {exact:.4f}", flush=True)
    for spec in options.strategies.split(";"):
        start = time.process_time()
        seeds = range(options.first_seed, options.first_seed + options.seeds)
        share = np.array([run(spec, space, by_index, seed, budgets) for seed in seeds]) / exact
        half = 1.96 * share.std(axis=0, ddof=1) / np.sqrt(options.seeds)
        figures = "  ".join(f"{b}: {m:.4f} ±{h:.4f}" for b, m, h in zip(budgets, share.mean(axis=0), half, strict=True))
        print(f"{spec:24} {figures}  CPU {(time.process_time() - start) / options.seeds:.2f} s a run", flush=True)


if __name__ == "__main__":
    main()
