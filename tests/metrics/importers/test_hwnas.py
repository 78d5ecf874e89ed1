"""HW-NAS-Bench's pickle: one number for each architecture in the benchmark's order."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from ogive import OgiveError
from ogive.metrics.importers import import_tables
from ogive.metrics.tables import Table
from ogive.spaces.nasbench201 import NASBench201
from tests.metrics.importers import layouts

SPACE = NASBench201()
ARCHS = SPACE.format_many(SPACE.from_index(SPACE.official()))


def test_every_device_and_data_set(tmp_path):
    data = layouts.hwnas(ARCHS)
    (tmp_path / "x").write_bytes(pickle.dumps(data))
    import_tables(tmp_path / "x", "hw")
    table = Table.open("hw")
    rows = table.rows(SPACE.parse(ARCHS))
    assert len(table.columns) == 3 * len(layouts.DEVICES)
    for dataset, columns in data["nasbench201"].items():
        for name in layouts.DEVICES:
            expected = np.array(columns[name], dtype=float)
            expected[expected < 0] = np.nan
            column = f"{dataset.lower().replace('-', '_')}_{name}"
            np.testing.assert_array_equal(table.values(column)[rows], expected)
    assert table.coverage("cifar10_edgetpu_latency") == 15_624 / 15_625
    assert (table.column("cifar10_pixel3_latency").unit, table.column("cifar10_fpga_energy").unit) == ("ms", "mJ")
    assert table.column("cifar10_pixel3_latency").direction == table.column("cifar10_fpga_energy").direction == "min"


def test_the_order_of_architectures_is_the_one_of_the_real_measurements(tmp_path, shared):
    """Devices in HW-NAS-Bench were also published by others by architecture string; both orders must agree."""
    import pandas as pd

    real = pd.read_csv(shared / "nb201_device_latency_help.csv.gz")
    assert real.arch.tolist() == ARCHS
    data = layouts.hwnas(ARCHS)
    data["nasbench201"]["cifar10"]["pixel3_latency"] = real.pixel3.to_numpy()
    (tmp_path / "x").write_bytes(pickle.dumps(data))
    (table,) = import_tables(tmp_path / "x", "hw")
    np.testing.assert_array_equal(
        table.lookup("cifar10_pixel3_latency", SPACE.parse(real.arch.tolist())), real.pixel3.to_numpy()
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.update(fpga_latency=np.ones(7)), "column 'cifar10_fpga_latency': 15,625 numbers expected"),
        (lambda p: p.update(fpga_latency=np.ones((15_625, 2))), "15,625 numbers expected"),
        (lambda p: p.update(fpga_latency="x" * 15_625), "15,625 numbers expected"),
        (lambda p: p["config"].reverse(), "has '.*' where '.*' comes in the published order"),
    ],
)
def test_another_layout_is_one_clear_line(tmp_path, change, message):
    data = layouts.hwnas(ARCHS)
    change(data["nasbench201"]["cifar10"])
    (tmp_path / "x").write_bytes(pickle.dumps(data))
    with pytest.raises(OgiveError, match=message) as caught:
        import_tables(tmp_path / "x", "x")
    assert "\n" not in str(caught.value)
