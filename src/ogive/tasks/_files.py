"""Find the files of a dataset: in a folder, in its official subfolder, or in its official archive."""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._errors import DataMissingError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from ogive.tasks.base import SplitName

    Examples = tuple[NDArray[Any], NDArray[np.int64]]
    Parts = dict[SplitName, Examples]
    Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Layout:
    """One official distribution of a dataset.

    Attributes
    ----------
    archive : str
        Name of the archive, "" where the distribution has none.
    folder : str
        Folder the archive unpacks to.
    train, test : tuple of str
        Names of the files, in the official order.
    decode : callable
        Turns the bytes of one file, and its name for messages, into what the file holds.
    """

    archive: str
    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    decode: Callable[[bytes, str], Any]

    @property
    def files(self) -> tuple[str, ...]:
        """All files of the distribution."""
        return self.train + self.test

    def __str__(self) -> str:
        listed = self.files if len(self.files) < 4 else (self.files[0], "...", self.files[-1])
        folder = f"the folder {self.folder} with {', '.join(listed)}"
        return f"{self.archive} or {folder}" if self.archive else folder


def read_files(name: str, root: Path, layouts: Sequence[Layout], extract: str = "") -> tuple[Layout, dict[str, bytes]]:
    """Return the first distribution that `root` holds completely, and the bytes of its files.

    Parameters
    ----------
    name : str
        The task, for messages.
    root : Path
        A folder, or an archive.
    layouts : sequence of Layout
    extract : str
        Name of the ``.npz`` file that would do as well, for messages.

    Raises
    ------
    DataMissingError
        If there is none; says where it looked, what is incomplete and which files belong there.
    StorageError
        If a file cannot be read or an archive is damaged.
    """
    if root.is_file():
        held = read_archive(root)
        for layout in layouts:
            if set(layout.files) <= set(held):
                return layout, held
        raise DataMissingError(f"task '{name}': '{root}' does not hold {_wanted(layouts)}")
    partial = ""
    for layout in layouts:
        for folder in (root / layout.folder, root):
            missing = [f for f in layout.files if not (folder / f).is_file()]
            if not missing:
                return layout, {f: _read(folder / f) for f in layout.files}
            if len(missing) < len(layout.files):
                partial = partial or f" ('{folder}' lacks {', '.join(missing)})"
        archive = root / layout.archive
        if layout.archive and archive.is_file():
            return read_files(name, archive, [layout])
    raise DataMissingError(
        f"task '{name}': no files in '{root}'{partial}; put there {_wanted(layouts, extract)}, "
        f"or name their place with {name}:path=..."
    )


def read_archive(path: Path) -> dict[str, bytes]:
    """Return the files of a tar archive by their last name; nothing is unpacked to disk.

    Raises
    ------
    StorageError
        If it is damaged.
    """
    try:
        with tarfile.open(path) as archive:
            found = {}
            for member in archive:
                file = archive.extractfile(member) if member.isfile() else None
                if file is not None:
                    found[PurePosixPath(member.name).name] = file.read()
            # A damaged header looks like the end; reading on to the real end checks the compressed file's checksum.
            while archive.fileobj is not None and archive.fileobj.read(1 << 20):
                pass
            return found
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        reason = str(error).partition("\n")[0].rstrip(":")
        raise StorageError(f"'{path}' is a truncated or corrupt archive ({reason}); fetch it again") from error


def read_npz(name: str, path: Path) -> Arrays:
    """Return the arrays of a ``.npz`` file; pickled objects are refused.

    Parameters
    ----------
    name : str
        The task, for messages.
    path : Path

    Raises
    ------
    DataMissingError
        If there is no such file.
    StorageError
        If it is damaged or holds objects.
    """
    if not path.is_file():
        raise DataMissingError(f"task '{name}': there is no file '{path}'")
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise StorageError(f"'{path}' is a truncated or corrupt .npz file ({error}); fetch it again") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"'{path}' cannot be read ({error.strerror}); check its permissions") from error


def _wanted(layouts: Sequence[Layout], extract: str = "") -> str:
    return ", or ".join([*map(str, layouts), *([extract] if extract else [])])
