"""Search quality on NAS-Bench-201: single-run validation accuracy chooses, test accuracy reports.

    python benchmarks/model_based_search.py [--seeds 200] [--first-seed 1000] [--strategies bo,evolution,...]

Needs the table `nasbench201.csv.gz` in the folder that OGIVE_SHARED names. One line a data set, strategy and budget:
means over seeds with half the width of their 95 % interval, and CPU seconds a run of the largest budget.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np

from ogive.metrics.tables import Table
from ogive.strategies.base import STRATEGIES
from ogive.study.bench import choices

SETS = ("cifar10", "cifar100", "imagenet16_120")
BUDGETS = (50, 100)
STRATEGY_SPECS = (
    "random;evolution;local;reinforce;optuna:TPESampler,multivariate=true;bananas;"
    "bo:encoding=onehot;bo:siblings=false;bo"
)


def measure(table: Table, data: str, spec: str, seeds: int, first_seed: int) -> list[dict]:
    """Return one row a budget."""
    start = time.process_time()
    chosen = choices(table, f"{data}_val_accuracy", spec, BUDGETS, seeds, seed=first_seed)
    seconds = (time.process_time() - start) / seeds
    out = []
    for budget, rows in zip(BUDGETS, chosen, strict=True):
        row: dict = {"data": data, "strategy": spec, "budget": budget, "seeds": seeds, "first_seed": first_seed}
        for kind in ("val", "test"):
            values = table.values(f"{data}_{kind}_accuracy")
            found = values[rows]
            row[kind] = float(found.mean())
            row[f"{kind}_ci"] = float(1.96 * found.std(ddof=1) / np.sqrt(seeds))
            row[f"{kind}_regret"] = float(values.max() - found.mean())
        val = table.values(f"{data}_val_accuracy")
        row["optimum_found"] = float((val[rows] == val.max()).mean())
        row["cpu_seconds"] = seconds
        out.append(row)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first-seed", type=int, default=1000)
    parser.add_argument("--strategies", default=STRATEGY_SPECS, help="separated by semicolons")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--json", action="store_true", help="one JSON document a line")
    options = parser.parse_args()
    table = Table.read(Path(os.environ["OGIVE_SHARED"]) / "nasbench201.csv.gz", "nasbench201")
    for spec in options.strategies.split(";"):
        assert spec.partition(":")[0] in STRATEGIES, spec
        for data in options.sets.split(","):
            for row in measure(table, data, spec, options.seeds, options.first_seed):
                if options.json:
                    print(json.dumps(row), flush=True)
                    continue
                print(
                    f"{row['data']:15} {row['strategy']:40} {row['budget']:4} "
                    f"val {row['val']:.3f} ±{row['val_ci']:.3f} test {row['test']:.3f} ±{row['test_ci']:.3f} "
                    f"regret val {row['val_regret']:.3f} test {row['test_regret']:.3f} "
                    f"optimum {row['optimum_found']:.0%} CPU {row['cpu_seconds']:.2f} s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
