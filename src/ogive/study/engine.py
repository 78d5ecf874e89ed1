"""The loop: draw candidates, measure them, tell the strategy, in an order that no clock and no crash can change.

The sequence of draws is a function of the configuration and the seed. Candidates are drawn in groups of `batch`. A
group in which nothing is left to measure (all refused or repeated) is told to the strategy at once; any other group
joins a queue of at most `window` groups. Only when the queue is full is its oldest group told, after waiting for its
results, and only then is the next group drawn. Results that come in early are logged at once but wait for their turn.

An interrupted run is resumed by the same loop: it draws again from the last stored state of the strategy and takes
what the log knows instead of measuring.

Whoever steers acts between two steps of the loop. What changes the draws is logged with `Engine.turn`, the number of
asks and tells so far, and a resumed run does it again at the same turn; see `ogive.study.pilot`.
"""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ogive._errors import InfeasibleError
from ogive.study.groups import Adrift, Executor, Group, Helm
from ogive.study.problem import COUNTED, MEASURED, Measured, Problem, Rows, Status
from ogive.study.reassess import reassess

if TYPE_CHECKING:
    from collections.abc import Callable

    from ogive.strategies.base import Strategy
    from ogive.study.journal import Journal
    from ogive.study.steering import Steering

_SNAPSHOT_CANDIDATES = 2000
_REJECTED_WEIGHT = 20
"""How many refused draws one that had to be measured before it broke a constraint stands for."""

Known = tuple[NDArray[np.float64], float, Status]
"""Dear values, their violation and end of an architecture that has been measured and told."""


class Engine:
    """Runs one strategy on one problem.

    Parameters
    ----------
    problem : Problem
    strategy : Strategy
        In its initial state.
    journal : Journal
        What it knows of an earlier run is taken up.
    executor : Executor
    batch, window : int
        Candidates in a group, groups in the queue.
    free_repeats : bool
        Whether an architecture that is known is looked up, or measured and counted again.
    max_draws : int
        Consecutive draws without a trial after which the search stops; a draw that had to be measured before it broke
        a constraint counts twenty times.
    on_change : callable, optional
        Called with all `Rows` that have come to their end.
    helm : Helm, optional
        Who steers.

    Attributes
    ----------
    turn : int
        Asks and tells so far.
    queue : deque of Group
    flying : set of int
        Candidates whose dear metrics are being measured.
    told : list of (Problem, Rows)
        What the strategy has been told, each with the problem it was measured for.
    before_ask : list of callable
        Called with the engine before every ask, at the same turns in a resumed run; may change the strategy. One that
        takes long asks ``helm.hold`` at every step of its work and returns what that says; it is called again later.
    on_steered : list of callable
        Called with the engine and the states of steering before and after, when a revision has been adopted.
    """

    def __init__(
        self,
        problem: Problem,
        strategy: Strategy,
        journal: Journal,
        executor: Executor,
        *,
        batch: int,
        window: int,
        free_repeats: bool,
        max_draws: int,
        on_change: Callable[[Rows], None] = lambda _: None,
        helm: Helm | None = None,
    ) -> None:
        self.problem, self.strategy, self.journal, self.executor = problem, strategy, journal, executor
        self.batch, self.window, self.max_draws = batch, window, max_draws
        self.free_repeats, self.on_change = free_repeats, on_change
        self.helm: Helm = helm or Adrift()
        self.before_ask: list[Callable[[Engine], bool]] = []
        self.on_steered: list[Callable[[Engine, Steering, Steering], None]] = []
        self.stop: Callable[[], bool] = lambda: False
        self.asked = 0
        self.turn = 0
        self.trials = 0
        self.budget = self.asked_for = 0
        self.told: list[tuple[Problem, Rows]] = []
        self.note: str | None = None
        self._fruitless = 0
        self._weight = 0
        self._fruits_of_none: list[Rows] = []
        self.queue: deque[Group] = deque()
        self.known: dict[bytes, Known | None] = {}
        self.untold: dict[bytes, int] = {}
        self.flying: set[int] = set()
        self._last_snapshot = 0
        if journal.snapshot is not None:
            self._restore(journal.snapshot, journal.recorded())

    # ---------------------------------------------------------------- the loop

    def run(self, trials: int, stop: Callable[[], bool] = lambda: False) -> None:
        """Go on until there are `trials` trials in all, the search is exhausted, or `stop` says so.

        Raises
        ------
        InfeasibleError
            If no candidate met the constraints within `max_draws` draws; names each and the best value seen.
        """
        self.note, self.budget, self.asked_for, self.stop = None, trials, trials, stop
        try:
            self.catch_up()
            while self.helm.attend(self) and self.trials < self.budget:
                room = self.helm.limit(self) - self.trials - len(self.flying)
                unseen = next((g for g in self.queue if not g.complete), None)
                if room > 0 and unseen is not None:
                    self._look(unseen, room)
                elif room > 0 and len(self.queue) >= self.window and self.queue[0].settled:
                    self._tell(self.queue.popleft())
                    self._snapshot()
                elif room > 0 and len(self.queue) < self.window and self._weight < self.max_draws:
                    self._ask(room)
                elif self.flying:
                    self.collect()
                else:
                    self._give_up()
                    break
        finally:
            self.journal.flush()

    def catch_up(self) -> None:
        """Look at what the log knew of the queue when the next command was carried out, if one is due."""
        for group in self.queue:
            if self.helm.due(self) and not group.complete:
                self._look(group, self.budget - self.trials)

    def recall(self) -> None:
        """Look at what the log knows of the queue, so that what was measured before is not taken for open."""
        for group in self.queue:
            if not group.complete and self.journal.knows(group.rows.candidate[group.seen :]):
                self._look(group, max(0, self.budget - self.trials))

    def _ask(self, room: int) -> None:
        if not all(hook(self) for hook in self.before_ask):
            return
        genotypes = np.asarray(self.strategy.ask(self.batch), dtype=self.problem.space.dtype)
        group = Group(Rows.blank(self.asked, genotypes, len(self.problem.metrics)))
        if told := getattr(self.strategy, "origins", None):
            group.origins = [origin.kind for origin in told]
        self.asked += len(genotypes)
        self.turn += 1
        self._look(group, room)
        if group.free:
            self._tell(group)
            self._snapshot()
        else:
            self.queue.append(group)

    def _tell(self, group: Group) -> None:
        rows = group.rows
        if (rows.status == Status.DROPPED).any():
            rows = rows.take(rows.status != Status.DROPPED)
        self.turn += 1
        if not len(rows):
            return
        self.strategy.tell(rows.genotypes, self.problem.worth(rows), rows.violation)
        self.told.append((self.problem, rows))
        if self.free_repeats:
            self.learn(rows)
        if COUNTED[rows.status].any():
            self._fruitless = self._weight = 0
            self._fruits_of_none.clear()
        else:
            self._fruitless += len(rows)
            self._weight += len(rows) + (_REJECTED_WEIGHT - 1) * int((rows.status == Status.REJECTED).sum())
            if not self.trials:
                self._fruits_of_none.append(rows)

    def learn(self, rows: Rows) -> None:
        """Remember what architectures that have been told were worth, so that a repeat costs nothing."""
        lacking = np.isnan(rows.values[:, self.problem.dear_columns]).any(axis=1) & (rows.status == Status.DONE)
        at = np.flatnonzero(MEASURED[rows.status] & ~lacking)
        keys = self.problem.keys(rows.genotypes[at])
        if not self.problem.dear:
            self.known.update(dict.fromkeys(keys))
            self.untold.clear()
            return
        # A dictionary is what makes this a look-up, one entry an architecture; its measurement cost far more.
        for i, key in zip(at.tolist(), keys, strict=True):
            self.known.setdefault(key, self._outcome(rows, i))
            self.untold.pop(key, None)

    def _give_up(self) -> None:
        if not self.trials:
            seen = self.problem.refusal(Rows.join(self._fruits_of_none))
            raise InfeasibleError(
                f"no architecture met the constraints in {self._fruitless:,} draws: {seen}; loosen a constraint"
            )
        self.note = (
            f"stopped after {self.trials:,} trials: the last {self._fruitless:,} draws brought no new architecture "
            "that meets the constraints (the space is exhausted or the strategy has converged)"
        )

    # ---------------------------------------------------------------- looking at candidates

    def _look(self, group: Group, room: int) -> None:
        """Compute what is cheap, recognise repeats, start what is dear; stop before a row that would exceed `room`."""
        rows = group.rows.take(slice(group.seen, None))
        replayed = self.journal.replay(rows) | (rows.status == Status.DROPPED)
        fresh = np.flatnonzero(~replayed)
        if fresh.size and self.helm.due(self):
            # What comes first was asked by somebody when only those before were looked at.
            rows, replayed, fresh = rows.take(slice(0, fresh[0])), replayed[: fresh[0]], fresh[:0]
        links: dict[int, int] = {}
        if self.free_repeats and replayed.any():
            self._expect(rows.take(replayed & MEASURED[rows.status]))
        if fresh.size:
            part = rows.take(fresh)
            self.problem.look(part)
            links = self._recognise(part) if self.free_repeats else {}
            rows.put(fresh, part)
        counted = COUNTED[rows.status]
        if links:
            counted &= ~np.isin(rows.candidate, list(links))
        over = np.flatnonzero(np.cumsum(counted) > room)
        end = int(over[0]) if over.size else len(rows)
        self._admit(group, rows.take(slice(0, end)), replayed[:end], links)

    def _admit(self, group: Group, rows: Rows, replayed: NDArray[np.bool_], links: dict[int, int]) -> None:
        """Take rows that were looked at into their group, the log and the count of trials."""
        group.rows.put(slice(group.seen, group.seen + len(rows)), rows)
        group.seen += len(rows)
        self.trials += int((COUNTED[rows.status] & (rows.status != Status.PENDING)).sum())
        new = ~replayed & (rows.status != Status.PENDING)
        if new.any():
            self._record(rows.take(new), now=not self.problem.dear)
        pending = np.flatnonzero(rows.status == Status.PENDING).tolist()
        # What goes to the head of the line does so in turn.
        for i in reversed(pending) if group.human else pending:
            candidate = int(rows.candidate[i])
            if candidate in links:
                group.links[candidate] = links[candidate]
                self._settle_link(group, candidate, group)
            else:
                self.begin(group, candidate)

    def begin(self, group: Group, candidate: int) -> None:
        """Have the dear metrics of a candidate measured."""
        i = candidate - int(group.rows.candidate[0])
        origin = "human" if group.human else None if group.origins is None else group.origins[i]
        self.flying.add(candidate)
        self.journal.propose(candidate, group.rows.genotypes[i], origin)
        self.executor.start(candidate, group.rows.genotypes[i], first=group.human)

    def _expect(self, rows: Rows) -> None:
        """Note candidates that the log knows and the strategy does not yet, for repeats drawn in between."""
        for key, candidate in zip(self.problem.keys(rows.genotypes), rows.candidate.tolist(), strict=True):
            if key not in self.known:
                self.untold.setdefault(key, candidate)

    def _recognise(self, rows: Rows) -> dict[int, int]:
        """Give repeats their known values; return the rows that must wait, with the candidate they wait for."""
        at = np.flatnonzero(np.isin(rows.status, (Status.PENDING, Status.DONE)))
        links: dict[int, int] = {}
        # One look-up an architecture, in the order in which they were drawn: an earlier one makes a later one a repeat.
        for i, candidate, key in zip(
            at.tolist(), rows.candidate[at].tolist(), self.problem.keys(rows.genotypes[at]), strict=True
        ):
            if key in self.known:
                rows.status[i] = Status.REPEAT
                self._copy(rows, i, self.known[key])
            elif (source := self.untold.setdefault(key, candidate)) != candidate:
                if self.problem.dear:
                    links[candidate] = source
                else:
                    rows.status[i] = Status.REPEAT
        return links

    def _outcome(self, rows: Rows, i: int) -> Known:
        values = rows.values[i, self.problem.dear_columns]
        return values, self.problem.dear_violation(rows, i), Status(int(rows.status[i]))

    def _copy(self, rows: Rows, i: int, known: Known | None) -> None:
        if known is None:
            return
        rows.values[i, self.problem.dear_columns], violation, end = known
        rows.violation[i] += violation
        if end is Status.FAILED:
            rows.reasons[int(rows.candidate[i])] = "a repeat of an architecture that could not be measured"

    # ---------------------------------------------------------------- dear measurements

    def collect(self) -> None:
        """Wait for measurements and log each that came in, with the repeats that waited for it, at once."""
        for candidate, measured in self.executor.wait(self.helm.patience):
            if candidate not in self.flying:
                continue
            self.flying.discard(candidate)
            group, i = self._find(candidate, self.queue)
            self._settle(group.rows, i, measured)
            self._record(group.rows.take([i]), now=False)
            for other in self.queue:
                for waiting in [c for c, source in other.links.items() if source == candidate]:
                    self._settle_link(other, waiting, group)
        self.journal.flush()

    def _settle(self, rows: Rows, i: int, measured: Measured) -> None:
        rows.values[i, self.problem.dear_columns] = measured.values
        rows.violation[i] += measured.violation
        rows.seconds[i] = measured.seconds
        rows.status[i] = Status.REJECTED if measured.rejected else Status.DONE
        if measured.reason is not None:
            rows.status[i] = Status.FAILED
            rows.reasons[int(rows.candidate[i])] = measured.reason
        self.trials += not measured.rejected

    def _settle_link(self, group: Group, candidate: int, nearby: Group) -> None:
        """Give a waiting repeat the result of its source, if that is there."""
        source, j = self._find(group.links[candidate], [nearby, *self.queue])
        if source.rows.status[j] == Status.PENDING:
            return
        i = candidate - int(group.rows.candidate[0])
        group.rows.status[i] = Status.AWAITED
        self._copy(group.rows, i, self._outcome(source.rows, j))
        del group.links[candidate]
        self._record(group.rows.take([i]), now=False)

    def _find(self, candidate: int, groups: Any) -> tuple[Group, int]:
        return next((g, i) for g in groups if (i := g.position(candidate)) is not None)

    # ---------------------------------------------------------------- the journal

    def _record(self, rows: Rows, *, now: bool) -> None:
        self.journal.record(rows, now=now)
        self.on_change(rows)

    def _snapshot(self) -> None:
        """Store the state now and then, so that a resumed run need not draw from the beginning."""
        if self.asked - self._last_snapshot >= _SNAPSHOT_CANDIDATES:
            self.snapshot()

    def snapshot(self) -> None:
        """Store the state, for a resumed run to start from."""
        self._last_snapshot = self.asked
        queue = [
            {"first": int(g.rows.candidate[0]), "genotype": g.rows.genotypes.tolist(), "human": g.human}
            for g in self.queue
        ]
        # As text, because a strategy's state may hold infinities, which strict JSON has not.
        state = json.dumps(self.strategy.state())
        untold = sum(int((COUNTED[g.rows.status] & ~g.open).sum()) for g in self.queue)
        counts = {"asked": self.asked, "turn": self.turn, "trials": self.trials - untold}
        counts |= {"fruitless": self._fruitless, "weight": self._weight}
        self.journal.checkpoint(counts | self.helm.facts() | {"queue": queue, "strategy": state})

    def _restore(self, snapshot: dict[str, Any], recorded: list[tuple[Problem, Rows]]) -> None:
        self.strategy.restore(json.loads(snapshot["strategy"]))
        self.asked = self._last_snapshot = snapshot["asked"]
        self.turn = snapshot.get("turn", 0)
        self._fruitless, self._weight = snapshot["fruitless"], snapshot["weight"]
        waiting: list[int] = []
        for entry in snapshot["queue"]:
            genotypes = np.array(entry["genotype"], dtype=self.problem.space.dtype)
            blank = Rows.blank(entry["first"], genotypes, len(self.problem.metrics))
            group = Group(blank, human=entry.get("human", False))
            waiting += group.rows.candidate.tolist()
            self.queue.append(group)
        for problem, rows in recorded:
            told = (rows.candidate < self.asked) & (rows.status != Status.DROPPED)
            self.told.append((problem, rows.take(told & ~np.isin(rows.candidate, waiting))))
        now = [reassess(rows, problem, self.problem) for problem, rows in self.told]
        self.trials = snapshot.get("trials", sum(int(COUNTED[rows.status].sum()) for rows in now))
        for rows in now:
            if self.free_repeats:
                self.learn(rows)
            if not self.trials and len(rows):
                self._fruits_of_none.append(rows)
