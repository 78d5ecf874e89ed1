"""What predictors know of how an architecture does on several tasks: from labels, from other tasks, from proxies.

    python benchmarks/archlock_predictors.py labels      [--draws 20]
    python benchmarks/archlock_predictors.py comparator  [--draws 3]
    python benchmarks/archlock_predictors.py proxies     [--draws 3]

`labels`: a Gaussian process for each of the seven tasks of TransNAS-Bench-101 micro; rank correlation with the task
(rho) and, for pairs of tasks, of predicted and true difference of ranks (gap rho), on cells without a label.
`comparator`: leave one task out on NAS-Bench-201 (five tasks) and TransNAS micro (seven): the others have 300 labels,
the one left out a few or none. `proxies`: how often each proxy, and their vote, orders a pair of NAS-Bench-201 rightly,
and what signed proxies add to predictors. Means with 1.96 standard errors over draws of the labels.
Needs the folder that OGIVE_SHARED names.
"""

from __future__ import annotations

import argparse
import os
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.special import expit, ndtr
from scipy.stats import rankdata, spearmanr

from ogive.predictors.base import rank_gaussian
from ogive.predictors.calibration import pair_calibration
from ogive.predictors.comparator import Comparator
from ogive.predictors.features import Features
from ogive.predictors.gaussian_process import GaussianProcess
from ogive.predictors.proxies import SignedProxies, proxy_report
from ogive.spaces.base import get_space

SHARED = Path(os.environ.get("OGIVE_SHARED", Path(__file__).parents[2] / "shared" / "data"))
MICRO = ("class_object", "class_scene", "room_layout", "jigsaw", "segmentsemantic", "normal", "autoencoder")
NB201 = ("cifar10", "cifar100", "imagenet16_120")
VOTERS = ("fisher", "flops", "grad_norm", "grasp", "jacov", "nwot", "snip")
PROXIES = (*VOTERS, "params", "synflow", "l2_norm", "plain", "epe_nas")
CONFIDENCE = 0.75
AUXILIARY = 300


def micro():
    """Return the space, its genotypes, and the seven tasks, ``(7, 4096)``."""
    space, frame = get_space("transnas_micro"), pd.read_csv(SHARED / "transnasbench101_micro.csv.gz")
    scores = {task: frame[f"{task}_val"].to_numpy() for task in MICRO}
    return space, space.parse(frame["arch"].tolist()), scores


def nasbench201():
    """Return the space, its genotypes, and five tasks, ``(5, 15625)``."""
    space, frame = get_space("nasbench201"), pd.read_csv(SHARED / "nasbench201.csv.gz")
    more = np.load(SHARED / "nb360_nb201_tables.npz")
    scores = {data: frame[f"{data}_val_accuracy"].to_numpy() for data in NB201}
    scores |= {task: more[f"acc_{task}"].astype(np.float64) for task in ("ninapro", "darcy")}
    return space, space.parse(frame["arch"].tolist()), scores


def interval(values):
    """Return mean and 1.96 standard errors over draws, the first axis."""
    values = np.asarray(values)
    return values.mean(axis=0), 1.96 * values.std(axis=0, ddof=1) / np.sqrt(len(values))


def written(values, form="{:.3f} ±{:.3f}"):
    return form.format(*map(float, interval(values)))


def process(X, y, groups):
    return GaussianProcess(groups=groups).fit(X, rank_gaussian(y))


# -------------------------------------------------------------------- labels


def gap_rhos(predicted, true):
    """Return mean rho over tasks, and mean rho of the differences of ranks over pairs of tasks; both ``(t, n)``."""
    p, t = rankdata(predicted, axis=1), rankdata(true, axis=1)
    rho = np.mean([spearmanr(a, b).statistic for a, b in zip(p, t, strict=True)])
    gaps = [spearmanr(p[i] - p[j], t[i] - t[j]).statistic for i, j in combinations(range(len(p)), 2)]
    return float(rho), float(np.mean(gaps))


def label_efficiency(draw, n, encoding="functional", cells=None):
    """Return (rho, gap rho) on all unlabelled cells, and on those that compute another function than any labelled."""
    space, genotypes, scores = cells or micro()
    true, kinds = np.stack([*scores.values()]), space.index(space.canonical(genotypes))
    features = Features(space, encoding)
    X, groups = features(genotypes), features.groups.tolist()
    order = np.random.default_rng(draw).permutation(len(X))
    train, test = order[:n], order[n:]
    predicted = np.stack([process(X[train], y[train], groups).predict(X[test])[0] for y in true])
    fresh = ~np.isin(kinds[test], kinds[train])
    return *gap_rhos(predicted, true[:, test]), *gap_rhos(predicted[:, fresh], true[:, test[fresh]])


def labels(draws):
    cells = micro()
    print("TransNAS micro, a Gaussian process a task: rho, gap rho; the same on other functions than any labelled one")
    for encoding, n in (("functional", 50), ("functional", 100), ("functional", 300), ("onehot", 100)):
        found = np.array([label_efficiency(draw, n, encoding, cells) for draw in range(draws)])
        print(f"{encoding:10} {n:4} labels  ", "   ".join(written(column) for column in found.T), flush=True)


# -------------------------------------------------------------------- comparator


def contenders(X, groups, train, scores, left_out, n):
    """Yield name, worth, and win probability by two rows, of each way to know a task from n of its labels."""
    others = [t for t in range(len(scores)) if t != left_out]
    normal = np.stack([rank_gaussian(y[train]) for y in scores])

    def gaussian(mean, std):
        return mean, lambda a, b: ndtr((mean[a] - mean[b]) / np.hypot(std[a], std[b]))

    def logistic(worth, _):
        return worth, lambda a, b: expit(worth[a] - worth[b])

    if not n:
        fitted = GaussianProcess(groups=groups).fit(X[train], normal[others].mean(axis=0))
        yield "GP of the other tasks' mean", *gaussian(*fitted.predict(X))
        alone = np.empty((len(others), 0))
        for holdout in ("architectures", "tasks"):
            model = Comparator(holdout=holdout, confidence=CONFIDENCE).fit_tasks(X[train], alone, normal[others])
            yield f"comparator, {holdout} held out", *logistic(*model.worth(X))
        return
    own = rank_gaussian(scores[left_out][train[:n]])
    fitted = GaussianProcess(groups=groups).fit(X[train[:n]], own)
    yield "GP, own labels", *gaussian(*fitted.predict(X))
    yield "comparator, own labels", *logistic(*Comparator(confidence=CONFIDENCE).fit(X[train[:n]], own).worth(X))
    normal[left_out] = np.nan
    normal[left_out, :n] = own
    tasks = np.eye(len(scores))
    model = Comparator(confidence=CONFIDENCE).fit_tasks(X[train], tasks, normal)
    yield "comparator, both", *logistic(*model.worth(X, tasks[left_out]))


def judged(worth, probability, y, test, rng):
    """Return rho, pairwise accuracy, calibration error, share of sure pairs and accuracy among them."""
    a, b = test[rng.integers(0, len(test), (2, 20_000))]
    a, b = a[y[a] != y[b]], b[y[a] != y[b]]
    won = y[a] > y[b]
    rho = spearmanr(worth[test], y[test]).statistic
    p = probability(a, b)
    report = pair_calibration(p, won, np.maximum(p, 1.0 - p) >= CONFIDENCE)
    return rho, report.accuracy, report.calibration_error, report.sure, report.sure_accuracy


def comparator(draws):
    for name, load in (("NAS-Bench-201", nasbench201), ("TransNAS micro", micro)):
        space, genotypes, named = load()
        every, features = np.stack([*named.values()]), Features(space)
        all_X, groups = features(genotypes), features.groups.tolist()
        print(
            f"{name}: rho, pairwise accuracy, calibration error, sure pairs, accuracy of sure; rho by task {[*named]}"
        )
        for n in (0, 10, 25, 100):
            rows = {}
            for draw in range(draws):
                rng = np.random.default_rng(draw)
                drawn = rng.permutation(len(all_X))[: AUXILIARY + 3000]
                X, scores = all_X[drawn], every[:, drawn]
                train, test = np.split(np.arange(len(X)), [AUXILIARY])
                for task, y in enumerate(scores):
                    for who, worth, probability in contenders(X, groups, train, scores, task, n):
                        found = judged(worth, probability, y, test, rng)
                        rows.setdefault(who, np.empty((draws, len(scores), 5)))[draw, task] = found
            for who, r in rows.items():
                numbers = "  ".join(written(column) for column in np.nanmean(r, axis=1).T)
                print(f"{n:4} labels  {who:28} {numbers}  {r[..., 0].mean(axis=0).round(2)}", flush=True)


# -------------------------------------------------------------------- proxies


def published():
    """Return cells, proxies ``(12, 725)`` by name, and the final-epoch scores of the same cells."""
    table = pd.read_csv(SHARED / "nasbench201_zero_cost_cifar10.csv.gz")
    space, genotypes, scores = nasbench201()
    cells = space.parse(table["arch"].tolist())
    where = np.full(space.box, -1)
    where[space.index(genotypes)] = np.arange(len(genotypes))
    rows = where[space.index(cells)]
    # A score the source marks invalid is below every other.
    proxies = {name: table[name].fillna(-np.inf).to_numpy() for name in PROXIES}
    return space, cells, proxies, {task: y[rows] for task, y in scores.items()}


def proxies(draws):
    space, cells, named, tasks = published()
    report = proxy_report({name: named[name] for name in VOTERS}, tasks)
    report += [row for row in proxy_report(named, tasks) if row.proxy not in {*VOTERS, "majority"}]
    table = pd.DataFrame([(r.proxy, r.task, f"{r.accuracy:.3f} ±{1.96 * r.error:.3f}") for r in report])
    print(table.pivot_table(index=0, columns=1, values=2, aggfunc="first")[[*tasks]].to_string(), "\n")
    for warning in filter(None, (r.warning for r in report)):
        print(warning)
    P, features = np.stack([*named.values()], axis=1), Features(space)
    X, scores = features(cells), np.stack([*tasks.values()])
    for n in (0, 10, 25, 100):
        rows = {}
        for draw in range(draws):
            order = np.random.default_rng(draw).permutation(len(X))
            train, test = order[:AUXILIARY], order[AUXILIARY:]
            for task, y in enumerate(scores):
                others = [t for t in range(len(scores)) if t != task]
                Q = SignedProxies().fit(P[train], scores[np.ix_(others, train)])(P)
                for kind, Z in (("without", X), ("with", np.hstack([X, Q]))):
                    groups = [*features.groups.tolist(), *[2] * (Z.shape[1] - X.shape[1])]
                    for who, worth, _ in contenders(Z, groups, train, scores, task, n):
                        rho = spearmanr(worth[test], y[test]).statistic
                        rows.setdefault(f"{who}, {kind} proxies", np.empty((draws, len(scores))))[draw, task] = rho
        for who, r in rows.items():
            print(f"{n:4} labels  {who:45} rho {written(r.mean(axis=1))}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("labels", "comparator", "proxies"))
    parser.add_argument("--draws", type=int)
    options = parser.parse_args()
    torch.set_num_threads(1)
    part, usual = {"labels": (labels, 20), "comparator": (comparator, 3), "proxies": (proxies, 3)}[options.part]
    part(options.draws or usual)


if __name__ == "__main__":
    main()
