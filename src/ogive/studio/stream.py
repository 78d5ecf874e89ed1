"""Events for a browser: server-sent, resumed by the number of the last one it has.

WHATWG HTML, section 9.2 "Server-sent events": https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool

from ogive.study.events import SqliteLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ogive.study.events import Event

POLL_SECONDS, PING_SECONDS = 0.05, 15.0
_PAGE = 500


def envelope(event: Event) -> dict[str, Any]:
    """Return an event as a page sees it; the inner state of a strategy is of no use there."""
    data = {k: v for k, v in event.data.items() if event.kind != "checkpoint" or isinstance(v, int | float)}
    return {"seq": event.seq, "ts": event.ts, "rev": event.rev, "kind": event.kind, "data": data}


def page(path: Path, after: int, limit: int = _PAGE) -> list[dict[str, Any]]:
    """Return the next events of a log after one, at most `limit` of them."""
    return [envelope(event) for event in SqliteLog(path, read_only=True).read(after, limit=limit)]


class Tail:
    """Notices when a log has grown, for a few microseconds a look: SQLite counts the commits of other connections.

    Parameters
    ----------
    path : Path
        The database; it need not exist yet, and may be replaced by another one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.replaced = False
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._version: int | None = None

    def changed(self) -> bool:
        """Return whether something may have been appended since the last look; sets `replaced` for another file."""
        try:
            stat = self.path.stat()
        except OSError:
            self.close()
            return False
        if (file := (stat.st_dev, stat.st_ino)) != self._file:
            self.replaced |= self._file is not None
            self.close()
            self._file, self._version = file, None
        try:
            version = self._look()
        except sqlite3.Error:
            # A read-only medium, where nobody writes: the first look finds everything.
            version = -1
        before, self._version = self._version, version
        return version != before

    def _look(self) -> int:
        if self._connection is None:
            uri = f"{self.path.absolute().as_uri()}?mode=ro"
            self._connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


async def stream(path: Path, after: int, ending: asyncio.Event) -> AsyncIterator[str]:
    """Yield a log's events after one as server-sent events, as they are written, until the server ends.

    A page that knows more events than there are has seen another log: it is told to start anew.

    Parameters
    ----------
    path : Path
    after : int
        Number of the last event the page has.
    ending : asyncio.Event
        Set when the server is about to end.
    """
    tail = Tail(path)
    spoke = time.monotonic()
    yield "retry: 1000\n\n"
    try:
        while not ending.is_set():
            if tail.changed():
                last = await run_in_threadpool(SqliteLog(path, read_only=True).last)
                if tail.replaced or after > last:
                    tail.replaced, after = False, last
                    yield _message({"seq": last, "ts": time.time(), "rev": 0, "kind": "reset", "data": {}})
                while found := await run_in_threadpool(page, path, after):
                    yield "".join(map(_message, found))
                    after, spoke = found[-1]["seq"], time.monotonic()
            if time.monotonic() - spoke >= PING_SECONDS:
                spoke = time.monotonic()
                yield ": ping\n\n"
            await asyncio.sleep(POLL_SECONDS)
    finally:
        tail.close()


def _message(event: dict[str, Any]) -> str:
    text = json.dumps(event, separators=(",", ":"), allow_nan=False)
    return f"id: {event['seq']}\ndata: {text}\n\n"
