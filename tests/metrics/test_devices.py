"""Device tables against the published files, and what is kept of a device under its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from ogive._errors import InputError, UnknownNameError
from ogive.metrics.base import Context
from ogive.metrics.devices import DeviceTable
from ogive.metrics.evaluate import evaluate
from ogive.spaces.base import get_space

if TYPE_CHECKING:
    from pathlib import Path

SPACE = get_space("nasbench201")
ARCHS = SPACE.format_many(np.array([[0, 0, 0, 0, 0, 1], [3, 3, 4, 1, 3, 1], [3, 3, 3, 3, 3, 3]], dtype=SPACE.dtype))


def _write(path: Path, **columns: list[object]) -> Path:
    pd.DataFrame({"arch": ARCHS, **columns}).to_csv(path, index=False)
    return path


# ---------------------------------------------------------------- published files


def test_operation_numbers_and_strings_of_the_published_table_agree(shared: Path, tmp_path: Path) -> None:
    path = shared / "nb201_device_latency.csv.gz"
    by_string = DeviceTable.read(path, SPACE)
    pd.read_csv(path, dtype={"ops": str}).drop(columns="arch").to_csv(tmp_path / "ops.csv", index=False)
    by_number = DeviceTable.read(tmp_path / "ops.csv", SPACE)
    assert len(by_string) == 1999
    assert (by_string.genotypes == by_number.genotypes).all()
    assert len(set(SPACE.format_many(by_string.genotypes))) == 1999


def test_counts_and_numbers_of_rows_are_no_devices(shared: Path) -> None:
    assert len(DeviceTable.read(shared / "nb201_device_latency.csv.gz", SPACE).devices) == 18
    assert len(DeviceTable.read(shared / "nb201_device_latency_help.csv.gz", SPACE).devices) == 24


def test_our_count_of_multiply_adds_is_the_tables(shared: Path) -> None:
    from ogive.tasks.base import get_task

    table = DeviceTable.read(shared / "nb201_device_latency.csv.gz", SPACE)
    frame = pd.read_csv(shared / "nb201_device_latency.csv.gz")
    found = evaluate(["macs"], SPACE, table.genotypes, Context(get_task("cifar10"))).values["macs"]
    assert (found == np.round(1e6 * frame["macs_m"])).all()
    assert found[(table.genotypes == 3).all(axis=1)].tolist() == [220_119_680]


def test_failed_compilations_are_failures_and_not_latencies(shared: Path) -> None:
    edge = DeviceTable.read(shared / "nb201_device_latency.csv.gz", SPACE).device("hwnas_edgetpu")
    assert edge.failed.sum() == 259
    assert edge.known.sum() == 1740
    assert not (edge.failed & edge.known).any()


# ---------------------------------------------------------------- files of users


def test_minus_one_is_a_failure_and_a_mostly_blank_column_was_not_measured(tmp_path: Path) -> None:
    path = _write(tmp_path / "t.csv", full=[1.0, -1, 3.0], gap=[1.0, "", 3.0], sparse=["", "", 2.5])
    table = DeviceTable.read(path, SPACE)
    assert table.device("full").failed.tolist() == [False, True, False]
    assert table.device("gap").failed.tolist() == [False, True, False]
    assert table.device("sparse").failed.tolist() == [False, False, False]
    assert table.device("sparse").known.tolist() == [False, False, True]


def test_spreads_belong_to_their_device_and_descriptions_to_nobody(tmp_path: Path) -> None:
    path = _write(tmp_path / "t.csv", phone=[1.0, 2, 3], phone_spread=[0.1, 0.2, 0.3], remark=["a", "b", "c"])
    table = DeviceTable.read(path, SPACE)
    assert list(table.devices) == ["phone"]
    assert table.device("phone").spread.tolist() == [0.1, 0.2, 0.3]


@pytest.mark.parametrize(
    ("columns", "wrong"),
    [
        ({"phone": [1.0, "fast", 3.0]}, "row 2: 'fast' is not a finite number"),
        ({"phone": [1.0, "nan", 3.0]}, "row 2: 'nan' is not a finite number"),
        ({"phone": [1.0, "inf", 3.0]}, "row 2: 'inf' is not a finite number"),
        ({"macs": [1.0, 2.0, 3.0]}, "no column with latencies"),
    ],
)
def test_bad_files_are_named_with_their_row(tmp_path: Path, columns: dict[str, list[object]], wrong: str) -> None:
    with pytest.raises(InputError, match=wrong):
        DeviceTable.read(_write(tmp_path / "t.csv", **columns), SPACE)


@pytest.mark.parametrize(
    ("column", "cells", "wrong"),
    [
        ("arch", ["|none~0|", ARCHS[0]], "row 1"),
        ("arch", [ARCHS[0], ARCHS[0]], "row 2: .* is there already in row 1"),
        ("ops", ["3-3-4-1-3-1", "3-3-4-1-3-7"], "row 2: '3-3-4-1-3-7' is not 6 numbers"),
        ("ops", ["3-3-4-1-3-1", "3-3"], "row 2"),
        ("name", ["a", "b"], "no column that names architectures"),
    ],
)
def test_foreign_architectures_are_named_with_their_row(
    tmp_path: Path, column: str, cells: list[str], wrong: str
) -> None:
    pd.DataFrame({column: cells, "phone": [1.0, 2.0]}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(InputError, match=wrong):
        DeviceTable.read(tmp_path / "t.csv", SPACE)


def test_files_that_are_no_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        DeviceTable.read(tmp_path / "none.csv", SPACE)
    (tmp_path / "junk.csv.gz").write_bytes(b"junk")
    with pytest.raises(InputError, match="cannot be read"):
        DeviceTable.read(tmp_path / "junk.csv.gz", SPACE)
    (tmp_path / "empty.csv").write_text("arch,phone\n")
    with pytest.raises(InputError, match=r"no (rows|column)"):
        DeviceTable.read(tmp_path / "empty.csv", SPACE)


def test_devices_are_selected_by_pattern(tmp_path: Path) -> None:
    table = DeviceTable.read(_write(tmp_path / "t.csv", a_1=[1, 2, 3], a_2=[1, 2, 3], b=[1, 2, 3]), SPACE)
    assert list(table.select(["a_*"]).devices) == ["a_1", "a_2"]
    assert list(table.select(["b", "a_1"]).devices) == ["b", "a_1"]
    with pytest.raises(UnknownNameError, match="unknown device 'c'"):
        table.select(["c"])
