"""How well predictors rank NAS-Bench-201 from a few labels, and whether their intervals hold.

    python benchmarks/predictor_quality.py [--draws 20] [--labels 100]

Targets are normal scores of single-run validation accuracy; 3,000 cells not drawn are predicted. Means over draws
of the labels, with half the width of their 95 % interval for the rank correlation. Needs `nasbench201.csv.gz` in the
folder that OGIVE_SHARED names.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ogive.predictors import get_predictor
from ogive.predictors.base import rank_gaussian
from ogive.predictors.calibration import calibration
from ogive.predictors.features import Features
from ogive.predictors.gaussian_process import GaussianProcess
from ogive.spaces.base import get_space

MODELS = (
    ("gaussian_process", "functional"),
    ("gaussian_process", "onehot"),
    ("ridge", "functional"),
    ("boosting", "functional"),
    ("graph_network", "graph"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--labels", type=int, default=100)
    parser.add_argument("--models", default=",".join(f"{m}/{e}" for m, e in MODELS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    frame = pd.read_csv(Path(os.environ["OGIVE_SHARED"]) / "nasbench201.csv.gz")
    space = get_space("nasbench201")
    genotypes = space.parse(frame["arch"].tolist())
    for model in options.models.split(","):
        name, encoding = model.split("/")
        features = None if encoding == "graph" else Features(space, encoding)
        X = space.encode(genotypes, "graph") if features is None else features(genotypes)
        for data in ("cifar10", "cifar100", "imagenet16_120"):
            y = rank_gaussian(frame[f"{data}_val_accuracy"].to_numpy())
            reports = []
            for draw in range(options.draws):
                order = np.random.default_rng(draw).permutation(len(y))
                train, test = order[: options.labels], order[options.labels : options.labels + 3000]
                if name == "gaussian_process":
                    predictor = GaussianProcess(groups=features.groups.tolist())
                else:
                    predictor = get_predictor(name)
                reports.append(calibration(y[test], *predictor.fit(X[train], y[train]).predict(X[test])))
            rank = np.array([r.spearman for r in reports])
            print(
                f"{model:28} {data:15} spearman {rank.mean():.3f} ±{1.96 * rank.std(ddof=1) / np.sqrt(len(rank)):.3f} "
                f"inside 90 %: {np.mean([r.coverage_90 for r in reports]):.3f} "
                f"calibration error {np.mean([r.calibration_error for r in reports]):.3f} "
                f"CRPS {np.mean([r.crps for r in reports]):.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
