"""The lock search on TransNAS-Bench-101 micro: every source and target, against the exact optimum and the null model.

    python benchmarks/lock_search.py [--parts known,unknown,worst] [--seeds 3] [--first-seed 100] [--workers 2]

Needs `transnasbench101_micro.csv.gz` in the folder that OGIVE_SHARED names. An architecture passes the gate with a
source percentile of at least 98, and all percentiles are those of the whole table. "known": the target is searched, one
at a time, and the best lock measured is taken. "unknown": five other tasks are searched, the strategy chooses, and the
target it never saw is looked up; there, the optimum is the lowest mean of the five in the whole table. "worst": all six
targets, judged by the largest percentile. Means with 95 % intervals over (source, target) pairs of the means over
seeds; CPU seconds are those of one search.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
from scipy.stats import ttest_rel

from ogive.metrics.percentile import percentiles
from ogive.metrics.tables import Table
from ogive.strategies import get_strategy

TASKS = ("class_object", "class_scene", "room_layout", "jigsaw", "segmentsemantic", "normal", "autoencoder")
GATE = 98.0
BUDGET = 300
HALF = 150
BATCH = 4


@cache
def table() -> tuple[Table, np.ndarray, np.ndarray]:
    """Return the table, its values and their percentiles, one column a task."""
    found = Table.read(Path(os.environ["OGIVE_SHARED"]) / "transnasbench101_micro.csv.gz", "transnas_micro")
    values = np.stack([found.values(f"{task}_val") for task in TASKS], axis=1)
    return found, values, np.stack([percentiles(column) for column in values.T], axis=1)


def search(source: int, targets: list[int], seed: int, options: str = "") -> tuple[np.ndarray, int, float]:
    """Return the rows that one search measured, in order, the one it chooses, and its CPU seconds."""
    start = time.process_time()
    tab, values, p = table()
    gate = float(values[p[:, source] >= GATE, source].min())
    strategy = get_strategy(f"lock:gate={gate!r}{options}", tab.space, n_objectives=1 + len(targets), seed=seed)
    seen: dict[int, None] = {}
    while len(seen) < BUDGET:
        genotypes = strategy.ask(BATCH)
        rows = tab.rows(genotypes)
        strategy.tell(genotypes, np.column_stack([values[rows, source], -values[rows][:, targets]]))
        seen.update(dict.fromkeys(rows.tolist()))
    chosen = strategy.choose()
    assert chosen is not None
    return np.array(list(seen)), int(tab.rows(chosen[None])[0]), time.process_time() - start


def known(task: tuple[int, int, int]) -> dict[str, float]:
    """Search one target; return percentiles of what is best after half the budget and after all of it."""
    source, target, seed = task
    seen, chosen, seconds = search(source, [target], seed)
    p = table()[2]
    passes = p[:, source] >= GATE
    half = [row for row in seen[:HALF].tolist() if passes[row]]
    return {
        "half": p[half, target].min() if half else 100.0,
        "found": p[chosen, target],
        "source": p[chosen, source],
        "optimum": p[passes, target].min(),
        "null": p[passes, target].mean(),
        "seconds": seconds,
    }


def unknown(task: tuple[int, int, int]) -> dict[str, float]:
    """Search the five other tasks; return the percentile of a target that was never seen."""
    source, target, seed = task
    others = [t for t in range(len(TASKS)) if t not in (source, target)]
    _, chosen, seconds = search(source, others, seed, ",denoise=true")
    p = table()[2]
    passes = np.flatnonzero(p[:, source] >= GATE)
    blind = passes[p[passes][:, others].mean(axis=1).argmin()]
    return {
        "found": p[chosen, target],
        "source": p[chosen, source],
        "optimum": p[blind, target],
        "null": p[passes, target].mean(),
        "seconds": seconds,
    }


def worst(task: tuple[int, int]) -> dict[str, float]:
    """Search all six targets for the lowest largest percentile."""
    source, seed = task
    targets = [t for t in range(len(TASKS)) if t != source]
    _, chosen, seconds = search(source, targets, seed, ",aggregate=worst")
    p = table()[2]
    largest = p[:, targets].max(axis=1)
    passes = p[:, source] >= GATE
    return {
        "found": largest[chosen],
        "source": p[chosen, source],
        "optimum": largest[passes].min(),
        "null": largest[passes].mean(),
        "seconds": seconds,
    }


PARTS = {"known": known, "unknown": unknown, "worst": worst}


def measure(part: str, seeds: range, workers: int) -> dict[str, np.ndarray]:
    """Return what a part gives, ``(n_cases, n_seeds)`` by name; a case is a pair, or a source."""
    n = len(TASKS)
    cases = [(s,) for s in range(n)] if part == "worst" else list(itertools.permutations(range(n), 2))
    tasks = [(*case, seed) for case in cases for seed in seeds]
    with ProcessPoolExecutor(workers) as pool:
        rows = list(pool.map(PARTS[part], tasks) if workers > 1 else map(PARTS[part], tasks))
    return {name: np.array([row[name] for row in rows]).reshape(len(cases), len(seeds)) for name in rows[0]}


def interval(values: np.ndarray) -> str:
    """Return the mean over cases of means over seeds, and half the width of its 95 % interval."""
    means = values.mean(axis=1)
    return f"{means.mean():6.2f} ±{1.96 * means.std(ddof=1) / np.sqrt(len(means)):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    for part in options.parts.split(","):
        found = measure(part, seeds, options.workers)
        print(f"{part}: {found['found'].shape[0]} cases, seeds {seeds.start} to {seeds.stop - 1}")
        names = {"half": f"found, {HALF}", "found": f"found, {BUDGET}", "optimum": "optimum", "null": "null model"}
        for name, label in names.items():
            if name in found:
                print(f"  {label:12} {interval(found[name])}")
        p = ttest_rel(found["found"].mean(axis=1), found["null"].mean(axis=1)).pvalue
        beyond = (found["found"] - found["optimum"]).mean(axis=1)
        print(f"  found less optimum, by case: {np.round(beyond, 1).tolist()}")
        print(f"  means of the seeds {np.round(found['found'].mean(axis=0), 2).tolist()}; against the null p = {p:.1e}")
        print(f"  gate passed {(found['source'] >= GATE).mean():.1%}; CPU {found['seconds'].mean():.2f} s, ", end="")
        print(f"at most {found['seconds'].max():.2f} s", flush=True)


if __name__ == "__main__":
    main()
