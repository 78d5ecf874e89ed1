"""Tables in their files: read when asked for, replaced without harm to those who read, told apart by graph."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogive._errors import StorageError
from ogive._paths import data_home
from ogive.metrics.tables import Column, Table, table_info
from ogive.spaces import get_space

SPACE = get_space("nasbench201")


def table(name, values, columns=("a",), **kwargs):
    genotypes = SPACE.from_index(np.arange(np.shape(values)[1]) * 7)
    return Table(name, SPACE, genotypes, [Column(c) for c in columns], np.asarray(values, dtype=float), **kwargs)


@given(
    st.lists(st.tuples(st.floats(width=64), st.floats(width=64)), min_size=1, max_size=20),
    st.sampled_from(["nasbench201", "nasbench101", "transnas_micro"]),
)
def test_values_and_genotypes_come_back_bit_by_bit(values, name):
    space = get_space(name)
    genotypes = space.from_index(np.arange(len(values)) * 101)
    written = Table("t", space, genotypes, [Column("a"), Column("b", "ms", "min", "a note")], np.array(values).T)
    written.save()
    read = Table.open("t")
    np.testing.assert_array_equal(read.genotypes, genotypes)
    assert read.genotypes.dtype == space.dtype
    assert [*read.columns.values()] == [*written.columns.values()]
    for column in "ab":
        assert read.values(column).tobytes() == written.values(column).tobytes()
    assert len(read) == len(values)


def test_others_read_the_file_too():
    path = table("t", [[1.0, np.nan, 3.0], [4.0, 5.0, 6.0]], "ab").save()
    frame = pd.read_parquet(path)
    np.testing.assert_array_equal(frame[["a", "b"]].to_numpy().T, [[1.0, np.nan, 3.0], [4.0, 5.0, 6.0]])
    assert SPACE.parse(frame.arch.tolist()).tolist() == Table.open("t").genotypes.tolist()


def test_whoever_has_opened_a_table_keeps_it_while_it_is_replaced():
    table("t", [[1.0, 2.0]]).save()
    before = Table.open("t")
    table("t", [[3.0, 4.0, 5.0]]).save()
    assert before.values("a").tolist() == [1.0, 2.0]
    assert len(before.genotypes) == 2
    assert Table.open("t").values("a").tolist() == [3.0, 4.0, 5.0]


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError("disk full")])
def test_nothing_half_written_stays(monkeypatch, failure):
    table("t", [[1.0, 2.0]]).save()

    def broken(arrow, path, **_):
        path.write_bytes(b"PAR1 half a table")
        raise failure

    monkeypatch.setattr("pyarrow.parquet.write_table", broken)
    with pytest.raises((KeyboardInterrupt, StorageError)):
        table("t", [[3.0, 4.0]]).save()
    assert [p.name for p in (data_home() / "tables").iterdir()] == ["t.parquet"]
    assert Table.open("t").values("a").tolist() == [1.0, 2.0]


def test_a_file_that_is_damaged_behind_its_header_is_named_when_a_column_is_read():
    path = table("t", np.random.default_rng(0).normal(size=(1, 2000))).save()
    data = bytearray(path.read_bytes())
    data[4 : len(data) // 2] = bytes(len(data) // 2 - 4)
    path.write_bytes(data)
    opened = Table.open("t")
    with pytest.raises(StorageError, match=r"t\.parquet is damaged .*import the table again"):
        assert opened.genotypes.size + opened.values("a").size == 0


def test_a_row_may_stand_for_a_graph():
    """Two cells of NAS-Bench-201 that compute the same, of which the table has the canonical one."""
    same = SPACE.parse(
        [
            "|skip_connect~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|none~2|",
            "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
        ]
    )
    canonical = SPACE.canonical(same)
    by_graph = Table("g", SPACE, canonical[:1], [Column("a")], np.array([[1.0]]), by_graph=True)
    class_members = SPACE.enumerate()
    class_members = class_members[(SPACE.canonical(class_members) == canonical[0]).all(axis=1)]
    assert len(class_members) > 1
    by_graph.save()
    for t in (by_graph, Table.open("g"), by_graph.lower_is_better(["a"])):
        assert (t.lookup("a", class_members) == 1.0).all()
    assert table_info("g").by_graph
    alone = Table("h", SPACE, canonical[:1], [Column("a")], np.array([[1.0]]))
    assert np.isfinite(alone.lookup("a", class_members)).sum() == 1
    assert (by_graph.metric("a").identity, alone.metric("a").identity) == ("graph", "genotype")
