"""What architecture embeddings know: reconstruction, generation, and how well few labels on them rank a table.

    python benchmarks/arch2vec_embedding.py quality --seeds 3
    python benchmarks/arch2vec_embedding.py rank --draws 20 --seeds 3 [--space transnas_micro]
    python benchmarks/arch2vec_embedding.py twin --draws 5 --labels 100

`quality` trains and prints, beside CPU seconds, what Yan et al. report and the strict figures. `rank` prints Spearman's
correlation with seed-averaged test accuracy over 3,000 cells that had no label: a model on normal scores of
single-run validation accuracy, averaged over draws of the labels (the same for all encodings) with half the width of
the 95 % interval over draws; learned encodings average over embedding seeds first. "top 5 %" is the correlation among
those cells of the 3,000 that are truly the best. Untrained networks are the null. TransNAS-Bench-101, on which no
setting was chosen, has no seed-averaged values: there the labels' own column is the truth. `twin` is the published
encoder trained end to end on the same labels. Needs the tables in the folder that OGIVE_SHARED names; embeddings are
kept in --cache.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from scipy.stats import t as student

from ogive.predictors import get_predictor
from ogive.predictors._graph_quality import generation, reconstruction, smoothness
from ogive.predictors.base import rank_gaussian
from ogive.predictors.features import Features
from ogive.predictors.gaussian_process import GaussianProcess
from ogive.predictors.graph_autoencoder import PRESETS, Embedding, pretrain, split, supervise
from ogive.predictors.graph_batches import GraphBatch
from ogive.spaces.base import Space, get_space

PATHS = ((3,), (0, 4), (1, 5), (0, 2, 5))
"""Edges of each way from input to output."""


class Data:
    """A table: its genotypes, and for each column set what labels and what they are compared with."""

    def __init__(self, space: str) -> None:
        name = {"nasbench201": "nasbench201", "transnas_micro": "transnasbench101_micro"}[space]
        frame = pd.read_csv(Path(os.environ["OGIVE_SHARED"]) / f"{name}.csv.gz")
        self.space = get_space(space)
        self.genotypes = self.space.parse(frame["arch"].tolist())
        if space == "nasbench201":
            self.columns = {
                d: (frame[f"{d}_val_accuracy"].to_numpy(), frame[f"{d}_test_accuracy"].to_numpy())
                for d in ("cifar10", "cifar100", "imagenet16_120")
            }
        else:
            # A run that failed has no value; it ranks last.
            filled = {c.removesuffix("_val"): frame[c].fillna(frame[c].min()).to_numpy() for c in frame if "_val" in c}
            self.columns = {task: (values, values) for task, values in filled.items()}


def paths(genotypes: np.ndarray, base: int) -> np.ndarray:
    """Return which operator sequences occur on a way from input to output, as BANANAS encodes them, (n, 155)."""
    out = np.zeros((len(genotypes), base + base**2 + base**3))
    for way in PATHS:
        first = (base ** len(way) - base) // (base - 1)
        column = first + genotypes[:, way].astype(int) @ (base ** np.arange(len(way))[::-1])
        out[np.arange(len(out)), column] = 1
    return out


def trained(space: Space, preset: str, seed: int, cache: Path) -> Embedding:
    """Return an embedding from the cache, or train it; "untrained-" before a preset leaves the weights as drawn."""
    folder = cache / f"{space.name}-{preset}-{seed}"
    if (folder / "embedding.safetensors").exists():
        return Embedding.load(folder)
    if preset.startswith("untrained-"):
        return pretrain(space, preset.removeprefix("untrained-"), seed=seed, epochs=0)
    embedding = pretrain(space, preset, seed=seed)
    embedding.save(folder)
    return embedding


def scaled(X: np.ndarray) -> np.ndarray:
    """Return z-scores of every column."""
    X = np.asarray(X, dtype=np.float64)
    spread = X.std(axis=0)
    return (X - X.mean(axis=0)) / np.where(spread > 1e-9, spread, 1.0)


def encodings(data: Data, wanted: list[str], seeds: int, cache: Path) -> dict[str, list[np.ndarray]]:
    """Return the features of all cells, several arrays where an encoding is learned from a seed."""
    space, genotypes = data.space, data.genotypes
    batch = GraphBatch.of(space, genotypes)
    matrices = [part.reshape(len(batch), -1) for part in (batch.onehot, batch.adjacency)]
    fixed = {
        "onehot": lambda: scaled(space.encode(genotypes)),
        "adjacency": lambda: scaled(np.hstack(matrices)),
        # As they are: z-scores would let the rarest path decide.
        "paths": lambda: paths(genotypes, len(space.choices[0].options)),
        "functional": lambda: Features(space)(genotypes),
    }
    return {
        name: [fixed[name]()]
        if name in fixed
        else [scaled(trained(space, name, seed, cache).vectors(genotypes)) for seed in range(seeds)]
        for name in wanted
    }


def scores(model: str, X: np.ndarray, labels: np.ndarray, truth: np.ndarray, n: int, draw: int) -> tuple[float, float]:
    """Return the rank correlation on unlabelled cells, of all and of the best twentieth."""
    order = np.random.default_rng(draw).permutation(len(X))
    train, test = order[:n], order[n : n + 3000]
    predictor = GaussianProcess("rbf") if model == "gaussian_process" else get_predictor(model)
    mean, _ = predictor.fit(X[train], rank_gaussian(labels[train])).predict(X[test])
    best = truth[test] >= np.quantile(truth[test], 0.95)
    return spearmanr(mean, truth[test])[0], spearmanr(mean[best], truth[test][best])[0]


def interval(values: np.ndarray) -> str:
    half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():.3f}±{half:.3f}"


def rank(given: argparse.Namespace) -> None:
    data = Data(given.space)
    print(f"{'encoding':20} {'model':17} {'n':>4}  all: {' / '.join(data.columns)}; top 5 %")
    for name, variants in encodings(data, given.encodings.split(","), given.seeds, given.cache).items():
        for model in given.models.split(","):
            for n in given.labels:
                found = np.array(
                    [
                        [
                            np.mean([scores(model, X, labels, truth, n, draw) for X in variants], axis=0)
                            for draw in range(given.draws)
                        ]
                        for labels, truth in data.columns.values()
                    ]
                )
                overall, top = (" / ".join(interval(row) for row in found[:, :, i]) for i in range(2))
                print(f"{name:20} {model:17} {n:4d}  {overall}; {top}", flush=True)


def twin(given: argparse.Namespace) -> None:
    """Train the published encoder end to end on the labels, then put the same Gaussian process on its features."""
    data = Data(given.space)
    for n in given.labels:
        columns = []
        for labels, truth in data.columns.values():
            found = []
            for draw in range(given.draws):
                rows = np.random.default_rng(draw).permutation(len(labels))[:n]
                model = supervise(data.space, data.genotypes[rows], rank_gaussian(labels[rows]), seed=draw)
                X = scaled(model.vectors(data.genotypes))
                found.append(scores("gaussian_process", X, labels, truth, n, draw)[0])
            columns.append(interval(np.array(found)))
        print(f"supervised twin, n={n}: {' / '.join(columns)}", flush=True)


def quality(given: argparse.Namespace) -> None:
    space = get_space(given.space)
    for preset in given.presets.split(","):
        for seed in range(given.seeds):
            start = time.process_time()
            embedding = trained(space, preset, seed, given.cache)
            embedding.vectors(space.enumerate()[:1])
            print(f"{preset} seed {seed}: {time.process_time() - start:.1f} CPU s (0 training if cached)")
            if PRESETS[preset].model == "variational":
                print(f"  {reconstruction(embedding, split(space, None, seed)[1])}")
                print(f"  {generation(embedding)}")
                legal = np.unique(embedding.sample(10_000, np.random.default_rng(0)), axis=0)
                print(f"  grammar: {len(legal)} different cells in 10,000 draws, all legal")
            print(f"  distance after 1 to 6 changes: {np.round(smoothness(embedding), 2).tolist()}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["quality", "rank", "twin"])
    parser.add_argument("--space", default="nasbench201", choices=["nasbench201", "transnas_micro"])
    parser.add_argument("--presets", default=",".join(PRESETS))
    parser.add_argument(
        "--encodings",
        default="onehot,adjacency,paths,functional,arch2vec,arch2vec-train,untrained-arch2vec,masked,untrained-masked",
    )
    parser.add_argument("--models", default="gaussian_process")
    parser.add_argument("--labels", type=int, nargs="+", default=[20, 50, 100, 250])
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cache", type=Path, default=Path("embeddings"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    {"quality": quality, "rank": rank, "twin": twin}[given.what](given)


if __name__ == "__main__":
    main()
