"""What a linear latency model should read of a mobile network: two published tables of 5,000 networks each.

    python benchmarks/mobile_encodings.py [--seeds 5] [--first-seed 1000] [--samples 50,100,500] [--each]

A ridge regression, its penalty chosen by leave-one-out, learns from some of the networks of Once-for-All (12 columns)
or FBNet (24 columns) and orders the others. Prints SRCC with the true latency, mean over devices and seeds with half
the width of the 95 % interval over seeds; `--each` prints every device. The baseline is the number of multiply-adds,
which learns nothing. Needs `ofa_device_latency_help.csv.gz` and `fbnet_device_latency_help.csv.gz` in the folder that
OGIVE_SHARED names.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import rankdata, t

from ogive.predictors.ridge import Ridge
from ogive.spaces.base import Shape, get_space

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = ("onehot", "blocks", "scaled_blocks", "stages")
TABLES = {"ofa": "ofa_device_latency_help.csv.gz", "fbnet:cifar=true": "fbnet_device_latency_help.csv.gz"}


def read(spec: str) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
    """Return what each model reads, and the latencies by device."""
    frame = pd.read_csv(
        Path(os.environ["OGIVE_SHARED"]) / TABLES[spec], dtype={"ops": str, "resolution": str, "depths": str}
    )
    space = get_space(spec)
    if "ops" in frame:
        columns = ["ops"]
        genotypes = np.array([[int(op) for op in ops.split("-")] for ops in frame["ops"]])
    else:
        columns = list(space.table_columns)
        genotypes = space.from_table(frame[columns].to_numpy().tolist())
    genotypes = space.canonical(genotypes)
    macs = space.count(genotypes, Shape((3, space.side, space.side), 1000))["macs"]
    features = {kind: space.encode(genotypes, kind).astype(np.float64) for kind in KINDS}
    return {"macs": macs, **features}, frame.drop(columns=columns)


def scores(features: dict[str, np.ndarray], y: np.ndarray, n: int, seeds: range) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the SRCC of each model, one a seed."""
    for kind, X in features.items():
        found = []
        for seed in seeds:
            order = np.random.default_rng(seed).permutation(len(y))
            seen, rest = order[:n], order[n:]
            predicted = X[rest] if kind == "macs" else Ridge().fit(X[seen], y[seen]).predict(X[rest])[0]
            found.append(np.corrcoef(rankdata(predicted), rankdata(y[rest]))[0, 1])
        yield kind, np.array(found)


def line(found: dict[str, np.ndarray]) -> str:
    cells = []
    for kind, v in found.items():
        half = t.ppf(0.975, len(v) - 1) * v.std(ddof=1) / np.sqrt(len(v))
        cells.append(f"{kind} {v.mean():.3f} ±{half:.3f}")
    return "  ".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=1000)
    parser.add_argument("--samples", default="50,100,500", help="separated by commas")
    parser.add_argument("--each", action="store_true", help="print every device")
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    for spec in TABLES:
        features, latencies = read(spec)
        for n in map(int, options.samples.split(",")):
            by_device = {d: dict(scores(features, y.to_numpy(), n, seeds)) for d, y in latencies.items()}
            if options.each:
                for device, found in by_device.items():
                    print(f"{spec} n={n} {device:15}", line(found), flush=True)
            mean = {kind: np.mean([found[kind] for found in by_device.values()], axis=0) for kind in features}
            print(f"{spec} n={n} {'all':15}", line(mean), flush=True)


if __name__ == "__main__":
    main()
