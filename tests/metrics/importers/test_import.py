"""What holds for every official file: recognised by content, refused when hostile or damaged, imported whole or not."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import os
import pickle
import shutil
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ogive import OgiveError
from ogive._paths import data_home
from ogive._pickle import UnsafePickleError
from ogive.cli.main import run
from ogive.metrics.importers import import_tables
from ogive.metrics.tables import Table, table_info, table_names
from ogive.spaces.nasbench201 import NASBench201
from tests.metrics.importers import layouts
from tests.metrics.importers.test_nasbench101 import benchmark

SPACE = NASBench201()


def torch_file(value, zipped):
    out = io.BytesIO()
    torch.save(value, out, _use_new_zipfile_serialization=zipped)
    return out.getvalue()


def tar_of(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def small():
    """NATS-Bench with the least in it: every byte of the file can be cut in the time of a test."""
    return layouts.nats(layouts.TSS[:2], {"12": layouts.seeds((777,), (777,), (777,), (777,))})


def members(value):
    return {f"s/{i:06d}.pickle.pbz2": bz2.compress(pickle.dumps(r)) for i, r in value["arch2infos"].items()}


CONTENTS = {
    "NATS-Bench archive": (lambda: bz2.compress(pickle.dumps(small(), 4)), "nasbench201"),
    "NATS-Bench tar": (lambda: tar_of(members(small())), "nasbench201"),
    "NAS-Bench-360": (lambda: bz2.compress(pickle.dumps(layouts.nb360("ninapro", 12), 4)), "nasbench201"),
    "NAS-Bench-201 zip": (lambda: torch_file(small(), True), "nasbench201"),
    "NAS-Bench-201 legacy": (lambda: torch_file(small(), False), "nasbench201"),
    "NATS-Bench plain": (lambda: pickle.dumps(small(), 2), "nasbench201"),
    "NATS-Bench text": (lambda: pickle.dumps(small(), 0), "nasbench201"),
    "NATS-Bench gzip": (lambda: gzip.compress(pickle.dumps(small(), 5)), "nasbench201"),
    "TransNAS-Bench-101": (lambda: torch_file(layouts.transnas(epochs=2), True), "transnas_micro"),
    "NAS-Bench-101": (lambda: layouts.tfrecord(benchmark((108,))[0]), "nasbench101"),
    "HW-NAS-Bench": (
        lambda: pickle.dumps(layouts.hwnas(SPACE.format_many(SPACE.from_index(SPACE.official())))),
        "nasbench201",
    ),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Path and bytes of one file in each layout; the names say nothing."""
    root = tmp_path_factory.mktemp("official")
    found = {}
    for i, (name, (make, _)) in enumerate(CONTENTS.items()):
        found[name] = root / f"file{i}.csv"
        found[name].write_bytes(make())
    return found


@pytest.mark.parametrize("name", CONTENTS)
def test_the_content_tells_what_a_file_is(files, name):
    tables = import_tables(files[name], "x")
    assert tables[0].space.name == CONTENTS[name][1]
    opened = Table.open(tables[0].name)
    assert opened.columns == tables[0].columns
    for column in opened.columns:
        assert str(opened.values(column).tolist()) == str(tables[0].values(column).tolist())


@pytest.mark.parametrize("name", [n for n in CONTENTS if n not in ("HW-NAS-Bench", "NAS-Bench-101")])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_truncated_file_is_one_clear_line_and_nothing_is_imported(files, tmp_path, capsys, name, data):
    whole = files[name].read_bytes()
    # Anywhere, and in the last bytes, where only a checksum or an end mark is missing.
    end = len(whole) - (9728 if "tar" in name else 0)  # tar pads with zeros, which nobody needs
    cut = data.draw(st.integers(5, end - 1) | st.integers(end - 40, end - 1))
    path = tmp_path / "cut"
    path.write_bytes(whole[:cut])
    with pytest.raises(OgiveError) as caught:
        import_tables(path, "cut")
    assert "\n" not in str(caught.value)
    assert "'" + str(path) in str(caught.value)
    assert table_names() == []


@pytest.mark.parametrize("name", CONTENTS)
def test_the_command_line_says_so_with_exit_2(files, tmp_path, capsys, name):
    path = tmp_path / "cut"
    whole = files[name].read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert run(["tables", "import", str(path), "--name", "x"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert any(word in err for word in ("truncated", "corrupt", "damaged"))
    assert not list(data_home().rglob("*.*"))


# -------------------------------------------------------------------- hostile files


class Runs:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def hide_in_record(value, marker):
    value["arch2infos"][1]["12"]["all_results"]["cifar10", 777]["train_times"] = Runs(marker)
    return value


HOSTILE = {
    "archive": lambda v: bz2.compress(pickle.dumps(v)),
    "plain": pickle.dumps,
    "protocol 0": lambda v: bz2.compress(pickle.dumps(v, 0)),
    "protocol 1": lambda v: pickle.dumps(v, 1),
    "gzip": lambda v: gzip.compress(pickle.dumps(v)),
    "torch zip": lambda v: torch_file(v, True),
    "torch legacy": lambda v: torch_file(v, False),
    "tar": lambda v: tar_of(members(v)),
    "tar in gzip": lambda v: gzip.compress(tar_of(members(v))),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_foreign_class_is_refused_and_does_not_run(tmp_path, kind):
    marker = tmp_path / "marker"
    (tmp_path / "evil").write_bytes(HOSTILE[kind](hide_in_record(small(), marker)))
    with pytest.raises(
        UnsafePickleError, match=r"wants to load '(posix|nt)\.system'.*refused without running"
    ) as caught:
        import_tables(tmp_path / "evil", "x")
    assert "\n" not in str(caught.value)
    assert not marker.exists()
    assert table_names() == []


def test_the_attack_is_a_real_one(tmp_path):
    pickle.loads(pickle.dumps(hide_in_record(small(), tmp_path / "marker")))
    assert (tmp_path / "marker").exists()


def test_a_foreign_class_in_a_folder_is_named_with_its_file(tmp_path):
    root = layouts.folder(tmp_path / "simple", small())
    layouts.bz2_pickle(root / "meta.pickle.pbz2", {"meta_archs": Runs(tmp_path / "marker")})
    with pytest.raises(UnsafePickleError, match=r"simple/meta\.pickle\.pbz2' wants to load"):
        import_tables(root, "x")
    assert not (tmp_path / "marker").exists()


def test_a_compression_bomb_is_refused(tmp_path):
    """Little data that unpacks to 320 MiB of text."""
    text = pickle.BINUNICODE + (1 << 26).to_bytes(4, "little") + bytes(1 << 26)
    with gzip.open(tmp_path / "bomb", "wb", compresslevel=1) as file:
        file.write(pickle.PROTO + b"\x04" + pickle.MARK)
        for _ in range(5):
            file.write(text)
        file.write(pickle.LIST + pickle.STOP)
    assert (tmp_path / "bomb").stat().st_size < 2 << 20
    with pytest.raises(OgiveError, match="more than 256 MiB in one piece"):
        import_tables(tmp_path / "bomb", "x")


# -------------------------------------------------------------------- neither


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; fetch it again"),
        (bytes(range(256)), "is no file of a known benchmark, no CSV and no Parquet"),
        (b"arch,a\nx,1\n", "table of your own; say what .* with --space SPACE"),
        (gzip.compress(b"arch,a\nx,1\n"), "table of your own"),
        (pickle.dumps([1, 2, 3]), "pickle in no known layout; known are NATS-Bench"),
        (pickle.dumps({}), "pickle in no known layout"),
        (pickle.dumps({"meta_archs": []}), "no records of architectures"),
        (tar_of({}), "is no file of a known benchmark|empty"),
        (tar_of({"a": b"text"}), "'.*/a' is no file of a benchmark; take it out"),
    ],
)
def test_other_files_are_one_clear_line(tmp_path, content, message):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(OgiveError, match=message) as caught:
        import_tables(tmp_path / "x", "x")
    assert "\n" not in str(caught.value)


def test_no_file_and_an_empty_folder(tmp_path):
    with pytest.raises(OgiveError, match="does not exist"):
        import_tables(tmp_path / "no", "x")
    with pytest.raises(OgiveError, match="has no files"):
        import_tables(tmp_path, "x")


def test_files_of_two_benchmarks_in_one_folder(tmp_path, files):
    for name in ("NATS-Bench archive", "TransNAS-Bench-101"):
        shutil.copy(files[name], tmp_path / name)
    with pytest.raises(OgiveError, match="files of different benchmarks; import them one by one"):
        import_tables(tmp_path, "x")


@pytest.mark.parametrize(
    "compress", [bytes, gzip.compress, bz2.compress, lambda b: pa.compress(b, "zstd", asbytes=True)]
)
def test_a_table_of_the_users_own_needs_no_ending(tmp_path, compress):
    text = f"arch,accuracy\n{layouts.TSS[0]},91.5\n".encode()
    if compress is not bytes:
        text = compress(text)
    (tmp_path / "mine").write_bytes(text)
    (table,) = import_tables(tmp_path / "mine", "mine", "nasbench201")
    assert table.values("accuracy").tolist() == [91.5]
    pq.write_table(pa.table({"arch": [layouts.TSS[0]], "delay": [3.0]}), tmp_path / "also")
    (table,) = import_tables(tmp_path / "also", "also", "nasbench201", minimize=["delay"], units={"delay": "ms"})
    assert (table.column("delay").direction, table.column("delay").unit) == ("min", "ms")


# -------------------------------------------------------------------- whole or not at all


def test_a_failed_import_leaves_the_older_table(files, tmp_path):
    import_tables(files["NATS-Bench archive"], "x")
    before = {p: p.read_bytes() for p in data_home().rglob("*") if p.is_file()}
    (tmp_path / "cut").write_bytes(files["NAS-Bench-201 zip"].read_bytes()[:5000])
    with pytest.raises(OgiveError):
        import_tables(tmp_path / "cut", "x")
    assert {p: p.read_bytes() for p in data_home().rglob("*") if p.is_file()} == before


def test_of_two_tables_none_is_kept_where_one_is_wrong(tmp_path):
    data = layouts.transnas()
    data["data"]["macro"]["64-9999-basic"] = data["data"]["macro"].pop("64-4111-basic")
    (tmp_path / "x").write_bytes(torch_file(data, True))
    with pytest.raises(OgiveError, match="64-9999-basic"):
        import_tables(tmp_path / "x", "x")
    assert table_names() == []


def test_the_command_line_imports_and_shows(files, capsys):
    assert run(["tables", "import", str(files["TransNAS-Bench-101"]), "--name", "tnb", "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    document = json.loads(out)
    assert [(t["name"], t["space"], t["rows"]) for t in document["tables"]] == [
        ("tnb_micro", "transnas_micro", 2),
        ("tnb_macro", "transnas_macro", 2),
    ]
    assert document["tables"][0]["details"]["room_layout_val_neg_loss"]["direction"] == "max"
    assert run(["tables", "import", str(files["NAS-Bench-360"]), "--name", "nina"]) == 0
    assert "selects on test data" in capsys.readouterr().out
    assert run(["tables", "import", str(files["NATS-Bench archive"]), "--name", "nats"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "2 architectures" in err
    assert "ogive tables show nats" in err
    assert table_info("nats").space == "nasbench201"
    arch = layouts.TSS[0]
    assert run(["measure", arch, "--metrics", "cifar10_val_accuracy_12ep@nats", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    table = Table.open("nats")
    assert (
        row["cifar10_val_accuracy_12ep@nats"] == table.lookup("cifar10_val_accuracy_12ep", table.space.parse([arch]))[0]
    )


# -------------------------------------------------------------------- anything in the place of anything

JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=5),
    st.just([]), st.just({}), st.just(()), st.just([[1]]), st.just({1: {2: 3}}), st.just(10**12), st.just((1, 2)),
)  # fmt: skip


def spoil(value, data):
    """Put junk in the place of one value, at any depth."""
    while True:
        places = list(value) if isinstance(value, dict) else range(len(value))
        place = data.draw(st.sampled_from(places))
        deeper = isinstance(value[place], (dict, list)) and len(value[place]) > 0
        if deeper and data.draw(st.integers(0, 6)):
            value = value[place]
        elif isinstance(value, dict) and not data.draw(st.integers(0, 3)):
            value[data.draw(JUNK.filter(lambda v: not isinstance(v, (dict, list))))] = value.pop(place)
            return
        else:
            value[place] = data.draw(JUNK)
            return


SPOILT = {
    "NATS-Bench": small,
    "TransNAS-Bench-101": lambda: layouts.transnas(epochs=1),
    "HW-NAS-Bench": lambda: {"nasbench201": {"cifar10": {"pixel3_latency": [1.5] * 15_625}}},
}


@pytest.mark.parametrize("protocol", [0, 4])
@pytest.mark.parametrize("name", SPOILT)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_junk_is_imported_as_no_value_or_refused_with_one_line(tmp_path, name, protocol, data):
    value = SPOILT[name]()
    spoil(value, data)
    (tmp_path / "x").write_bytes(pickle.dumps(value, protocol))
    message = "imported"
    try:
        import_tables(tmp_path / "x", "x")
    except OgiveError as error:
        message = str(error)
    assert "\n" not in message
    assert len(message) < 500
