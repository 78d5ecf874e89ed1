"""Read TensorFlow's record files without TensorFlow.

A record is its length (8 bytes, little-endian), the masked CRC-32C of these bytes, the data, and their masked CRC-32C.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ogive._errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

    from numpy.typing import NDArray

_POLYNOMIAL = np.uint32(0x82F63B78)  # Castagnoli, reflected
_LONGEST = 1 << 20  # a record of the benchmarks has a few hundred bytes
_BATCH = 4096


def masked_crc(data: bytes) -> int:
    """Return the masked CRC-32C of some bytes."""
    return int(masked_crcs([data])[0])


def masked_crcs(records: Sequence[bytes]) -> NDArray[np.uint32]:
    """Return the masked CRC-32C of each record, ``(n,)``; all records advance together, a byte a step."""
    order = np.argsort([-len(r) for r in records], kind="stable")
    lengths = np.array([len(r) for r in records], dtype=np.int64)[order]
    block = np.zeros((len(records), int(lengths[0]) if len(records) else 0), dtype=np.uint8)
    for line, i in zip(block, order.tolist(), strict=True):
        line[: len(records[i])] = np.frombuffer(records[i], dtype=np.uint8)
    columns = np.ascontiguousarray(block.T)
    # Longest first, so those that have a byte at a position are the first so many.
    alive = np.searchsorted(-lengths, -np.arange(len(columns)), side="left").tolist()
    crc, table = np.full(len(records), 0xFFFFFFFF, dtype=np.uint32), _table()
    for n, column in zip(alive, columns, strict=True):
        part = crc[:n]
        part[:] = table[(part ^ column[:n]) & 0xFF] ^ (part >> 8)
    crc ^= 0xFFFFFFFF
    masked = ((crc >> 15) | (crc << 17)) + np.uint32(0xA282EAD8)
    out = np.empty_like(masked)
    out[order] = masked
    return out


@cache
def _table() -> NDArray[np.uint32]:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ _POLYNOMIAL, table >> 1)
    return table


def records(file: BinaryIO, source: str) -> Iterator[bytes]:
    """Give the data of each record, after comparing both checksums.

    Raises
    ------
    StorageError
        If a checksum differs or the file ends inside a record.
    """
    at, ended = 0, False
    while not ended:
        batch: list[tuple[bytes, bytes, bytes]] = []
        while len(batch) < _BATCH:
            head = file.read(12)
            if not head:
                ended = True
                break
            length = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else 0
            # A damaged length would ask for the rest of the file: such a long record is checked on its own.
            if length > _LONGEST:
                raise _damage(source, at)
            data, end = file.read(length), file.read(4)
            if len(head) + len(data) + len(end) < 16 + length:
                _compare(batch, source, at - len(batch))
                raise StorageError(f"'{source}' is truncated inside record {at}; fetch it again")
            batch.append((head, data, end))
            at += 1
        _compare(batch, source, at - len(batch))
        yield from (data for _, data, _ in batch)


def _compare(batch: list[tuple[bytes, bytes, bytes]], source: str, first: int) -> None:
    for checked, sums in (
        ([h[:8] for h, _, _ in batch], b"".join(h[8:] for h, _, _ in batch)),
        ([d for _, d, _ in batch], b"".join(e for _, _, e in batch)),
    ):
        wrong = np.flatnonzero(masked_crcs(checked) != np.frombuffer(sums, dtype="<u4"))
        if wrong.size:
            raise _damage(source, first + int(wrong[0]))


def _damage(source: str, record: int) -> StorageError:
    return StorageError(f"'{source}', record {record}: the checksum is wrong, the file is damaged; fetch it again")
