"""The words of steering: which commands there are, what they take, and reading one from Python, JSON or a command line.

The commands are those of Tyagi et al., NAS-Navigator (IEEE VIS 2022), made explicit: one schema whoever sends them.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from ogive._errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable

Kind = Literal["control", "revision", "history", "act", "note"]
"""Whether a command starts and stops the run, makes a new revision, moves between revisions, or does neither."""

_MAX_TEXT = 5_000_000
"""Characters of a command as JSON, as of a template file."""


class Arg(NamedTuple):
    """An argument: `read` returns its clean value or raises a ValueError that says what is wanted."""

    read: Callable[[Any], Any]
    needed: bool = True


class Operation(NamedTuple):
    """What a command of one name takes and does; `args` in the order of words on a command line."""

    kind: Kind
    args: Mapping[str, Arg]
    does: str


def _text(value: Any) -> str:
    if not (isinstance(value, str) and value):
        raise ValueError("a text")
    return value


def _texts(value: Any) -> list[str]:
    items = [value] if isinstance(value, str) else value
    if not (isinstance(items, Sequence) and all(isinstance(i, str) and i for i in items)):
        raise ValueError("a text or a list of texts")
    return list(items)


def _some_texts(value: Any) -> list[str]:
    if not (items := _texts(value)):
        raise ValueError("at least one text")
    return items


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _whole(least: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"a whole number of at least {least}")
        return value

    return read


def _number(low: float, high: float) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        fits = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if not (fits and low <= value <= high):
            raise ValueError(f"a number from {low:g} to {high:g}")
        return float(value)

    return read


def _mapping(value: Any) -> dict[str, Any]:
    if not (isinstance(value, Mapping) and all(isinstance(k, str) for k in value)):
        raise ValueError("a mapping of names to values")
    return dict(value)


def _blocks(value: Any) -> list[dict[str, Any]]:
    if not (isinstance(value, Sequence) and not isinstance(value, str) and value):
        raise ValueError("a list of nodes, each a mapping with id and op")
    return [_mapping(v) for v in value]


def _pair(value: Any) -> list[int]:
    if not (isinstance(value, Sequence) and [type(v) for v in value] == [int, int]):
        raise ValueError("[least, most]")
    return list(value)


def _revision(value: Any) -> int | str:
    if isinstance(value, bool) or not (isinstance(value, int) or (isinstance(value, str) and value)):
        raise ValueError("the number of a revision or the name of a branch")
    return value


def _one_of(*words: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return str(value)

    return read


_PART = {"choice": Arg(_text, False), "option": Arg(_texts, False), "node": Arg(_texts, False)}
_ENDS = {"sources": Arg(_texts, False), "targets": Arg(_texts, False)}
_NODE = {"name": Arg(_text), "op": Arg(_text), "args": Arg(_mapping, False)}
_EDGE = {"source": Arg(_text), "target": Arg(_text)}
_ON = {"on": Arg(_flag, False)}

OPERATIONS: dict[str, Operation] = {
    "pause": Operation("control", {}, "wait between two candidates"),
    "resume": Operation("control", {}, "go on after a pause"),
    "step": Operation("control", {"n": Arg(_whole(1), False)}, "measure n architectures (1), then pause"),
    "stop": Operation("control", {}, "end the run; running it again goes on"),
    "lock": Operation("revision", _PART, "always use an option, node or optional edge"),
    "exclude": Operation("revision", _PART, "never use an option, node or optional edge; its weights are kept"),
    "free": Operation("revision", _PART, "take back a lock or an exclusion; of a whole choice without option"),
    "nudge": Operation("revision", {**_PART, "h": Arg(_number(-1, 1))}, "prefer (h > 0) or avoid (h < 0) an option"),
    "set_sampler": Operation(
        "revision",
        {
            "strategy": Arg(_text, False),
            "T": Arg(_number(1e-3, 1e3), False),
            "uniform": Arg(_number(0, 1), False),
            "mutation": Arg(_number(0, 1), False),
            "explore": Arg(_number(0, 1), False),
        },
        "another strategy, or T, uniform, mutation or both by explore (0 to 1) of the guided one",
    ),
    "set_objective": Operation(
        "revision",
        {"maximize": Arg(_texts, False), "minimize": Arg(_texts, False), "strategy": Arg(_text, False)},
        "search for something else; begins a new evidence epoch",
    ),
    "set_constraint": Operation("revision", {"where": Arg(_texts)}, "replace all constraints"),
    "set_budget": Operation("revision", {"trials": Arg(_whole(1))}, "end with so many trials in all"),
    "add_node": Operation("revision", {**_NODE, **_ENDS, "on": Arg(_text, False)}, "draw one more node"),
    "add_option": Operation("revision", {"group": Arg(_text), **_NODE, **_ENDS}, "draw one more option of a group"),
    "add_group": Operation(
        "revision",
        {
            "name": Arg(_text),
            "options": Arg(_blocks),
            "cardinality": Arg(_pair, False),
            **_ENDS,
            "on": Arg(_text, False),
        },
        "draw one more group",
    ),
    "duplicate_group": Operation(
        "revision",
        {"group": Arg(_text), "name": Arg(_text, False), "behind": Arg(_flag, False)},
        "copy a group, beside it or behind it",
    ),
    "remove": Operation("revision", {"name": Arg(_text)}, "erase a node or group with its edges"),
    "connect": Operation("revision", {**_EDGE, "optional": Arg(_flag, False)}, "draw an edge"),
    "disconnect": Operation("revision", _EDGE, "erase an edge"),
    "set_args": Operation("revision", {"name": Arg(_text), "args": Arg(_mapping)}, "change the arguments of a node"),
    "set_cardinality": Operation(
        "revision",
        {"group": Arg(_text), "low": Arg(_whole(0)), "high": Arg(_whole(1))},
        "how many options of a group an architecture has",
    ),
    "undo": Operation("history", {}, "go back to the revision before"),
    "redo": Operation("history", {}, "take back an undo"),
    "goto": Operation("history", {"to": Arg(_revision)}, "go to a revision, or to the end of a branch"),
    "branch": Operation("history", {"name": Arg(_text)}, "give the revisions from here on a name"),
    "evaluate": Operation("act", {"archs": Arg(_some_texts)}, "measure these architectures next"),
    "train_alone": Operation(
        "act",
        {"arch": Arg(_text), "epochs": Arg(_whole(1), False), "seed": Arg(_whole(0), False)},
        "train one architecture from scratch beside the search, as an anchor",
    ),
    "cancel": Operation("act", {"command": Arg(_text)}, "call off a training that train_alone asked for, by its id"),
    "checkpoint": Operation("act", {}, "write a state that a resumed run starts from"),
    "export": Operation(
        "act",
        {"arch": Arg(_text), "format": Arg(_one_of("json", "safetensors", "onnx"), False)},
        "write an architecture into the run directory",
    ),
    "pin": Operation("note", {"target": Arg(_text), **_ON}, "mark a candidate or node; on=false takes it back"),
    "tag": Operation("note", {"target": Arg(_text), "tag": Arg(_text), **_ON}, "label a candidate or node"),
    "comment": Operation("note", {"target": Arg(_text), "text": Arg(_text), **_ON}, "say something of it"),
}
"""Every command by its name."""

_LAST_TAKES_ALL = {"set_constraint", "evaluate"}


@dataclass(frozen=True)
class Command:
    """One command, checked against `OPERATIONS`.

    Attributes
    ----------
    op : str
        Name of the operation.
    args : dict
        Its arguments, JSON values.
    id : str
        A command whose id has been seen is not carried out again.
    base_rev : int or None
        The revision its sender saw; where that is no longer the present one, a command that makes a revision is
        rejected. None does not ask.
    note, actor : str
        Why, and who.

    Raises
    ------
    UnknownNameError
        If there is no such operation or argument.
    InputError
        If an argument is missing or has a wrong value.
    """

    op: str
    args: Mapping[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    base_rev: int | None = None
    note: str = ""
    actor: str = "person"

    def __post_init__(self) -> None:
        if self.op not in OPERATIONS:
            raise UnknownNameError.of("steering command", str(self.op), OPERATIONS)
        for name, value in (("id", self.id), ("note", self.note), ("actor", self.actor)):
            if not isinstance(value, str) or (name == "id" and not value):
                raise InputError(f"command '{self.op}': {name} is a text, not {value!r}")
        if self.base_rev is not None and (not isinstance(self.base_rev, int) or isinstance(self.base_rev, bool)):
            raise InputError(f"command '{self.op}': base_rev is the number of a revision, not {self.base_rev!r}")
        object.__setattr__(self, "args", _checked(self.op, self.args))

    @property
    def kind(self) -> Kind:
        """What sort of command it is."""
        return OPERATIONS[self.op].kind

    def to_dict(self) -> dict[str, Any]:
        """Return the command as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Read what `to_dict` wrote, or what a client sent; errors as of the class."""
        known = [f.name for f in fields(cls)]
        given = _as_mapping("a command", data)
        for key in given:
            if key not in known:
                raise UnknownNameError.of("entry of a command", key, known)
        if "op" not in given:
            raise InputError("a command has an op; see ogive.study.operations.OPERATIONS")
        return cls(**given)

    @classmethod
    def from_words(cls, op: str, words: Sequence[str], **more: Any) -> Self:
        """Read the words of a command line: values in order, or ``name=value``, where a value may be JSON.

        An option of a choice takes two words, the choice and the option; a node or an optional edge one, its id.
        """
        if op not in OPERATIONS:
            raise UnknownNameError.of("steering command", op, OPERATIONS)
        known = OPERATIONS[op].args
        given: dict[str, Any] = {}
        plain: list[str] = []
        for word in words:
            name, equals, value = word.partition("=")
            if equals and name in known:
                given[name] = _value(known[name], value)
            else:
                plain.append(word)
        names = _places(op, len(plain), given)
        if op in _LAST_TAKES_ALL and plain:
            given[names[-1]] = [*plain]
        elif len(plain) > len(names):
            raise InputError(
                f"command '{op}' takes {', '.join(names) or 'no words'}; '{plain[len(names)]}' is too much"
            )
        else:
            given |= {n: _value(known[n], w) for n, w in zip(names, plain, strict=False)}
        return cls(op, given, **more)


def _places(op: str, words: int, given: Mapping[str, Any]) -> list[str]:
    """Return the arguments that the plain words of a command line stand for."""
    names = [n for n in OPERATIONS[op].args if n not in given]
    if "node" not in OPERATIONS[op].args:
        return names
    rest = [n for n in names if n not in _PART]
    by_node = words == 1 + len(rest) and op != "free"
    return ["node", *rest] if by_node else ["choice", "option", *rest]


def _value(arg: Arg, word: str) -> Any:
    """Return a word as the argument takes it: as text if it may be one, else, or if a list, as the JSON it spells."""
    try:
        if not word.startswith("["):
            return arg.read(word)
    except ValueError:
        pass
    try:
        return json.loads(word)
    except json.JSONDecodeError:
        return word


def _as_mapping(what: str, value: Any) -> dict[str, Any]:
    try:
        return _mapping(value)
    except ValueError as error:
        raise InputError(f"{what} is {error}, not {value!r}") from None


def _checked(op: str, args: Any) -> dict[str, Any]:
    known = OPERATIONS[op].args
    given = {k: v for k, v in _as_mapping(f"args of command '{op}'", args).items() if v is not None}
    for name in given:
        if name not in known:
            raise UnknownNameError.of(f"argument of command '{op}'", name, known)
    for name, arg in known.items():
        if arg.needed and name not in given:
            raise InputError(f"command '{op}' needs {name}; it takes {', '.join(known)}")
    clean = {}
    for name, value in given.items():
        try:
            clean[name] = known[name].read(value)
        except ValueError as error:
            raise InputError(f"command '{op}': {name} is {error}, not {value!r}") from None
    try:
        text = json.dumps(clean, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"command '{op}': its arguments are not JSON: {error}") from error
    if len(text) > _MAX_TEXT:
        raise InputError(f"command '{op}' is longer than {_MAX_TEXT:,} characters")
    return clean
