"""Bytes on their way into the reader of pickles: read ahead in blocks, and never more than is allowed at a time."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import BinaryIO

_BLOCK = 1 << 20


class Bytes:
    """A file read ahead in blocks.

    Parameters
    ----------
    file : binary file
    piece : int, optional
        Refuse to read on when this many bytes went by since `release`.
    """

    def __init__(self, file: BinaryIO, piece: int | None = None) -> None:
        self.file, self.piece = file, piece
        self.data, self.at, self.passed = b"", 0, 0
        self.bound = piece

    def refill(self, need: int) -> None:
        """Have `need` bytes at hand from the present position on, or all that is left."""
        if self.bound is not None and self.passed + self.at + need > self.bound:
            raise pickle.UnpicklingError(f"more than {(self.piece or 0) >> 20} MiB in one piece")
        parts = [self.data[self.at :]]
        have = len(parts[0])
        while have < need:
            block = self.file.read(_BLOCK)
            if not block:
                break
            parts.append(block)
            have += len(block)
        self.passed += self.at
        self.data, self.at = b"".join(parts), 0

    def release(self) -> None:
        """Say that what was read so far is used and let go."""
        if self.piece is not None:
            self.bound = self.passed + self.at + self.piece

    def take(self, n: int) -> bytes:
        """Return the next `n` bytes."""
        if self.at + n > len(self.data):
            self.refill(n)
        taken = self.data[self.at : self.at + n]
        if len(taken) < n or n < 0:
            raise EOFError("it ends early")
        self.at += n
        return taken

    def line(self) -> bytes:
        """Return the bytes up to the next line end, without it."""
        need = 256
        while (end := self.data.find(b"\n", self.at)) < 0:
            had = len(self.data) - self.at
            self.refill(need)
            if len(self.data) - self.at == had:
                raise EOFError("it ends early")
            need = 2 * len(self.data)
        return self.take(end + 1 - self.at)[:-1]
