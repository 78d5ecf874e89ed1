"""The model-based strategies on a space that none of their settings was chosen on: TransNAS-Bench-101, seven tasks.

    python benchmarks/unseen_space_search.py [--seeds 30] [--first-seed 1000] [--budget 50] [--strategies ...]

Prints how many of the 4,096 cells are better than the one chosen, by the column that chooses: mean over seeds with half
the width of its 95 % interval. Needs `transnasbench101_micro.csv.gz` in the folder that OGIVE_SHARED names.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np

from ogive.metrics.tables import Table
from ogive.study.bench import choices

TASKS = ("class_object", "class_scene", "jigsaw", "segmentsemantic", "autoencoder", "normal", "room_layout")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--first-seed", type=int, default=1000)
    parser.add_argument("--budget", type=int, default=50)
    parser.add_argument(
        "--strategies", default="random;evolution;local;bo:encoding=onehot;bo", help="separated by semicolons"
    )
    options = parser.parse_args()
    folder = Path(os.environ["OGIVE_SHARED"])
    table = Table.read(folder / "transnasbench101_micro.csv.gz", "transnas_micro")
    for spec in options.strategies.split(";"):
        for task in TASKS:
            column = f"{task}_val"
            (chosen,) = choices(table, column, spec, (options.budget,), options.seeds, seed=options.first_seed)
            values = table.values(column)
            better = (values > values[chosen][:, None]).sum(axis=1)
            half = 1.96 * better.std(ddof=1) / np.sqrt(len(better))
            print(f"{spec:24} {task:16} better cells {better.mean():6.1f} ±{half:.1f}", flush=True)


if __name__ == "__main__":
    main()
