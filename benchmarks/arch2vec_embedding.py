"""What architecture embeddings know: reconstruction, generation, and how well few labels on them rank NAS-Bench-201.

    python benchmarks/arch2vec_embedding.py quality --seeds 3
    python benchmarks/arch2vec_embedding.py rank --draws 20 --seeds 3

`quality` trains and prints, beside CPU seconds, what Yan et al. report and the strict figures. `rank` prints Spearman's
correlation with seed-averaged test accuracy over 3,000 cells that had no label: a model on normal scores of
single-run validation accuracy, averaged over draws of the labels (the same for all encodings) with half the width of
the 95 % interval over draws; learned encodings average over embedding seeds first. "top 5 %" is the correlation among
those cells of the 3,000 that are truly the best. Untrained networks are the null. Needs `nasbench201.csv.gz` in the
folder that OGIVE_SHARED names; embeddings are kept in --cache.
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
from ogive.spaces.base import get_space

SPACE = get_space("nasbench201")
DATA = ("cifar10", "cifar100", "imagenet16_120")
PATHS = ((3,), (0, 4), (1, 5), (0, 2, 5))
"""Edges of each way from input to output."""


def paths(genotypes: np.ndarray) -> np.ndarray:
    """Return which operator sequences occur on a way from input to output, as BANANAS encodes them, (n, 155)."""
    out = np.zeros((len(genotypes), 155))
    for way in PATHS:
        first = (5 ** len(way) - 5) // 4
        column = first + genotypes[:, way].astype(int) @ (5 ** np.arange(len(way))[::-1])
        out[np.arange(len(out)), column] = 1
    return out


def trained(preset: str, seed: int, cache: Path) -> Embedding:
    """Return an embedding from the cache, or train it; "untrained-" before a preset leaves the weights as drawn."""
    folder = cache / f"{preset}-{seed}"
    if (folder / "embedding.safetensors").exists():
        return Embedding.load(folder)
    if preset.startswith("untrained-"):
        return pretrain(SPACE, preset.removeprefix("untrained-"), seed=seed, epochs=0)
    embedding = pretrain(SPACE, preset, seed=seed)
    embedding.save(folder)
    return embedding


def scaled(X: np.ndarray) -> np.ndarray:
    """Return z-scores of every column."""
    X = np.asarray(X, dtype=np.float64)
    spread = X.std(axis=0)
    return (X - X.mean(axis=0)) / np.where(spread > 1e-9, spread, 1.0)


def encodings(genotypes: np.ndarray, wanted: list[str], seeds: int, cache: Path) -> dict[str, list[np.ndarray]]:
    """Return the features of all cells, several arrays where an encoding is learned from a seed."""
    batch = GraphBatch.of(SPACE, genotypes)
    fixed = {
        "onehot": lambda: scaled(SPACE.encode(genotypes)),
        "adjacency": lambda: scaled(
            np.hstack([part.reshape(len(batch), -1) for part in (batch.onehot, batch.adjacency)])
        ),
        "paths": lambda: paths(genotypes),  # z-scores would let the rarest path decide
        "functional": lambda: Features(SPACE)(genotypes),
    }
    return {
        name: [fixed[name]()]
        if name in fixed
        else [scaled(trained(name, seed, cache).vectors(genotypes)) for seed in range(seeds)]
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
    frame = pd.read_csv(Path(os.environ["OGIVE_SHARED"]) / "nasbench201.csv.gz")
    genotypes = SPACE.parse(frame["arch"].tolist())
    features = encodings(genotypes, given.encodings.split(","), given.seeds, given.cache)
    print(f"{'encoding':24} {'model':17} {'n':>4}  all: {' / '.join(DATA)}; top 5 %")
    for name, variants in features.items():
        for model in given.models.split(","):
            for n in given.labels:
                cells = np.array(
                    [
                        [
                            np.mean([scores(model, X, labels, truth, n, draw) for X in variants], axis=0)
                            for draw in range(given.draws)
                        ]
                        for labels, truth in (
                            (frame[f"{d}_val_accuracy"].to_numpy(), frame[f"{d}_test_accuracy"].to_numpy())
                            for d in DATA
                        )
                    ]
                )
                overall, top = (" / ".join(interval(row) for row in cells[:, :, i]) for i in range(2))
                print(f"{name:24} {model:17} {n:4d}  {overall}; {top}", flush=True)


def twin(given: argparse.Namespace) -> None:
    """The published encoder trained end to end on the labels, then the same Gaussian process on its features."""
    frame = pd.read_csv(Path(os.environ["OGIVE_SHARED"]) / "nasbench201.csv.gz")
    genotypes = SPACE.parse(frame["arch"].tolist())
    for n in given.labels:
        columns = []
        for d in DATA:
            labels, truth = frame[f"{d}_val_accuracy"].to_numpy(), frame[f"{d}_test_accuracy"].to_numpy()
            found = []
            for draw in range(given.draws):
                rows = np.random.default_rng(draw).permutation(len(labels))[:n]
                model = supervise(SPACE, genotypes[rows], rank_gaussian(labels[rows]), seed=draw)
                found.append(scores("gaussian_process", scaled(model.vectors(genotypes)), labels, truth, n, draw)[0])
            columns.append(interval(np.array(found)))
        print(f"supervised twin, n={n}: {' / '.join(columns)}", flush=True)


def quality(given: argparse.Namespace) -> None:
    for preset in given.presets.split(","):
        for seed in range(given.seeds):
            start = time.process_time()
            embedding = trained(preset, seed, given.cache)
            embedding.vectors(SPACE.enumerate()[:1])
            print(f"{preset} seed {seed}: {time.process_time() - start:.1f} CPU s (0 training if cached)")
            if PRESETS[preset].model == "variational":
                print(f"  {reconstruction(embedding, split(SPACE, None, seed)[1])}")
                print(f"  {generation(embedding)}")
                legal = np.unique(embedding.sample(10_000, np.random.default_rng(0)), axis=0)
                print(f"  grammar: {len(legal)} different cells in 10,000 draws, all legal")
            print(f"  distance after 1 to 6 changes: {np.round(smoothness(embedding), 2).tolist()}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["quality", "rank", "twin"])
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
