"""How well our proxies rank NAS-Bench-201 cells: against published scores of the same cells, and against accuracy.

python benchmarks/zero_cost_ranks.py --cells 200

Reads two files of the real extracts (OGIVE_SHARED): the published scores of 725 cells on CIFAR-10, and real CIFAR-10
images. Prints Spearman coefficients with percentile bootstrap intervals over cells.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr

from ogive.metrics.base import Context
from ogive.metrics.evaluate import evaluate
from ogive.metrics.zero_cost import PROXIES
from ogive.spaces.base import get_space
from ogive.tasks.base import get_task

SHARED = Path(os.environ.get("OGIVE_SHARED", Path(__file__).parents[2] / "shared" / "data"))
PROXY_NAMES = [name for name, p in PROXIES.items() if not p.alias]


def published(cells: int, seed: int = 0) -> pd.DataFrame:
    """Return a random subset of the published cells: arch, val_accuracy, and their scores."""
    table = pd.read_csv(SHARED / "nasbench201_zero_cost_cifar10.csv.gz")
    return table.sample(min(cells, len(table)), random_state=seed).sort_index().reset_index(drop=True)


def measured(archs: list[str], batch_size: int, seed: int) -> pd.DataFrame:
    """Return our scores of the cells at C=16, N=5 on CIFAR-10 images, as `ogive measure` gives them."""
    space, task = get_space("nasbench201"), get_task(f"cifar10:path={SHARED / 'cifar10_lossless_first4000.npz'}")
    context = Context(task=task, seed=seed, options={"zero_cost": {"batch_size": batch_size}})
    scores = evaluate([*PROXY_NAMES, "params", "macs"], space, space.parse(archs), context)
    return pd.DataFrame(scores.values)


def spearman(a: pd.Series, b: pd.Series) -> float:
    """Return Spearman's coefficient over the cells both have; -inf ranks below every number."""
    both = a.notna() & b.notna()
    return float(spearmanr(a[both].rank(), b[both].rank()).statistic)


def interval(a: pd.Series, b: pd.Series, draws: int = 1000) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of Spearman's coefficient, cells resampled."""
    rng = np.random.default_rng(0)
    pair = pd.DataFrame({"a": a, "b": b}).dropna()
    found = [spearman(s["a"], s["b"]) for s in (pair.iloc[rng.integers(0, len(pair), len(pair))] for _ in range(draws))]
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def report(table: pd.DataFrame, ours: pd.DataFrame) -> pd.DataFrame:
    """Return one row a quantity: agreement with the published scores, and both scores' agreement with accuracy."""
    accuracy, rows = table["val_accuracy"], []
    for name in ours:
        theirs = table.get({"macs": "flops"}.get(name, name))
        low, high = interval(ours[name], accuracy)
        row = {"proxy": name, "accuracy, ours": spearman(ours[name], accuracy), "low": low, "high": high}
        if theirs is not None:
            low, high = interval(ours[name], theirs)
            row |= {
                "accuracy, published": spearman(theirs, accuracy),
                "ours vs published": spearman(ours[name], theirs), "vs low": low, "vs high": high,
            }  # fmt: skip
        rows.append(row)
    return pd.DataFrame(rows).set_index("proxy").round(3)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", type=Path, help="write our scores to this CSV file")
    args = parser.parse_args()
    torch.set_num_threads(1)
    table = published(args.cells)
    start = time.process_time()
    ours = measured(table["arch"].tolist(), args.batch_size, args.seed)
    seconds = time.process_time() - start
    if args.save:
        ours.to_csv(args.save, index=False)
    print(f"{len(table)} cells, batch {args.batch_size}, seed {args.seed}, {seconds / len(table):.2f} CPU-s a cell")
    print(report(table, ours).to_string(na_rep=""))


if __name__ == "__main__":
    main()
