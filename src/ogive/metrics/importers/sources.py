"""Tell what a file is by its content, and open it as a stream: plain, compressed, in a tar archive or in a folder."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ogive._errors import InputError, OgiveError, StorageError
from ogive._torch_files import LEGACY_HEAD
from ogive.metrics.importers.tfrecord import masked_crc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import BinaryIO

    Progress = Callable[[int, int], object]
    """Told the bytes read and the bytes there are."""

Kind = Literal["pickle", "torch", "tfrecord", "tar", "text", "parquet"]

_COMPRESSED: dict[bytes, Callable[[BinaryIO], Any]] = {b"BZh": bz2.open, b"\x1f\x8b": gzip.open, b"\xfd7zXZ": lzma.open}
_PICKLED = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"(dp0\n", b"}q\x00")  # the last two: protocols 0, 1
_ZSTD = b"\x28\xb5\x2f\xfd"
_CONTROL = frozenset(range(9))
_HEAD = 512


@dataclass
class Source:
    """One stream and what it is.

    Attributes
    ----------
    name : str
        Path, for messages.
    kind : str
    file : binary file
        From its start, decompressed.
    """

    name: str
    kind: Kind
    file: BinaryIO


class _Counted(io.RawIOBase):
    """A file that tells how far it is read."""

    def __init__(self, file: BinaryIO, count: Callable[[int], object]) -> None:
        self.inner, self.count = file, count

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.inner.seek(offset, whence)

    def tell(self) -> int:
        return self.inner.tell()

    def fileno(self) -> int:
        return self.inner.fileno()

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self.inner.read(len(buffer))
        buffer[: len(data)] = data
        self.count(len(data))
        return len(data)


def open_sources(path: Path, progress: Progress | None = None) -> Iterator[Source]:
    """Give the streams of a file, of the members of a tar archive, or of the files of a folder, one after the other.

    Raises
    ------
    InputError
        If there is nothing at `path`.
    StorageError
        If a file cannot be read, or is damaged.
    """
    if not path.exists():
        raise InputError(f"file '{path}' does not exist")
    files = sorted(p for p in path.iterdir() if p.is_file() and p.name[0] != ".") if path.is_dir() else [path]
    if not files:
        raise InputError(f"folder '{path}' has no files")
    total, done = sum(p.stat().st_size for p in files), 0

    def count(n: int) -> None:
        nonlocal done
        done += n
        if progress is not None:
            progress(min(done, total), total)

    for file in files:
        with naming_damage(str(file)), file.open("rb") as raw:
            yield from _streams(str(file), io.BufferedReader(_Counted(raw, count), 1 << 20))


@contextmanager
def naming_damage(name: str) -> Iterator[None]:
    """Turn what damaged files make the decompressors raise into one line."""
    try:
        yield
    except OgiveError:
        raise
    except (OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError) as error:
        reason = " ".join(str(error).split())[:200]
        raise StorageError(f"'{name}' cannot be read or is truncated ({reason}); fetch it again") from error


def _streams(name: str, file: io.BufferedReader) -> Iterator[Source]:
    head = file.peek(_HEAD)[:_HEAD]
    for magic, opener in _COMPRESSED.items():
        if head.startswith(magic):
            with opener(file) as inner:
                yield from _streams(name, io.BufferedReader(inner, 1 << 20))
                while inner.read(1 << 20):  # to the end, where the checksum is
                    pass
            return
    kind = _kind(name, head)
    if kind == "tar":
        yield from _members(name, file)
    else:
        yield Source(name, kind, file)


def _members(name: str, file: io.BufferedReader) -> Iterator[Source]:
    with tarfile.open(fileobj=file, mode="r:") as archive:
        for member in archive:
            inside = archive.extractfile(member) if member.isfile() else None
            if inside is not None and not member.name.rpartition("/")[2].startswith("."):
                yield from _streams(f"{name}/{member.name}", inside)  # type: ignore[arg-type]
        # A damaged header looks like the end; the real one is a block of zeros.
        file.seek(archive.offset)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise StorageError(f"'{name}' is truncated or damaged after '{archive.getnames()[-1]}'; fetch it again")


def _kind(name: str, head: bytes) -> Kind:
    """Tell what a stream is by its first bytes.

    Raises
    ------
    InputError
        If they are neither those of a known kind nor text.
    """
    if head.startswith((b"PK\x03\x04", LEGACY_HEAD)):
        return "torch"
    if head.startswith(b"PAR1"):
        return "parquet"
    if head[257:262] == b"ustar":
        return "tar"
    if head.startswith(_PICKLED):
        return "pickle"
    if len(head) >= 12 and masked_crc(head[:8]) == struct.unpack("<I", head[8:12])[0]:
        return "tfrecord"
    if not head:
        raise InputError(f"'{name}' is empty; fetch it again")
    if not head.startswith(_ZSTD) and not _CONTROL.isdisjoint(head):
        raise InputError(
            f"'{name}' is no file of a known benchmark, no CSV and no Parquet; see ogive tables import --help"
        )
    return "text"
