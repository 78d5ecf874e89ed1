"""The state of steering: revisions of the settings, and what leads from one to the next.

Nothing here touches files, networks or clocks: `Steering.apply` is a function of the state and the command, so a log of
commands gives the same state whenever it is read.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ogive._errors import InputError, UnknownNameError
from ogive.spaces.template import PROBE, Template
from ogive.study._edits import EDITS, Place, ids_of
from ogive.study.settings import Settings, restricted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ogive.spaces.base import Space, TaskShape
    from ogive.study.config import StudyConfig
    from ogive.study.operations import Command


@dataclass(frozen=True)
class Revision:
    """One entry of the history.

    Attributes
    ----------
    rev : int
        Its number; 0 is what the study was asked.
    parent : int or None
        The revision its settings were made from; where they were taken from an older one, the parent of that.
    same_as : int
        The revision that had these settings first: `rev` itself after an edit, an older one after undo, redo or goto.
    settings : Settings
    command : Command or None
        What made it; None for revision 0.
    """

    rev: int
    parent: int | None
    same_as: int
    settings: Settings
    command: Command | None = None


@dataclass(frozen=True)
class Steering:
    """The history of a study up to a command.

    Attributes
    ----------
    origin : Space
        What the study was asked about, with its own restriction.
    revisions : tuple of Revision
    undone : tuple of int
        Revisions that `redo` returns to, the next one last.
    notes : mapping of target to mapping
        ``pinned`` (bool), ``tags`` and ``comments`` (tuples of str) of candidates and nodes.
    task : TaskShape
        What shapes of an edited drawing are checked with.
    """

    origin: Space
    revisions: tuple[Revision, ...]
    undone: tuple[int, ...] = ()
    notes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    task: TaskShape = PROBE

    @classmethod
    def of(cls, config: StudyConfig, space: Space, task: TaskShape | None = None) -> Steering:
        """Return the state of a study that nobody has steered yet."""
        settings = Settings(
            template=space.to_dict() if isinstance(space, Template) else None,
            strategy=config.strategy,
            maximize=config.maximize,
            minimize=config.minimize,
            where=config.where,
        )
        return cls(space, (Revision(0, None, 0, settings),), task=PROBE if task is None else task)

    @property
    def head(self) -> Revision:
        """The present revision."""
        return self.revisions[-1]

    @property
    def rev(self) -> int:
        """Its number."""
        return self.head.rev

    @property
    def settings(self) -> Settings:
        """Its settings."""
        return self.head.settings

    @cached_property
    def whole(self) -> Space:
        """The present space without locks and exclusions."""
        return self.settings.space(self.origin)

    @cached_property
    def space(self) -> Space:
        """The present space inside locks and exclusions."""
        return restricted(self.whole, self.settings.status)

    def apply(self, command: Command) -> Steering:
        """Return the state after a command; one that is no matter of revisions or notes changes nothing.

        Raises
        ------
        InputError
            With the reason, naming the part that is in the way; nothing has changed.
        """
        if command.kind == "note":
            return self._annotated(command)
        if command.kind not in ("revision", "history"):
            return self
        if command.base_rev is not None and command.base_rev != self.rev:
            raise InputError(self.conflict(command.base_rev))
        return self._edited(command) if command.kind == "revision" else self._moved(command)

    def conflict(self, base: int) -> str:
        """Say what has happened since the revision a command was meant for."""
        if not 0 <= base <= self.rev:
            return f"there is no revision {base}; the present one is {self.rev}"
        changes = self.revisions[base].settings.differences(self.settings) or ["nothing differs, but look again"]
        return f"the command was meant for revision {base}, but {self.rev} is the present one: {'; '.join(changes)}"

    def _edited(self, command: Command) -> Steering:
        used = frozenset().union(*(ids_of(r.settings.template) for r in self.revisions if r.settings.template))
        settings = EDITS[command.op](Place(self.settings, self.whole, used, self.task), command.args)
        if settings == self.settings:
            raise InputError(f"'{command.op}' would change nothing; revision {self.rev} has it so already")
        return self._with(Revision(self.rev + 1, self.head.same_as, self.rev + 1, settings, command), ())

    def _moved(self, command: Command) -> Steering:
        now = self.head.same_as
        if command.op == "branch":
            name = command.args["name"]
            if name in {r.settings.branch for r in self.revisions}:
                raise InputError(f"there is a branch '{name}' already; goto {name} returns to it")
            settings = replace(self.settings, branch=name)
            return self._with(Revision(self.rev + 1, now, self.rev + 1, settings, command), ())
        if command.op == "undo":
            parent = self.revisions[now].parent
            if parent is None:
                raise InputError("nothing to undo; these are the settings the study began with")
            return self._returned(parent, command, (*self.undone, now))
        if command.op == "redo":
            if not self.undone:
                raise InputError("nothing to redo")
            return self._returned(self.undone[-1], command, self.undone[:-1])
        return self._returned(self._found(command.args["to"]), command, ())

    def _returned(self, target: int, command: Command, undone: tuple[int, ...]) -> Steering:
        old = self.revisions[self.revisions[target].same_as]
        return self._with(Revision(self.rev + 1, old.parent, old.rev, old.settings, command), undone)

    def _found(self, to: int | str) -> int:
        """Return the number of a revision given by number, or by the branch whose last one it is."""
        if isinstance(to, str) and not to.isdecimal():
            names = [r.settings.branch for r in self.revisions]
            if to not in names:
                raise UnknownNameError.of("branch", to, set(names))
            return self.revisions[len(names) - 1 - names[::-1].index(to)].rev
        if not 0 <= int(to) <= self.rev:
            raise InputError(f"there is no revision {to}; they are numbered 0 to {self.rev}")
        return int(to)

    def _with(self, revision: Revision, undone: tuple[int, ...]) -> Steering:
        state = replace(self, revisions=(*self.revisions, revision), undone=undone)
        # Says what is wrong with the new restriction, if anything is.
        _ = state.space
        return state

    def _annotated(self, command: Command) -> Steering:
        target, on = command.args["target"], command.args.get("on", True)
        note: dict[str, Any] = {"pinned": False, "tags": (), "comments": (), **self.notes.get(target, {})}
        if command.op == "pin":
            note["pinned"] = on
        else:
            kind, text = ("tags", command.args["tag"]) if command.op == "tag" else ("comments", command.args["text"])
            kept = tuple(t for t in note[kind] if t != text)
            if not on and len(kept) == len(note[kind]):
                raise InputError(f"'{target}' has no such {command.op}: '{text}'")
            note[kind] = (*kept, text) if on else kept
        notes = {**self.notes, target: note}
        if not any(note.values()):
            del notes[target]
        return replace(self, notes=notes)
