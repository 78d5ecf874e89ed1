"""Search on NAS-Bench-201 with and without an embedding: single-run validation accuracy chooses, test accuracy reports.

    python benchmarks/arch2vec_search.py [--seeds 51] [--budgets 50,100,200] [--embeddings DIR] [--only bo,...] [--json]

Needs the table `nasbench201.csv.gz` in the folder that OGIVE_SHARED names. Embeddings are read from, or trained into,
``DIR/<preset>-<seed>`` (default: a new temporary folder). One line a data set, strategy and budget: means over seeds
with half the width of their 95 % interval. Strategies in an embedding share the seeds out among three embeddings of
different training seeds; their interval treats the embeddings as drawn too, which three say little about, and the
range of the embeddings' own means is given. CPU seconds are those of one run of the
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
    "arch2vec-rl-still": "arch2vec-rl:learning_rate=0,embedding={arch2vec}",
    "masked": "arch2vec-bo:embedding={masked}",
}
"""Name and specification; braces name the preset of the embedding. The policy of "still" never learns."""
EMBEDDING_SEEDS = (0, 1, 2)


def embedding(folder: Path, preset: str, seed: int) -> Path:
    """Return the folder of an embedding, trained if it is not there."""
    path = folder / f"{preset}-{seed}"
    if not path.exists():
        pretrain("nasbench201", preset, seed=seed).save(path)
    return path


def measure(table: Table, data: str, name: str, budgets: list[int], seeds: int, first_seed: int, folder: Path) -> list:
    """Return one row a budget."""
    spec = STRATEGIES[name]
    specs = [spec]
    if "{" in spec:
        preset = spec.partition("{")[2].rstrip("}")
        specs = [spec.format(**{preset: embedding(folder, preset, s)}) for s in EMBEDDING_SEEDS]
    blocks = np.array_split(np.arange(first_seed, first_seed + seeds), len(specs))
    start = time.process_time()
    chosen = [
        choices(table, f"{data}_val_accuracy", s, budgets, len(block), seed=int(block[0]))
        for s, block in zip(specs, blocks, strict=True)
    ]
    seconds = (time.process_time() - start) / seeds
    out = []
    for b, budget in enumerate(budgets):
        row: dict = {"data": data, "strategy": name, "budget": budget, "seeds": seeds, "embeddings": len(specs)}
        for kind in ("val", "test"):
            values = table.values(f"{data}_{kind}_accuracy")
            found = [values[c[b]] for c in chosen]  # an array for each embedding
            runs = np.concatenate(found)
            row[kind] = float(runs.mean())
            row[f"{kind}_regret"] = float(values.max() - runs.mean())
            row[f"{kind}_ci"] = half_width(found)
            row[f"{kind}_by_embedding"] = [float(part.mean()) for part in found]
            row[f"{kind}_runs"] = runs.tolist()
        row["cpu_seconds"] = seconds
        out.append(row)
    return out


def half_width(found: list[np.ndarray]) -> float:
    """Return half the 95 % interval of the mean: over seeds, or a bootstrap over embeddings and seeds."""
    if len(found) == 1:
        return float(1.96 * found[0].std(ddof=1) / np.sqrt(len(found[0])))
    rng = np.random.default_rng(0)
    means = []
    for _ in range(2000):
        parts = [found[i] for i in rng.integers(0, len(found), len(found))]
        means.append(np.mean([rng.choice(part, len(part)).mean() for part in parts]))
    low, high = np.quantile(means, [0.025, 0.975])
    return float(high - low) / 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=51)
    parser.add_argument("--first-seed", type=int, default=5000)
    parser.add_argument("--budgets", default=",".join(map(str, BUDGETS)))
    parser.add_argument("--embeddings", type=Path)
    parser.add_argument("--only", default=",".join(STRATEGIES), help="names, separated by commas")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--json", action="store_true", help="one JSON document a line, with every run")
    options = parser.parse_args()
    folder = options.embeddings or Path(mkdtemp(prefix="arch2vec-"))
    table = Table.read(Path(os.environ["OGIVE_SHARED"]) / "nasbench201.csv.gz", "nasbench201")
    budgets = [int(b) for b in options.budgets.split(",")]
    for name in options.only.split(","):
        for data in options.sets.split(","):
            for row in measure(table, data, name, budgets, options.seeds, options.first_seed, folder):
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
