"""What a page needs to know of a run, read from its log as the log grows."""

from __future__ import annotations

import threading
import time
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._errors import StorageError, UnknownNameError
from ogive.spaces.template import PROBE
from ogive.studio.columns import Columns, News
from ogive.studio.engines import at_work
from ogive.studio.graph import catalogue, drawing
from ogive.studio.layout import layout
from ogive.studio.revisions import by_part, history, sampler, taken
from ogive.study.crew import Problems
from ogive.study.directory import RunDirectory
from ogive.study.journal import APPLIED, OUTCOMES
from ogive.study.study import Study

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ogive.spaces.base import TaskShape
    from ogive.studio.engines import Engine
    from ogive.study.events import Event
    from ogive.study.problem import Problem
    from ogive.study.settings import Settings
    from ogive.study.steering import Steering

RUNNING = frozenset({"warming", "searching", "training", "pausing"})
"""States in which a process works on the run."""

_LOOK_SECONDS = 1.0
_ROWS = frozenset({*OUTCOMES, "proposal"})


class Reading:
    """One run as the page sees it. `update` takes in what the log has gained; everything else only answers.

    Parameters
    ----------
    path : str or Path
        The run directory; another process may be writing it.
    name : str
        What the page calls it.
    engine : Engine
        What goes on with it when a command asks for that.
    read_only : bool
        Whether commands are refused.

    Raises
    ------
    InputError
        If there is no run, or it names something that does not exist here.
    """

    def __init__(self, path: str | Path, name: str, engine: Engine, *, read_only: bool = False) -> None:
        self.directory = RunDirectory(path)
        self.name, self.engine, self.read_only = name, engine, read_only
        self.lock = threading.RLock()
        self.identity = self._file()
        self._looked, self._alive = float("-inf"), False
        self._begin()

    def _begin(self) -> None:
        self.study = Study.open(self.directory.path)
        self.config = self.study.config
        self.seq = 0
        self.columns = Columns()
        asked = self.study.problem
        self.steering: Steering = self.study.steering
        self._problems = Problems(self.config, asked, self.steering.revisions[0].settings)
        # Of the candidates read so far, of which there are none.
        self._question = self.steering.revisions[0].settings.question
        self._state: dict[str, Any] = {"state": "stopped"}
        self._paused = False
        self._planned = self.config.trials
        self._seconds, self._last = 0.0, 0.0
        self._since: float | None = None
        self._loss: list[dict[str, Any]] = []
        self._marks: list[dict[str, Any]] = []
        self._layouts: list[dict[str, Any]] = []
        self._sizes: dict[str, int] = {}
        self._samplers: dict[str, dict[str, Any]] = {}

    @property
    def settings(self) -> Settings:
        """What the present revision fixes."""
        return self.steering.settings

    @property
    def rev(self) -> int:
        """Number of the present revision."""
        return self.steering.rev

    @property
    def problem(self) -> Problem:
        """The question of the present revision."""
        return self._problems.of(self.settings)

    def problem_at(self, rev: int) -> Problem:
        """Return the question of a revision."""
        return self._problems.of(self.steering.revisions[rev].settings)

    @property
    def present(self) -> str:
        """The state of the run now: what its log says, unless the process that wrote it is gone or yet to begin."""
        told = str(self._state["state"])
        if told in RUNNING:
            if self._lively():
                return told
            # The process was killed.
            told = "stopped"
        if self.engine.fault is not None:
            return "failed"
        if told == "stopped" and self._paused:
            # It is paused when it is taken up again, whoever works on it in between.
            return "paused"
        return "warming" if self.engine.running and not self.seq else told

    def _lively(self) -> bool:
        now = time.monotonic()
        if self.engine.running:
            return True
        if now - self._looked > _LOOK_SECONDS:
            self._looked, self._alive = now, at_work(self.directory.path)
        return self._alive

    def _file(self) -> tuple[int, int] | None:
        """Return which file the log is, so that one put in its place is noticed."""
        try:
            found = self.directory.database.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"log '{self.directory.database}' cannot be read: {error.strerror}") from error
        return found.st_dev, found.st_ino

    # ---------------------------------------------------------------- following the log

    def update(self) -> bool:
        """Take in the events that are new, and return False if the log is another one than before."""
        with self.lock:
            same = self.identity in (None, now := self._file())
            self.identity = now
            if not same:
                self._begin()
            if events := list(self.study.events(self.seq)):
                # Once for all events: it knows their revisions, and perhaps later ones.
                self.steering = self.study.steering
                # Long logs are mostly candidates, which are quicker to take in many at a time.
                for (about, _), some in groupby(events, lambda e: (e.kind in _ROWS, e.rev)):
                    if about:
                        self._candidates(list(some))
                    else:
                        for event in some:
                            self._take(event)
                self.seq = events[-1].seq
                if self.settings.question != self._question:
                    self._question = self.settings.question
                    self.columns.reassess(self.seq, self.study.results().rows, self.problem)
            return same

    def _take(self, event: Event) -> None:
        self._last = event.ts
        kind, data = event.kind, event.data
        if kind == "run.state":
            self._changed_state(event)
        elif kind == "budget":
            self._planned = int(data["trials"])
        elif kind == "train.tick":
            losses = data["loss"]
            self._loss.append({"t": event.ts, "step": data["step"] + len(losses), "loss": sum(losses) / len(losses)})
        elif kind == "checkpoint":
            self._mark(event, "checkpoint")
        elif kind == APPLIED:
            self._applied(event)

    def _applied(self, event: Event) -> None:
        op, args = event.data["op"], event.data["args"]
        self._mark(event, op)
        if op in ("pause", "step", "resume"):
            self._paused = op != "resume"
        if "target" in args:
            self.columns.touch(args["target"], event.seq)

    def _candidates(self, events: Sequence[Event]) -> None:
        """Take in proposals and outcomes of one revision."""
        rev = events[0].rev
        problem = self.problem_at(rev)
        strategy = self.steering.revisions[rev].settings.strategy.partition(":")[0]
        for data in (e.data for e in events if e.kind == "proposal"):
            origin = data.get("origin", strategy), data.get("parent"), data.get("probability")
            self.columns.note_origin(data["candidate"], *origin)
        self.columns.add(News.of(events, problem), problem)
        self._last = events[-1].ts

    def _changed_state(self, event: Event) -> None:
        before, self._state = self._state["state"], event.data
        now = event.data["state"]
        if before in RUNNING and self._since is not None:
            self._seconds += event.ts - self._since
        self._since = event.ts if now in RUNNING else None
        if now != before:
            self._mark(event, now)

    def _mark(self, event: Event, text: str) -> None:
        self._marks.append({"t": event.ts, "kind": event.kind, "text": text})

    # ---------------------------------------------------------------- answers

    def summary(self) -> dict[str, Any]:
        """Return the run's line in the list of runs."""
        return {
            "name": self.name,
            "state": self.present,
            "space": self.config.space,
            "trials": self.columns.trials,
        }

    def state(self) -> dict[str, Any]:
        """Return the snapshot a page starts from: everything small."""
        problem, settings, present = self.problem, self.settings, self.present
        running = self._state["state"] in RUNNING and self._since is not None
        return {
            "seq": self.seq,
            "run": {
                "name": self.name,
                "space": self.config.space,
                "task": self.config.task,
                "strategy": settings.strategy,
                "seed": self.config.seed,
                "kind": "space" if settings.template is None else "template",
                "one_shot": any(name.endswith("@supernet") for name in problem.metrics),
            },
            "objectives": [
                {"name": name, "direction": "max" if sign > 0 else "min", "unit": problem.info[name].unit}
                for name, sign in zip(problem.objectives, problem.signs.tolist(), strict=True)
            ],
            "metrics": [{"name": m.name, "direction": m.direction, "unit": m.unit} for m in problem.info.values()],
            "constraints": [
                {"text": str(c), "metric": c.metric, "op": c.op, "bound": c.bound} for c in problem.constraints
            ],
            "state": present,
            "rev": self.rev,
            "read_only": self.read_only,
            "budget": {
                "trials": settings.trials or self._planned,
                "done": self.columns.trials,
                "seconds": self._seconds + (self._last - (self._since or 0.0) if running else 0.0),
            },
            "sampler": self._sampler(),
            "statuses": by_part(problem.space, settings.status),
            "nudges": by_part(problem.space, settings.nudges),
            "best": self.best(),
            "error": (self.engine.fault or self._state.get("note")) if present == "failed" else None,
        }

    def _sampler(self) -> dict[str, Any]:
        """Return the strategy and its settings; asked once a revision, for a strategy may be slow to make."""
        settings = self.settings
        if settings.hash not in self._samplers:
            self._samplers[settings.hash] = sampler(settings, self.problem.space)
        return self._samplers[settings.hash]

    def best(self) -> dict[str, Any] | None:
        """Return the candidate that is best in the first objective, ties decided by the others, then by age."""
        columns, problem = self.columns, self.problem
        worth = [s * columns.numbers(n) for n, s in zip(problem.objectives, problem.signs, strict=True)]
        fit = np.flatnonzero(columns.feasible() & np.isfinite(worth).all(axis=0))
        if not fit.size:
            return None
        order = np.lexsort([np.array(columns.ids)[fit], *(-w[fit] for w in reversed(worth))])
        row = columns.row(columns.ids[int(fit[order[0]])])
        assert row is not None
        return {"id": row["id"], "arch": row["arch"], "metrics": row["metrics"]}

    @property
    def template_task(self) -> TaskShape:
        """What shapes of a drawing are checked on."""
        return self.problem.context.task or PROBE

    def template(self, rev: int | None = None) -> dict[str, Any]:
        """Return the drawing of a revision, the present one by default, with what steering did to its parts."""
        rev = self._revision(rev)
        settings, space = self.steering.revisions[rev].settings, self.problem_at(rev).space
        drawn = drawing(space, self.template_task)
        statuses = by_part(space, settings.status)
        for item in (*drawn["nodes"], *drawn["edges"], *drawn["groups"]):
            item["status"] = statuses.get(item["id"], "free")
        first = {n["id"] for n in (self.steering.revisions[0].settings.template or drawn)["nodes"]}
        used = self.columns.used_parts()
        for node in drawn["nodes"]:
            node["new"] = node["id"] not in first and node["id"] not in used
        editable = settings.template is not None and not self.read_only
        names = {"catalogue": catalogue(), "taken": sorted(taken(self.steering))}
        return {"rev": rev, "editable": editable, **drawn, **names}

    def layout(self, rev: int | None = None) -> dict[str, Any]:
        """Return the places of a revision's parts; what did not change stays where it was before."""
        rev = self._revision(rev)
        # From the first one on, so that places do not depend on what was asked before.
        for earlier in range(len(self._layouts), rev + 1):
            drawn = drawing(self.problem_at(earlier).space, self.template_task)
            self._layouts.append(layout(drawn, self._layouts[-1] if self._layouts else None))
        return {"rev": rev, **self._layouts[rev]}

    def _revision(self, rev: int | None) -> int:
        if rev is None:
            return self.rev
        if not 0 <= rev <= self.rev:
            raise UnknownNameError(f"revision {rev} does not exist; the run is at revision {self.rev}")
        return rev

    def candidates(self, after: int = 0) -> dict[str, Any]:
        """Return the columns of all candidates that changed after an event."""
        found = self.columns.since(after)
        notes = [self._notes(number) for number in found["ids"]] if self.steering.notes else [{}] * len(found["ids"])
        said = {"tags": [n.get("tags", ()) for n in notes], "pinned": [n.get("pinned", False) for n in notes]}
        return {"seq": self.seq, **found, **said}

    def _notes(self, candidate: int) -> Mapping[str, Any]:
        return self.steering.notes.get(str(candidate), {})

    def candidate(self, number: int) -> dict[str, Any]:
        """Return what is known of one candidate.

        Raises
        ------
        UnknownNameError
            If it was not measured.
        """
        row = self.columns.row(number)
        if row is None:
            raise UnknownNameError(f"no candidate {number} was measured in this run")
        names, notes = self.columns.part_names, self._notes(number)
        row["parts"] = [names[i] for i in row["parts"]]
        alone = [a for a in self.study.anchors() if a.get("arch") == row["arch"]]
        said = {
            "tags": notes.get("tags", ()),
            "comments": notes.get("comments", ()),
            "pinned": notes.get("pinned", False),
        }
        return row | said | {"alone": alone}

    def series(self) -> dict[str, Any]:
        """Return what changes over time: the mean loss of each tick, the best value so far, marks of what happened."""
        best = self.columns.improvements(self.problem.objectives[0], float(self.problem.signs[0]))
        return {"train": self._loss, "best": best, "marks": self._marks}

    def history(self) -> dict[str, Any]:
        """Return the revisions and the commands, oldest first."""
        self.steering = self.study.steering
        return {
            "revisions": history(self.steering, self.study.history(), self._sizes),
            "commands": self.study.commands(),
        }

    def differences(self, base: Any) -> list[str]:
        """Return in words what has changed since a revision."""
        revisions = self.steering.revisions
        if not isinstance(base, int) or not 0 <= base < len(revisions):
            return []
        return revisions[base].settings.differences(self.settings)
