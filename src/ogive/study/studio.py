"""The studio of a study, from Python: a process beside this one that shows the run directory in a browser."""

from __future__ import annotations

import atexit
import html
import json
import subprocess
import sys
from typing import TYPE_CHECKING

from ogive._errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

_PATIENCE = 10.0


class StudioLink:
    """A studio that is running. In a notebook it shows as a link; it ends with this process, or by `close`.

    Parameters
    ----------
    run : Path
        The run directory.
    open_browser, read_only : bool
        See `ogive.Study.studio`.

    Attributes
    ----------
    url : str
        The address to open, with the key to the page.

    Raises
    ------
    StorageError
        If it cannot be started.
    """

    def __init__(self, run: Path, *, open_browser: bool = False, read_only: bool = False) -> None:
        words = ["studio", str(run), "--json"]
        words += ["--read-only"] if read_only else []
        words += [] if open_browser else ["--no-open"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ogive", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Ctrl-C in the terminal is for the search.
            start_new_session=True,
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        line = self._process.stdout.readline()
        if not line:
            why = self._process.stderr.read().strip().removeprefix("error: ")
            self._process.wait()
            raise StorageError(f"the studio did not start: {why}")
        self.url: str = json.loads(line)["url"]
        atexit.register(self.close)

    def close(self) -> None:
        """End the studio; closing twice is harmless. A search that it began ends too, at a safe point."""
        atexit.unregister(self.close)
        self._process.terminate()
        try:
            self._process.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def __repr__(self) -> str:
        return f"studio at {self.url}"

    def _repr_html_(self) -> str:
        return f'<a href="{html.escape(self.url)}" target="_blank" rel="noopener">Open the studio</a>'
