"""The side of a study that is steered and looked at: its log, its revisions, what is known under the present one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._errors import InputError, RunLockedError
from ogive.study.commands import CommandLine, MemoryCommands, SqliteCommands
from ogive.study.crew import Problems
from ogive.study.events import Event, EventLog, MemoryLog, SqliteLog
from ogive.study.finalists import needed, winner
from ogive.study.journal import ANCHOR, APPLIED, COMMANDS, OUTCOMES, RETRAIN, read_rows
from ogive.study.operations import Command
from ogive.study.pilot import command_of
from ogive.study.problem import COUNTED, Problem, Rows
from ogive.study.reassess import reassess
from ogive.study.results import Results
from ogive.study.steering import Steering

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ogive.study.config import StudyConfig
    from ogive.study.directory import RunDirectory
    from ogive.study.studio import StudioLink


@dataclass(frozen=True)
class Reply:
    """What became of a command at once.

    Attributes
    ----------
    id : str
        The command's.
    status : {"accepted", "rejected", "known"}
        In line for the engine; refused; in line or carried out already under this id.
    rev : int
        The present revision.
    reason : str
        Why it was rejected.
    """

    id: str
    status: str
    rev: int
    reason: str = ""


class Steered:
    """What `ogive.Study` is made of besides running."""

    config: StudyConfig
    directory: RunDirectory | None
    problem: Problem

    def _begin_steering(self, problem: Problem, log: EventLog | None) -> None:
        self._log = log or MemoryLog()
        self._line: CommandLine = (
            MemoryCommands() if self.directory is None else SqliteCommands(self.directory.database)
        )
        self.problem = problem
        self._steering = self._asked = Steering.of(self.config, problem.space, problem.context.task)
        self._foreseen: tuple[Steering, list[str], Steering] = (self._asked, [], self._asked)
        self._problems = Problems(self.config, problem, self._asked.settings)
        self._parts: dict[str, tuple[Problem, list[Rows]]] = {}
        self._sent: dict[str, dict[str, Any]] = {}
        self._read_to = self._steered_to = self._heard_to = self._line_to = 0

    # ---------------------------------------------------------------- steering

    def steer(
        self,
        op: str,
        /,
        *,
        id: str | None = None,  # noqa: A002 - the name it has in every client
        base_rev: int | None = None,
        note: str = "",
        actor: str = "person",
        **args: Any,
    ) -> Reply:
        """Send a command to the run; whoever runs it carries it out at the next safe point, at once or when resumed.

        Parameters
        ----------
        op : str
            One of `ogive.study.operations.OPERATIONS`.
        id : str, optional
            A command whose id is known is not sent again.
        base_rev : int, optional
            The revision one was looking at; the command is rejected if it is no longer the present one.
        note, actor : str
            Why, and who, for the history.
        **args
            Arguments of the command.

        Returns
        -------
        Reply
            Accepted, or rejected with the reason. The engine looks again when its turn comes; see `commands`.

        Raises
        ------
        StorageError
            If the command cannot be written.
        """
        given = {"op": op, "args": args, "base_rev": base_rev, "note": note, "actor": actor}
        return self.send(given if id is None else given | {"id": id})

    def send(self, data: Any) -> Reply:
        """Send a command given as JSON values, as `Command.to_dict` writes it; see `steer`."""
        state = self.steering
        try:
            command = data if isinstance(data, Command) else Command.from_dict(data)
        except InputError as error:
            name = data.get("id") if isinstance(data, dict) else None
            return Reply(str(name or ""), "rejected", state.rev, str(error))
        waiting = [c for c in self.commands() if c["status"] in ("posted", "accepted")]
        try:
            state = self._after([Command.from_dict({k: c[k] for k in command.to_dict()}) for c in waiting])
            state.apply(command)
            if command.op in ("evaluate", "train_alone", "export"):
                state.whole.parse(command.args.get("archs") or [command.args["arch"]])
        except InputError as error:
            known = self._known(command.id)
            return Reply(command.id, "known" if known else "rejected", self._steering.rev, "" if known else str(error))
        new = not self._known(command.id) and self._post(command)
        return Reply(command.id, "accepted" if new else "known", self._steering.rev)

    def _after(self, waiting: Sequence[Command]) -> Steering:
        """Return the state once all that is in line has been carried out; what was foreseen before is kept."""
        ids = [command.id for command in waiting]
        base, done, state = self._foreseen
        if base is not self._steering or done != ids[: len(done)]:
            done, state = [], self._steering
        for command in waiting[len(done) :]:
            state = _ahead(state, command)
        self._foreseen = (self._steering, ids, state)
        return state

    def _known(self, name: str) -> bool:
        return any(c["id"] == name for c in self.commands())

    def _post(self, command: Command) -> bool:
        if self.directory is not None and not self.directory.database.exists():
            try:
                with self.directory.lock():
                    SqliteLog(self.directory.database).close()
            except RunLockedError:
                # Whoever runs the study is about to make it, or has.
                pass
        return self._line.post(command)

    @property
    def steering(self) -> Steering:
        """The revisions up to now; also while another process makes them."""
        self._refresh()
        return self._steering

    def _refresh(self) -> None:
        for event in self._reader().read(self._steered_to, (APPLIED,)):
            self._steered_to = event.seq
            self._steering = _ahead(self._steering, command_of(event))
        self.problem = self._problems.of(self._steering.settings)

    def _problem_at(self, rev: int) -> Problem:
        return self._problems.of(self._steering.revisions[rev].settings)

    def commands(self) -> list[dict[str, Any]]:
        """Return every command in the order of sending, with its status and what the log says of it.

        Status is posted, accepted, applied or rejected; those carried out have ``rev``, ``at`` (asks and tells before
        it), ``latency`` in seconds, and ``reason`` where they were rejected.
        """
        for posted in self._line.read(self._line_to):
            self._line_to = posted.number
            self._sent.setdefault(posted.command.id, posted.command.to_dict() | {"ts": posted.ts, "status": "posted"})
        for event in self._reader().read(self._heard_to, COMMANDS):
            self._heard_to = event.seq
            known = self._sent.setdefault(event.data["id"], {"ts": event.ts})
            known |= event.data | {"status": event.kind.partition(".")[2]}
        return [dict(command) for command in self._sent.values()]

    def history(self) -> list[dict[str, Any]]:
        """Return every revision, oldest first: rev, parent, same_as, branch, hash, op, args, actor, note, ts."""
        state = self.steering
        told = {e.data["rev"]: e for e in self._reader().read(kinds=(APPLIED,)) if "dropped" in e.data}
        out = []
        for r in state.revisions:
            row: dict[str, Any] = {"rev": r.rev, "parent": r.parent, "same_as": r.same_as}
            row |= {"branch": r.settings.branch, "hash": r.settings.hash}
            if r.command is not None:
                c, event = r.command, told[r.rev]
                row |= {"op": c.op, "args": dict(c.args), "actor": c.actor, "note": c.note, "ts": event.ts}
                row["changes"] = state.revisions[r.rev - 1].settings.differences(r.settings)
            out.append(row)
        return out

    def anchors(self) -> list[dict[str, Any]]:
        """Return the architectures that `train_alone` has trained, with what came of it."""
        return [event.data for event in self._reader().read(kinds=(ANCHOR,))]

    def studio(self, *, open_browser: bool = False, read_only: bool = False) -> StudioLink:
        """Show the run in a browser, beside this process, and steer it there; a notebook shows the answer as a link.

        Parameters
        ----------
        open_browser : bool
            Open the page at once.
        read_only : bool
            Refuse every command.

        Returns
        -------
        StudioLink
            Its `url`; it ends with this process, or by `close`.

        Raises
        ------
        InputError
            If the study lives in memory.
        StorageError
            If the studio cannot be started.
        """
        from ogive.study.studio import StudioLink

        if self.directory is None:
            raise InputError("the studio shows a run directory, and this study lives in memory; give it one with out=")
        return StudioLink(self.directory.path, open_browser=open_browser, read_only=read_only)

    # ---------------------------------------------------------------- looking

    def events(self, after: int = 0, kinds: Sequence[str] | None = None) -> Iterator[Event]:
        """Yield the events of the run after a sequence number; also while another process writes them."""
        return self._reader().read(after, kinds)

    def _reader(self) -> EventLog:
        if self.directory is None:
            return self._log
        return SqliteLog(self.directory.database, read_only=True)

    def planned(self) -> int:
        """Return the number of trials the last round was meant to end with."""
        totals = [event.data["trials"] for event in self._reader().read(kinds=("budget",))]
        return int(totals[-1]) if totals else self.config.trials

    def results(self) -> Results:
        """Return all that is known of all candidates, under the present revision; also while others write them."""
        events = list(self._reader().read(self._read_to, OUTCOMES))
        self._refresh()
        for event in events:
            settings = self._steering.revisions[event.rev].settings
            problem = self._problems.of(settings)
            self._parts.setdefault(settings.question, (problem, []))[1].append(read_rows(event, problem))
            self._read_to = event.seq
        seen, elsewhere = [], 0
        for problem, parts in self._parts.values():
            parts[:] = [Rows.join(parts)]
            seen.append(reassess(parts[0], problem, self.problem))
            elsewhere += int(COUNTED[parts[0].status].sum() - COUNTED[seen[-1].status].sum())
        empty = np.zeros((0, self.problem.space.n_choices), dtype=self.problem.space.dtype)
        rows = seen[0] if len(seen) == 1 else Rows.join(seen or [Rows.blank(0, empty, len(self.problem.metrics))])
        best = winner(self.problem, self.events(kinds=(RETRAIN,))) if needed(self.problem) else None
        return Results(self.problem, rows, elsewhere, best)


def _ahead(state: Steering, command: Command) -> Steering:
    """Return the state after a command that was, or may be, carried out; one that no longer can be changes nothing."""
    try:
        return state.apply(command)
    except InputError:
        return state
