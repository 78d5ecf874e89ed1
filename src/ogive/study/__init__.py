"""The loop that remembers."""

from ogive.study.events import Event, EventLog, MemoryLog, SqliteLog
from ogive.study.study import Study

__all__ = ["Event", "EventLog", "MemoryLog", "SqliteLog", "Study"]
