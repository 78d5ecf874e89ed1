"""Peak memory of an import does not grow with the source."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from ogive.metrics.importers import import_tables
from tests.conftest import lacking
from tests.metrics.importers import big

STATUS = Path("/proc/self/status")
"""Where Linux says the peak of a process; `getrusage` would count the memory of the process that started it."""

CODE = """
import re, sys
from ogive.metrics.importers import import_tables
(table,) = import_tables(sys.argv[1], "big")
print(len(table), int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) >> 10)
"""


def peak(path, tmp_path):
    """Return rows and peak memory in MiB of an import in a process of its own."""
    if not STATUS.is_file():
        lacking("only Linux tells the peak memory of a process")
    env = os.environ | {"OGIVE_DATA": str(tmp_path / "data")}
    done = subprocess.run([sys.executable, "-c", CODE, path], capture_output=True, text=True, check=True, env=env)
    rows, mebibytes = map(int, done.stdout.split())
    return rows, mebibytes


def test_the_big_file_is_what_python_would_write(tmp_path):
    path = big.write_nats(tmp_path / "x", 3)
    data = pickle.loads(path.read_bytes())
    (table,) = import_tables(path, "x")
    assert len(data["arch2infos"]) == len(table) == 3
    for i, arch in enumerate(data["meta_archs"]):
        results = data["arch2infos"][i]["200"]["all_results"]
        (row,) = table.rows(table.space.parse([arch]))
        expected = [results["cifar100", s]["eval_acc1es"]["x-test@199"] for s in (777, 888, 999, 1000)]
        assert table.values("cifar100_test_accuracy")[row] == pytest.approx(sum(expected) / 4)


def test_ten_times_the_source_takes_hardly_more_memory(tmp_path):
    """8 and 82 MB; what grows is the table and four bytes for each text of the source."""
    small, large = (peak(big.write_nats(tmp_path / str(n), n), tmp_path) for n in (16, 160))
    assert (small[0], large[0]) == (16, 160)
    assert large[1] - small[1] < 25
    assert large[1] < 200


@pytest.mark.slow
def test_two_gigabytes_stay_under_one(tmp_path):
    path = big.write_nats(tmp_path / "x", 4096)
    assert path.stat().st_size > 2e9
    rows, mebibytes = peak(path, tmp_path)
    assert rows == 4096
    assert mebibytes < 1024


@pytest.mark.slow
def test_nasbench101_stays_under_one_gigabyte(tmp_path):
    path = big.write_nasbench101(tmp_path / "x")
    assert path.stat().st_size > 1.8e9
    rows, mebibytes = peak(path, tmp_path)
    assert rows == 359_082
    assert mebibytes < 1024
