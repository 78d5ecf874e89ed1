"""What an engine is made of besides its loop: groups of candidates, who measures them, and who steers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ogive.study.problem import FREE, Measured, Rows, Status

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ogive.spaces.base import Genotypes
    from ogive.study.engine import Engine


class Executor(Protocol):
    """Where dear metrics are measured: in this process or in others."""

    def start(self, candidate: int, genotype: Genotypes, *, first: bool = False) -> None:
        """Begin to measure a candidate, before those in line if it is to be `first`."""

    def withdraw(self, candidate: int) -> bool:
        """Take a candidate out of the line; return whether it had not begun."""

    def busy(self) -> bool:
        """Return whether a measurement goes on while nobody waits for it."""

    def wait(self, timeout: float | None = None) -> list[tuple[int, Measured]]:
        """Return at least one finished measurement, or none if `timeout` seconds brought none."""


class Helm(Protocol):
    """Who steers the loop; see `ogive.study.pilot.Pilot`."""

    patience: float | None

    def attend(self, engine: Engine) -> bool:
        """Do what is due before the next step, wait while the run is paused; return whether to go on."""

    def hold(self, engine: Engine, step: int) -> bool:
        """Do what is due within a long turn after so many steps of its work; return whether to go on."""

    def replays(self, engine: Engine) -> bool:
        """Return whether the engine still draws what the log knows."""

    def due(self, engine: Engine) -> bool:
        """Return whether something has to be done before what was drawn last is looked at."""

    def limit(self, engine: Engine) -> int:
        """Return the number of trials to pause at, however large the budget is."""

    def facts(self) -> dict[str, Any]:
        """Return what a snapshot has to say of it."""


class Adrift:
    """Nobody steers."""

    patience: float | None = None

    def attend(self, engine: Engine) -> bool:
        """Go on until the run is to stop."""
        return not engine.stop()

    def hold(self, engine: Engine, step: int) -> bool:  # noqa: ARG002 - the signature of a helm
        """Go on until the run is to stop."""
        return not engine.stop()

    def replays(self, engine: Engine) -> bool:
        """Return whether the engine still draws what the log knows."""
        return engine.asked <= engine.journal.last

    def due(self, engine: Engine) -> bool:
        """Nothing has."""
        del engine
        return False

    def limit(self, engine: Engine) -> int:
        """Return the budget."""
        return engine.budget

    def facts(self) -> dict[str, Any]:
        """Return nothing."""
        return {}


@dataclass
class Group:
    """Candidates that were drawn together.

    Those from `seen` on have not been looked at; `links` has the repeats that wait for another candidate's result;
    a `human` group was asked for by a person; `origins` are a strategy's own words on where each came from.
    """

    rows: Rows
    seen: int = 0
    links: dict[int, int] = field(default_factory=dict)
    human: bool = False
    origins: list[str] | None = None

    @property
    def complete(self) -> bool:
        """Whether every candidate has been looked at."""
        return self.seen == len(self.rows)

    @property
    def settled(self) -> bool:
        """Whether every candidate has come to its end."""
        return self.complete and not (self.rows.status == Status.PENDING).any()

    @property
    def free(self) -> bool:
        """Whether there is nothing to measure in it."""
        return self.complete and bool(FREE[self.rows.status].all())

    @property
    def open(self) -> NDArray[np.bool_]:
        """Which candidates have not come to their end, those included that have not been looked at."""
        unseen = np.arange(len(self.rows)) >= self.seen
        is_open = (unseen & (self.rows.status != Status.DROPPED)) | (self.rows.status == Status.PENDING)
        return np.asarray(is_open)

    def position(self, candidate: int) -> int | None:
        """Return the row of a candidate, None for one of another group."""
        i = candidate - int(self.rows.candidate[0])
        return i if 0 <= i < len(self.rows) else None
