"""Compile risk: counts where nothing is known, and the Edge TPU's failures in the published table."""

from __future__ import annotations

import numpy as np
import pytest

from ogive.predictors.feasibility import compile_probability
from ogive.predictors.latency import get_latency_predictor


@pytest.mark.parametrize(("ran", "chance"), [([], 0.5), ([True] * 8, 0.9), ([False] * 2, 0.25)])
def test_rule_of_succession(ran, chance):
    p = compile_probability(np.eye(20), np.arange(len(ran)), np.array(ran, dtype=bool))
    np.testing.assert_allclose(p, np.full(20, chance))


def test_edge_tpu_failures_are_foreseen(top):
    latency = top.latencies["hwnas_edgetpu"]
    ran = np.isfinite(latency)
    assert ran.sum() == 1740
    areas = []
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(ran))
        seen, unseen = order[:100], order[100:]
        p = compile_probability(top.encoding, seen, ran[seen])
        assert ((p > 0) & (p < 1)).all()
        good, bad = p[unseen][ran[unseen]], p[unseen][~ran[unseen]]
        areas.append((good[:, None] > bad).mean())
    assert np.mean(areas) > 0.8


@pytest.mark.parametrize("name", ["raw", "adaproxy", "ridge", "pool_ridge", "pool_gp", "blend", "default"])
def test_failures_teach_risk_and_never_a_negative_latency(top, name):
    latency = top.latencies["hwnas_edgetpu"]
    index = np.random.default_rng(0).permutation(len(latency))[:60]
    model = get_latency_predictor(name).fit(top.candidates("hwnas_edgetpu"), index, latency[index])
    assert 0 < len(model.measured) < 60
    assert np.isfinite(model.latency).all()
    mean, spread = model.predict()
    assert (mean > 0).all()
    assert (spread > 0).all()
    ran = np.isfinite(latency)
    assert model.feasibility()[ran].mean() > model.feasibility()[~ran].mean() + 0.1
