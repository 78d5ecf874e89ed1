"""The published loop: its two ranks agree, it counts all it measures, and its figures are the specification's."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from ogive._errors import InfeasibleError
from ogive.methods._lock_legacy import HISTORY, STEPS, CoinFlip, TrueOrder, fitness, run_legacy, standing
from ogive.methods._lock_oracle import Landscape
from ogive.methods._lock_problem import Gate, LockProblem
from ogive.metrics.base import METRICS, metric
from ogive.metrics.guard import LeakError
from ogive.metrics.percentile import Aggregate
from ogive.spaces import get_space

MANY = 1_000_000
MICRO = [
    f"{t}_val"
    for t in ("class_object", "class_scene", "room_layout", "jigsaw", "segmentsemantic", "normal", "autoencoder")
]
C10, C100, IN16 = (f"{t}_val_accuracy" for t in ("cifar10", "cifar100", "imagenet16_120"))


def problem(table, source, targets, **more):
    return LockProblem.from_table(table.name, table.space, source, targets, **({"budget": MANY} | more))


def percentile(table, column, runs):
    return table.lookup(f"percentile:{column}", runs.genotypes)


# -------------------------------------------------------------------- ranks and fitness (A10)


@given(st.integers(10, 30), st.integers(1, 6), st.integers(0, 2**32))
def test_summed_wins_and_mean_ranks_order_alike_without_ties(n, k, seed):
    scores = np.random.default_rng(seed).permuted(np.tile(np.arange(n), (k, 1)), axis=1)  # (k, n), tie-free
    wins = (scores[:, :, None] > scores[:, None, :]).sum(axis=2)
    by_wins = standing(wins.sum(axis=0).astype(float))
    by_ranks = standing(-np.mean([n - 1 - wins[t] for t in range(k)], axis=0).round(9))
    np.testing.assert_array_equal(by_wins, by_ranks)
    np.testing.assert_array_equal(by_wins, rankdata(-wins.sum(axis=0)) - 1)


def test_fitness_is_target_rank_less_twice_the_source_rank():
    source = np.array([3.0, 2.0, 1.0, 0.0])
    targets = np.array([[3.0, 0.0], [2.0, 3.0], [1.0, 1.0], [0.0, 2.0]])
    mean = np.array([1.0, 0.0, 2.5, 2.5])  # wins 3, 5, 2, 2
    worst = np.array([0.5, 0.5, 3.0, 2.0])  # most wins at any target 3, 3, 1, 2
    own = np.arange(4)
    np.testing.assert_array_equal(fitness(source, targets, Aggregate("mean")), mean - 2 * own)
    np.testing.assert_array_equal(fitness(source, targets, Aggregate("worst")), worst - 2 * own)
    np.testing.assert_array_equal(fitness(source, targets, Aggregate("mean"), penalty=0), mean)


def test_the_order_of_the_population_does_not_matter():
    rng = np.random.default_rng(0)
    source, targets = rng.integers(0, 6, size=12).astype(float), rng.integers(0, 6, size=(12, 3)).astype(float)
    order = rng.permutation(12)
    found = fitness(source, targets, Aggregate())
    np.testing.assert_array_equal(fitness(source[order], targets[order], Aggregate()), found[order])


# -------------------------------------------------------------------- what it measures (A18)


@pytest.fixture
def counted():
    """A source metric that says how often each architecture was measured."""
    calls = []

    @metric("counted@test")
    def measure(space, genotypes, context):
        calls.extend(genotypes.tolist())
        return space.index(genotypes) % 97 * 1.0

    @metric("spoiled@test")
    def spoiled(space, genotypes, context):
        return space.index(genotypes) % 89 * 1.0

    yield calls
    for name in ("counted@test", "spoiled@test"):
        METRICS._items.pop(name)


def test_every_measurement_counts_those_that_fail_the_gate_too(counted):
    space = get_space("transnas_micro")
    p = LockProblem(space, "counted@test", ("spoiled@test",), gate=Gate("value", 80.0), budget=MANY)
    for peek in (False, True):
        counted.clear()
        found = run_legacy(p, CoinFlip(), 80.0, runs=5, peek=peek)
        assert found.evaluations["counted@test"].sum() == len(counted)
        # 17 of 97 values pass, so that many draws fail; mutations pass as rarely.
        assert 3 * STEPS < found.evaluations["counted@test"].mean() < 9 * STEPS
        assert found.evaluations["spoiled@test"].tolist() == [HISTORY * peek] * 5
        np.testing.assert_array_equal(found.source, space.index(found.genotypes) % 97)
        assert (found.source >= 80).all()
    population = sum(45 * 2 for _ in range(10, STEPS))
    assert found.comparisons == 5 * (population + 10 * 2 * 31 * 30 // 2)


def test_the_budget_ends_a_run_with_what_it_has(counted):
    p = LockProblem(get_space("transnas_micro"), "counted@test", ("spoiled@test",), gate=Gate("value", 80.0), budget=60)
    found = run_legacy(p, CoinFlip(), 80.0, runs=20)
    assert found.evaluations["counted@test"].tolist() == [60] * 20
    assert (found.source >= 80).all()


def test_a_gate_that_nothing_passes_names_the_best_value_seen(counted):
    p = LockProblem(
        get_space("transnas_micro"), "counted@test", ("spoiled@test",), gate=Gate("value", 99.0), budget=200
    )
    with pytest.raises(InfeasibleError, match=r"value:99 .* in 200 evaluations; the best value seen is (\d+)") as error:
        run_legacy(p, CoinFlip(), 99.0)
    best = max(int(i) % 97 for i in p.space.index(np.array(counted)))
    assert str(error.value).endswith(f" {best}")


def test_the_same_seed_gives_the_same_runs(nb201):
    p = problem(nb201, C100, [IN16], gate=Gate("value", 71.0))
    a, b = (run_legacy(p, CoinFlip(3), 71.0, runs=3) for _ in range(2))
    np.testing.assert_array_equal(a.genotypes, b.genotypes)
    other = run_legacy(problem(nb201, C100, [IN16], gate=Gate("value", 71.0), seed=1), CoinFlip(3), 71.0, runs=3)
    assert not np.array_equal(a.genotypes, other.genotypes)


def test_lower_is_better_is_respected(tmp_path, nb201):
    """Negating a column and its direction changes nothing."""
    import pandas as pd

    from ogive.metrics.tables import import_table

    archs = nb201.space.format_many(nb201.genotypes)
    pd.DataFrame({"arch": archs, "s_loss": -nb201.values(C100), "t_loss": -nb201.values(IN16)}).to_csv(
        tmp_path / "t.csv", index=False
    )
    flipped = import_table(tmp_path / "t.csv", "flipped", "nasbench201")
    for peek in (False, True):
        up = run_legacy(problem(nb201, C100, [IN16]), TrueOrder(nb201.space), 71.0, runs=2, peek=peek)
        down = run_legacy(problem(flipped, "s_loss", ["t_loss"]), TrueOrder(nb201.space), -71.0, runs=2, peek=peek)
        np.testing.assert_array_equal(up.genotypes, down.genotypes)


# -------------------------------------------------------------------- leaks (A11, A12)


def test_without_a_leak_a_coin_locks_nothing(nb201):
    """A11: chance gives what the gate gives, 97.7 +- 0.7, and not one target is read."""
    found, rejected = [], []
    for target, other in ((C10, IN16), (IN16, C10)):
        p = problem(nb201, C100, [target], gate=Gate("value", 71.0), setting="tu", auxiliary=[other])
        runs = run_legacy(p, CoinFlip(7), 71.0, runs=200)
        assert runs.evaluations[p.targets[0]].sum() == 0
        found.append(percentile(nb201, target, runs))
        rejected.append(runs.evaluations[p.source].mean())
    mean = np.mean(found)
    assert mean == pytest.approx(97.7, abs=0.7)
    assert mean > 95
    assert np.mean(rejected) == pytest.approx(900, rel=0.1)


def test_picking_by_the_true_target_makes_a_coin_look_like_a_lock(nb201):
    """A12: the released choice reaches 87.1, where the paper has 87.27, with no predictor at all."""
    found = []
    for target in (C10, IN16):
        p = problem(nb201, C100, [target], gate=Gate("value", 71.0))
        runs = run_legacy(p, CoinFlip(7), 71.0, runs=200, peek=True)
        assert (runs.evaluations[p.targets[0]] == HISTORY).all()
        found.append(percentile(nb201, target, runs))
    assert np.mean(found) == pytest.approx(87.1, abs=1.0)


def test_a_comparator_that_reads_an_unknown_target_is_caught(nb201):
    class Cheat(TrueOrder):
        def win_probability(self, a, b, task):
            return super().win_probability(a, b, f"{IN16}@nb201")

    p = problem(nb201, C100, [IN16], setting="tu", auxiliary=[C10])
    with pytest.raises(LeakError, match="imagenet16_120_val_accuracy@nb201"):
        run_legacy(p, Cheat(nb201.space), 70.0)
    assert run_legacy(p, TrueOrder(nb201.space), 70.0).genotypes.shape == (1, 6)


@pytest.mark.slow
@pytest.mark.parametrize(("comparator", "peek", "expected"), [
    ("coin", False, 71.8), ("coin", True, 40.9), ("true", False, 55.6), ("true", True, 39.9),
])  # fmt: skip
def test_mean_over_all_pairs_of_transnas_micro(micro, comparator, peek, expected):
    """Even a perfect comparator ends far above the 33.4 that the gate allows: its fitness weighs the source twice."""
    found, own = [], []
    for source, target in itertools.permutations(MICRO, 2):
        p = problem(micro, source, [target])
        judge = CoinFlip(1) if comparator == "coin" else TrueOrder(micro.space)
        runs = run_legacy(p, judge, Landscape(p).bound, runs=20, peek=peek)
        found.append(percentile(micro, target, runs))
        own.append(percentile(micro, source, runs))
    assert np.mean(found) == pytest.approx(expected, abs=2.0)
    assert np.min(own) >= 98
