"""Regret by hand, in closed form, and against searches measured with independent implementations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap

from ogive import OgiveError
from ogive.metrics.tables import Column, Table
from ogive.spaces.nasbench201 import NASBench201
from ogive.strategies import STRATEGIES, Strategy, get_strategy
from ogive.study.bench import _run, bench_strategies, choices
from ogive.testing.strategy import Box, score

EVOLUTION_10 = "evolution:population=10,sample=3"
EVOLUTION_30 = "evolution:population=30,sample=10"


class Sweep(Strategy):
    """Proposes the whole space in order, each architecture `times` times, from architecture `seed` on."""

    name = "test-sweep"

    def __init__(self, space, *, n_objectives=1, seed=0, times=1):
        super().__init__(space, n_objectives=n_objectives, seed=seed)
        self.times, self.at = times, seed * times

    def ask(self, n):
        self.at += n
        return self.space.from_index((np.arange(self.at - n, self.at) // self.times) % self.space.box)

    def tell(self, genotypes, values, violation=None):
        assert values.shape == (len(genotypes), 1)

    def _state(self):
        return {"at": self.at}

    def _restore(self, state):
        self.at = state["at"]


STRATEGIES.add("test-sweep", Sweep)


def table_of(values, directions=("max", "max")):
    space = Box()
    columns = [Column("seen", "%", directions[0]), Column("told", "ms", directions[1])]
    return Table("box", space, space.enumerate(), columns, np.asarray(values, dtype=float))


@pytest.fixture(scope="module")
def box():
    space = Box()
    return table_of(score(space, space.enumerate(), 2).T)


@pytest.fixture(scope="module")
def nb360(shared):
    """Final results of all cells on CIFAR-100, NinaPro and Darcy flow."""
    space = NASBench201()
    data = np.load(shared / "nb360_nb201_tables.npz", allow_pickle=False)
    values = np.stack([data[f"acc_{c}"].astype(float) for c in ("cifar100", "ninapro", "darcy")])
    columns = [Column("cifar100", "%"), Column("ninapro", "%"), Column("darcy")]
    return Table("nb360", space, space.from_index(space.official()), columns, values)


@pytest.fixture(scope="module")
def nb201(shared):
    return Table.read(shared / "nasbench201.csv.gz", "nasbench201")


# -------------------------------------------------------------------- by hand and in closed form


def test_regret_by_hand():
    seen, told = np.zeros(81), np.arange(81.0)
    seen[[3, 5, 60]] = 4.0, 9.0, 7.0
    rows = bench_strategies(table_of([seen, told]), "seen", "told", ["test-sweep"], [4, 6, 1], 2)
    # Run 0 sees architectures 0, 1, 2, ...; run 1 starts at 1. Of equal ones the first seen is held.
    assert [r.budget for r in rows] == [1, 4, 6]
    assert [r.regret_mean for r in rows] == [80 - 0.5, 80 - 3.0, 80 - 5.0]
    assert [r.report_mean for r in rows] == [0.5, 3.0, 5.0]
    assert [r.objective_regret_mean for r in rows] == [9.0, 5.0, 0.0]
    assert [r.optimum_found for r in rows] == [0.0, 0.0, 1.0]
    assert rows[0].regret_ci == (79.0, 80.0)
    assert rows[1].regret_ci == (77.0, 77.0)
    assert rows[0].regret_std == pytest.approx(np.sqrt(0.5))


def test_where_lower_is_better():
    seen, told = np.arange(81.0), np.arange(81.0) + 5
    table = table_of([seen, told], ("min", "min"))
    (row,) = bench_strategies(table, "seen", "told", ["test-sweep"], [3], 1, seed=10)
    assert (row.regret_mean, row.objective_regret_mean, row.report_mean) == (10.0, 10.0, 15.0)


def test_repeats_count_or_not():
    values = np.stack([np.arange(81.0)] * 2)
    table = table_of(values)
    for repeats, expected in ((True, 80 - 2.0), (False, 80 - 5.0)):
        rows = bench_strategies(table, "seen", "told", ["test-sweep:times=2"], [2, 6], 1, repeats=repeats)
        assert rows[1].regret_mean == expected
    assert bench_strategies(table, "seen", "told", ["random"], [81], 3, repeats=False)[0].optimum_found == 1.0


def test_random_search_has_its_closed_form_regret(box):
    values = np.sort(box.values("seen"))
    for row in bench_strategies(box, "seen", "seen", ["random"], [5, 20, 100], 5_000):
        below = (np.arange(82) / 81) ** row.budget
        expected = values[-1] - (values * np.diff(below)).sum()
        error = row.regret_std / np.sqrt(5_000)
        assert abs(row.regret_mean - expected) < 4 * error


def test_interval_is_the_percentile_bootstrap(box):
    (row,) = bench_strategies(box, "seen", "told", ["random"], [10], 300, seed=4)
    chosen = choices(box, "seen", "random", [10], 300, seed=4)[0]
    regret = box.regret("told", box.values("told")[chosen])
    assert row.regret_mean == pytest.approx(regret.mean())
    expected = bootstrap((regret,), np.mean, method="percentile", random_state=1).confidence_interval
    width = expected.high - expected.low
    assert row.regret_ci == pytest.approx((expected.low, expected.high), abs=0.1 * width)


@pytest.mark.parametrize("spec", ["random", "local", "evolution:population=6,sample=3"])
def test_lanes_search_as_well_as_single_runs(box, spec):
    seeds, budgets = 300, [5, 15]
    together = choices(box, "seen", spec, budgets, seeds, seed=5)
    alone = np.concatenate(
        [_run(box, "seen", get_strategy(spec, box.space, seed=900 + i), budgets, True) for i in range(seeds)], axis=1
    )
    for one, two in zip(*(box.regret("seen", box.values("seen")[rows]) for rows in (together, alone)), strict=True):
        assert abs(one.mean() - two.mean()) <= 4 * np.sqrt((one.var() + two.var()) / seeds)


def test_same_seed_same_rows(box):
    run = [bench_strategies(box, "seen", "told", ["evolution", "nsga2"], [5, 30], 6, seed=s) for s in (1, 1, 2)]
    assert run[0] == run[1] != run[2]


def test_differences_under_the_noise_floor_or_by_chance_are_not_distinguishable():
    space = NASBench201()
    everything = space.enumerate()
    same = space.index(space.canonical(everything))
    several = np.flatnonzero(np.bincount(same, minlength=len(same))[same] > 1)
    clean = (everything @ np.arange(1.0, 7))[same]  # the same for isomorphic cells, and easy for local search
    noise = np.random.default_rng(1).normal(size=len(several))
    for spread in (0.0, 0.1, 40.0):
        noisy = clean.copy()
        noisy[several] += spread * noise
        table = Table("t", space, everything, [Column("clean"), Column("noisy")], np.stack([clean, noisy]))
        rows = bench_strategies(table, "clean", "noisy", ["random", "random:", "local"], [60], 100, seed=3)
        assert rows[0].noise_floor == pytest.approx(spread, rel=0.05)
        assert rows[0].objective_noise_floor == 0.0
        assert 40 > rows[0].regret_mean - rows[2].regret_mean > 5
        # The first two are one search twice: nothing tells them apart, with or without noise.
        told = [r.distinguishable for r in rows]
        assert told == ([(), (), ()] if spread == 40 else [("local",), ("local",), ("random", "random:")])


# -------------------------------------------------------------------- independent implementations

# Mean regret over 300 runs after 50, 100, 200, 500 queries, repeats counted: column, factor, half a printed unit.
REGRET = {
    ("cifar100", 1, 0.005): {
        "random": (2.33, 1.88, 1.52, 0.97), EVOLUTION_10: (1.72, 0.88, 0.38, 0.11), "local": (0.78, 0.15, 0.003, 0),
    },
    ("ninapro", 1, 0.005): {
        "random": (1.32, 1.14, 0.95, 0.81), EVOLUTION_10: (1.19, 0.97, 0.83, 0.70), "local": (1.29, 1.03, 0.87, 0.70),
    },
    ("darcy", 1e4, 0.5): {
        "random": (54, 31, 21, 13), EVOLUTION_10: (39, 13, 6, 3), "local": (27, 8, 4, 2),
    },
}  # fmt: skip


@pytest.mark.parametrize("column", ["cifar100", "ninapro", "darcy"])
def test_regret_matches_independent_implementations(nb360, column):
    (((_, factor, rounding), expected),) = ((k, v) for k, v in REGRET.items() if k[0] == column)
    rows = bench_strategies(nb360, column, column, list(expected), [50, 100, 200, 500], 2000, seed=1)
    for row, known in zip(rows, [p for four in expected.values() for p in four], strict=True):
        error = np.hypot(row.regret_std / np.sqrt(300), row.regret_std / np.sqrt(2000)) * factor
        assert abs(row.regret_mean * factor - known) < 3.3 * error + rounding, row


# Mean best validation accuracy after 50, 100, 200, 300 evaluations, 200 seeds, and the share that found the optimum.
ACCURACY = {
    "cifar10": {
        "random": (90.53, 90.77, 90.91, 90.99, 0.03), EVOLUTION_30: (90.82, 91.24, 91.43, 91.48, 0.69),
        "local": (91.12, 91.33, 91.44, 91.50, 0.68),
    },
    "cifar100": {
        "random": (71.11, 71.58, 71.96, 72.23, 0.03), EVOLUTION_30: (71.90, 72.88, 73.19, 73.24, 0.56),
        "local": (72.60, 73.09, 73.23, 73.25, 0.96),
    },
    "imagenet16_120": {
        "random": (45.24, 45.70, 46.05, 46.25, 0.01), EVOLUTION_30: (45.98, 46.72, 47.07, 47.20, 0.56),
        "local": (46.35, 46.78, 47.03, 47.11, 0.40),
    },
}  # fmt: skip


@pytest.mark.parametrize("dataset", list(ACCURACY))
@pytest.mark.parametrize("spec", ["random", EVOLUTION_30, "local"])
def test_accuracy_matches_independent_implementations(nb201, dataset, spec):
    column = f"{dataset}_val_accuracy"
    *expected, share = ACCURACY[dataset][spec]
    # Local search caches, so only new architectures count for it.
    rows = bench_strategies(nb201, column, column, [spec], [50, 100, 200, 300], 2000, seed=2, repeats=spec != "local")
    for row, known in zip(rows, expected, strict=True):
        error = row.regret_std * np.hypot(1 / np.sqrt(200), 1 / np.sqrt(2000))
        assert abs(row.report_mean - known) < 3.3 * error + 0.005, row
    assert abs(rows[-1].optimum_found - share) < 3.3 * np.sqrt(share * (1 - share) * (1 / 200 + 1 / 2000)) + 0.005


def test_validation_chooses_and_test_reports(nb201):
    rows = bench_strategies(
        nb201, "cifar100_val_accuracy", "cifar100_test_accuracy", ["random", "local"], [100, 500], 200
    )
    best_by_validation = nb201.values("cifar100_val_accuracy").argmax()
    floor = nb201.regret("cifar100_test_accuracy", nb201.values("cifar100_test_accuracy"))[best_by_validation]
    assert floor > 0
    last = rows[-1]
    assert (last.optimum_found, last.objective_regret_mean) == (1.0, 0.0)
    assert last.regret_mean == pytest.approx(floor)
    assert rows[1].regret_mean > rows[3].regret_mean


# -------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "sen"}, "no column 'sen'; did you mean 'seen'"),
        ({"report": "tol"}, "no column 'tol'; did you mean 'told'"),
        ({"strategies": ["randon"]}, "unknown strategy 'randon'; did you mean 'random'"),
        ({"budgets": []}, "budgets are whole numbers >= 1, not none"),
        ({"budgets": [5, 0]}, "budgets are whole numbers >= 1"),
        ({"seeds": 0}, "seeds is a whole number >= 1"),
        ({"budgets": [82], "repeats": False}, "81 architectures, fewer than budget 82"),
        ({"strategies": ["test-sweep:times=9000"], "repeats": False}, "only 1 different architectures in 2000 draws"),
    ],
)
def test_wrong_requests_are_one_line(box, options, message):
    request = {"objective": "seen", "report": "told", "strategies": ["random"], "budgets": [20], "seeds": 2} | options
    with pytest.raises(OgiveError, match=message) as caught:
        bench_strategies(box, **request)
    assert "\n" not in str(caught.value)


def test_a_table_with_holes_is_refused(box):
    values = np.stack([box.values("seen"), box.values("told")])
    values[1, 3] = np.nan
    with pytest.raises(OgiveError, match=r"column 'told' of table 'box' has values for 98\.8%"):
        bench_strategies(table_of(values), "seen", "told", ["random"], [5], 2)
