"""What steering costs a search: events and polling as a share of steps of 50 ms of CPU time.

Run: pytest benchmarks/bench_steering.py --benchmark-only
"""

from __future__ import annotations

import time

import numpy as np
import pytest

from ogive.metrics.base import Cost, Metric, register
from ogive.study import Study
from ogive.study.commands import MemoryCommands, SqliteCommands
from ogive.study.events import SqliteLog
from ogive.study.operations import Command

STEP = 0.050
"""Seconds of CPU time of one step."""

BAR = 0.02
"""Share of a step that events and polling may take."""


def work(names, space, genotype, context):
    """Compute for 50 ms of CPU time."""
    end = time.process_time() + STEP
    while time.process_time() < end:
        np.dot(np.ones(500), np.ones(500))
    return {"work@bench": float(genotype.sum())}


register(Metric(name="work@bench", provider=work, cost=Cost.FORWARD, identity="genotype", batched=False))


def median(values):
    return sorted(values)[len(values) // 2]


def test_share_of_a_step(benchmark, tmp_path):
    """A study that writes its events, polls its commands and is steered now and then, against its steps alone."""
    shares = []
    for seed in range(5):
        study = Study(
            "nasbench201", "digits", maximize=["work@bench"], strategy="random", workers=0, seed=seed,
            out=tmp_path / str(seed), repeats="count",
        )  # fmt: skip
        study.run(1)
        study.steer("exclude", choice="0->1", option="none")
        trials = 40
        began = time.process_time()
        study.run(trials)
        total = time.process_time() - began
        # The report at the end of a round is no part of a step.
        began = time.process_time()
        study.write_report()
        report = time.process_time() - began
        shares.append((total - report - trials * STEP) / (trials * STEP))
    benchmark.extra_info |= {"share_of_a_50_ms_step": median(shares), "shares": shares}
    benchmark.pedantic(lambda: None, rounds=1)
    assert median(shares) <= BAR


@pytest.mark.parametrize("kind", ["sqlite", "memory"])
def test_one_poll_and_one_event(benchmark, tmp_path, kind):
    """CPU time of one look at an empty line, and of one event."""
    log = SqliteLog(tmp_path / "run.db")
    line = SqliteCommands(tmp_path / "run.db") if kind == "sqlite" else MemoryCommands()
    line.post(Command("pause"))
    read_to = line.read()[-1].number
    polls, events = 20_000, 2_000

    def poll():
        for _ in range(polls):
            line.read(read_to)

    began = time.process_time()
    poll()
    per_poll = (time.process_time() - began) / polls
    began = time.process_time()
    for i in range(events):
        log.append("eval.done", {"candidate": [i], "genotype": [[0, 1, 2, 3, 4, 0]], "status": ["done"]})
    per_event = (time.process_time() - began) / events
    log.close()
    line.close()
    benchmark.extra_info |= {"poll_us": 1e6 * per_poll, "event_us": 1e6 * per_event}
    benchmark.extra_info |= {"share_of_a_50_ms_step": (per_poll + per_event) / STEP}
    benchmark.pedantic(poll, rounds=1)
    assert (per_poll + per_event) / STEP <= BAR
