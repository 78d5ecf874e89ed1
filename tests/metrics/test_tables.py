"""Tables: what is read is what the file says, and a bad file is one clear line."""

from __future__ import annotations

import gzip
import itertools

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogive import OgiveError
from ogive._paths import data_home
from ogive.metrics.base import Context, Cost, resolve
from ogive.metrics.evaluate import evaluate
from ogive.metrics.tables import Column, Table, import_table, table_info, table_names
from ogive.spaces import Choice, Space, get_space
from ogive.testing.strategy import Box

NB201 = "nasbench201"
GOOD = "|none~0|+|none~0|none~1|+|none~0|none~1|nor_conv_3x3~2|"
ALSO = "|none~0|+|none~0|none~1|+|none~0|none~1|avg_pool_3x3~2|"


def write(path, text):
    path.write_text(text)
    return path


@pytest.fixture
def small(tmp_path):
    """Two architectures, one value blank, one infinite."""
    return write(tmp_path / "small.csv", f"arch,a,loss,b\n{GOOD},1.5,3,inf\n{ALSO},,2,4\n")


# -------------------------------------------------------------------- real files


def test_nasbench201_reads_back_to_the_digit(shared):
    table = import_table(shared / "nasbench201.csv.gz", "nb201", NB201)
    frame = pd.read_csv(shared / "nasbench201.csv.gz")
    opened = Table.open("nb201")
    genotypes = opened.space.parse(frame.arch.tolist())
    for column in frame.columns.drop("arch"):
        expected = frame[column].to_numpy(float, copy=True)
        expected[np.isinf(expected)] = np.nan
        for t in (table, opened):
            np.testing.assert_array_equal(t.lookup(column, genotypes), expected)
    assert (len(opened), opened.coverage("cifar10_val_accuracy")) == (15_625, 1.0)
    assert opened.coverage("cifar10_zen") < 1.0
    # The published optima.
    best = [opened.optimum(f"{d}_test_accuracy") for d in ("cifar10", "cifar100", "imagenet16_120")]
    assert [round(b, 2) for b in best] == [94.37, 73.51, 47.31]


def test_partial_table_with_blanks_and_infinities(shared):
    table = import_table(shared / "nasbench201_zero_cost_cifar10.csv.gz", "zc", NB201)
    frame = pd.read_csv(shared / "nasbench201_zero_cost_cifar10.csv.gz")
    missing = ~np.isfinite(frame.drop(columns="arch").to_numpy(float))
    assert missing.any(), "the extract has blanks"
    genotypes = table.space.parse(frame.arch.tolist())
    for column, gone in zip(frame.columns.drop("arch"), missing.T, strict=True):
        assert np.isnan(table.lookup(column, genotypes)).tolist() == gone.tolist()
    assert np.isfinite(table.lookup("params", table.space.enumerate())).sum() == 725
    assert table.coverage("params") == pytest.approx(725 / 15_625)
    assert table.column("params").direction == table.column("flops").direction == "min"
    row = int(np.flatnonzero(missing[:, frame.columns.drop("arch").get_loc("nwot")])[0])
    scores = evaluate(["nwot@zc"], table.space, genotypes[row : row + 1], Context())
    assert np.isnan(scores.values["nwot@zc"][0])
    assert "no value" in scores.failures[0]


@pytest.mark.parametrize(("which", "rows", "column", "best"), [
    ("micro", 4096, "class_object_val", 45.59), ("micro", 4096, "room_layout_val", -0.6010),
    ("macro", 3256, "class_scene_val", 57.41), ("macro", 3256, "jigsaw_val", 97.02),
])  # fmt: skip
def test_transnas_tables(shared, which, rows, column, best):
    table = import_table(shared / f"transnasbench101_{which}.csv.gz", which, f"transnas_{which}")
    assert len(table) == rows == table.space.size
    assert table.coverage(column) == 1.0
    assert table.optimum(column) == pytest.approx(best, abs=0.005)
    genotypes = table.space.sample(50, np.random.default_rng(0))
    frame = pd.read_csv(shared / f"transnasbench101_{which}.csv.gz").set_index("arch")[column]
    assert table.lookup(column, genotypes).tolist() == frame[table.space.format(genotypes)].tolist()


# -------------------------------------------------------------------- what a table says


def test_blank_and_infinite_cells_are_no_values(small):
    table = Table.read(small, NB201)
    g = table.space.parse([GOOD, ALSO])
    assert table.lookup("a", g).tolist() == pytest.approx([1.5, np.nan], nan_ok=True)
    assert table.lookup("b", g).tolist() == pytest.approx([np.nan, 4.0], nan_ok=True)
    assert np.isnan(table.lookup("loss", table.space.parse(["|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"]))).all()
    assert (table.optimum("a"), table.optimum("loss")) == (1.5, 2.0)


def test_directions_and_units(small):
    table = import_table(small, "mine", NB201, minimize=["a"], units={"a": "ms"})
    for t in (table, Table.open("mine")):
        assert t.column("a") == Column("a", "ms", "min")
        assert t.column("b") == Column("b", "1", "max")
        assert t.column("loss").direction == "min"
        assert t.regret("loss", [2.0, 5.0]).tolist() == [0.0, 3.0]
        assert t.regret("b", [4.0, 1.0]).tolist() == [0.0, 3.0]
    assert resolve("a@mine").direction == "min"
    assert resolve("a@mine").unit == "ms"
    assert resolve("a@mine").cost == Cost.TABLE
    assert table_info("mine").columns == tuple(table.columns.values())
    assert Column.guess("val_accuracy", np.array([np.nan, 91.0])) == Column("val_accuracy", "%", "max")
    assert Column.guess("val_accuracy", np.array([np.nan, 0.91])) == Column("val_accuracy", "1", "max")


class Wide(Space):
    """A space too large for a dense index."""

    name = "test-wide"
    choices = tuple(Choice(f"c{i}", tuple("abcdefgh")) for i in range(25))

    def parse_many(self, archs):
        return np.array([[int(d) for d in a] for a in archs], dtype=self.dtype).reshape(-1, 25)

    def format_many(self, genotypes):
        return ["".join(map(str, row)) for row in genotypes.tolist()]


@given(st.sampled_from([Box(), Wide()]), st.integers(1, 60), st.integers(0, 10**6))
def test_lookup_agrees_with_a_dictionary(space, n, seed):
    rng = np.random.default_rng(seed)
    rows = rng.permutation(np.unique(space.sample(n, rng), axis=0))
    values = rng.normal(size=(1, len(rows)))
    table = Table("t", space, rows, [Column("v")], values)
    known = dict(zip(space.keys(rows), values[0].tolist(), strict=True))
    asked = np.concatenate([rows, space.sample(30, rng)])
    expected = [known.get(k, np.nan) for k in space.keys(asked)]
    np.testing.assert_array_equal(table.lookup("v", asked), expected)


def test_values_pass_through_the_file_bit_by_bit(tmp_path):
    space = get_space(NB201)
    rng = np.random.default_rng(3)
    rows = space.from_index(rng.permutation(space.box)[:500])
    values = rng.normal(size=(2, 500)) * 10.0 ** rng.integers(-300, 300, (2, 500))
    values[0, 7] = np.nan
    Table("bits", space, rows, [Column("x"), Column("y", "s", "min")], values).save()
    again = Table.open("bits")
    assert again.genotypes.tolist() == rows.tolist()
    np.testing.assert_array_equal(again.values("x"), values[0])
    np.testing.assert_array_equal(again.values("y"), values[1])
    frame = pq.read_table(data_home() / "tables" / "bits.parquet").to_pandas()
    assert frame.arch.tolist() == space.format(rows)


def test_parquet_and_compressed_csv_are_the_same_table(small, tmp_path):
    frame = pd.read_csv(small)
    frame.to_parquet(tmp_path / "t.parquet")
    with gzip.open(tmp_path / "t.csv.gz", "wt") as f:
        f.write(small.read_text())
    tables = [Table.read(p, NB201) for p in (small, tmp_path / "t.csv.gz", tmp_path / "t.parquet")]
    for a, b in itertools.pairwise(tables):
        assert list(a.columns) == list(b.columns)
        for c in a.columns:
            np.testing.assert_array_equal(a.values(c), b.values(c))


def test_an_architecture_column_of_digits_keeps_its_zeros(tmp_path):
    table = Table.read(write(tmp_path / "d.csv", "arch,v\n0012,1\n0120,2\n"), Box())
    assert table.genotypes.tolist() == [[0, 0, 1, 2], [0, 1, 2, 0]]


def test_importing_again_replaces_the_table(small, tmp_path):
    import_table(small, "twice", NB201)
    assert resolve("a@twice").name == "a@twice"
    import_table(write(tmp_path / "new.csv", f"arch,c\n{GOOD},7\n"), "twice", NB201)
    assert list(Table.open("twice").columns) == ["c"]
    assert table_names() == ["twice"]


def test_a_table_of_another_space_is_refused(small):
    import_table(small, "mine", NB201)
    with pytest.raises(OgiveError, match="of space 'nasbench201', not of 'suite-box'"):
        evaluate(["a@mine"], Box(), Box().enumerate()[:2], Context())
    # The same strings, but networks of another width and depth.
    small_nets = get_space("nasbench201:C=4,N=1")
    with pytest.raises(OgiveError, match="choose it with --space nasbench201"):
        evaluate(["a@mine"], small_nets, small_nets.parse([GOOD]), Context())


# -------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"architecture,a\n{GOOD},1\n", "no column 'arch'.*did you mean 'architecture'"),
        (f"arch\n{GOOD}\n", "no column besides 'arch'"),
        ("arch,a\n", "no rows"),
        (f"arch,a\n{GOOD},nan\n", r"column 'a', row 1 \(arch '\|none~0.*NaN is no value"),
        (f"arch,a,b\n{GOOD},1,1\n{ALSO},2,NaN\n", "column 'b', row 2 .*NaN is no value"),
        (f"arch,a\n{GOOD},1\n{ALSO},many\n", "column 'a', row 2 .*'many' is not a number"),
        (f"arch,a\n{GOOD},NA\n", "column 'a', row 1 .*'NA' is not a number"),
        (f"arch,a\n{GOOD},\n{ALSO},\n", "column 'a' has no value at all"),
        (f"arch,a\n{GOOD},1\n{ALSO},2\n{GOOD},3\n", r"row 3: architecture '\|none~0.*already in row 1"),
        (f"arch,a\n{GOOD},1\nresnet50,2\n", "row 2: architecture string 'resnet50'.*position 0"),
        (f"arch,a\n{GOOD},1\n,2\n", "row 2: column 'arch' is blank"),
        (f"arch,a,a\n{GOOD},1,2\n", "column 'a' more than once"),
        (f"arch,val acc\n{GOOD},1\n", "column 'val acc'; rename it"),
        (f"arch,a\n{GOOD},1,2,3\n", "cannot be read as CSV"),
        ("", "cannot be read as CSV"),
    ],
)
def test_bad_csv_is_one_clear_line(tmp_path, text, message):
    path = write(tmp_path / "bad.csv", text)
    with pytest.raises(OgiveError, match=message) as caught:
        import_table(path, "bad", NB201)
    assert "bad.csv" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert table_names() == []


def test_foreign_architectures_of_a_space_with_a_rule(tmp_path):
    class Odd(Box):
        def valid(self, genotypes):
            return np.asarray(genotypes)[:, 0] == 1

    with pytest.raises(OgiveError, match="row 2: '0000' is not an architecture of space 'suite-box'"):
        Table.read(write(tmp_path / "d.csv", "arch,v\n1012,1\n0000,2\n"), Odd())


def test_bad_parquet(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"arch": [GOOD], "a": [float("nan")]}), path)
    with pytest.raises(OgiveError, match=r"row 1 .*NaN is no value"):
        Table.read(path, NB201)
    write(path, "not parquet")
    with pytest.raises(OgiveError, match="cannot be read as Parquet"):
        Table.read(path, NB201)


def test_unknown_things_name_the_nearest(small, tmp_path):
    import_table(small, "mine", NB201)
    for call, message in [
        (lambda: Table.open("mien"), "unknown table 'mien'; did you mean 'mine'.*ogive tables import"),
        (lambda: Table.open("../mine"), "unknown table"),
        (lambda: resolve("lss@mine"), "table 'mine' has no column 'lss'; did you mean 'loss'"),
        (lambda: resolve("loss@mien"), "unknown source 'mien' of metric 'loss@mien'; did you mean 'mine'"),
        (lambda: resolve("accuracy@trian"), "did you mean 'train'"),
        (lambda: Table.read(small, "nasbench"), "unknown space 'nasbench'"),
        (lambda: Table.read(tmp_path / "no.csv", NB201), "does not exist"),
        (lambda: Table.read(small, NB201, minimize=["los"]), "no column 'los'; did you mean 'loss'"),
        (lambda: import_table(small, "a b", NB201), "letters, digits"),
        (lambda: import_table(small, "train", NB201), "taken by the metrics"),
    ]:
        with pytest.raises(OgiveError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", [b"", b"PAR1 nothing", None])
def test_a_damaged_table_file_is_named(small, damage):
    import_table(small, "mine", NB201)
    path = data_home() / "tables" / "mine.parquet"
    if damage is None:
        pq.write_table(pa.table({"arch": [GOOD]}), path)
    else:
        path.write_bytes(damage)
    with pytest.raises(OgiveError, match=r"mine\.parquet is damaged .*import the table again"):
        Table.open("mine")
    with pytest.raises(OgiveError, match="is damaged"):
        table_info("mine")


def test_a_folder_that_cannot_be_written_is_named(small, monkeypatch, tmp_path):
    monkeypatch.setenv("OGIVE_DATA", str(write(tmp_path / "file", "")))
    with pytest.raises(OgiveError, match="table 'mine' cannot be written"):
        import_table(small, "mine", NB201)
