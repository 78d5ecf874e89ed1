"""What a latency predictor does to a search: the measured front against the true one, on 17 published devices.

Takes the two public tables of NAS-Bench-201 (latency on 18 devices, accuracy). Each target is learned from n
measurements, the first two layers of the predicted front are measured, and what is left is compared with the true
front: share of its hypervolume (reference: largest latency, 92.4 %), and accuracy lost at the 5, 10, 25, 50 and 75 %
quantiles of latency. Prints means over targets with 95 % intervals over seeds.

    python benchmarks/latency_search.py LATENCY.csv.gz ACCURACY.csv.gz --seeds 5
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from scipy.stats import t as student

from ogive.methods._latency_search import search
from ogive.methods.one_proxy import adapt
from ogive.metrics.devices import DeviceTable
from ogive.strategies.pareto import hypervolume

FLOOR, QUANTILES = 92.4, (0.05, 0.1, 0.25, 0.5, 0.75)
TWIN = "eagle_i7_7820x"


def one(
    table: DeviceTable, worth: np.ndarray, target: str, predictor: str, n: int, layers: int, seed: int
) -> list[float]:
    """Return share of hypervolume, mean loss, worst loss, and how many were measured to verify."""
    latency = table.device(target).latency
    proxy = "hwnas_pixel3" if predictor == "raw" else None
    found = adapt(table, target, samples=n, predictor=predictor, proxy=proxy, seed=seed)
    front = search(found, worth, lambda rows: latency[rows], layers=layers)
    known = np.isfinite(latency)
    reference = np.array([FLOOR, -latency[known].max()])
    share = hypervolume(np.column_stack([front.worth, -front.latency]), reference) / hypervolume(
        np.column_stack([worth[known], -latency[known]]), reference
    )
    losses = []
    for cap in np.quantile(latency[known], QUANTILES):
        legal = front.latency <= cap
        best = front.worth[legal].max() if legal.any() else FLOOR
        losses.append(worth[known][latency[known] <= cap].max() - best)
    return [share, float(np.mean(losses)), float(np.max(losses)), float(len(front.verified))]


def main() -> None:
    """Print a row a predictor and number of measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("latency")
    parser.add_argument("accuracy")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--samples", type=int, nargs="+", default=[10, 30])
    parser.add_argument("--predictors", nargs="+", default=["raw", "ridge", "default"])
    parser.add_argument("--layers", type=int, default=2)
    given = parser.parse_args()
    table = DeviceTable.read(given.latency, "nasbench201")
    accuracy = pd.read_csv(given.accuracy).set_index("arch")["cifar10_test_accuracy"]
    worth = accuracy[table.space.format_many(table.genotypes)].to_numpy()
    # The pixel is what the raw proxy is; it is no target there.
    for predictor in given.predictors:
        targets = [d for d in table.devices if d != TWIN and not (predictor == "raw" and d == "hwnas_pixel3")]
        for n in given.samples:
            runs = np.array(
                [[one(table, worth, d, predictor, n, given.layers, s) for d in targets] for s in range(given.seeds)]
            ).mean(axis=1)
            half = student.ppf(0.975, given.seeds - 1) * runs.std(axis=0, ddof=1) / np.sqrt(given.seeds)
            share, loss, worst, verified = (f"{m:.4f} +- {h:.4f}" for m, h in zip(runs.mean(axis=0), half, strict=True))
            print(f"{predictor:10s} n={n:<3d} hypervolume {share}  loss {loss}  worst {worst}  verified {verified}")


if __name__ == "__main__":
    main()
