"""The log of a run: append-only events with dense sequence numbers, one writer, readable at every instant."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ogive._errors import InputError, StorageError

Entry = tuple[str, Mapping[str, Any]]
"""Kind and data of an event that is not in the log yet."""


@dataclass(frozen=True)
class Event:
    """One entry of the log.

    Attributes
    ----------
    seq : int
        Position in the log, dense from 1.
    ts : float
        Seconds since the epoch when it was written.
    rev : int
        Revision of the space the run searches; 0 until somebody steers it.
    kind : str
        Such as "run.state", "proposal", "eval.done".
    data : dict
        JSON values. Columns of an event about many trials are lists of equal length.
    """

    seq: int
    ts: float
    rev: int
    kind: str
    data: dict[str, Any]


class EventLog(ABC):
    """An append-only list of events.

    `extend` is atomic: after a crash at any instant either all of its events are in the log or none is, and the log
    can be read. What `read` returns never changes later. Values are JSON: numbers (finite), strings, lists,
    dictionaries with string keys, booleans, None.
    """

    @abstractmethod
    def extend(self, entries: Sequence[Entry], rev: int = 0) -> int:
        """Append events in one transaction and return the sequence number of the last event in the log.

        Raises
        ------
        InputError
            If some data are not JSON; nothing is appended.
        StorageError
            If the log cannot be written; nothing is appended.
        """

    @abstractmethod
    def read(self, after: int = 0, kinds: Iterable[str] | None = None, limit: int | None = None) -> Iterator[Event]:
        """Yield the events whose sequence number is greater than `after`, in order.

        Parameters
        ----------
        after : int
        kinds : iterable of str, optional
            Only these kinds.
        limit : int, optional
            At most so many.

        Raises
        ------
        StorageError
            If the log cannot be read.
        """

    @abstractmethod
    def last(self) -> int:
        """Return the sequence number of the last event, 0 for an empty log."""

    def append(self, kind: str, data: Mapping[str, Any], rev: int = 0) -> int:
        """Append one event in its own transaction and return its sequence number; errors as in `extend`."""
        return self.extend([(kind, data)], rev)

    def close(self) -> None:  # noqa: B027 - most logs hold nothing open
        """Let go of files; closing twice is harmless."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def dump(data: Mapping[str, Any]) -> str:
    """Write the data of an event as strict JSON, or say what is not JSON.

    Raises
    ------
    InputError
        If a value is no JSON value, or a number is not finite.
    """
    try:
        return json.dumps(data, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise InputError(f"event data are not JSON: {error}") from error


class MemoryLog(EventLog):
    """A log that lives as long as the process."""

    def __init__(self) -> None:
        self._rows: list[tuple[float, int, str, str]] = []

    def extend(self, entries: Sequence[Entry], rev: int = 0) -> int:
        """Append events; see `EventLog.extend`."""
        now = time.time()
        self._rows += [(now, rev, kind, dump(data)) for kind, data in entries]
        return len(self._rows)

    def read(self, after: int = 0, kinds: Iterable[str] | None = None, limit: int | None = None) -> Iterator[Event]:
        """Yield events; see `EventLog.read`."""
        wanted = None if kinds is None else set(kinds)
        left = len(self._rows) if limit is None else limit
        for seq, (ts, rev, kind, text) in enumerate(self._rows[after:], start=after + 1):
            if left <= 0:
                return
            if wanted is None or kind in wanted:
                left -= 1
                yield Event(seq, ts, rev, kind, json.loads(text))

    def last(self) -> int:
        """Return the number of events."""
        return len(self._rows)


_SCHEMA = """
CREATE TABLE events (
  seq INTEGER PRIMARY KEY,
  ts REAL NOT NULL,
  rev INTEGER NOT NULL,
  kind TEXT NOT NULL,
  data TEXT NOT NULL
);
CREATE TRIGGER append_only_update BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER append_only_delete BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
"""
_BUSY_SECONDS = 10.0


class SqliteLog(EventLog):
    """A log in one SQLite file in write-ahead mode: readers never wait for the writer, nor it for them.

    With ``synchronous=NORMAL`` an appended event survives the death of the process at any instant; a power cut may
    take the last events but leaves a log that is whole up to them.

    Parameters
    ----------
    path : str or Path
        The database file, ``run.db`` of a run directory.
    read_only : bool
        A reader needs no lock and never creates the file: before the writer has, it sees an empty log. That there is
        only one writer is the business of `ogive.study.directory.RunDirectory`.

    Raises
    ------
    StorageError
        If the file cannot be opened or created, or is no log.
    """

    def __init__(self, path: str | Path, *, read_only: bool = False) -> None:
        self.path = Path(path)
        self.read_only = read_only
        self._connection: sqlite3.Connection | None = None
        self._next = 0
        if not read_only:
            with self._explained("created"):
                if not self.path.exists():
                    _create(self.path)
                self._connection = connect(self.path, "mode=rw")
            self._next = self.last() + 1

    def extend(self, entries: Sequence[Entry], rev: int = 0) -> int:
        """Append events in one transaction; see `EventLog.extend`."""
        if self._connection is None:
            raise StorageError(f"log '{self.path}' is open for reading only, or closed")
        now = time.time()
        rows = [(self._next + i, now, rev, kind, dump(data)) for i, (kind, data) in enumerate(entries)]
        with self._explained("written"):
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?)", rows)
                self._connection.execute("COMMIT")
            except BaseException:
                # SQLite has rolled back by itself after some errors (a full disk), not after others.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        self._next += len(rows)
        return self._next - 1

    def read(self, after: int = 0, kinds: Iterable[str] | None = None, limit: int | None = None) -> Iterator[Event]:
        """Yield events; see `EventLog.read`."""
        wanted = None if kinds is None else sorted(set(kinds))
        among = "" if wanted is None else f" AND kind IN ({','.join('?' * len(wanted))})"
        query = f"SELECT seq, ts, rev, kind, data FROM events WHERE seq > ?{among} ORDER BY seq LIMIT ?"  # noqa: S608
        with self._explained("read"):
            rows = self._query(query, [after, *(wanted or []), -1 if limit is None else limit])
        for seq, ts, rev, kind, text in rows:
            yield Event(seq, ts, rev, kind, json.loads(text))

    def last(self) -> int:
        """Return the sequence number of the last event."""
        with self._explained("read"):
            return int(self._query("SELECT COALESCE(MAX(seq), 0) FROM events", [])[0][0]) if self.path.exists() else 0

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _query(self, query: str, values: Sequence[Any]) -> list[Any]:
        if self._connection is not None:
            return self._connection.execute(query, values).fetchall()
        if not self.path.exists():
            return []
        # A reader opens the file anew each time, so a run directory that is moved or deleted leaves nothing dangling.
        connection = _connect_reader(self.path)
        try:
            return connection.execute(query, values).fetchall()
        finally:
            connection.close()

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            if isinstance(error, StorageError):
                raise
            raise StorageError(f"log '{self.path}' cannot be {what}: {mend(error)}") from error


def _create(path: Path) -> None:
    """Create the database under another name first, so that a reader finds either no file or a whole one."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    try:
        connection = sqlite3.connect(draft)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.executescript(_SCHEMA)
        finally:
            connection.close()
        draft.replace(path)
    finally:
        for leftover in (draft, draft.with_name(draft.name + "-wal"), draft.with_name(draft.name + "-shm")):
            leftover.unlink(missing_ok=True)


def connect(path: Path, how: str) -> sqlite3.Connection:
    """Open a log file in a mode of SQLite's URIs, such as ``mode=rw``."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{how}",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    if how == "mode=rw":
        connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def _connect_reader(path: Path) -> sqlite3.Connection:
    connection = connect(path, "mode=ro")
    try:
        connection.execute("SELECT 1 FROM events LIMIT 1")
    except sqlite3.OperationalError:
        connection.close()
        # On a read-only medium SQLite cannot lay out its shared index; nobody writes there, so none is needed.
        if os.access(path.parent, os.W_OK):
            raise
        return connect(path, "immutable=1")
    return connection


def mend(error: Exception) -> str:
    """Say what is wrong with a log file and what to do about it."""
    text = str(error)
    if "full" in text or "No space" in text:
        return "the disk is full; free some space and resume, nothing that was logged is lost"
    if "readonly" in text or "Read-only" in text or "unable to open" in text or "Permission" in text:
        return f"the folder cannot be written ({text}); make it writable or choose another one"
    if "not a database" in text or "malformed" in text:
        return f"the file is no log of a run ({text})"
    return text
