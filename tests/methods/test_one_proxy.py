"""A new device from few measurements, on the published table and on devices whose law is known."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from ogive._errors import InfeasibleError, InputError, UnknownNameError
from ogive.methods._latency_search import evolve, search
from ogive.methods.one_proxy import adapt, candidates_of, choose_pool
from ogive.metrics.device_registry import save_device
from ogive.metrics.devices import Device, DeviceTable, Latencies
from ogive.predictors.monotonicity import srcc
from ogive.spaces.base import get_space
from ogive.strategies.pareto import hypervolume

if TYPE_CHECKING:
    from pathlib import Path

SPACE = get_space("nasbench201")


@cache
def _published(folder: Path) -> DeviceTable:
    return DeviceTable.read(folder / "nb201_device_latency.csv.gz", SPACE)


@pytest.fixture
def table(shared: Path) -> DeviceTable:
    return _published(shared)


def _made(n: int = 200, seed: int = 0, noise: float = 0.01) -> DeviceTable:
    """Three devices whose latencies are sums over operations, and one of them again under another name."""
    rng = np.random.default_rng(seed)
    genotypes = SPACE.sample(10 * n, rng)
    keys = {k: i for i, k in enumerate(SPACE.keys(SPACE.canonical(genotypes)))}
    genotypes = genotypes[list(keys.values())[:n]]
    devices = {}
    for name, cost in (("a", (0, 0.1, 1, 3, 0.5)), ("b", (0, 0.3, 2.4, 1.9, 1.1)), ("c", (0, 0.5, 0.7, 3, 2.5))):
        latency = 2.0 + np.array(cost)[genotypes].sum(axis=1)
        latency = latency * np.exp(noise * rng.standard_normal(len(genotypes)))
        devices[name] = Latencies(Device(name), latency, np.full(n, np.nan), np.zeros(n, dtype=bool))
    twin = devices["a"].latency * np.exp(0.001 * rng.standard_normal(n))
    devices["twin"] = Latencies(Device("twin"), twin, np.full(n, np.nan), np.zeros(n, dtype=bool))
    return DeviceTable(SPACE, genotypes, devices)


def test_ten_measurements_order_published_devices_better_than_the_one_proxy_does(table: DeviceTable) -> None:
    gained = []
    for target in ("nnmeter_myriadvpu", "eagle_sd855_dsp_int8", "eagle_edgetpu_int8"):
        found = adapt(table, target, samples=10, seed=0)
        check = found.check(table.device(target).latency)
        assert check.after.n == 1989
        gained.append(check.after.srcc - srcc(table.device("hwnas_pixel3").latency, table.device(target).latency))
    assert np.mean(gained) > 0.2, "the specification's means are 0.889 after ten and 0.583 before"


def test_the_targets_family_never_reaches_the_model(table: DeviceTable) -> None:
    found = adapt(table, "eagle_jetsonnano_fp32", samples=10, predictor="ridge", seed=0)
    assert found.family == ("eagle_jetsonnano_fp16",)
    assert set(found.candidates.pool) == set(found.pool)
    assert not set(found.pool) & {"eagle_jetsonnano_fp16", "eagle_jetsonnano_fp32"}


def test_the_same_seed_gives_the_same_predictions_and_another_one_other_measurements(table: DeviceTable) -> None:
    first, second = (adapt(table, "hwnas_raspi4", samples=10, predictor="ridge", seed=3) for _ in range(2))
    assert first.index.tolist() == second.index.tolist()
    np.testing.assert_array_equal(first.mean, second.mean)
    other = adapt(table, "hwnas_raspi4", samples=10, predictor="ridge", seed=4)
    assert other.index.tolist() != first.index.tolist()


def test_failures_are_learned_as_failures(table: DeviceTable) -> None:
    found = adapt(table, "hwnas_edgetpu", samples=60, sampler="random", predictor="ridge", seed=1)
    edge = table.device("hwnas_edgetpu")
    assert len(found.failed) == edge.failed[found.index].sum() > 0
    assert (found.mean > 0).all()
    able = found.model.feasibility()
    assert ((able >= 0) & (able <= 1)).all()
    assert able[~edge.failed].mean() > able[edge.failed].mean()


def test_what_was_learned_from_is_not_counted_as_evidence() -> None:
    table = _made()
    found = adapt(table, "c", samples=20, predictor="ridge", seed=0)
    assert found.check(table.device("c").latency).after.n == len(table) - 20


def test_a_near_copy_is_kept_out_and_named_when_it_is_asked_for() -> None:
    table = _made()
    pool, family, warnings = choose_pool(table, "a")
    assert (set(pool), family, warnings) == ({"b", "c"}, ("twin",), ())
    pool, _, warnings = choose_pool(table, "a", ["twin", "b"])
    assert pool == ("twin", "b")
    assert "near copy of 'a'" in warnings[0]
    assert set(choose_pool(table, "a", exclude=["b*"])[0]) == {"c"}
    with pytest.raises(InputError, match="its own proxy"):
        choose_pool(table, "a", ["a"])
    with pytest.raises(UnknownNameError, match="unknown device 'd'"):
        choose_pool(table, "a", ["d"])


def test_one_proxy_is_the_whole_pool() -> None:
    found = adapt(_made(), "c", samples=20, proxy="b", predictor="adaproxy", seed=0)
    assert (found.pool, found.proxy) == (("b",), "b")


def test_a_device_that_is_not_in_the_table_is_measured_by_the_caller() -> None:
    table, asked = _made(), []
    truth = table.device("c").latency * 2.0

    def measure(rows: np.ndarray) -> np.ndarray:
        asked.append(len(rows))
        return truth[rows]

    found = adapt(table, "new", samples=25, predictor="pool_ridge", seed=0, measure=measure)
    assert asked == [10, 10, 5]
    assert found.check(truth).after.srcc > 0.95


def test_sampling_stops_when_the_order_is_surely_good_enough() -> None:
    table = _made(noise=0.001)
    found = adapt(table, "c", samples=150, predictor="ridge", bar=0.9, seed=0)
    assert len(found.index) < 150
    assert "leave-one-out" in found.stopped


def test_only_some_rows_of_the_target_are_known_and_all_are_predicted() -> None:
    table = _made()
    held = table.device("c")
    few = np.where(np.arange(len(table)) < 30, held.latency, np.nan)
    sparse = DeviceTable(SPACE, table.genotypes, {**table.devices, "c": Latencies(held.device, few, few, held.failed)})
    found = adapt(sparse, "c", samples=30, predictor="ridge", seed=0)
    assert sorted(found.index) == list(range(30))
    assert found.check(held.latency).after.n == len(table) - 30
    assert found.check(held.latency).after.srcc > 0.9
    with pytest.raises(InputError, match="can be measured on 30 architectures, not on 31"):
        adapt(sparse, "c", samples=31)


def test_nothing_can_be_learned_from_failures_alone() -> None:
    with pytest.raises(InputError, match="all 10 networks failed"):
        adapt(_made(), "new", samples=10, measure=lambda rows: np.full(len(rows), np.nan))


def test_multiply_adds_and_codes_of_candidates(table: DeviceTable, shared: Path) -> None:
    found = candidates_of(table, ["hwnas_pixel3"])
    frame = pd.read_csv(shared / "nb201_device_latency.csv.gz")
    assert (found.macs == np.round(1e6 * frame["macs_m"])).all()
    assert len(np.unique(SPACE.canonical(found.codes), axis=0)) == 1355, "distinct graphs, as the specification counts"


# ---------------------------------------------------------------- search


def _accuracy(shared: Path, table: DeviceTable) -> np.ndarray:
    frame = pd.read_csv(shared / "nasbench201.csv.gz").set_index("arch")
    return frame["cifar10_test_accuracy"][SPACE.format_many(table.genotypes)].to_numpy()


def _front_share(table: DeviceTable, worth: np.ndarray, target: str, seed: int) -> tuple[float, float]:
    """Return the share of the true hypervolume that is found, and the accuracy lost at five caps."""
    latency = table.device(target).latency
    known = np.isfinite(latency)
    found = adapt(table, target, samples=30, seed=seed)
    front = search(found, worth, lambda rows: latency[rows])
    assert (latency[front.rows] == front.latency).all(), "what is on the front was measured"
    assert len(front.verified) < 100
    reference = np.array([92.4, -latency[known].max()])
    truth = hypervolume(np.column_stack([worth, -latency])[known], reference)
    losses = []
    for cap in np.quantile(latency[known], [0.05, 0.1, 0.25, 0.5, 0.75]):
        best = worth[known][latency[known] <= cap].max()
        losses.append(best - front.worth[front.latency <= cap].max(initial=92.4))
    return hypervolume(np.column_stack([front.worth, -front.latency]), reference) / truth, float(np.mean(losses))


def test_the_measured_front_is_nearly_the_true_one(table: DeviceTable, shared: Path) -> None:
    share, loss = _front_share(table, _accuracy(shared, table), "nnmeter_myriadvpu", 0)
    assert 0.95 < share <= 1.0
    assert 0.0 <= loss < 0.1


@pytest.mark.slow
def test_fronts_of_seventeen_devices_meet_the_bar(table: DeviceTable, shared: Path) -> None:
    worth = _accuracy(shared, table)
    targets = [d for d in table.devices if d != "eagle_i7_7820x"]
    share, loss = np.mean([_front_share(table, worth, target, 7) for target in targets], axis=0)
    assert share >= 0.975
    assert loss <= 0.03


def test_the_choice_keeps_the_cap_because_it_was_measured() -> None:
    table = _made(noise=0.05)
    latency = table.device("c").latency
    worth = np.random.default_rng(0).random(len(table)) + latency / latency.max()
    found = adapt(table, "c", samples=20, predictor="ridge", seed=0)
    cap = float(np.quantile(latency, 0.3))
    front = search(found, worth, lambda rows: latency[rows], cap=cap)
    assert front.chosen is not None
    assert latency[front.chosen] <= cap
    known = np.concatenate([found.index, front.verified])
    assert worth[front.chosen] == worth[known][latency[known] <= cap].max()
    safe = search(found, worth, lambda rows: latency[rows], cap=cap, risk=3.0)
    upper = found.mean + 3.0 * found.spread
    assert (upper[safe.verified] <= cap).all()


def test_impossible_caps_and_bad_questions_end_in_one_line() -> None:
    table = _made()
    latency = table.device("c").latency
    found = adapt(table, "c", samples=20, predictor="ridge", seed=0)
    with pytest.raises(InfeasibleError, match="fastest"):
        search(found, latency, lambda rows: latency[rows], cap=0.1)
    with pytest.raises(InputError, match="positive number of ms"):
        search(found, latency, lambda rows: latency[rows], cap=-1)
    with pytest.raises(InputError, match="200 candidates"):
        search(found, latency[:5], lambda rows: latency[rows])


def test_a_space_too_large_to_list_is_searched_by_what_is_known_of_a_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OGIVE_DATA", str(tmp_path))
    table = _made()
    save_device(table, "c", predicted=True)
    study, front = evolve("nasbench201", "params", "c", task="cifar10", trials=300, seed=0)
    found = study.front
    assert len(front) == len(found) > 3
    assert {"params", "latency_upper@c"} <= set(found.columns)
