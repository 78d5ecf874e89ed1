"""``ogive steer``: send a command to a run, running or not, or list what it was told."""

from __future__ import annotations

import time
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ogive._errors import InputError
from ogive.cli.common import Json, Quiet, emit, note

if TYPE_CHECKING:
    from ogive.study import Study

_POLL = 0.05


def steer(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Directory of the run.")],
    op: Annotated[
        str | None, typer.Argument(metavar="[OP]", help="Command, such as lock; without one, list the history.")
    ] = None,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ARGS]...",
            help="What the command takes, in order or as name=value: CHOICE OPTION, or NODE of a template.",
        ),
    ] = None,
    why: Annotated[str, typer.Option("--note", help="Why, for the history.")] = "",
    actor: Annotated[str, typer.Option("--actor", help="Who, for the history.")] = "person",
    base_rev: Annotated[
        int | None, typer.Option("--base-rev", help="Revision you saw; a later one rejects the command.")
    ] = None,
    command_id: Annotated[
        str | None, typer.Option("--id", help="A command whose id is known is not carried out again.")
    ] = None,
    wait: Annotated[
        float, typer.Option("--wait", min=0, help="Seconds to wait until it has been carried out or rejected.")
    ] = 0.0,
    evidence: Annotated[
        bool, typer.Option("--evidence", help="Show what the search has found out about every option, and suggestions.")
    ] = False,
    operations: Annotated[bool, typer.Option("--list", help="List the commands there are.")] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Steer a search: pause, lock or exclude options, change the question, undo; a run that is not running obeys later.

    ``ogive steer RUN lock 'CHOICE' OPTION``, ``ogive steer RUN exclude NODE``, ``ogive steer RUN undo``.
    """
    from ogive.study import Study
    from ogive.study.operations import OPERATIONS, Command

    if operations:
        table = {name: {"kind": o.kind, "args": list(o.args), "does": o.does} for name, o in OPERATIONS.items()}
        _show(table, json)
        return
    study = Study.open(run)
    if evidence:
        _evidence(study, json)
        return
    if op is None:
        _history(study, json)
        return
    more = {} if command_id is None else {"id": command_id}
    command = Command.from_words(op, words or [], note=why, actor=actor, base_rev=base_rev, **more)
    reply = study.send(command)
    if reply.status == "rejected":
        raise InputError(f"rejected: {reply.reason}")
    told = _told(study, reply.id, wait)
    if told["status"] == "rejected":
        raise InputError(f"rejected: {told['reason']}")
    if json:
        emit(told)
    else:
        words_of = {"posted": "in line; it is carried out when the run goes on", "accepted": "in line"}
        note(f"{op}: {words_of.get(told['status'], 'carried out, revision ' + str(told.get('rev')))}", quiet)


def _told(study: Study, name: str, wait: float) -> dict[str, Any]:
    """Return what is known of a command, once it has come to its end or `wait` seconds are over."""
    end = time.monotonic() + wait
    while True:
        told = next(c for c in study.commands() if c["id"] == name)
        if told["status"] in ("applied", "rejected") or time.monotonic() >= end:
            return told
        time.sleep(_POLL)


def _show(table: dict[str, dict[str, Any]], json: bool) -> None:
    if json:
        emit({"operations": table})
        return
    from rich.console import Console
    from rich.table import Table

    grid = Table("command", "takes", "does", box=None, pad_edge=False)
    for name, o in table.items():
        grid.add_row(name, " ".join(o["args"]), o["does"])
    Console().print(grid)


def _evidence(study: Study, json: bool) -> None:
    """Print fitness and contrast of every option, and what the evidence speaks against."""
    from dataclasses import asdict

    from ogive.study.known import Known

    known = Known.of(study)
    space = study.steering.space
    records = known.evidence(space).to_dict()
    against = [asdict(s) for s in known.suggestions(space)]
    if json:
        emit({"evaluations": len(known.rows), "options": records, "suggestions": against})
        return
    from rich.console import Console
    from rich.table import Table

    grid = Table("choice", "option", "n", "fitness", "contrast, 90 % interval", box=None, pad_edge=False)
    last = ""
    for r in records:
        where, last = "" if r["choice"] == last else r["choice"], r["choice"]
        if r["n"] == 0:
            grid.add_row(where, r["option"], "0", "not seen yet", "")
            continue
        bounds = "" if r["low"] is None else f"{r['contrast']:+.2f} ({r['low']:+.2f} to {r['high']:+.2f})"
        grid.add_row(where, r["option"], str(r["n"]), f"{r['fitness']:.2f}", bounds)
    console = Console(soft_wrap=True, highlight=False)
    console.print(grid)
    for s in against:
        console.print(
            f"suggestion: exclude {s['choice']} {s['option']} (fitness {s['fitness']:.2f}, {s['sibling']} "
            f"{s['sibling_fitness']:.2f}); it removes {s['share']:.0%} of what is left",
            markup=False,
        )


def _history(study: Study, json: bool) -> None:
    """Print every revision, and the commands that still wait."""
    revisions = study.history()
    waiting = [c for c in study.commands() if c["status"] in ("posted", "accepted")]
    if json:
        emit({"rev": study.steering.rev, "history": revisions, "commands": study.commands()})
        return
    from rich.console import Console

    console = Console(soft_wrap=True, highlight=False)
    for r in revisions:
        if "op" not in r:
            console.print(f"{r['rev']:>4}  as asked", markup=False)
            continue
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(r["ts"]))
        back = f" (as revision {r['same_as']})" if r["same_as"] != r["rev"] else ""
        reason = f"  {r['note']}" if r["note"] else ""
        console.print(f"{r['rev']:>4}  {when}  {r['actor']}  {r['op']}{back}{reason}", markup=False)
        for change in r["changes"]:
            console.print(f"        {change}", markup=False)
    for c in waiting:
        console.print(f"   -  {c['actor']}  {c['op']}: in line", markup=False)
