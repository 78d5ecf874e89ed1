"""Whether task embeddings mean something: cosines between real tasks, and whether near tasks transfer better.

python benchmarks/task_embeddings.py --seeds 3                  # cosines, repeatability, transfer
python benchmarks/task_embeddings.py --simulated --seeds 3      # worth at simulated targets against real trainings

Reads MNIST, CIFAR-10 and ESC-10 extracts (OGIVE_SHARED); the digits and their variants come with scikit-learn. On one
core the first takes about two minutes a seed; the second trains once for two minutes, then one minute a seed. Seed 0
was used to choose the penalty on the head's weights, so seeds start at 1.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ogive.metrics.base import Context
from ogive.metrics.evaluate import evaluate
from ogive.spaces.base import get_space
from ogive.tasks.base import Split, Task, get_task
from ogive.tasks.embedding import as_images, cosine, fisher_embedding
from ogive.training.config import TrainConfig
from ogive.training.probe import train_probe

SHARED = Path(os.environ.get("OGIVE_SHARED", Path(__file__).parents[2] / "shared" / "data"))
SPECS = {
    "digits": "digits",
    **{v: f"digits:variant={v}" for v in ("rotated", "inverted", "noisy", "permuted", "parity")},
    "mnist": f"mnist:path={SHARED / 'mnist_12k.npz'}",
    "cifar10": f"cifar10:path={SHARED / 'cifar10_lossless_first4000.npz'}",
    "esc10": f"esc10:path={SHARED / 'audio_esc10_logmel.npz'},pool=3",
}
LABELLED, HELD_OUT = 300, 400


def features(net: torch.nn.Module, task: Task, which: str, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of the first examples of a split, and their classes."""
    split = task.split(which)
    with torch.no_grad():
        return net.body(as_images(task, split.x[:most], 16)).numpy(), split.y[:most]


def transfer(nets: dict[str, torch.nn.Module], tasks: dict[str, Task]) -> np.ndarray:
    """Return the accuracy in percent of a linear probe with 300 labels, ``(nets, tasks)``."""
    out = np.empty((len(nets), len(tasks)))
    # Each fit is a network and a task of its own.
    for i, net in enumerate(nets.values()):
        for j, task in enumerate(tasks.values()):
            head = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
            head.fit(*features(net, task, "train", LABELLED))
            out[i, j] = 100 * head.score(*features(net, task, "val", HELD_OUT))
    return out


def agreement(nearness: np.ndarray, gain: np.ndarray) -> float:
    """Return the mean over targets of Spearman's coefficient between nearness and gain over the other sources."""
    n = len(nearness)
    rest = [np.delete(np.arange(n), t) for t in range(n)]
    return float(np.mean([spearmanr(nearness[r, t], gain[r, t]).statistic for t, r in enumerate(rest)]))


def mantel(nearness: np.ndarray, gain: np.ndarray, draws: int = 500) -> float:
    """Return the share of random renamings of the tasks whose agreement is as high, one-sided."""
    rng = np.random.default_rng(0)
    orders = [rng.permutation(len(nearness)) for _ in range(draws)]
    null = [agreement(nearness[np.ix_(p, p)], gain) for p in orders]
    return (1 + sum(v >= agreement(nearness, gain) for v in null)) / (1 + draws)


def cosines(seeds: int) -> None:
    """Print cosines, their repeatability, and their agreement with transfer."""
    tasks = {name: get_task(spec) for name, spec in SPECS.items()}
    names = list(tasks)
    near: dict[str, list[np.ndarray]] = {"cifar10": [], "digits": [], "all nine": []}
    same: dict[str, list[float]] = {probe: [] for probe in near}
    gains = []
    for seed in range(1, seeds + 1):
        nets = {name: train_probe([task], steps=120, seed=seed) for name, task in tasks.items()}
        blank = train_probe([tasks["digits"]], steps=0, seed=seed)
        found = transfer(nets | {"untrained": blank}, tasks)
        gains.append(found[:-1] - found[-1])
        probes = {k: nets[k] for k in ("cifar10", "digits")}
        probes["all nine"] = train_probe(list(tasks.values()), steps=400, seed=seed)
        for name, probe in probes.items():
            one, two = (np.array([fisher_embedding(t, probe, examples=500, seed=s) for t in tasks.values()])
                        for s in (2 * seed, 2 * seed + 1))  # fmt: skip
            near[name].append(cosine(one, one))
            same[name].append(float(np.diag(cosine(one, two)).mean()))
    gain = np.mean(gains, axis=0)
    for probe, found in near.items():
        mean, spread = np.mean(found, axis=0), np.std(found, axis=0, ddof=1) if seeds > 1 else np.zeros(gain.shape)
        off = ~np.eye(len(names), dtype=bool)
        print(f"\ncosines, probe trained on {probe}, mean of {seeds} seeds (deviation {spread[off].mean():.3f})")
        print(pd.DataFrame(mean, names, names).round(2).to_string())
        print(f"same task, other examples: {np.mean(same[probe]):.3f}; different tasks: {mean[off].mean():.3f}")
        each = [agreement(n, g) for n, g in zip(found, gains, strict=True)]
        p = mantel(mean, gain)
        print(f"agreement with transfer: {agreement(mean, gain):+.2f}, by seed {np.round(each, 2)}, p = {p:.3f}")
    print(f"\ngain of a linear probe over untrained features, points (rows: source), mean of {seeds} seeds")
    print(pd.DataFrame(gain, names, names).round(1).to_string())


class Part(Task):
    """The first 500 examples of each split of a task."""

    name = "part"

    def __init__(self, task: Task) -> None:
        self.task, self.input_shape, self.n_outputs = task, task.input_shape, task.n_outputs
        self.mean, self.std = task.mean, task.std

    @property
    def spec(self) -> str:
        """For messages."""
        return f"{self.task.spec} (part)"

    def split(self, which: str) -> Split:
        """Return one of the splits."""
        whole = self.task.split(which)
        return Split(whole.x[:500], whole.y[:500])


def simulated(seeds: int, architectures: int = 24) -> None:
    """Print how well worth at simulated targets orders real trainings on real targets."""
    from ogive.methods._lock_simulated import SimulatedTargets, Simulation
    from ogive.tasks.embedding import simulated_targets

    space = get_space("nasbench201:C=4,N=1")
    targets = ("noisy", "permuted", "mnist", "esc10")
    genotypes = space.sample(architectures, np.random.default_rng(77))
    recipe = TrainConfig(epochs=6)

    def trained(name: str) -> np.ndarray:
        context = Context(Part(get_task(SPECS[name])), seed=50, options={"train": recipe})
        return evaluate(["accuracy@train"], space, genotypes, context).values["accuracy@train"]

    truth = {name: trained(name) for name in ("digits", *targets)}
    rank = {name: pd.Series(v).rank(pct=True).to_numpy() for name, v in truth.items()}
    print("Spearman's coefficient of true accuracies with the source's:",
          {t: round(float(spearmanr(truth["digits"], truth[t]).statistic), 2) for t in targets})  # fmt: skip
    rows = []
    for seed in range(1, seeds + 1):
        made = SimulatedTargets(space, "digits", Simulation(), train=recipe, seed=seed)
        spread = made.worth(genotypes).mean(axis=0)
        made.targets = simulated_targets(made.embeddings[0], 15, 0.9, np.random.default_rng(seed))
        published, source = made.worth(genotypes).mean(axis=0), made.source_worth(genotypes)
        for t in targets:
            gap = rank["digits"] - rank[t]
            rows.append({
                "target": t, "seed": seed, "trainings": made.evaluations,
                "source worth": spearmanr(source, truth[t]).statistic,
                "resembling": spearmanr(spread, truth[t]).statistic,
                "cosine 0.9": spearmanr(published, truth[t]).statistic,
                "gap, resembling": spearmanr(source - spread, gap).statistic,
                "gap, cosine 0.9": spearmanr(source - published, gap).statistic,
            })  # fmt: skip
    table = pd.DataFrame(rows)
    print(table.groupby("target", sort=False).mean().round(2).to_string())
    by_seed = table.drop(columns="target").groupby("seed").mean()
    print(by_seed.round(2).to_string())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--simulated", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    (simulated if arguments.simulated else cosines)(arguments.seeds)


if __name__ == "__main__":
    main()
