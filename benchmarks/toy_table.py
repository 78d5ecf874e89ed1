"""The toy table: each of the 256 networks of `examples/templates/toy.yaml` trained alone on noisy digits.

    python benchmarks/toy_table.py --out toy.csv [--seeds 2] [--workers 2] [--train epochs=12,lr=0.03]
    ogive tables import toy.csv --name toy --space template:path=examples/templates/toy.yaml

A search sees `val_accuracy`; `accuracy`, the mean of validation and test over the seeds, is the truth that its choice
is judged by. Each training has its own random stream, given by seed and architecture.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from ogive.spaces.base import get_space
from ogive.tasks.base import get_task

TEMPLATE = Path(__file__).parents[1] / "examples" / "templates" / "toy.yaml"
TASK = "digits:noise=0.45,test=497"


def train_alone(row: int, seed: int, recipe: str) -> dict[str, float]:
    """Return accuracy (%) and loss (nats) on validation and test of one network of the template."""
    import torch

    from ogive.training.config import TrainConfig
    from ogive.training.seeding import derive, seeded
    from ogive.training.trainer import score, train

    torch.set_num_threads(1)
    space, task, stream = get_space(f"template:path={TEMPLATE}"), get_task(TASK), derive(seed, row)
    with seeded(stream):
        model = space.build(space.from_index(np.array([row])), task)
    config = TrainConfig.parse(recipe)
    found = train(model, task, config, seed=stream)
    test = score(model, task, "test")
    return {"val_accuracy": found.accuracy, "val_loss": found.loss, "test_accuracy": test["accuracy"]}


def table(rows: list[int], seeds: int, workers: int, recipe: str) -> pd.DataFrame:
    """Return one line an architecture: what each seed gave, the means over the seeds, and the truth."""
    space = get_space(f"template:path={TEMPLATE}")
    frame = pd.DataFrame({"arch": space.format_many(space.from_index(np.array(rows)))})
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for seed in range(seeds):
            found = pd.DataFrame(pool.map(partial(train_alone, seed=seed, recipe=recipe), rows, chunksize=8))
            frame = frame.join(found.add_suffix(f"_seed{seed}"))
    for name in ("val_accuracy", "val_loss", "test_accuracy"):
        frame[name] = frame.filter(like=f"{name}_seed").mean(axis=1)
    frame["accuracy"] = frame[["val_accuracy", "test_accuracy"]].mean(axis=1)
    return frame


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=2, help="trainings of every network")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--train", default="epochs=12,lr=0.03", help="recipe, as for ogive train")
    parser.add_argument("--limit", type=int, default=256, help="only so many networks, spread over the space")
    options = parser.parse_args()
    rows = np.unique(np.linspace(0, 255, options.limit).round().astype(int)).tolist()
    frame = table(rows, options.seeds, options.workers, options.train)
    frame.to_csv(options.out, index=False, float_format="%.6g")
    truth = frame["accuracy"]
    line = f"{len(frame)} networks, accuracy {truth.min():.1f} to {truth.max():.1f} %, sd {truth.std():.2f}"
    if options.seeds > 1:
        both = [frame[f"val_accuracy_seed{s}"] + frame[f"test_accuracy_seed{s}"] for s in (0, 1)]
        line += f", Kendall's tau of two seeds {kendalltau(*both).statistic:.3f}"
    print(line)


if __name__ == "__main__":
    main()
