"""What a lock can be, what chance gives, and what the published loop gives: mean percentile of one target at a time.

    python benchmarks/archlock_bounds.py [--runs 20] [--gates pct:98]

Over all (source, target) pairs of TransNAS-Bench-101 micro (42) and NAS-Bench-201 (6). ``--gates released`` takes the
released thresholds of NAS-Bench-201's validation accuracy and no other table. Needs `transnasbench101_micro.csv.gz`
and `nasbench201.csv.gz` in the folder that OGIVE_SHARED names. Means over pairs, then 95 % intervals over runs.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
from pathlib import Path

import numpy as np

from ogive.methods._lock_legacy import CoinFlip, TrueOrder, run_legacy
from ogive.methods._lock_oracle import Landscape
from ogive.methods._lock_problem import Gate, LockProblem
from ogive.metrics.tables import Table, import_table

MICRO = [
    f"{task}_val"
    for task in ("class_object", "class_scene", "room_layout", "jigsaw", "segmentsemantic", "normal", "autoencoder")
]
NB201 = ["cifar10_val_accuracy", "cifar100_val_accuracy", "imagenet16_120_val_accuracy"]
TABLES = {
    "transnas_micro": ("transnasbench101_micro.csv.gz", MICRO),
    "nasbench201": ("nasbench201.csv.gz", NB201),
}
RELEASED = dict(zip(NB201, (90.0, 71.0, 45.0), strict=True))
ENOUGH = 10**6


def bounds(table: Table, columns: list[str], gate: Gate) -> None:
    """Print the figures that the whole table gives."""
    rows: dict[str, list[float]] = {}
    for source, target in itertools.permutations(columns, 2):
        others = [c for c in columns if c not in (source, target)]
        x = Landscape(
            LockProblem.from_table(table.name, table.space, source, [target], setting="tu", auxiliary=others, gate=gate)
        )
        rows.setdefault("source-only winner", []).append(x.aggregate[x.winner])
        rows.setdefault("mean of what passes the gate", []).append(x.feasible_mean)
        rows.setdefault("best by all other tasks", []).append(x.aggregate[x.blind])
        rows.setdefault("best", []).append(x.aggregate[x.best])
    for name, found in rows.items():
        print(f"  {name:48} {np.mean(found):6.2f}")


def loop(table: Table, pairs: list[tuple[str, str]], gates: dict[str, Gate], runs: int, peek: bool, judge: str) -> None:
    """Print what the published loop returns."""
    found, own, spent = [], [], []
    for source, target in pairs:
        gate = gates[source]
        problem = LockProblem.from_table(table.name, table.space, source, [target], gate=gate, budget=ENOUGH)
        comparator = CoinFlip(1) if judge == "coin" else TrueOrder(table.space)
        result = run_legacy(problem, comparator, Landscape(problem).bound, peek=peek, runs=runs)
        found.append(table.lookup(f"percentile:{target}", result.genotypes))
        own.append(table.lookup(f"percentile:{source}", result.genotypes))
        spent.append(result.evaluations[problem.source])
    mean = np.mean(found, axis=0)
    half = 1.96 * mean.std(ddof=1) / np.sqrt(runs)
    choice = "lowest true target" if peek else "fittest"
    print(
        f"  {f'published loop, {judge}, {choice}':48} {mean.mean():6.2f} ±{half:.2f}  "
        f"source {np.mean(own):.2f}  source evaluations {np.mean(spent):.0f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--gates", default="pct:98", help="a gate, or 'released'")
    options = parser.parse_args()
    folder = Path(os.environ["OGIVE_SHARED"])
    with tempfile.TemporaryDirectory() as home:
        os.environ["OGIVE_DATA"] = home
        for space, (file, columns) in TABLES.items():
            if options.gates == "released":
                if space != "nasbench201":
                    continue
                gates = {c: Gate("value", v) for c, v in RELEASED.items()}
                groups = [[(s, t) for t in columns if t != s] for s in columns]
            else:
                gates = dict.fromkeys(columns, Gate.parse(options.gates))
                groups = [list(itertools.permutations(columns, 2))]
            table = import_table(folder / file, space, space)
            for pairs in groups:
                print(f"{space}, {f'source {pairs[0][0]}' if len(groups) > 1 else f'{len(pairs)} pairs'}", flush=True)
                if len(groups) == 1:
                    bounds(table, columns, gates[columns[0]])
                for judge, peek in itertools.product(("coin", "true order"), (False, True)):
                    loop(table, pairs, gates, options.runs, peek, judge)


if __name__ == "__main__":
    main()
