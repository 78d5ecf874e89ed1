"""The run directory: `config.yaml`, `run.db`, one writer at a time, files that appear whole or not at all."""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ogive._errors import InputError, RunLockedError, StorageError, UnknownNameError
from ogive.study.config import StudyConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

_OURS = {".lock", ".writer"}
_PATIENCE = 1.0
"""Seconds to wait for the lock: one killed while it starts a worker leaves it held until the worker has begun."""


class RunDirectory:
    """The files of one run.

    Parameters
    ----------
    path : str or Path
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def database(self) -> Path:
        """The event log."""
        return self.path / "run.db"

    @property
    def config_file(self) -> Path:
        """What was asked; a directory is a run once this file exists."""
        return self.path / "config.yaml"

    def create(self, config: StudyConfig) -> None:
        """Make the directory and write `config.yaml`.

        Raises
        ------
        InputError
            If there is a run already, or something else.
        RunLockedError
            If another process is creating it at this moment.
        StorageError
            If the directory cannot be written.
        """
        with _explained(self.path, "created"):
            self.path.mkdir(parents=True, exist_ok=True)
        with self.lock():
            self._refuse_occupied()
            import yaml

            self.write("config.yaml", yaml.safe_dump(config.to_dict(), sort_keys=False, allow_unicode=True, width=120))

    def _refuse_occupied(self) -> None:
        if self.config_file.exists():
            raise InputError(
                f"'{self.path}' holds a run already; go on with it by: ogive resume {self.path} (or choose another "
                "directory; nothing was changed)"
            )
        others = sorted(p.name for p in self.path.iterdir() if p.name not in _OURS)
        if others:
            raise InputError(f"'{self.path}' is not empty (it holds '{others[0]}'); choose a new directory for the run")

    def config(self) -> StudyConfig:
        """Read `config.yaml`.

        Raises
        ------
        InputError
            If this is no run directory, or the file is damaged.
        """
        import yaml

        if not self.config_file.is_file():
            raise InputError(f"'{self.path}' is no run: it has no config.yaml{self._near()}")
        try:
            data = yaml.safe_load(self.config_file.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise InputError(f"'{self.config_file}' is not readable as YAML: {_one_line(error)}") from error
        except OSError as error:
            raise StorageError(f"'{self.config_file}' cannot be read: {_one_line(error)}") from error
        if not isinstance(data, dict):
            raise InputError(f"'{self.config_file}' holds no settings")
        try:
            return StudyConfig.from_dict(data)
        except (TypeError, InputError) as error:
            kind = UnknownNameError if isinstance(error, UnknownNameError) else InputError
            raise kind(f"'{self.config_file}': {error}") from error

    def _near(self) -> str:
        folder = self.path.parent
        runs = sorted(p.parent.name for p in folder.glob("*/config.yaml")) if folder.is_dir() else []
        return f"; runs in '{folder}': {', '.join(runs[-6:])}" if runs else ""

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the one writer of this directory while the block runs.

        The lock belongs to the process: it goes when the process dies, however it dies, and is not inherited.

        Raises
        ------
        RunLockedError
            If another process is the writer; says which.
        StorageError
            If the directory cannot be written.
        """
        from filelock import FileLock, Timeout

        held = FileLock(self.path / ".lock", timeout=_PATIENCE, poll_interval=0.02)
        try:
            held.acquire()
        except Timeout:
            raise RunLockedError(
                f"run '{self.path}' is being written by {self._writer()}; wait for it or stop it"
            ) from None
        except OSError as error:
            raise _denied(self.path, "written", error) from error
        try:
            self.write(".writer", f"process {os.getpid()} on {socket.gethostname()}")
            yield
        finally:
            (self.path / ".writer").unlink(missing_ok=True)
            held.release()

    def _writer(self) -> str:
        try:
            return (self.path / ".writer").read_text(encoding="utf-8") or "another process"
        except OSError:
            return "another process"

    def write(self, name: str, text: str | bytes) -> Path:
        """Write a file of the run so that it appears whole or not at all, and return its path.

        Raises
        ------
        StorageError
            If it cannot be written.
        """
        target = self.path / name
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        with _explained(target, "written"):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with draft.open("wb") as file:
                    file.write(text.encode() if isinstance(text, str) else text)
                    file.flush()
                    os.fsync(file.fileno())
                draft.replace(target)
            finally:
                draft.unlink(missing_ok=True)
        return target


@contextmanager
def _explained(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _denied(path, what, error) from error


def _denied(path: Path, what: str, error: OSError) -> StorageError:
    return StorageError(
        f"'{path}' cannot be {what}: {_one_line(error)}; choose a folder that can be written and has space"
    )


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split())
