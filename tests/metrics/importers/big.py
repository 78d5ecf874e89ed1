"""Benchmark files as large as wanted, written without holding them: one record is encoded, the others are copies of
its bytes with another architecture, other numbers and shifted memo references."""

from __future__ import annotations

import itertools
import pickle
import random
import struct

import numpy as np

from tests.metrics.importers import layouts

OPS = ("skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")  # names of one length


def archs(n):
    for a, b, c, d, e, f in itertools.islice(itertools.product(OPS, repeat=6), n):
        yield f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"


class Writer:
    """Protocol 4 as Python's own pickler writes it: every text and container is memoised, repeats are references."""

    def __init__(self):
        self.out, self.memo, self.references, self.floats = bytearray(), {}, [], []

    def remember(self, value):
        self.out += pickle.MEMOIZE
        self.memo[id(value)] = len(self.memo), value

    def write(self, value):
        if id(value) in self.memo:
            self.references.append(len(self.out) + 1)
            self.out += pickle.LONG_BINGET + struct.pack("<I", self.memo[id(value)][0])
        elif value is None or isinstance(value, bool):
            self.out += {None: pickle.NONE, True: pickle.NEWTRUE, False: pickle.NEWFALSE}[value]
        elif isinstance(value, int):
            self.out += pickle.BININT + struct.pack("<i", value)
        elif isinstance(value, float):
            self.floats.append(len(self.out) + 1)
            self.out += pickle.BINFLOAT + struct.pack(">d", value)
        elif isinstance(value, str):
            data = value.encode()
            self.out += pickle.SHORT_BINUNICODE + bytes([len(data)]) + data
            self.remember(value)
        elif isinstance(value, tuple):
            for item in value:
                self.write(item)
            self.out += pickle.TUPLE2
            self.remember(value)
        elif isinstance(value, list):
            self.out += pickle.EMPTY_LIST
            self.remember(value)
            self.out += pickle.MARK
            for item in value:
                self.write(item)
            self.out += pickle.APPENDS
        else:
            self.out += pickle.EMPTY_DICT
            self.remember(value)
            self.out += pickle.MARK
            for key, item in value.items():
                self.write(key)
                self.write(item)
            self.out += pickle.SETITEMS


def record(arch):
    """One architecture with the lengths of curves that NATS-Bench has, and one run more: half a megabyte."""
    four, one = (777, 888, 999, 1000), (777,)
    rng = random.Random(0)
    return {
        "12": layouts.record(rng, 0, arch, 12, layouts.seeds((777, 888), one, one, one)),
        "200": layouts.record(rng, 0, arch, 200, layouts.seeds(four, four, four, four)),
    }


def write_nats(path, n):
    """Write a plain pickle of the archive with `n` architectures and return the last accuracy of each on CIFAR-10."""
    names = list(archs(n))
    first = Writer()
    first.write(record(names[0]))
    template = np.frombuffer(bytes(first.out), dtype=np.uint8)
    references, floats = (np.array(at)[:, None] + np.arange(w) for at, w in ((first.references, 4), (first.floats, 8)))
    indices = template[references].view("<u4")
    at_arch = bytes(first.out).index(names[0].encode())
    head = Writer()
    head.out += pickle.PROTO + b"\x04" + pickle.EMPTY_DICT
    head.remember(head)
    head.out += pickle.MARK
    head.write("meta_archs")
    head.write(names)
    head.write("evaluated_indexes")
    head.write([*range(n)])
    head.write("arch2infos")
    head.out += pickle.EMPTY_DICT
    head.remember(first)
    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        file.write(head.out)
        memo = len(head.memo)
        for batch in (range(n)[i : i + 1000] for i in range(0, n, 1000)):
            file.write(pickle.MARK)
            for i in batch:
                data = template.copy()
                data[references] = (indices + np.uint32(memo)).view(np.uint8)
                data[floats] = (rng.random(len(floats)) * 100).astype(">f8").view(np.uint8).reshape(-1, 8)
                data[at_arch : at_arch + len(names[i])] = np.frombuffer(names[i].encode(), dtype=np.uint8)
                file.write(pickle.BININT + struct.pack("<i", i))
                file.write(data)
                memo += len(first.memo)
            file.write(pickle.SETITEMS)
        file.write(pickle.SETITEMS + pickle.STOP)
    return path
