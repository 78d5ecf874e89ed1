"""Search on NAS-Bench-201 with and without an embedding: single-run validation accuracy chooses, test accuracy reports.

    python benchmarks/arch2vec_search.py [--seeds 100] [--first-seed 5000] [--embeddings DIR] [--only bo,...] [--json]

Needs the table `nasbench201.csv.gz` in the folder that OGIVE_SHARED names. Embeddings are read from, or trained into,
``DIR/<preset><seed>`` (default: a new temporary folder). One line a data set, strategy and budget: means over seeds
with half the width of their 95 % interval; over several embedding seeds, the mean over all runs, an interval that
treats embeddings as drawn too, and the range of the embeddings' own means. CPU seconds are those of one run of the
largest budget, training of the embedding left out.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from tempfile import mkdtemp

import numpy as np

from ogive.metrics.tables import Table
from ogive.predictors.graph_autoencoder import pretrain
from ogive.study.bench import choices

SETS = ("cifar10", "cifar100", "imagenet16_120")
BUDGETS = (50, 100, 200)
STRATEGIES = {
    "random": "random",
    "evolution": "evolution:population=10,sample=5",
    "local": "local",
    "tpe": "optuna:TPESampler,multivariate=true",
    "onehot": "bo:encoding=onehot",
    "onehot-raw": "bo:encoding=onehot,target=raw",
    "bo": "bo",
    "arch2vec": "arch2vec-bo:embedding={arch2vec}",
    "arch2vec-raw": "arch2vec-bo:target=raw,embedding={arch2vec}",
    "arch2vec-dngo": "arch2vec-bo:surrogate=dngo,target=raw,embedding={arch2vec}",
    "arch2vec-rl": "arch2vec-rl:embedding={arch2vec}",
    "masked": "arch2vec-bo:embedding={masked}",
}
"""Name and specification; braces name the preset of the embedding."""
EMBEDDING_SEEDS = (0, 1, 2)


def embedding(folder: Path, preset: str, seed: int) -> Path:
    """Return the folder of an embedding, trained if it is not there."""
    path = folder / f"{preset}{seed}"
    if not path.exists():
        pretrain("nasbench201", preset, seed=seed).save(path)
    return path


def measure(table: Table, data: str, name: str, seeds: int, first_seed: int, folder: Path) -> list[dict]:
    """Return one row a budget."""
    spec = STRATEGIES[name]
    specs = [spec]
    if "{" in spec:
        preset = spec.partition("{")[2].rstrip("}")
        specs = [spec.format(**{preset: embedding(folder, preset, s)}) for s in EMBEDDING_SEEDS]
    start = time.process_time()
    chosen = [choices(table, f"{data}_val_accuracy", s, BUDGETS, seeds, seed=first_seed) for s in specs]
    seconds = (time.process_time() - start) / seeds / len(specs)
    out = []
    for b, budget in enumerate(BUDGETS):
        row: dict = {"data": data, "strategy": name, "budget": budget, "seeds": seeds, "embeddings": len(specs)}
        for kind in ("val", "test"):
            values = table.values(f"{data}_{kind}_accuracy")
            found = np.stack([values[c[b]] for c in chosen])  # (embeddings, seeds)
            row[kind] = float(found.mean())
            row[f"{kind}_regret"] = float(values.max() - found.mean())
            row[f"{kind}_ci"] = half_width(found)
            row[f"{kind}_by_embedding"] = found.mean(axis=1).tolist()
            row[f"{kind}_runs"] = found.mean(axis=0).tolist()
        row["cpu_seconds"] = seconds
        out.append(row)
    return out


def half_width(found: np.ndarray) -> float:
    """Return half the 95 % interval of the mean: over seeds, or a bootstrap over embeddings and seeds."""
    n_embeddings, seeds = found.shape
    if n_embeddings == 1:
        return float(1.96 * found.std(ddof=1) / np.sqrt(seeds))
    rng = np.random.default_rng(0)
    means = [
        found[rng.integers(0, n_embeddings, n_embeddings)][:, rng.integers(0, seeds, seeds)].mean() for _ in range(2000)
    ]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(high - low) / 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first-seed", type=int, default=5000)
    parser.add_argument("--embeddings", type=Path)
    parser.add_argument("--only", default=",".join(STRATEGIES), help="names, separated by commas")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--json", action="store_true", help="one JSON document a line, with every run")
    options = parser.parse_args()
    folder = options.embeddings or Path(mkdtemp(prefix="arch2vec-"))
    table = Table.read(Path(os.environ["OGIVE_SHARED"]) / "nasbench201.csv.gz", "nasbench201")
    for name in options.only.split(","):
        for data in options.sets.split(","):
            for row in measure(table, data, name, options.seeds, options.first_seed, folder):
                print(json.dumps(row) if options.json else line(row), flush=True)


def line(row: dict) -> str:
    spread = ""
    if row["embeddings"] > 1:
        means = row["val_by_embedding"]
        spread = f" val by embedding {min(means):.2f} to {max(means):.2f}"
    return (
        f"{row['data']:15} {row['strategy']:14} {row['budget']:4} val {row['val']:.3f} ±{row['val_ci']:.3f} "
        f"test {row['test']:.3f} ±{row['test_ci']:.3f} regret val {row['val_regret']:.3f} "
        f"test {row['test_regret']:.3f} CPU {row['cpu_seconds']:.2f} s{spread}"
    )


if __name__ == "__main__":
    main()
