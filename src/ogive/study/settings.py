"""What a person may change about a running search, and what it means for its space and strategy."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ogive._errors import InfeasibleError, InputError
from ogive.spaces.template import Template

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ogive.spaces.base import Space

Word = Literal["locked", "excluded"]
Part = tuple[str, str]
"""A choice and one of its options; in a template a group and a node, or an optional edge and "on"."""


@dataclass(frozen=True)
class Settings:
    """What a revision fixes. Immutable; an edit makes another one.

    Attributes
    ----------
    template : mapping or None
        The drawing, where the space is one.
    status, nudges : mapping of choice to mapping of option
        "locked" or "excluded"; preference from -1 to 1. What is not named is free, or 0.
    strategy : str
    sampler : mapping of str to float
        Settings of the guided strategy that differ from what `strategy` says: T, uniform, mutation.
    maximize, minimize, where : tuple of str
    trials : int or None
        Trials in all; None for what the run was asked for.
    branch : str
    """

    template: Mapping[str, Any] | None
    strategy: str
    maximize: tuple[str, ...]
    minimize: tuple[str, ...]
    where: tuple[str, ...] = ()
    status: Mapping[str, Mapping[str, Word]] = field(default_factory=dict)
    nudges: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    sampler: Mapping[str, float] = field(default_factory=dict)
    trials: int | None = None
    branch: str = "main"

    @property
    def objectives(self) -> tuple[str, ...]:
        """The metrics to optimise: those maximised, then those minimised."""
        return (*self.maximize, *self.minimize)

    @cached_property
    def hash(self) -> str:
        """A name of the settings, the same for equal ones."""
        return digest(asdict(self))

    @cached_property
    def question(self) -> str:
        """A name of what decides how a candidate is measured and judged: drawing, objectives, constraints."""
        return digest([self.template, self.maximize, self.minimize, self.where])

    def space(self, origin: Space) -> Space:
        """Return the space without locks and exclusions: the drawing, or the space the study was asked about."""
        if self.template is None or (isinstance(origin, Template) and origin.to_dict() == self.template):
            return origin
        return Template(self.template)

    def differences(self, other: Settings) -> list[str]:
        """Return in words what differs in `other`, one text a difference."""
        out = []
        for name, was in asdict(self).items():
            now = asdict(other)[name]
            if was == now:
                continue
            if name in ("status", "nudges"):
                for part in sorted(_flat(was).keys() | _flat(now).keys()):
                    before, after = (_flat(table).get(part, "free" if name == "status" else 0) for table in (was, now))
                    if before != after:
                        out.append(f"{name} of {part}: {before} -> {after}")
            elif name == "sampler":
                for key in sorted(was.keys() | now.keys()):
                    before, after = (f"{table[key]:.3g}" if key in table else "default" for table in (was, now))
                    out += [f"{key}: {before} -> {after}"] if before != after else []
            elif name == "template":
                out += _drawn(was, now)
            else:
                out.append(f"{name}: {was} -> {now}")
        return out


def _flat(table: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {f"{choice}={option}": value for choice, row in table.items() for option, value in row.items()}


def _drawn(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what two drawings do not share."""
    out = []
    for kind in ("nodes", "groups", "edges"):
        before, after = ([json.dumps(item) for item in t.get(kind, [])] for t in (was, now))
        out += [f"{kind}: - {item}" for item in before if item not in after]
        out += [f"{kind}: + {item}" for item in after if item not in before]
    return out


def digest(value: Any) -> str:
    """Return a short name of JSON values, the same for equal ones."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def parts_of(space: Space) -> dict[str, tuple[str, ...]]:
    """Return what can be locked, excluded and nudged: the options of each choice; nodes, and "on", in a template."""
    if isinstance(space, Template):
        return {g.id: g.options for g in space.groups} | {e.name: ("on",) for e in space.switches}
    return {choice.name: choice.options for choice in space.choices}


def restricted(space: Space, status: Mapping[str, Mapping[str, Word]]) -> Space:
    """Return the space inside locks and exclusions, on top of the restriction it has.

    Raises
    ------
    InputError
        If a choice has nothing left, or no architecture is.
    """
    if not status:
        return space
    locks = [(c, o) for c, row in status.items() for o, word in row.items() if word == "locked"]
    bans = [(c, o) for c, row in status.items() for o, word in row.items() if word == "excluded"]
    if isinstance(space, Template):
        names = [[c if o == "on" and c not in {g.id for g in space.groups} else o for c, o in p] for p in (locks, bans)]
        inside: Space = space.steer(lock=names[0], exclude=names[1])
    else:
        inside = space
        for choice, option in locks:
            inside = inside.restrict(lock={choice: option})
        for choice, option in bans:
            inside = inside.restrict(exclude={choice: option})
    try:
        inside.sample(1, np.random.default_rng(0))
    except InfeasibleError as error:
        raise InputError(str(error)) from error
    return inside


def nudge_table(space: Space, nudges: Mapping[str, Mapping[str, float]]) -> NDArray[np.float64]:
    """Return the nudge of every option, ``(n_choices, max options)``; of a set of nodes their sum within [-1, 1]."""
    table = np.zeros((space.n_choices, int(space.cardinalities.max())))
    groups = {g.id: g for g in space.groups} if isinstance(space, Template) else {}
    for row, choice in enumerate(space.choices):
        wanted = nudges.get(choice.name, {})
        if not wanted:
            continue
        if choice.name in groups:
            h = np.array([wanted.get(option, 0.0) for option in groups[choice.name].options])
            table[row, : len(choice.options)] = [h[list(s)].sum() for s in groups[choice.name].subsets()]
        else:
            table[row, : len(choice.options)] = [wanted.get(option, 0.0) for option in choice.options]
    return np.clip(table, -1.0, 1.0)
