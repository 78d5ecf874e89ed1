"""How well a supernet ranks the 256 toy networks, against the same networks trained alone.

    python benchmarks/toy_table.py --out toy.csv
    python benchmarks/toy_ranks.py --table toy.csv [--seeds 3] [--out ranks.csv]

Uniform sampling for 40 epochs and fair sampling for 10: both run as many forward passes. Every network is scored with
the running statistics of batch normalisation and with statistics of its own. `tau` is Kendall's tau-b with the truth
(mean of validation and test accuracy over the trainings alone), `best of 10` the true rank of the best network among
the ten that the supernet puts first, where 1 is the best of all.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import kendalltau

from ogive.spaces.base import get_space
from ogive.tasks.base import get_task
from ogive.training.recalibration import Scorer
from ogive.training.supernet import Supernet
from ogive.training.supernet_config import SupernetConfig
from ogive.training.supernet_trainer import SupernetTrainer

TEMPLATE = Path(__file__).parents[1] / "examples" / "templates" / "toy.yaml"
TASK = "digits:noise=0.45,test=497"
RECIPES = {
    "uniform": "sampler=uniform,epochs=40,lr=0.05,batch_size=32",
    "fair": "sampler=fair,epochs=10,lr=0.05,batch_size=32",
}


def scores(recipe: str, seed: int, archs: list[str]) -> pd.DataFrame:
    """Return accuracy (%) and loss (nats) on validation of every network inside one supernet."""
    space, task = get_space(f"template:path={TEMPLATE}"), get_task(TASK)
    config = SupernetConfig.parse(f"{recipe},anchors=0")
    trainer = SupernetTrainer(Supernet(space, task, seed=seed), task, config, seed=seed)
    trainer.run()
    genotypes = space.parse(archs)
    found = {}
    for statistics in ("running", "recalibrated"):
        score = Scorer(trainer.supernet, task, statistics=statistics)
        rows = [score(genotype) for genotype in genotypes]
        found |= {f"{key}_{statistics}": [row[key] for row in rows] for key in ("accuracy", "loss")}
    return pd.DataFrame({"arch": archs, **found})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="every score of every network")
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = pd.read_csv(options.table)
    truth = table["accuracy"].to_numpy()
    rank = (-truth).argsort().argsort() + 1
    kept = []
    for name, recipe in RECIPES.items():
        for seed in range(options.seeds):
            start = time.process_time()
            found = scores(recipe, seed, table["arch"].tolist())
            kept.append(found.assign(sampler=name, seed=seed))
            line = f"{name:8} seed {seed}"
            for statistics in ("running", "recalibrated"):
                loss = found[f"loss_{statistics}"].to_numpy()
                accuracy = found[f"accuracy_{statistics}"].to_numpy()
                best = rank[np.argsort(loss, kind="stable")[:10]].min()
                tau, of_accuracy = (kendalltau(truth, x).statistic for x in (-loss, accuracy))
                line += (
                    f"  {statistics}: tau {tau:.3f} (by accuracy {of_accuracy:.3f}), accuracy {accuracy.mean():.1f} %"
                )
                line += f", best of 10: {best}"
            print(f"{line}  CPU {time.process_time() - start:.0f} s", flush=True)
    if options.out:
        pd.concat(kept).to_csv(options.out, index=False, float_format="%.6g")


if __name__ == "__main__":
    main()
