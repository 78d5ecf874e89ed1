"""How well a small supernet ranks NAS-Bench-201 cells on CIFAR-10, against the table and against zero-cost proxies.

    python benchmarks/supernet_rank.py [--cells 120] [--space nasbench201:C=8,N=1] [--train 4000] [--passes 2000]
                                       [--seeds 1] [--out cells.csv]

Reads `cifar10_jpeg_full.npz` and `nasbench201.csv.gz` from the folder that OGIVE_SHARED names. The cells are drawn at
random. Truth is the table's test accuracy after 200 epochs at C=16, N=5. Uniform and fair training run the same number
of forward passes; cells are scored by validation loss and accuracy, on images that are not trained on. The proxies see
the same small networks and images. Kendall's tau-b and Spearman's rho with 90 % bootstrap intervals over cells; the
best proxy is picked by its tau with the truth of these very cells, which flatters it.
"""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ogive.metrics.base import Context
from ogive.metrics.evaluate import evaluate
from ogive.metrics.trust import judge, kendall
from ogive.metrics.zero_cost import PROXIES
from ogive.spaces.base import get_space
from ogive.tasks.base import get_task
from ogive.training.recalibration import Scorer
from ogive.training.supernet import Supernet
from ogive.training.supernet_config import SupernetConfig
from ogive.training.supernet_trainer import SupernetTrainer

SHARED = Path(os.environ.get("OGIVE_SHARED", Path(__file__).parents[2] / "shared" / "data"))
PATHS = {"uniform": 1, "fair": 5}
"""Forward passes a step."""


def inside(sampler: str, seed: int, archs: list[str], options: argparse.Namespace) -> tuple[pd.DataFrame, float, float]:
    """Train a supernet for so many forward passes; return its scores of the cells, and CPU seconds of both steps."""
    torch.set_num_threads(1)
    start = time.process_time()
    space, task = get_space(options.space), get_task(task_spec(options))
    per_epoch = -(-options.train // options.batch_size)
    epochs = max(1, round(options.passes / PATHS[sampler] / per_epoch))
    recipe = f"sampler={sampler},epochs={epochs},batch_size={options.batch_size},{options.recipe}"
    supernet = Supernet(space, task, seed=seed)
    trainer = SupernetTrainer(supernet, task, SupernetConfig.parse(recipe.rstrip(",")), seed=seed)
    trainer.run()
    trained = time.process_time()
    # The file has its images sorted by class.
    rows = np.random.default_rng(0).permutation(50_000 - options.train)[: options.val]
    score = Scorer(supernet, task, rows=rows, batch_size=options.batch_size)
    found = pd.DataFrame([score(genotype) for genotype in space.parse(archs)])
    return found, trained - start, time.process_time() - trained


def proxies(archs: list[str], options: argparse.Namespace) -> pd.DataFrame:
    """Return the zero-cost scores of the cells."""
    torch.set_num_threads(1)
    space, names = get_space(options.space), [*(name for name, p in PROXIES.items() if not p.alias), "params", "macs"]
    return pd.DataFrame(evaluate(names, space, space.parse(archs), Context(task=get_task(task_spec(options)))).values)


def task_spec(options: argparse.Namespace) -> str:
    return f"cifar10:path={SHARED / 'cifar10_jpeg_full.npz'},val={50_000 - options.train}"


def line(name: str, score: pd.Series, truth: pd.Series) -> str:
    """Return one line of the report."""
    kept = np.isfinite(score)
    found = judge(score[kept].to_numpy(), truth[kept].to_numpy())
    tau, rho = (f"{e.value:.3f} ({e.low:.3f} to {e.high:.3f})" for e in (found.tau, found.rho))
    return f"{name:30} {kept.sum():4} cells  tau {tau}  rho {rho}  regret {found.regret.value:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=120)
    parser.add_argument("--space", default="nasbench201:C=8,N=1")
    parser.add_argument("--train", type=int, default=4000, help="images to train on")
    parser.add_argument("--val", type=int, default=1000, help="images to score on")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--passes", type=int, default=2000, help="forward passes of each supernet")
    parser.add_argument("--recipe", default="lr=0.05", help="more of it, as for ogive supernet train")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--out", type=Path, help="every score of every cell")
    options = parser.parse_args()
    table = pd.read_csv(SHARED / "nasbench201.csv.gz").sample(options.cells, random_state=0).reset_index(drop=True)
    archs, truth = table["arch"].tolist(), table["cifar10_test_accuracy"]
    kept = pd.DataFrame({"arch": archs, "truth": truth})
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        jobs = [
            (sampler, seed, pool.submit(inside, sampler, seed, archs, options))
            for seed in range(options.seeds)
            for sampler in PATHS
        ]
        cheap = pool.submit(proxies, archs, options)
        for sampler, seed, job in jobs:
            found, training, scoring = job.result()
            for key, sign in (("loss", -1), ("accuracy", 1)):
                kept[f"{sampler}_{key}_{seed}"] = found[key]
                print(line(f"{sampler}, seed {seed}, by {key}", sign * found[key], truth), flush=True)
            mean = found["accuracy"].mean()
            print(
                f"  mean accuracy inside {mean:.1f} %, CPU {training:.0f} s training, {scoring:.0f} s scoring",
                flush=True,
            )
        scores = cheap.result()
    tau = {name: kendall(*(v[np.isfinite(scores[name])].to_numpy() for v in (scores[name], truth))) for name in scores}
    for name in sorted(tau, key=lambda n: -tau[n]):
        print(line(name, scores[name], truth), flush=True)
    if options.out:
        kept.join(scores).to_csv(options.out, index=False, float_format="%.8g")


if __name__ == "__main__":
    main()
