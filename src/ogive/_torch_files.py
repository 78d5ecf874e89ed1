"""Open what `torch.save` wrote, without torch and without running it: tensors become numpy arrays.

Both layouts are read: the zip archive that torch writes since 1.6 (a pickle, and a member for each storage), and the
older sequence of pickles with the storages behind them.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._errors import OgiveError, StorageError
from ogive._pickle import Unpickler
from ogive._pickle_names import Storage, StorageType
from ogive._pickle_stream import Bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    Shrink = Callable[[dict[Any, Any]], Any]

MAGIC = 0x1950A86A20F9469CFC6C
"""The number that is the first pickle of an old file."""

LEGACY_HEAD = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""`MAGIC` as every release of torch has pickled it: the first bytes of an old file."""


def load_torch(file: BinaryIO, source: str, *, shrink: Shrink | None = None, piece: int | None = None) -> Any:
    """Return the plain data of a file written by `torch.save`; tensors are numpy arrays, read-only views.

    Parameters
    ----------
    file : binary file
        Able to seek.
    source : str
        Where it comes from, for messages.
    shrink, piece
        See `ogive._pickle.Unpickler` and `ogive._pickle.Bytes`. What `shrink` is shown of an old file has zeros in
        its tensors, because their values come last.

    Raises
    ------
    UnsafePickleError
        If it holds anything else than numbers, strings, containers, numeric numpy arrays and tensors.
    StorageError
        If it is truncated, corrupt, or no such file.
    """
    try:
        head = file.read(4)
        file.seek(0)
        return (_read_zip if head == b"PK\x03\x04" else _read_legacy)(file, source, shrink, piece)
    except OgiveError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, KeyError, ValueError, NotImplementedError) as error:
        reason = " ".join(str(error).split())[:200]
        raise StorageError(f"'{source}' is a truncated or corrupt torch file ({reason}); fetch it again") from error


def _read_zip(file: BinaryIO, source: str, shrink: Shrink | None, piece: int | None) -> Any:
    with zipfile.ZipFile(file) as archive:
        names = [n for n in archive.namelist() if n.endswith("/data.pkl") and n.count("/") == 1]
        if len(names) != 1:
            raise StorageError(f"'{source}' is a zip archive, but torch.save did not write it")
        root = names[0].removesuffix("data.pkl")
        if f"{root}byteorder" in archive.namelist() and archive.read(f"{root}byteorder") != b"little":
            raise StorageError(f"'{source}' was written on a big-endian machine, which is not supported")
        budget = os.fstat(file.fileno()).st_size

        def content(key: str) -> bytes:
            nonlocal budget
            member = archive.getinfo(f"{root}data/{key}")
            budget -= member.file_size
            if member.compress_type != zipfile.ZIP_STORED or budget < 0:
                raise ValueError(f"storage {key} is larger than the file")
            return archive.read(member)

        with archive.open(names[0]) as data:
            stream = Bytes(data, piece)  # type: ignore[arg-type]
            value = Unpickler(stream, source, shrink=shrink, persistent=_Storages(content)).load()
            while data.read(1 << 20):  # to the end, where the checksum is compared
                pass
        return value


def _read_legacy(file: BinaryIO, source: str, shrink: Shrink | None, piece: int | None) -> Any:
    budget = os.fstat(file.fileno()).st_size

    def room(size: int) -> bytearray:
        nonlocal budget
        budget -= size
        if budget < 0:
            raise ValueError("the storages are larger than the file")
        return bytearray(size)

    stream, storages = Bytes(file, piece), _Storages(None, room)
    magic, _, system = (Unpickler(stream, source).load() for _ in range(3))
    if magic != MAGIC or not isinstance(system, dict) or system.get("little_endian") is not True:
        raise StorageError(f"'{source}' is no file written by torch.save on a little-endian machine")
    value = Unpickler(stream, source, shrink=shrink, persistent=storages).load()
    keys = Unpickler(stream, source).load()
    stream.bound = None
    for key in keys:
        kind, raw = storages.found[str(key)]
        if int.from_bytes(stream.take(8), "little") * kind.dtype.itemsize != len(raw):
            raise ValueError(f"storage {key} has another length than the tensors say")
        raw[:] = stream.take(len(raw))
    if len(keys) != len(storages.found):
        raise EOFError("it ends before the last storage")
    return value


class _Storages:
    """The storages that a pickle refers to, each read once.

    Parameters
    ----------
    content : callable or None
        Gives the bytes of a storage by its key.
    room : callable, optional
        Gives room for so many bytes, to be filled later.
    """

    def __init__(self, content: Callable[[str], bytes] | None, room: Callable[[int], bytearray] | None = None) -> None:
        self.content, self.room = content, room
        self.found: dict[str, tuple[StorageType, bytearray]] = {}

    def __call__(self, identifier: Any) -> Storage:
        if type(identifier) is not tuple or len(identifier) not in (5, 6) or identifier[0] != "storage":
            raise ValueError("a reference to data outside of it that is no storage")
        _, kind, key, _, n = identifier[:5]
        if not isinstance(kind, StorageType) or type(n) is not int or n < 0 or identifier[5:] not in ((), (None,)):
            raise ValueError("a storage of a kind that is not known")
        if str(key) not in self.found:
            raw = self.room(n * kind.dtype.itemsize) if self.room else bytearray(self.content(str(key)))  # type: ignore[misc]
            self.found[str(key)] = kind, raw
        held, raw = self.found[str(key)]
        if held != kind or n * kind.dtype.itemsize != len(raw):
            raise ValueError(f"storage {key} has another length than the tensors say")
        return Storage(np.frombuffer(raw, dtype=kind.dtype))
