"""The default predictor: the bars P8 to P10, the guard P12, leakage P14, and the blend."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from ogive._errors import InputError
from ogive.predictors.families import exclude_family, related
from ogive.predictors.latency import Candidates, get_latency_predictor
from ogive.predictors.latency_blend import Blend, Default
from tests.predictors.conftest import onehot

BARS = {10: 0.88, 20: 0.91, 30: 0.925, 50: 0.945, 100: 0.96}


def protocol(top, seeds, sizes):
    """Return rank correlation, mean absolute relative error and coverage, each (targets, seeds, sizes)."""
    out = np.empty((3, len(top.targets), seeds, len(sizes)))
    for t, target in enumerate(top.targets):
        candidates, truth = top.candidates(target), top.latencies[target]
        for seed in range(seeds):
            for k, n in enumerate(sizes):
                seen, unseen = top.split(target, seed, n)
                mean, spread = Default().fit(candidates, seen, truth[seen]).predict()
                error = np.abs(mean - truth)[unseen]
                rank = spearmanr(mean[unseen], truth[unseen]).statistic
                out[:, t, seed, k] = rank, (error / truth[unseen]).mean(), (error <= 1.645 * spread[unseen]).mean()
    return out


def test_bars_with_two_seeds(top):
    rank, error, inside = protocol(top, 2, [10, 30])
    assert rank[:, :, 0].mean() >= BARS[10]
    assert rank[:, :, 1].mean() >= BARS[30]
    assert error[:, :, 1].mean() <= 0.06
    assert 0.82 <= inside[:, :, 1].mean() <= 0.95


@pytest.mark.slow
def test_bars(top):
    rank, error, inside = protocol(top, 10, list(BARS))
    for k, bar in enumerate(BARS.values()):
        assert rank[:, :, k].mean() >= bar
    at_50 = rank[:, :, 3].mean(axis=1)
    assert (at_50 >= 0.9).sum() >= 15
    assert at_50.min() >= 0.89
    assert error[:, :, 2].mean() <= 0.06
    assert 0.82 <= inside[:, :, 2].mean() <= 0.95


def test_never_worse_than_a_proxy_that_is_right(shared):
    """P12: all cells, Pixel 3 for the Raspberry Pi 4, where AdaProxy alone falls below the raw proxy."""
    frame = pd.read_csv(shared / "nb201_device_latency_help.csv.gz")
    codes = np.array([[int(op) for op in ops.split("-")] for ops in frame["ops"]])
    pool = {"pixel3": frame["pixel3"].to_numpy()}
    candidates = Candidates(codes, onehot(codes), frame["macs_alive_m"].to_numpy(), pool)
    truth = frame["raspi4"].to_numpy()
    assert spearmanr(pool["pixel3"], truth).statistic == pytest.approx(0.967, abs=0.001)
    shipped, alone = [], []
    for seed in range(4):
        order = np.random.default_rng(1000 + seed).permutation(len(truth))
        seen, unseen = order[:30], order[30:]
        for found, name in ((shipped, "default"), (alone, "adaproxy:proxy=pixel3")):
            mean, _ = get_latency_predictor(name).fit(candidates, seen, truth[seen]).predict()
            found.append(spearmanr(mean[unseen], truth[unseen]).statistic)
    assert np.mean(shipped) >= 0.96
    assert np.mean(alone) < 0.95


def arrays(thing, seen=None):
    """Yield every float array that an object holds, however deep."""
    seen = set() if seen is None else seen
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, np.ndarray):
        if thing.dtype.kind == "f":
            yield thing
    elif isinstance(thing, dict):
        for value in thing.values():
            yield from arrays(value, seen)
    elif isinstance(thing, (list, tuple, set)):
        for value in thing:
            yield from arrays(value, seen)
    elif hasattr(thing, "__dict__"):
        yield from arrays(vars(thing), seen)


def holds(model, latency):
    """Return whether a fitted object holds a column that follows a device's latencies, on any scale."""
    known = np.isfinite(latency)
    columns = [c for a in arrays(model) if a.ndim in (1, 2) and len(latency) in a.shape
               for c in (np.atleast_2d(a) if a.shape[-1] == len(latency) else a.T)]  # fmt: skip
    of = latency[known]
    found = [np.corrcoef(f(of), c[known])[0, 1] for c in columns if c[known].std() > 0 for f in (np.asarray, np.log)]
    return max(np.abs(found), default=0.0) > 1 - 1e-9


@pytest.mark.parametrize("name", ["default", "blend", "pool_gp", "raw"])
def test_no_fitted_model_holds_the_targets_family(top, name):
    target = "nnmeter_adreno640"
    family = related(top.latencies)[target]
    assert len(family) == 3
    seen, _ = top.split(target, 0, 30)
    model = get_latency_predictor(name).fit(top.candidates(target), seen, top.latencies[target][seen])
    for device in family:
        assert not holds(model, top.latencies[device])
    if name == "pool_gp":  # the scan finds what is there
        for device in exclude_family(top.latencies, target):
            assert holds(model, top.latencies[device]) == (device != "hwnas_edgetpu")


def toy_ranks(model, truth):
    unseen = np.setdiff1d(np.arange(len(truth)), model.measured)
    return spearmanr(model.predict()[0][unseen], truth[unseen]).statistic


@pytest.mark.parametrize("model", [None, "adaproxy", "ridge"])
def test_a_perfect_order_survives(toy, model):
    candidates, _ = toy
    truth = np.exp(candidates.pool["one"] / 3.0)
    for n, pool in ((20, ["one"]), (20, ["one", "two"]), (40, ["one", "two"])):
        index = np.random.default_rng(n).permutation(300)[:n]
        chosen = Default(model).fit(candidates.with_pool(pool), index, truth[index])
        assert toy_ranks(chosen, truth) > 1 - 1e-9


def test_a_proxy_of_opposite_order_does_no_harm(toy):
    candidates, truth = toy
    opposite = Candidates(candidates.codes, candidates.encoding, candidates.macs, {"opposite": 1e3 / truth})
    for seed in range(3):
        index = np.random.default_rng(seed).permutation(300)[:30]
        ridge = get_latency_predictor("ridge").fit(opposite, index, truth[index])
        default = Default().fit(opposite, index, truth[index])
        assert toy_ranks(default, truth) >= toy_ranks(ridge, truth) - 0.02


def test_policy(toy):
    candidates, truth = toy
    chosen = {}
    for n in (0, 3, 4, 29, 30):
        index = np.random.default_rng(0).permutation(300)[:n]
        chosen[n] = Default().fit(candidates, index, truth[index]).chosen.name
    assert chosen == {0: "raw", 3: "raw", 4: "pool_gp", 29: "pool_gp", 30: "blend"}
    assert Default("ridge").fit(candidates, np.arange(30), truth[:30]).chosen.name == "ridge"


def test_blend_weighs_by_left_out_error(toy):
    candidates, truth = toy
    blend = Blend("pool_gp+ridge+adaproxy").fit(candidates, np.arange(40), truth[:40])
    errors = [np.sqrt(np.mean((m.leave_one_out()[0] / truth[:40] - 1) ** 2)) for m in blend.members]
    np.testing.assert_array_equal(np.argsort(blend.weights), np.argsort(errors)[::-1])
    assert blend.weights.sum() == pytest.approx(1.0)
    means = np.stack([m.predict()[0] for m in blend.members])
    np.testing.assert_allclose(blend.predict()[0], blend.weights @ means)
    assert (means.min(axis=0) <= blend.predict()[0]).all()


def test_the_default_is_not_compared_with_itself():
    for name in ("default", "raw"):
        with pytest.raises(InputError, match=f"cannot be '{name}'"):
            Default(name)
