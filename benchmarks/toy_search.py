"""Guided search on the toy table against random, evolution and local search, with trained and with supernet evidence.

    python benchmarks/toy_table.py --out toy.csv
    python benchmarks/toy_ranks.py --table toy.csv --seeds 10 --out ranks.csv
    python benchmarks/toy_search.py --table toy.csv [--ranks ranks.csv] [--seeds 200] [--budgets 16 32 64]

Regret is what the chosen network lacks to the best of all 256 in true accuracy (points), its rank counted from 0. A
budget is of different networks; repeats are free. Without ranks a search sees the validation accuracy of the networks
trained alone. With them it sees the loss inside a supernet: one row of numbers is the network with the lowest loss,
the other the one of the five lowest that has the best validation accuracy once these five are trained alone. Then
`--seeds` searches are spread evenly over the supernets; intervals (95 %, percentile bootstrap) resample the searches,
or the supernets. In between comes what acting on the suggestions for exclusion would do.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd

from ogive.spaces.base import Space, get_space
from ogive.strategies.base import get_strategy
from ogive.strategies.evidence import gather, suggestions

TEMPLATE = Path(__file__).parents[1] / "examples" / "templates" / "toy.yaml"
STRATEGIES = {
    "random": 8,
    "evolution": 1,
    "evolution:population=10,sample=3": 1,
    "evolution:population=16,sample=5": 1,
    "local": 1,
    "guided": 8,
    "guided:T=0.175": 8,
    "guided:c=0": 8,
}
"""Proposals asked for at a time."""


def search(spec: str, space: Space, seen: np.ndarray, budget: int, seed: int) -> list[int]:
    """Return the first so many different networks that a search evaluates."""
    strategy = get_strategy(spec, space, seed=seed)
    found: dict[int, None] = {}
    while len(found) < budget:
        genotypes = strategy.ask(STRATEGIES[spec])
        at = space.index(genotypes)
        strategy.tell(genotypes, seen[at, None])
        found |= dict.fromkeys(at.tolist())
    return list(found)[:budget]


def interval(values: np.ndarray) -> str:
    """Return the mean of rows and its interval, ``(units, searches)``; units are resampled."""
    units = values.mean(axis=1)
    rng = np.random.default_rng(0)
    low, high = np.quantile(units[rng.integers(0, len(units), (2000, len(units)))].mean(axis=1), [0.025, 0.975])
    return f"{units.mean():.2f} ({low:.2f} to {high:.2f})"


def report(
    title: str, space: Space, evidence: list[np.ndarray], table: pd.DataFrame, options: argparse.Namespace
) -> None:
    """Print regret and rank of each strategy; the searches are spread over the sources of evidence."""
    truth, val = table["accuracy"].to_numpy(), table["val_accuracy"].to_numpy()
    rank = (-truth).argsort().argsort()
    each = max(1, options.seeds // len(evidence))
    print(f"{title}: {len(evidence)} source(s) of evidence, {each} searches with each", flush=True)
    for spec in STRATEGIES:
        start = time.process_time()
        picks = np.zeros((len(evidence), each, len(options.budgets), 2), dtype=int)
        for i, seen in enumerate(evidence):
            for s in range(each):
                order = np.array(search(spec, space, seen, max(options.budgets), options.first_seed + i * each + s))
                for b, budget in enumerate(options.budgets):
                    best = order[:budget][np.argsort(-seen[order[:budget]], kind="stable")]
                    picks[i, s, b] = best[0], best[:5][val[best[:5]].argmax()]
        seconds = (time.process_time() - start) / (len(evidence) * each)
        for which, name in enumerate(["pick", "best of five"][: 1 + (len(evidence) > 1)]):
            # With one source of evidence the searches themselves are the units.
            chosen = picks[..., which] if len(evidence) > 1 else picks[0, :, None, :, which]
            cells = [
                f"{budget}: {interval((truth.max() - truth[chosen])[..., b])}, rank {rank[chosen][..., b].mean():.1f}"
                for b, budget in enumerate(options.budgets)
            ]
            print(f"  {spec:34} {name:12} {'  '.join(cells)}  CPU {seconds:.3f} s a search", flush=True)


def pruning(space: Space, table: pd.DataFrame, options: argparse.Namespace) -> None:
    """Print what excluding all that is suggested after 16 guided evaluations does to 16 random ones that follow."""
    truth, val = table["accuracy"].to_numpy(), table["val_accuracy"].to_numpy()
    rows = []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        rng = np.random.default_rng(seed)
        at = np.array(search("guided", space, val, 16, seed))
        genotypes = space.from_index(at)
        found = suggestions(space, gather(space, genotypes, val[at], seed=seed), genotypes, val[at])
        noise = rng.permutation(val[at])
        alarms = suggestions(space, gather(space, genotypes, noise, seed=seed), genotypes, noise)
        pruned = space.restrict(
            exclude={c.name: [s.option for s in found if s.choice == c.name] for c in space.choices}
        )
        best = [truth.max() - truth[where.index(where.sample(16, rng))].max() for where in (space, pruned)]
        left = pruned.index(pruned.enumerate())
        rows.append([len(found), len(alarms), len(left) / len(table), truth.argmax() in left, *best])
    n, alarms, kept, alive, *regret = np.array(rows, dtype=float).T
    print(f"suggestions after 16 guided evaluations: {n.mean():.2f}, {alarms.mean():.2f} where values are shuffled")
    print(f"  kept {kept.mean():.0%} of the space, the best network in {alive.mean():.0%} of the searches")
    for where, values in zip(("whole", "pruned"), regret, strict=True):
        print(f"  regret of the best of the next 16 random ones, {where} space: {interval(values[:, None])}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--ranks", type=Path)
    parser.add_argument("--seeds", type=int, default=200, help="searches of every strategy")
    parser.add_argument("--first-seed", type=int, default=1000)
    parser.add_argument("--budgets", type=int, nargs="+", default=[16, 32, 64])
    options = parser.parse_args()
    space = get_space(f"template:path={TEMPLATE}")
    table = pd.read_csv(options.table)
    table.index = pd.Index(space.index(space.parse(table["arch"].tolist())))
    table = table.sort_index()
    report("trained alone", space, [table["val_accuracy"].to_numpy()], table, options)
    pruning(space, table, options)
    if options.ranks:
        ranks = pd.read_csv(options.ranks)
        ranks.index = pd.Index(space.index(space.parse(ranks["arch"].tolist())))
        for sampler, of_sampler in ranks.groupby("sampler"):
            groups = of_sampler.groupby("seed")
            losses = [-group.sort_index()["loss_recalibrated"].to_numpy() for _, group in groups]
            report(f"inside supernets, {sampler} sampling", space, losses, table, options)


if __name__ == "__main__":
    main()
