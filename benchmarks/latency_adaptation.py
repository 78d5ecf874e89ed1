"""How well latency predictors order the architectures of a device from a few measurements, and whether spreads hold.

    python benchmarks/latency_adaptation.py [--table slice|whole|fbnet|ofa] [--seeds 10] [--samples 10,20,30,50,100]
        [--predictors "raw adaproxy:proxy=hwnas_pixel3 default"] [--targets NAME,...] [--pool NAME,...] [--per-target]

Each device of a table in turn is the target. For every seed n random architectures are measured, the others predicted.
Printed are means over targets: rank correlation with half the width of its 95 % interval over seeds, targets at 0.9 or
more, the worst target, mean absolute error in percent, and the share inside the nominal 90 % interval.

"slice" is the accuracy top slice of NAS-Bench-201: Pixel 3 is no target, the edge TPU with its failed compilations is
in no pool, and neither is the target's family (near copies and the same silicon). The other tables leave out devices of
the target's name but for the batch. Needs the latency tables in the folder that OGIVE_SHARED names.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ogive.methods.one_proxy import candidates_of
from ogive.metrics.devices import DeviceTable
from ogive.predictors.families import NEAR_COPY, exclude_family
from ogive.predictors.latency import Candidates, Index, get_latency_predictor
from ogive.predictors.monotonicity import srcc

if TYPE_CHECKING:
    from ogive.predictors.base import Floats

TABLES = {
    "slice": ("nb201_device_latency.csv.gz", "nasbench201"),
    "whole": ("nb201_device_latency_help.csv.gz", "nasbench201"),
    "fbnet": ("fbnet_device_latency_help.csv.gz", "fbnet"),
    "ofa": ("ofa_device_latency_help.csv.gz", "ofa"),
}
NAMES_ONLY = 2.0
PREDICTORS = (
    "raw:proxy=hwnas_pixel3 adaproxy:proxy=hwnas_pixel3 adaproxy:proxy=hwnas_pixel3,select=holdout ridge raw adaproxy "
    "pool_ridge pool_gp:meta=false pool_gp blend default"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", choices=TABLES, default="slice")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--samples", default="10,20,30,50,100")
    parser.add_argument("--predictors", default=PREDICTORS)
    parser.add_argument("--targets", default="", help="by default all but Pixel 3")
    parser.add_argument("--pool", default="", help="by default all but the target's family")
    parser.add_argument("--per-target", action="store_true")
    options = parser.parse_args()
    file, space = TABLES[options.table]
    table = DeviceTable.read(Path(os.environ["OGIVE_SHARED"]) / file, space)
    latencies = {name: table.device(name).latency for name in table.devices}
    sizes = [int(n) for n in options.samples.split(",")]
    specs = options.predictors.split()
    targets = named(options.targets) or [t for t in latencies if t != "hwnas_pixel3"]
    bare = candidates_of(table, ())
    found = np.full((len(specs), len(sizes), len(targets), options.seeds, 3), np.nan)
    for t, target in enumerate(targets):
        near = NEAR_COPY if options.table == "slice" else NAMES_ONLY
        pool = {d: v for d, v in exclude_family(latencies, target, near).items() if d != "hwnas_edgetpu"}
        candidates = replace(bare, pool={d: pool[d] for d in named(options.pool) or pool})
        truth = latencies[target]
        for seed in range(options.seeds):
            order = np.random.default_rng(1000 + seed).permutation(len(truth))
            order = order[np.isfinite(truth[order])]
            for k, n in enumerate(sizes):
                for s, spec in enumerate(specs):
                    found[s, k, t, seed] = score(spec, candidates, truth, order[:n], order[n:])
    for s, spec in enumerate(specs):
        print(f"\n{spec}\n  n    SRCC           >= 0.9  worst  error %  inside 90 %")
        for k, n in enumerate(sizes):
            print(f"  {n:<4d} {line(found[s, k])}", flush=True)
        if options.per_target:
            for t, target in enumerate(targets):
                print(f"  {target:24}", *(f"{v:.3f}" for v in found[s, :, t, :, 0].mean(axis=1)))


def named(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def score(spec: str, candidates: Candidates, truth: Floats, seen: Index, unseen: Index) -> tuple[float, float, float]:
    """Return rank correlation, mean absolute relative error and coverage on what was not measured."""
    mean, spread = get_latency_predictor(spec).fit(candidates, seen, truth[seen]).predict()
    error = np.abs(mean - truth)[unseen]
    inside = error <= 1.645 * spread[unseen]
    return srcc(mean[unseen], truth[unseen]), float((error / truth[unseen]).mean()), float(inside.mean())


def line(cells: Floats) -> str:
    """Return one row of the table from ``(targets, seeds, 3)``."""
    by_seed, by_target = cells[:, :, 0].mean(axis=0), cells[:, :, 0].mean(axis=1)
    half = 1.96 * by_seed.std(ddof=1) / np.sqrt(len(by_seed)) if len(by_seed) > 1 else np.nan
    _, error, inside = cells.mean(axis=(0, 1))
    reached = f"{(by_target >= 0.9).sum()} of {len(by_target)}"
    return f"{by_seed.mean():.4f} ±{half:.4f}  {reached:8} {by_target.min():.3f} {100 * error:7.2f}  {inside:.3f}"


if __name__ == "__main__":
    main()
