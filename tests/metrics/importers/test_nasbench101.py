"""NAS-Bench-101 records, checked against an independent encoder of record, message and checksum."""

from __future__ import annotations

import itertools
import random
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ogive import OgiveError
from ogive.metrics.importers import import_tables
from ogive.metrics.importers.tfrecord import masked_crc, masked_crcs
from ogive.metrics.tables import Table, table_names
from ogive.spaces import get_space
from tests.metrics.importers import layouts

# The cell of the benchmark's own documentation, and a smaller one.
CELLS = {
    "0111010000000100000010000100000000100000010000000": "input,conv1x1-bn-relu,conv3x3-bn-relu,conv3x3-bn-relu,"
    "conv3x3-bn-relu,maxpool3x3,output",
    "011001000": "input,maxpool3x3,output",
    "0100": "input,output",
}


def benchmark(schedules=(4, 12, 36, 108), runs=3, seed=0):
    """Records in random order, and what was written by (cell, epochs, run)."""
    rng, space = random.Random(seed), get_space("nasbench101")
    rows, written = [], {}
    for matrix, ops in CELLS.items():
        (digest,) = space.hash(space.parse([f"{matrix}:{ops}"]))
        for epochs, _ in itertools.product(schedules, range(runs)):
            evaluations = [[e, rng.random() * 2000, *(rng.random() for _ in range(3))] for e in (0, epochs / 2, epochs)]
            rows.append(
                (
                    matrix,
                    epochs,
                    evaluations[2],
                    layouts.nasbench101_row(digest, epochs, matrix, ops, 8_000_001, evaluations),
                )
            )
    rng.shuffle(rows)
    for matrix, epochs, last, _ in rows:
        written.setdefault((matrix, epochs), []).append(last)
    return [row for *_, row in rows], written


def test_every_number_comes_back(tmp_path):
    records, written = benchmark()
    (tmp_path / "n").write_bytes(layouts.tfrecord(records))
    import_tables(tmp_path / "n", "nb101")
    table = Table.open("nb101")
    assert (table.space.name, len(table), table.by_graph, table.population) == ("nasbench101", 3, True, 423_624)
    assert {column.rpartition("_run")[0] or column for column in table.columns} >= {"params", "cifar10_val_accuracy"}
    for (matrix, epochs), runs in written.items():
        suffix = "" if epochs == 108 else f"_{epochs}ep"
        (row,) = table.rows(table.space.parse([f"{matrix}:{CELLS[matrix]}"]))
        for at, quantity in enumerate(("train_seconds", "train_accuracy", "val_accuracy", "test_accuracy"), start=1):
            numbers = [run[at] * (1 if at == 1 else 100) for run in runs]
            title = f"cifar10_{quantity}{suffix}"
            assert table.values(title)[row] == pytest.approx(np.mean(numbers), rel=1e-12)
            if at > 2:
                assert [table.values(f"{title}_run{i}")[row] for i in (1, 2, 3)] == pytest.approx(numbers, rel=1e-14)
        assert table.values("params")[row] == 8_000_001
    assert {table.column(c).unit for c in table.columns if "accuracy" in c} == {"%"}
    assert {table.column(c).direction for c in table.columns if "seconds" in c} == {"min"}


def test_the_file_with_long_trainings_only(tmp_path):
    (tmp_path / "n").write_bytes(layouts.tfrecord(benchmark(schedules=(108,))[0]))
    (table,) = import_tables(tmp_path / "n", "only108")
    assert not [c for c in table.columns if "ep" in c]


def test_every_genotype_of_the_same_graph_finds_its_row(tmp_path):
    """The rows hold one matrix a cell; a search proposes any numbering, with vertices that do not matter."""
    (tmp_path / "n").write_bytes(layouts.tfrecord(benchmark()[0]))
    (table,) = import_tables(tmp_path / "n", "n")
    # Input -> pool -> output as vertices 0, 4 and 6, with a convolution that leads nowhere.
    matrix = np.zeros((7, 7), dtype=int)
    matrix[0, 4] = matrix[4, 6] = matrix[0, 2] = matrix[0, 6] = 1
    ops = ["input", *["conv3x3-bn-relu"] * 3, "maxpool3x3", "conv1x1-bn-relu", "output"]
    other = "".join(map(str, matrix.ravel())) + ":" + ",".join(ops)
    a, b, c = table.lookup(
        "cifar10_val_accuracy", table.space.parse([other, "011001000:input,maxpool3x3,output", "0100:input,output"])
    )
    assert a == b != c
    assert np.isnan(table.lookup("cifar10_val_accuracy", table.space.parse(["010001000:input,maxpool3x3,output"]))[0])


# -------------------------------------------------------------------- framing


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_checksums_are_those_of_the_definition(records):
    expected = [struct.unpack("<I", layouts.masked(r))[0] for r in records]
    assert masked_crcs(records).tolist() == expected


def test_checksum_of_the_standard_check_string():
    """The CRC-32C catalogue's check value of "123456789" is E3069283."""
    assert layouts.crc32c(b"123456789") == 0xE3069283
    assert masked_crc(b"123456789") == struct.unpack("<I", layouts.masked(b"123456789"))[0]


GOOD = layouts.tfrecord(benchmark(schedules=(108,), runs=2)[0])


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(12, len(GOOD) - 1))
def test_a_truncated_file_is_one_clear_line(tmp_path_factory, cut):
    ends = {0}
    at = 0
    while at < len(GOOD):
        at += 16 + struct.unpack("<Q", GOOD[at : at + 8])[0]
        ends.add(at)
    path = tmp_path_factory.mktemp("t") / "t"
    path.write_bytes(GOOD[:cut])
    if cut in ends:  # whole records: nothing in the format tells that more should follow
        assert import_tables(path, "short")
        return
    with pytest.raises(OgiveError, match=r"is truncated inside record \d+; fetch it again") as caught:
        import_tables(path, "t")
    assert "\n" not in str(caught.value)
    assert "t" not in table_names()


@settings(max_examples=60, deadline=None)
@given(at=st.integers(12, len(GOOD) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_is_one_clear_line(tmp_path_factory, at, bit):
    path = tmp_path_factory.mktemp("t") / "t"
    path.write_bytes(GOOD[:at] + bytes([GOOD[at] ^ 1 << bit]) + GOOD[at + 1 :])
    with pytest.raises(OgiveError, match=r"checksum is wrong|is truncated") as caught:
        import_tables(path, "t")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (b"not json", "record 0: this is no NAS-Bench-101 record"),
        (b"[1, 2]", "record 0: this is no NAS-Bench-101 record"),
        (b'["zz", 108, "0100", "input,output", ""]', "record 0: this is no NAS-Bench-101 record"),
        (b'["00", 108, "0100", "input,output", "####"]', "record 0: this is no NAS-Bench-101 record"),
        (layouts.nasbench101_row("00", 108, "0100", "input,output", 1, [[0] * 5]), "no NAS-Bench-101 record"),
        (layouts.nasbench101_row("00", 108, "0100", "input,5x5,output", 1, [[0] * 5] * 3), "'0100:input,5x5,output'"),
    ],
)
def test_other_records_are_one_clear_line(tmp_path, record, message):
    (tmp_path / "x").write_bytes(layouts.tfrecord([record]))
    with pytest.raises(OgiveError, match=message) as caught:
        import_tables(tmp_path / "x", "x")
    assert "\n" not in str(caught.value)
    assert table_names() == []
