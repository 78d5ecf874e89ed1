"""The log against a plain list, and against everything that can go wrong with a file."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ogive._errors import InputError, StorageError
from ogive.study import SqliteLog

TEXT = st.text(st.characters(exclude_categories=("Cs",)))
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
DATA = st.dictionaries(st.text("abc", min_size=1), VALUES, max_size=3)
ENTRIES = st.lists(st.tuples(st.sampled_from(["eval.done", "log", "run.state"]), DATA), max_size=4)


class LogMachine(RuleBasedStateMachine):
    """Any sequence of appends, refusals, closings and reads gives what a list would."""

    def __init__(self):
        super().__init__()
        import tempfile
        from pathlib import Path

        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "run.db"
        self.log = SqliteLog(self.path)
        self.model = []

    @rule(entries=ENTRIES, rev=st.integers(0, 5))
    def extend(self, entries, rev):
        self.model += [(kind, data, rev) for kind, data in entries]
        assert self.log.extend(entries, rev) == len(self.model)

    @rule(entries=ENTRIES)
    def refuse(self, entries):
        with pytest.raises(InputError):
            self.log.extend([*entries, ("log", {"x": float("nan")})])

    @rule()
    def reopen(self):
        self.log.close()
        self.log = SqliteLog(self.path)

    @rule(
        after=st.integers(0, 20),
        kinds=st.none() | st.sets(st.sampled_from(["log", "run.state"])),
        limit=st.none() | st.integers(0, 5),
    )
    def read(self, after, kinds, limit):
        expected = [
            (i, *row) for i, row in enumerate(self.model, start=1) if i > after and (kinds is None or row[0] in kinds)
        ]
        found = [(e.seq, e.kind, e.data, e.rev) for e in self.log.read(after, kinds, limit)]
        assert found == expected[: len(expected) if limit is None else limit]

    @invariant()
    def another_process_reads_the_same(self):
        reader = SqliteLog(self.path, read_only=True)
        assert [(e.kind, e.data, e.rev) for e in reader.read()] == self.model
        assert reader.last() == len(self.model)

    def teardown(self):
        self.log.close()
        self.folder.cleanup()


LogMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
TestLogMachine = LogMachine.TestCase


def test_a_reader_before_the_writer_sees_an_empty_log(tmp_path):
    reader = SqliteLog(tmp_path / "run.db", read_only=True)
    assert (list(reader.read()), reader.last()) == ([], 0)
    assert not list(tmp_path.iterdir())
    with pytest.raises(StorageError, match="reading only"):
        reader.append("x", {})


def test_events_cannot_be_changed_even_with_sql(tmp_path):
    with SqliteLog(tmp_path / "run.db") as log:
        log.append("x", {"i": 1})
    connection = sqlite3.connect(tmp_path / "run.db")
    for statement in ("UPDATE events SET kind='y'", "DELETE FROM events"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)
    connection.close()


def test_the_file_is_an_ordinary_database(tmp_path):
    with SqliteLog(tmp_path / "run.db") as log:
        log.append("eval.done", {"metrics": {"params": [1, None]}})
        connection = sqlite3.connect(tmp_path / "run.db")
        query = "SELECT seq, kind, json_extract(data, '$.metrics.params[0]') FROM events"
        assert connection.execute(query).fetchall() == [(1, "eval.done", 1)]
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        connection.close()


def test_two_writers_on_one_file_cannot_both_append(tmp_path):
    with SqliteLog(tmp_path / "run.db") as one, SqliteLog(tmp_path / "run.db") as two:
        one.append("x", {"from": "one"})
        with pytest.raises(StorageError, match="UNIQUE"):
            two.append("x", {"from": "two"})
        one.append("x", {"from": "one"})
        assert [e.data["from"] for e in two.read()] == ["one", "one"]


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"x" * 4096])
def test_a_file_that_is_no_log_is_named(tmp_path, content):
    path = tmp_path / "run.db"
    path.write_bytes(content)
    for read_only in (True, False):
        with pytest.raises(StorageError, match=r"run\.db") as caught:
            list(SqliteLog(path, read_only=read_only).read())
        assert "\n" not in str(caught.value)


def test_a_full_database_loses_nothing(tmp_path):
    with SqliteLog(tmp_path / "run.db") as log:
        log.append("x", {"i": 0})
        pages = log._connection.execute("PRAGMA page_count").fetchone()[0]
        log._connection.execute(f"PRAGMA max_page_count={pages + 3}")
        last = fill(log)
        assert [e.data["i"] for e in SqliteLog(tmp_path / "run.db", read_only=True).read()] == list(range(last))
        log._connection.execute("PRAGMA max_page_count=100000")
        # The same open log goes on once there is space.
        assert log.append("x", {"i": last}) == last + 1


def pour(log):
    for i in range(log.last(), 100_000):
        log.append("x", {"i": i, "padding": "x" * 500})


def fill(log):
    """Append until the disk is full; return how many events there are then."""
    with pytest.raises(StorageError, match="the disk is full") as caught:
        pour(log)
    assert "\n" not in str(caught.value)
    assert log.last() > 1
    return log.last()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root may mount a small file system; the limit of pages above covers SQLite's side")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_really_full_disk_loses_nothing(small_disk):
    with SqliteLog(small_disk / "run.db") as log:
        last = fill(log)
    assert [e.data["i"] for e in SqliteLog(small_disk / "run.db", read_only=True).read()] == list(range(last))
    check = sqlite3.connect(small_disk / "run.db")
    assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    check.close()


def append_one(path):
    with SqliteLog(path) as log:
        log.append("x", {"i": 2})


def test_a_read_only_disk_can_be_read_and_says_that_it_cannot_be_written(small_disk):
    with SqliteLog(small_disk / "run.db") as log:
        log.append("x", {"i": 1})
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert [e.data for e in SqliteLog(small_disk / "run.db", read_only=True).read()] == [{"i": 1}]
    with pytest.raises(StorageError, match=r"cannot be (written|created)") as caught:
        append_one(small_disk / "run.db")
    assert "\n" not in str(caught.value)
    with pytest.raises(StorageError, match="writable"):
        SqliteLog(small_disk / "other.db")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_named(tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(StorageError, match="writable"):
        SqliteLog(tmp_path / "run.db")
    tmp_path.chmod(stat.S_IRWXU)


def test_data_are_strict_json(tmp_path):
    with SqliteLog(tmp_path / "run.db") as log:
        log.append("x", {"a": [1.5, None]})
        text = log._connection.execute("SELECT data FROM events").fetchone()[0]
    assert json.loads(text, parse_constant=pytest.fail) == {"a": [1.5, None]}
