"""Benchmark files as large as wanted, written without holding them: one record is encoded, the others are copies of
its bytes with another architecture, other numbers and shifted memo references."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import pickle
import random
import struct

import numpy as np

from ogive.metrics.importers.tfrecord import masked_crcs
from ogive.spaces import get_space
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
            self.out += pickle.BININT1 + bytes([value]) if value < 256 else pickle.BININT + struct.pack("<i", value)
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
    four, two = (777, 888, 999, 1000), (777, 888)
    rng = random.Random(0)
    return {
        "12": layouts.record(rng, 0, arch, 12, layouts.seeds(two, two, two, two)),
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


# -------------------------------------------------------------------- NAS-Bench-101


def cells():
    """Return all cells with seven vertices as arch strings, 359,082 of the benchmark's 423,624."""
    space = get_space("nasbench101")
    subsets = itertools.chain.from_iterable(itertools.combinations(range(21), k) for k in range(6, 10))
    edges = np.zeros((695_860, 21), dtype=np.uint8)
    n = 0
    for n, subset in enumerate(subsets, start=1):
        edges[n - 1, list(subset)] = 1
    rows = np.concatenate([edges[:n], np.zeros((n, 5), dtype=np.uint8)], axis=1)
    rows = rows[space.valid(rows)]
    rows = rows[(space.graph(rows).ops >= 0).all(axis=1)]
    graphs = np.unique(space.canonical(rows), axis=0)[:, :21]
    ops = np.array(list(itertools.product(range(3), repeat=5)), dtype=np.uint8)
    every = np.concatenate([np.repeat(graphs, len(ops), axis=0), np.tile(ops, (len(graphs), 1))], axis=1)
    return space.format_many(np.unique(space.canonical(every), axis=0))


def write_nasbench101(path, n=None):
    """Write the records of all cells with seven vertices, four schedules and three runs, in random order."""
    rng = random.Random(0)
    messages = []
    for _ in range(500):
        evaluations = [[e, rng.random() * 2000, *(rng.random() for _ in range(3))] for e in (0, 54, 108)]
        messages.append(base64.b64encode(layouts.model_metrics(8_000_001, evaluations)).decode())
    archs = cells()[:n]
    with path.open("wb") as file:
        for epochs, _ in itertools.product((4, 12, 36, 108), range(3)):
            rng.shuffle(archs)
            for i in range(0, len(archs), 4096):
                records = []
                for arch in archs[i : i + 4096]:
                    matrix, _, ops = arch.partition(":")
                    digest = hashlib.md5(arch.encode(), usedforsecurity=False).hexdigest()
                    records.append(json.dumps([digest, epochs, matrix, ops, rng.choice(messages)]).encode())
                lengths = [struct.pack("<Q", len(r)) for r in records]
                sums = [s.astype("<u4").tobytes() for s in (masked_crcs(lengths), masked_crcs(records))]
                for j, (length, record) in enumerate(zip(lengths, records, strict=True)):
                    at = slice(4 * j, 4 * j + 4)
                    file.write(length + sums[0][at] + record + sums[1][at])
    return path
