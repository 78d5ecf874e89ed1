"""Metrics the tests of studies use: dear by declaration, cheap in fact, and wrong in the ways that metrics are."""

from __future__ import annotations

import os
import time

import numpy as np

from ogive._errors import DivergedError
from ogive.metrics.base import Cost, Metric, metric, register


def _quality(genotype):
    """A fixed, rugged value of a cell: no two neighbours alike."""
    code = int(np.dot(genotype.astype(np.int64), [1, 7, 43, 259, 1555, 9331]))
    return (code * 2654435761 % 1000003) / 10000.0


@metric("rugged", cost=Cost.TABLE)
def rugged(space, genotypes, context):
    return np.array([_quality(g) for g in genotypes])


@metric("skips@test", direction="min")
def skips(space, genotypes, context):
    return (genotypes == 1).sum(axis=1).astype(float)


def slow(names, space, genotype, context):
    time.sleep(0.002 + 0.006 * (_quality(genotype) % 1.0))
    return {"slow@test": _quality(genotype)}


def moody(names, space, genotype, context):
    """Diverges, raises, gives no number or dies, by the first choice."""
    mood = int(genotype[0])
    if mood == 1:
        raise DivergedError("the loss is infinite")
    if mood == 2:
        raise RuntimeError("a bug\nin a plug-in")
    if mood == 3:
        return {"moody@test": float("nan")}
    if mood == 4 and os.environ.get("OGIVE_TEST_DEADLY"):
        os._exit(7)
    return {"moody@test": _quality(genotype)}


def sleepy(names, space, genotype, context):
    time.sleep(30.0 if genotype[0] == 4 else 0.0)
    return {"sleepy@test": _quality(genotype)}


def chatty(names, space, genotype, context):
    print("a plug-in that prints")
    return {"pid@test": float(os.getpid())}


def graph_quality(names, space, genotype, context):
    return {"graph@test": _quality(space.canonical(genotype[None])[0])}


def worst_case(names, space, genotype, context):
    return {"infinite@test": float("inf") if genotype[0] == 0 else -_quality(genotype)}


for name, provider, identity in (
    ("slow@test", slow, "genotype"),
    ("moody@test", moody, "genotype"),
    ("sleepy@test", sleepy, "genotype"),
    ("pid@test", chatty, "genotype"),
    ("graph@test", graph_quality, "graph"),
    ("infinite@test", worst_case, "genotype"),
):
    register(Metric(name=name, provider=provider, cost=Cost.FORWARD, identity=identity, batched=False))
