"""Where commands wait for the engine: a table beside the event log that anybody may add to, and a twin in memory."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ogive._errors import StorageError
from ogive.study.events import SqliteLog, connect, mend
from ogive.study.operations import Command

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Posted:
    """A command in line.

    Attributes
    ----------
    number : int
        Its place in the line, from 1.
    ts : float
        Seconds since the epoch when it was posted.
    command : Command
    """

    number: int
    ts: float
    command: Command


class CommandLine(ABC):
    """Commands in the order in which they came; each id stands there once."""

    @abstractmethod
    def post(self, command: Command) -> bool:
        """Add a command; return False, and do nothing, if one with its id is there."""

    @abstractmethod
    def read(self, after: int = 0) -> list[Posted]:
        """Return what was posted after a number. It is cheap to ask often while nothing is posted."""

    def close(self) -> None:  # noqa: B027 - what lives in memory holds nothing open
        """Let go of files."""


class MemoryCommands(CommandLine):
    """Commands of a study that lives in this process; any thread may post."""

    def __init__(self) -> None:
        self._posted: list[Posted] = []
        self._ids: set[str] = set()
        self._lock = threading.Lock()

    def post(self, command: Command) -> bool:
        """Add a command; see `CommandLine.post`."""
        with self._lock:
            if command.id in self._ids:
                return False
            self._ids.add(command.id)
            self._posted.append(Posted(len(self._posted) + 1, time.time(), command))
        return True

    def read(self, after: int = 0) -> list[Posted]:
        """Return what was posted after a number."""
        return self._posted[after:]


_SCHEMA = "CREATE TABLE IF NOT EXISTS commands (number INTEGER PRIMARY KEY, id TEXT UNIQUE, ts REAL, data TEXT)"


class SqliteCommands(CommandLine):
    """Commands in ``run.db``, beside the events; any process may post.

    The table comes with the first command. A command that was posted survives the death of every process.

    Parameters
    ----------
    path : Path
        The database file; `post` creates it, which is only safe while nobody writes the run.

    Raises
    ------
    StorageError
        If the file cannot be read or written; so do all methods.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._version = -1
        self._read_to = 0

    def post(self, command: Command) -> bool:
        """Add a command; see `CommandLine.post`."""
        if not self.path.exists():
            SqliteLog(self.path).close()
        try:
            connection = connect(self.path, "mode=rw")
            try:
                connection.execute(_SCHEMA)
                row = (command.id, time.time(), json.dumps(command.to_dict(), allow_nan=False))
                found = connection.execute("INSERT OR IGNORE INTO commands (id, ts, data) VALUES (?, ?, ?)", row)
                return found.rowcount == 1
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise StorageError(f"command cannot be written to '{self.path}': {mend(error)}") from error

    def read(self, after: int = 0) -> list[Posted]:
        """Return what was posted after a number; while no other connection has written, one look at a counter."""
        if self._connection is None:
            if not self.path.exists():
                return []
            self._connection = connect(self.path, "mode=ro")
        try:
            version = self._connection.execute("PRAGMA data_version").fetchone()[0]
            if version == self._version and after >= self._read_to:
                return []
            rows = self._rows(after)
        except sqlite3.Error as error:
            raise StorageError(f"commands in '{self.path}' cannot be read: {mend(error)}") from error
        self._version = version
        self._read_to = rows[-1].number if rows else after
        return rows

    def _rows(self, after: int) -> list[Posted]:
        assert self._connection is not None
        query = "SELECT number, ts, data FROM commands WHERE number > ? ORDER BY number"
        try:
            found: list[Any] = self._connection.execute(query, (after,)).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return []
            raise
        return [Posted(number, ts, Command.from_dict(json.loads(data))) for number, ts, data in found]

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection, self._version = None, -1
