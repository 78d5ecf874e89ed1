"""Where dear metrics are measured: one after another in this process, or by a pool of workers."""

from __future__ import annotations

import signal
import threading
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from ogive.study.problem import Measured, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from ogive.spaces.base import Genotypes
    from ogive.study.workers import Pool


class Interrupts:
    """Turns Ctrl-C and SIGTERM into a stop at a safe point.

    While the block runs, a signal sets `pending`; where waiting is all that happens (`waiting`), it raises
    KeyboardInterrupt at once. So nothing is interrupted between a result and its place in the log.
    """

    def __init__(self) -> None:
        self.pending = False
        self._waiting = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature of a handler
        self.pending = True
        if self._waiting:
            raise KeyboardInterrupt

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let a signal interrupt what is in the block."""
        self._waiting = True
        try:
            if self.pending:
                raise KeyboardInterrupt
            yield
        finally:
            self._waiting = False


class InProcess:
    """Measures in this process, in order."""

    def __init__(self, problem: Problem, interrupts: Interrupts) -> None:
        self._problem, self._interrupts = problem, interrupts
        self._line: deque[tuple[int, Genotypes]] = deque()

    def start(self, candidate: int, genotype: Genotypes, *, first: bool = False) -> None:
        """Put a candidate in line, or at its head."""
        if first:
            self._line.appendleft((candidate, genotype))
        else:
            self._line.append((candidate, genotype))

    def withdraw(self, candidate: int) -> bool:
        """Take a candidate out of the line; it has never begun."""
        self._line = deque(item for item in self._line if item[0] != candidate)
        return True

    def busy(self) -> bool:
        """Nothing goes on by itself."""
        return False

    def wait(self, timeout: float | None = None) -> list[tuple[int, Measured]]:  # noqa: ARG002 - it never waits
        """Measure the first in line."""
        candidate, genotype = self._line.popleft()
        with self._interrupts.waiting():
            return [(candidate, self._problem.measure(genotype))]


class InWorkers:
    """Measures in worker processes."""

    def __init__(self, problem: Problem, pool: Pool, interrupts: Interrupts) -> None:
        self._pool, self._interrupts = pool, interrupts
        self._nothing = (float("nan"),) * len(problem.dear)

    def start(self, candidate: int, genotype: Genotypes, *, first: bool = False) -> None:
        """Put a candidate in line, or at its head."""
        self._pool.submit(candidate, "measure", genotype.tolist(), first=first)

    def withdraw(self, candidate: int) -> bool:
        """Take a candidate out of the line; return whether it had not begun."""
        return self._pool.withdraw(candidate)

    def busy(self) -> bool:
        """Return whether a worker is at work."""
        return self._pool.busy()

    def wait(self, timeout: float | None = None) -> list[tuple[int, Measured]]:
        """Wait for workers to finish some, at most `timeout` seconds if given."""
        with self._interrupts.waiting():
            answers = self._pool.wait(timeout)
        return [
            (a.key, Measured(self._nothing, reason=a.reason) if a.result is None else Measured(**a.result))
            for a in answers
        ]
