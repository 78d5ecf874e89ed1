"""Ranks, crowding and hypervolume against pymoo, moocore and the definitions."""

from __future__ import annotations

import moocore
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pymoo.operators.survival.rank_and_crowding.metrics import calc_crowding_distance
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

from ogive import OgiveError
from ogive.strategies.pareto import crowding_distance, hypervolume, non_dominated_ranks, pareto_mask

# Small whole numbers give ties in single objectives and duplicate rows in nearly every example.
tied = st.integers(1, 5).flatmap(
    lambda m: arrays(np.float64, st.tuples(st.integers(1, 30), st.just(m)), elements=st.integers(0, 6).map(float))
)


def dominates(a: np.ndarray, b: np.ndarray) -> bool:
    return bool((a >= b).all() and (a > b).any())


@given(tied)
def test_mask_and_ranks_follow_the_definition_and_pymoo(values: np.ndarray) -> None:
    ranks = non_dominated_ranks(values)
    expected = np.full(len(values), -1)
    for front, members in enumerate(NonDominatedSorting().do(-values)):
        expected[members] = front
    assert ranks.tolist() == expected.tolist()
    brute = [not any(dominates(b, a) for b in values) for a in values]
    assert pareto_mask(values).tolist() == brute == (ranks == 0).tolist()


@pytest.mark.parametrize("m", [2, 3, 4])
@pytest.mark.parametrize("n", [65, 300])
def test_larger_random_fronts_agree_with_pymoo(n: int, m: int) -> None:
    rng = np.random.default_rng(n * m)
    plain = rng.normal(size=(n, m))
    for values in (plain, plain[rng.integers(0, n, n)], np.round(plain, 1)):
        ranks = non_dominated_ranks(values)
        for front, members in enumerate(NonDominatedSorting().do(-values)):
            assert (ranks[members] == front).all()
        assert (pareto_mask(values) == (ranks == 0)).all()


@given(tied)
def test_crowding_is_pymoos_within_every_front(values: np.ndarray) -> None:
    ranks = non_dominated_ranks(values)
    distance = crowding_distance(values, ranks)
    for front in range(ranks.max() + 1):
        members = np.flatnonzero(ranks == front)
        if len(members) <= 2:
            assert np.isinf(distance[members]).all()
        else:
            # pymoo averages over objectives where Deb et al. sum.
            expected = calc_crowding_distance(-values[members]) * values.shape[1]
            np.testing.assert_allclose(distance[members], expected, rtol=1e-12)


def test_infeasible_rows_come_after_all_feasible_ones_by_violation() -> None:
    values = np.array([[0.0, 0.0], [9.0, 9.0], [1.0, 1.0], [8.0, 8.0], [7.0, 7.0]])
    violation = np.array([0.0, 0.5, 0.0, 0.1, 0.5])
    assert non_dominated_ranks(values, violation).tolist() == [1, 3, 0, 2, 3]
    assert non_dominated_ranks(values, np.array([2.0, 1.0, 3.0, np.inf, 1.0])).tolist() == [1, 0, 2, 3, 0]
    assert (non_dominated_ranks(values, np.zeros(5)) == non_dominated_ranks(values)).all()


@given(tied, st.integers(0, 3))
def test_constraint_domination_follows_the_definition(values: np.ndarray, seed: int) -> None:
    violation = np.random.default_rng(seed).integers(0, 3, len(values)) / 2

    def beats(i: int, j: int) -> bool:
        if violation[i] > 0 or violation[j] > 0:
            return bool(violation[i] < violation[j])
        return dominates(values[i], values[j])

    left, expected, front = set(range(len(values))), {}, 0
    while left:
        best = {j for j in left if not any(beats(i, j) for i in left)}
        expected |= dict.fromkeys(best, front)
        left, front = left - best, front + 1
    assert non_dominated_ranks(values, violation).tolist() == [expected[i] for i in range(len(values))]


def test_failed_rows_are_last_and_uncrowded() -> None:
    values = np.array([[1.0, 2.0], [-np.inf, -np.inf], [2.0, 1.0], [1.5, 1.5], [-np.inf, -np.inf], [1.6, 1.4]])
    ranks = non_dominated_ranks(values)
    assert ranks.tolist() == [0, 1, 0, 0, 1, 0]
    distance = crowding_distance(values, ranks)
    assert distance[[1, 4]].tolist() == [0.0, 0.0]
    assert np.isinf(distance[[0, 2]]).all()
    assert np.isfinite(distance[[3, 5]]).all()
    assert hypervolume(values, np.zeros(2)) == pytest.approx(hypervolume(values[[0, 2, 3, 5]], np.zeros(2)))


@given(tied.filter(lambda v: v.shape[1] > 1), st.integers(-2, 3))
def test_hypervolume_is_moocores(values: np.ndarray, level: int) -> None:
    reference = np.full(values.shape[1], float(level))
    expected = moocore.hypervolume(values, ref=reference, maximise=True)
    assert hypervolume(values, reference) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("m", [2, 3, 4, 5])
def test_hypervolume_of_real_valued_fronts_is_moocores(m: int) -> None:
    rng = np.random.default_rng(m)
    n = {2: 2000, 3: 500, 4: 60, 5: 25}[m]
    values = np.abs(rng.normal(size=(n, m)))
    sphere = values / np.linalg.norm(values, axis=1, keepdims=True)
    for v in (values, sphere, np.concatenate([sphere, sphere])):
        expected = moocore.hypervolume(v, ref=np.zeros(m), maximise=True)
        assert hypervolume(v, np.zeros(m)) == pytest.approx(expected, rel=1e-11)


def test_hypervolume_by_hand() -> None:
    assert hypervolume(np.array([[3.0, 1.0], [1.0, 3.0]]), np.zeros(2)) == 5.0
    assert hypervolume(np.array([[2.0, 2.0, 2.0], [1.0, 1.0, 5.0]]), np.array([0.0, 0.0, 1.0])) == 4.0 + 1.0 * 3
    assert hypervolume(np.array([[1.0, 1.0]]), np.array([1.0, 0.0])) == 0.0
    assert hypervolume(np.empty((0, 2)), np.zeros(2)) == 0.0
    assert hypervolume(np.array([[4.0], [2.0]]), np.array([1.0])) == 3.0


def test_empty_input_has_empty_answers() -> None:
    none = np.empty((0, 3))
    assert non_dominated_ranks(none).shape == pareto_mask(none).shape == (0,)
    assert crowding_distance(none, non_dominated_ranks(none)).shape == (0,)


def test_nan_and_wrong_shapes_are_refused() -> None:
    for call in (non_dominated_ranks, pareto_mask, lambda v: hypervolume(v, np.zeros(2))):
        with pytest.raises(OgiveError, match="NaN"):
            call(np.array([[1.0, np.nan]]))
        with pytest.raises(OgiveError, match="shape"):
            call(np.zeros(3))
    with pytest.raises(OgiveError, match="2 finite numbers"):
        hypervolume(np.ones((2, 2)), np.zeros(3))
