"""Samplers against brute force, and the stopping rule."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ogive._errors import InputError, UnknownNameError
from ogive.predictors.latency import Candidates, LatencyPredictor
from ogive.predictors.samplers import SAMPLERS, StoppingRule, choose, features


def _candidates(n: int = 40, seed: int = 0, pool: int = 3) -> Candidates:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 3, (n, 4))
    encoding = np.hstack([np.eye(3)[codes].reshape(n, -1), np.ones((n, 1))])
    work = 1.0 + codes.sum(axis=1)
    latencies = {f"d{i}": work * rng.uniform(0.8, 1.2, n) for i in range(pool)}
    return Candidates(codes, encoding, work, latencies)


class _Told(LatencyPredictor):
    """Says what it is told to say."""

    name = "told"

    def __init__(self, mean: np.ndarray, spread: np.ndarray, loo: np.ndarray | None = None) -> None:
        self._mean, self._spread, self._loo = mean, spread, loo

    def _fit(self, candidates: Candidates, index: np.ndarray, latency: np.ndarray) -> None: ...

    def _predict(self) -> tuple[np.ndarray, np.ndarray]:
        return self._mean, self._spread

    def _leave_one_out(self) -> tuple[np.ndarray, np.ndarray]:
        assert self._loo is not None
        return self._loo, self._loo


@pytest.mark.parametrize("name", list(SAMPLERS))
@given(seed=st.integers(0, 1000), n=st.integers(1, 15), known=st.integers(0, 15), pool=st.integers(0, 3))
@settings(max_examples=15, deadline=None)
def test_every_sampler_gives_new_rows_and_repeats_itself(name: str, seed: int, n: int, known: int, pool: int) -> None:
    candidates = _candidates(seed=seed, pool=pool)
    measured = np.random.default_rng(seed).permutation(40)[:known]
    found = [choose(name, candidates, n, measured=measured, rng=np.random.default_rng(seed)) for _ in range(2)]
    assert len(set(found[0].tolist())) == n
    assert not set(found[0].tolist()) & set(measured.tolist())
    assert found[0].tolist() == found[1].tolist()


def test_d_optimal_takes_the_row_that_most_increases_the_determinant() -> None:
    candidates = _candidates()
    Z = features(candidates)
    chosen = choose("d_optimal", candidates, 6, rng=np.random.default_rng(3)).tolist()
    for k in range(1, 6):
        A = 0.1 * np.eye(Z.shape[1]) + Z[chosen[:k]].T @ Z[chosen[:k]]
        volume = [np.linalg.slogdet(A + np.outer(z, z))[1] for z in Z]
        best = max(v for row, v in enumerate(volume) if row not in chosen[:k])
        assert volume[chosen[k]] == pytest.approx(best, abs=1e-9)


def test_later_batches_take_the_earlier_ones_into_account() -> None:
    candidates = _candidates()
    both = choose("d_optimal", candidates, 8, rng=np.random.default_rng(3))
    first, second = both[:4], choose("d_optimal", candidates, 4, measured=both[:4], rng=np.random.default_rng(9))
    assert [*first, *second] == both.tolist()


def test_k_means_takes_one_row_from_each_cluster() -> None:
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(5), 20)
    latency = np.exp(cluster + rng.normal(0, 0.01, 100))
    candidates = Candidates(np.zeros((100, 1), int), np.ones((100, 1)), np.ones(100), {"d": latency})
    assert sorted(cluster[choose("k_means", candidates, 5, rng=rng)]) == [0, 1, 2, 3, 4]


def test_active_takes_what_the_model_is_least_sure_of() -> None:
    doubt = np.arange(1.0, 41.0)
    found = choose("active", _candidates(), 3, measured=np.array([39]), rng=np.random.default_rng(0), doubt=doubt)
    assert found.tolist() == [38, 37, 36]


def test_bad_questions_end_in_one_line() -> None:
    candidates, rng = _candidates(), np.random.default_rng(0)
    with pytest.raises(InputError, match="38 architectures are left"):
        choose("random", candidates, 39, measured=np.array([1, 2]), rng=rng)
    with pytest.raises(UnknownNameError, match="d_optimal"):
        choose("d-optimal", candidates, 3, rng=rng)


def _model(loo: np.ndarray, latency: np.ndarray) -> LatencyPredictor:
    candidates = _candidates(len(latency), pool=0)
    return _Told(latency, latency, loo).fit(candidates, np.arange(len(latency)), latency)


def test_sampling_stops_when_the_bar_is_surely_passed_or_a_batch_brought_nothing() -> None:
    rng = np.random.default_rng(0)
    truth = rng.permutation(60) + 1.0
    sure = StoppingRule()(_model(truth + rng.normal(0, 1, 60), truth))
    assert sure is not None
    assert "95 % confidence" in sure
    rule = StoppingRule()
    poor = truth + rng.normal(0, 15, 60)
    assert rule(_model(poor[:20], truth[:20])) is None
    assert rule(_model(poor[:20], truth[:20])) is not None, "the second batch brought nothing"
