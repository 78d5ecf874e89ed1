"""Commands from the page: read without trusting, sent to the run, and somebody found to carry them out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ogive._errors import InputError
from ogive.spaces.template import Template
from ogive.studio.engines import at_work

if TYPE_CHECKING:
    from ogive.spaces.base import Space
    from ogive.studio.reading import Reading

MAX_BYTES, MAX_DEPTH = 5_000_000, 32
_GOES_ON = frozenset({"resume", "step", "evaluate", "train_alone"})
_NEEDS_WORK = frozenset({"pause", "stop"})


def read_json(body: bytes) -> Any:
    """Return the JSON value of a request's body.

    Raises
    ------
    InputError
        If it is too large, no JSON, nested too deeply, or holds a number that is not finite.
    """
    if len(body) > MAX_BYTES:
        raise InputError(f"the request is larger than {MAX_BYTES:,} bytes")
    try:
        value = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the request is not JSON: {error}") from None
    if _too_deep(value):
        raise InputError(f"the request is nested more than {MAX_DEPTH} deep")
    return value


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is not a finite number")


def _too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def command(run: Reading, data: Any) -> tuple[int, dict[str, Any]]:
    """Send a command to a run and return the answer's status and content.

    A run that nobody works on is taken up: to go on, where the command says so, and otherwise paused, so that the
    command is carried out and nothing else.
    """
    if run.read_only:
        return 403, {"status": "rejected", "reason": "the studio was started read-only"}
    if not isinstance(data, dict):
        raise InputError("a command is a mapping with op and args")
    given = {k: v for k, v in data.items() if k in ("id", "op", "args", "base_rev", "note")}
    op = given.get("op")
    attended = run.engine.running or at_work(run.directory.path)
    if (why := _pointless(run, op, attended=attended)) is not None:
        return 409, {"id": given.get("id"), "status": "rejected", "reason": why, "rev": run.rev}
    given["args"] = _by_choice(run.problem.space, given.get("args") or {})
    reply = run.study.send(given | {"actor": "you", "note": given.get("note") or ""})
    if reply.status == "rejected":
        if not attended and any(c["status"] in ("posted", "accepted") for c in run.study.commands()):
            # What an engine left in line when it died stands between the page and the run.
            _take_up(run, paused=True)
        diff = run.differences(given.get("base_rev"))
        return 409, {"id": reply.id, "status": "rejected", "reason": reply.reason, "diff": diff, "rev": reply.rev}
    if not attended and reply.status == "accepted":
        _take_up(run, paused=op not in _GOES_ON)
    return 202, {"id": reply.id, "status": "accepted", "rev": reply.rev}


def _take_up(run: Reading, *, paused: bool) -> None:
    """Begin to work on a run; paused, it carries out what is in line and nothing else."""
    if paused:
        run.study.steer("pause", actor="studio", note="to carry out a command on a run that nobody worked on")
    run.engine.start()


def _pointless(run: Reading, op: Any, *, attended: bool) -> str | None:
    """Say why a command that starts or stops a run has nothing to start or stop."""
    if op in _NEEDS_WORK and not attended:
        return "nothing is running"
    if op in ("resume", "step", "evaluate") and run.present == "done":
        return "the run has reached its number of trials; raise that first (set_budget)"
    return None


def _by_choice(space: Space, args: Any) -> Any:
    """Name an option of a space that is no drawing by choice and option, as the steering of a run does."""
    if isinstance(space, Template) or not isinstance(args, dict) or "node" not in args:
        return args
    named = args["node"] if isinstance(args["node"], list) else [args["node"]]
    home = {f"{c.name}/{option}": (c.name, option) for c in space.choices for option in c.options}
    found = [home[name] for name in named if isinstance(name, str) and name in home]
    if len(found) < len(named) or len({choice for choice, _ in found}) != 1:
        raise InputError(f"{named} are not options of one choice of space '{space.name}'")
    rest = {k: v for k, v in args.items() if k != "node"}
    return rest | {"choice": found[0][0], "option": [option for _, option in found]}


def validate(run: Reading, data: Any) -> dict[str, Any]:
    """Return whether a drawing could be searched, and if not, why; nothing changes."""
    try:
        template = Template.from_dict(data)
        template.shapes(run.template_task)
    except InputError as error:
        return {"valid": False, "reason": str(error)}
    return {"valid": True, "nodes": len(template.nodes), "groups": len(template.groups), "architectures": template.box}
