"""``ogive resume``: go on with a search that was interrupted, or add trials to one that was not."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from ogive._errors import InputError
from ogive.cli import lock
from ogive.cli.common import Json, Quiet  # noqa: TC001
from ogive.cli.search import go_on


def resume(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Directory of the run.")],
    trials: Annotated[
        int | None, typer.Option("--trials", "-n", help="Trials to add [default: only those that are missing].")
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Go on with an interrupted run to the same result as if it had not been interrupted."""
    from ogive.methods import archlock
    from ogive.study import Study

    if archlock.is_lock(run):
        if trials is not None:
            raise InputError("a lock has the budget it was asked with; leave out --trials")
        lock.finish(lambda: archlock.resume(run, progress=False if quiet else None), run, json=json)
        return
    go_on(Study.open(run), trials=trials, quiet=quiet, json=json)
