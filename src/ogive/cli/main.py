"""The command line: parse, call one function, print. Heavy imports wait inside the commands."""

from __future__ import annotations

import importlib
import sys
import traceback
from typing import TYPE_CHECKING

import typer

from ogive._errors import OgiveError
from ogive.cli import (
    bench_strategies,
    certify,
    embed,
    export,
    latency,
    lock,
    measure,
    resume,
    search,
    steer,
    studio,
    supernet,
    tables,
    train,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(
    name="ogive",
    help="Design a neural network for the place it has to live.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("bench-strategies")(bench_strategies.bench_strategies)
app.command("certify")(certify.certify)
app.command("export")(export.export)
app.command("lock")(lock.lock)
app.command("measure")(measure.measure)
app.command("resume")(resume.resume)
app.command("search")(search.search)
# A preference such as -0.5 is a word of its own, no option.
app.command("steer", context_settings={"ignore_unknown_options": True})(steer.steer)
app.command("studio")(studio.studio)
app.command("train")(train.train)
app.add_typer(embed.app, name="embed")
app.add_typer(latency.app, name="latency")
app.add_typer(supernet.app, name="supernet")
app.add_typer(tables.app, name="tables")


@app.callback(invoke_without_command=True)
def _root(version: bool = typer.Option(False, "--version", help="Print the version and stop.")) -> None:
    if version:
        from ogive import __version__

        typer.echo(f"ogive {__version__}")
        raise typer.Exit


def run(args: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 2 wrong input (one line), 1 our fault, 130 interrupted."""
    errors = importlib.import_module(typer.BadParameter.__module__)
    try:
        code = app(args=None if args is None else list(args), standalone_mode=False)
    except errors.NoArgsIsHelpError as error:
        sys.stderr.write(error.format_message() + "\n")
        return 2
    except errors.UsageError as error:
        return _complain(error.format_message().replace("\n", " "))
    except OgiveError as error:
        return _complain(str(error))
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("interrupted\n")
        return 130
    except Exception:  # noqa: BLE001 - the last line of defence: say that it is our fault, with the trace
        traceback.print_exc()
        sys.stderr.write("error: this is a fault of ogive, not of your input; please report the lines above\n")
        return 1
    return code if isinstance(code, int) else 0


def _complain(message: str) -> int:
    sys.stderr.write(f"error: {message}\n")
    return 2


def main() -> None:
    """Entry point of the `ogive` command."""
    sys.exit(run())
