"""Timing in turns on a machine whose every disturbance is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from ogive._errors import InputError
from ogive.metrics.timing import Protocol, Timings, measure, timed

if TYPE_CHECKING:
    from collections.abc import Callable


class Machine:
    """Runs networks of known cost on a clock of its own; `slow` says how much longer all takes at a time."""

    def __init__(self, costs: list[float], slow: Callable[[float], float] = lambda _: 1.0) -> None:
        self.now, self.order, self._costs, self._slow = 0.0, [], costs, slow

    def measure(self, protocol: Protocol) -> Timings:
        return measure([lambda w, r, i=i: self._visit(i, w, r) for i in range(len(self._costs))], protocol)

    def _visit(self, i: int, warmup: int, runs: int) -> list[float]:
        self.order.append(i)
        if self._costs[i] < 0:
            raise RuntimeError("unsupported operator\nand a trace")
        return timed(lambda: self._run(i), lambda: self.now)(warmup, runs)

    def _run(self, i: int) -> None:
        self.now += self._costs[i] * self._slow(self.now)


def test_a_quiet_machine_is_measured_exactly() -> None:
    machine = Machine([0.001, 0.002, 0.004])
    found = machine.measure(Protocol(every=2))
    assert found.latency == pytest.approx([1.0, 2.0, 4.0])
    assert found.median == pytest.approx([1.0, 2.0, 4.0])
    assert found.spread == pytest.approx([0.0, 0.0, 0.0], abs=1e-9)
    assert found.drift == pytest.approx(0.0, abs=1e-9)
    assert found.repeatability == pytest.approx(1.0)


def test_disturbances_only_lengthen_so_the_smallest_run_is_right() -> None:
    rng = np.random.default_rng(0)
    costs = list(np.linspace(0.001, 0.002, 20))
    machine = Machine(costs, lambda _: 1.0 + rng.exponential(0.3))
    found = machine.measure(Protocol())
    assert found.latency == pytest.approx(1e3 * np.array(costs), rel=0.02)
    assert (found.median > 1.1 * found.latency).all(), "the middle of the runs is disturbed"
    assert found.repeatability > 0.95


def test_everybody_is_visited_in_each_round_and_no_two_rounds_are_alike() -> None:
    machine = Machine([0.001] * 10)
    machine.measure(Protocol(rounds=4, anchors=0))
    rounds = np.array(machine.order).reshape(4, 10)
    assert (np.sort(rounds, axis=1) == np.arange(10)).all()
    assert len({tuple(r) for r in rounds.tolist()}) == 4


def test_a_machine_that_heats_up_is_found_out() -> None:
    machine = Machine([0.001] * 30, lambda now: 1.0 if now < 0.5 else 1.2)
    found = machine.measure(Protocol(every=5))
    assert found.drift == pytest.approx(0.2, abs=0.02)
    steady = Machine([0.001] * 30)
    assert steady.measure(Protocol(every=5)).drift < 0.01


def test_a_failure_is_a_failure_and_not_a_number() -> None:
    machine = Machine([0.001, -1.0, 0.003])
    found = machine.measure(Protocol())
    assert found.reasons == {1: "unsupported operator"}
    assert np.isnan(found.latency).tolist() == [False, True, False]
    assert machine.order.count(1) == 1, "nobody waits twice for what cannot run"


def test_one_visit_says_nothing_of_repeatability() -> None:
    machine = Machine([0.001, 0.002, 0.003])
    found = machine.measure(Protocol(rounds=1))
    assert np.isnan(found.repeatability)
    assert np.isnan(found.spread).all()


def test_a_protocol_without_runs_is_refused() -> None:
    with pytest.raises(InputError, match="runs >= 1"):
        Protocol(runs=0)
