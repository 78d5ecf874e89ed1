"""The processes that a studio starts to work on runs, and how they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from typing import IO, TYPE_CHECKING

from filelock import FileLock, Timeout

from ogive._errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

_PATIENCE = 3.0
_SHOWN_BYTES = 4000
_LEASHED = "from ogive.studio.engines import leash; leash(); from ogive.cli.main import main; main()"


def leash() -> None:
    """End this process at its next safe point once standard input closes, as it does when the parent dies."""

    def wait() -> None:
        sys.stdin.buffer.read()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def at_work(run: Path) -> bool:
    """Return whether a process is writing a run at this moment."""
    lock = run / ".lock"
    if not lock.exists():
        return False
    try:
        # A process that begins to write at this very moment is more patient than this look is long.
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:
        # A medium that cannot be written.
        return False


class Engine:
    """The process that goes on with one run, started when it is needed.

    Parameters
    ----------
    run : Path
        The run directory.
    keep : bool
        Let the process outlive the one that started it.
    """

    def __init__(self, run: Path, *, keep: bool = False) -> None:
        self.run, self.keep = run, keep
        self._child: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - as long-lived as its owner

    def start(self) -> None:
        """Go on with the run by ``ogive resume``, unless a process is at work on it already.

        Raises
        ------
        StorageError
            If the process cannot be started.
        """
        if self.running or at_work(self.run):
            return
        self._said.seek(0)
        self._said.truncate()
        how = ["-m", "ogive"] if self.keep else ["-c", _LEASHED]
        try:
            # A session of its own: Ctrl-C in the terminal is for the studio, which then ends it in good order.
            self._child = subprocess.Popen(
                [sys.executable, *how, "resume", str(self.run), "--quiet"],
                stdin=subprocess.DEVNULL if self.keep else subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._said,
                start_new_session=True,
            )
        except OSError as error:
            raise StorageError(f"the search of '{self.run}' cannot be started: {error.strerror}") from error

    @property
    def running(self) -> bool:
        """Whether the process was started here and has not ended."""
        return self._child is not None and self._child.poll() is None

    @property
    def fault(self) -> str | None:
        """The last line the process wrote before it ended by a fault of its own or was killed; None otherwise."""
        code = None if self._child is None else self._child.poll()
        if code in (None, 0, 130):
            return None
        self._said.seek(0)
        lines = self._said.read()[-_SHOWN_BYTES:].decode(errors="replace").strip().splitlines()
        told = [line for line in lines if not line.startswith("error: this is a fault of ogive")]
        return told[-1] if told else f"the search ended with code {code}"

    def ask_to_end(self) -> None:
        """Ask the process to end at its next safe point, unless it is to be kept."""
        if self._child is not None and self.running and not self.keep:
            self._child.terminate()

    def end(self) -> None:
        """Wait for the end of a process that was asked to; one that takes too long is killed, which loses nothing."""
        self.ask_to_end()
        if self._child is not None and not self.keep:
            try:
                self._child.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
            if self._child.stdin is not None:
                self._child.stdin.close()
        self._said.close()
