"""Every built-in event log and the example plug-in pass the shipped suite; the suite catches bad logs."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from ogive.study import MemoryLog, SqliteLog
from ogive.testing.event_log import EventLogSuite

PLUGIN = Path(__file__).parents[2] / "examples" / "plugins" / "event_log.py"


def plugin():
    spec = importlib.util.spec_from_file_location("event_log_example", PLUGIN)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestMemory(EventLogSuite):
    durable = False

    def make(self, folder):
        return MemoryLog()


class TestSqlite(EventLogSuite):
    def make(self, folder):
        return SqliteLog(folder / "run.db")


class TestPlugin(EventLogSuite):
    def make(self, folder):
        return plugin().JsonLines(folder / "events.jsonl")


def test_plugin_is_short():
    assert len(PLUGIN.read_text().splitlines()) <= 40


class Sparse(MemoryLog):
    def extend(self, entries, rev=0):
        return 2 * super().extend(entries, rev)


class Halfway(MemoryLog):
    def extend(self, entries, rev=0):
        for entry in entries:
            super().extend([entry], rev)
        return self.last()


class Forgetful(MemoryLog):
    def extend(self, entries, rev=0):
        return super().extend(entries)


@pytest.mark.parametrize(
    ("bad", "test"),
    [
        (Sparse, "test_sequence_numbers_are_dense_from_one"),
        (Halfway, "test_what_is_not_json_is_refused_and_leaves_nothing"),
        (Forgetful, "test_time_and_revision_are_kept"),
    ],
)
def test_the_suite_catches(bad, test, tmp_path):
    class Suite(EventLogSuite):
        def make(self, folder):
            return bad()

    with pytest.raises(AssertionError):
        getattr(Suite(), test)(tmp_path)
