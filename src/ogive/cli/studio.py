"""``ogive studio``: a page in the browser that shows runs while they search, and steers them."""

from __future__ import annotations

import json as jsonlib
import os
import sys
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from ogive._errors import InputError
from ogive.cli.common import Seed, note
from ogive.cli.search import fresh_folder

if TYPE_CHECKING:
    from ogive.studio.server import Address


def studio(
    runs: Annotated[list[Path] | None, typer.Argument(metavar="[RUN]...", help="Directories of runs.")] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port to listen on; 0 takes a free one.")] = 0,
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open a browser.")] = False,
    demo: Annotated[
        bool,
        typer.Option("--demo", help="Begin a small real search on handwritten digits, or go on with RUN, and show it."),
    ] = False,
    seed: Seed = 0,
    keep: Annotated[bool, typer.Option("--keep", help="Let searches begun here go on after the end.")] = False,
    read_only: Annotated[bool, typer.Option("--read-only", help="Show, but refuse every command.")] = False,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Let other machines in, over plain HTTP; needs --host too.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the address as one line of JSON on stdout.")] = False,
) -> None:
    """Watch runs in a browser and steer them; they may be running, paused or finished."""
    from ogive.study.directory import RunDirectory

    if not (runs or demo):
        raise InputError("name the directory of a run, or try: ogive studio --demo")
    if demo and len(runs or []) > 1:
        raise InputError("--demo makes one new run; name one directory for it, or none")
    paths = runs or [fresh_folder("demo")]
    if demo and not RunDirectory(paths[0]).config_file.exists():
        from ogive.studio.demo import new_demo

        new_demo(paths[0], seed)
    from ogive.studio.server import serve

    def ready(address: Address) -> None:
        if json:
            line = {"url": address.url, "port": address.port, "pid": os.getpid(), "run": str(paths[0])}
            sys.stdout.write(jsonlib.dumps(line) + "\n")
            sys.stdout.flush()
        else:
            note(f"studio: {address.url}  (Ctrl-C ends it)")
        if allow_remote:
            note("warning: plain HTTP, whoever can listen in on the network can read and steer")
        if not no_open:
            import webbrowser

            webbrowser.open(address.once)

    serve(paths, ready, host=host, port=port, read_only=read_only, allow_remote=allow_remote, begin=demo, keep=keep)
