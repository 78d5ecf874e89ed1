"""Devices kept under a name: what is kept comes back, and a metric says what is known and from where."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ogive._errors import InputError, StorageError, UnknownNameError
from ogive.metrics.base import Context, resolve
from ogive.metrics.device_registry import device_names, open_device, save_device, spaces_of
from ogive.metrics.devices import Device, DeviceTable, Latencies
from ogive.metrics.evaluate import evaluate
from ogive.spaces.base import get_space

if TYPE_CHECKING:
    from pathlib import Path

SPACE = get_space("nasbench201")


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OGIVE_DATA", str(tmp_path / "home"))


def _table(latency: list[float], failed: list[bool] | None = None, name: str = "phone") -> DeviceTable:
    n = len(latency)
    genotypes = SPACE.enumerate()[1000 : 1000 + n]
    values = np.array(latency)
    held = Latencies(Device(name, "tflite"), values, np.full(n, 0.1), np.array(failed or [False] * n))
    return DeviceTable(SPACE, genotypes, {name: held})


@given(st.lists(st.one_of(st.floats(1e-6, 1e6), st.none()), min_size=1, max_size=12))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_kept_comes_back(values: list[float | None]) -> None:
    table = _table([np.nan if v is None else v for v in values], [v is None for v in values])
    save_device(table, "phone")
    again = open_device("phone", "nasbench201")
    assert (again.genotypes == table.genotypes).all()
    np.testing.assert_array_equal(again.device("phone").latency, table.device("phone").latency)
    np.testing.assert_array_equal(again.device("phone").failed, table.device("phone").failed)
    assert again.device("phone").device == Device("phone", "tflite")


def test_a_device_kept_is_a_metric_for_every_search() -> None:
    table = _table([1.0, 2.0, 3.0])
    save_device(table, "phone", Device("pixel", "tflite", "int8", 4))
    assert device_names() == ["pixel"]
    assert spaces_of("pixel") == ["nasbench201"]
    found = evaluate(
        ["latency@pixel"], SPACE, np.vstack([table.genotypes[::-1], np.full((1, 6), 3, SPACE.dtype)]), Context()
    )
    assert found.values["latency@pixel"][:3].tolist() == [3.0, 2.0, 1.0]
    assert np.isnan(found.values["latency@pixel"][3])
    assert list(found.failures) == [3]
    assert (resolve("latency@pixel").unit, resolve("latency@pixel").direction) == ("ms", "min")


def test_unknown_devices_and_spaces_are_named() -> None:
    save_device(_table([1.0]), "phone")
    with pytest.raises(UnknownNameError, match="did you mean 'phone'"):
        open_device("phon", SPACE)
    with pytest.raises(UnknownNameError, match="known in nasbench201, not in space 'transnas_micro'"):
        open_device("phone", "transnas_micro")
    with pytest.raises(UnknownNameError, match="unknown source 'tablet'"):
        resolve("latency@tablet")


def test_damage_and_bad_names_end_in_one_line(tmp_path: Path) -> None:
    folder = save_device(_table([1.0]), "phone")
    (folder / "nasbench201.csv").write_text("arch,latency_ms\nx,y\n")
    with pytest.raises(StorageError, match="damaged"):
        open_device("phone", SPACE)
    with pytest.raises(InputError, match="may hold letters"):
        Device("a/b")
    with pytest.raises(InputError, match="taken by the metrics"):
        save_device(_table([1.0]), "phone", Device("train"))


def test_the_skeleton_is_part_of_what_was_measured() -> None:
    save_device(_table([1.0]), "phone")
    with pytest.raises(UnknownNameError, match="not in space 'nasbench201:C=4,N=1'"):
        open_device("phone", "nasbench201:C=4,N=1")


def test_a_measurement_comes_before_a_prediction_and_that_before_the_linear_model() -> None:
    """Predictions that are log-linear in the choices are carried on exactly to architectures without one."""
    rng = np.random.default_rng(0)
    everything = SPACE.enumerate()
    effect = rng.normal(0, 0.2, (6, 5))
    truth = np.exp(effect[np.arange(6), everything].sum(axis=1))
    # Representatives of their classes, so that the model of canonical choices is the true one.
    own = rng.permutation(np.flatnonzero((SPACE.canonical(everything) == everything).all(axis=1)))
    told, rest = own[:400], own[400:800]
    guess = Latencies(Device("phone"), truth[told], np.full(400, 0.1), np.zeros(400, dtype=bool))
    save_device(DeviceTable(SPACE, everything[told], {"phone": guess}), "phone", predicted=True)
    seen = Latencies(Device("phone"), np.array([9.0]), np.array([np.nan]), np.array([False]))
    save_device(DeviceTable(SPACE, everything[told[:1]], {"phone": seen}), "phone")
    names = ["latency@phone", "latency_spread@phone", "latency_upper@phone"]
    found = evaluate(names, SPACE, everything[own[:800]], Context()).values
    assert found["latency@phone"][0] == 9.0
    assert found["latency@phone"][1:400] == pytest.approx(truth[told[1:]])
    assert found["latency@phone"][400:] == pytest.approx(truth[rest], rel=1e-6)
    assert found["latency_spread@phone"][1:400] == pytest.approx(0.1)
    upper = found["latency@phone"] + 1.645 * found["latency_spread@phone"]
    assert found["latency_upper@phone"] == pytest.approx(upper)


def test_another_quantity_of_a_device_does_not_exist() -> None:
    save_device(_table([1.0]), "phone")
    with pytest.raises(UnknownNameError, match="did you mean 'latency'"):
        resolve("latensy@phone")
