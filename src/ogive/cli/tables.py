"""``ogive tables``: precomputed benchmarks, from their official files or any table with an ``arch`` column."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ogive._errors import InputError
from ogive.cli.common import Json, Plugins, Quiet, Seed, emit, load_plugins, note, split_list

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ogive.metrics.tables import Table

_BIG = 10 << 20
"""Bytes of a source from which on progress is shown."""

_MANY = 20
"""Columns of a table from which on an import only counts them."""

app = typer.Typer(
    help="Precomputed benchmarks: list, import and show tables of architectures.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list")
def list_tables(seed: Seed = 0, quiet: Quiet = False, json: Json = False) -> None:
    """List the imported tables."""
    del seed  # nothing here is random
    from ogive.metrics.tables import table_info, table_names

    tables = [table_info(name) for name in table_names()]
    if json:
        rows = [
            {"name": t.name, "space": t.space, "rows": t.rows, "columns": [c.name for c in t.columns]} for t in tables
        ]
        emit({"tables": rows})
        return
    if not tables:
        note("no tables yet; import one with: ogive tables import FILE --name NAME", quiet)
        return
    from rich.console import Console
    from rich.table import Table as Grid

    grid = Grid("table", "space", box=None, pad_edge=False)
    grid.add_column("architectures", justify="right")
    grid.add_column("columns", overflow="fold")
    for t in tables:
        grid.add_row(t.name, t.space, f"{t.rows:,}", ", ".join(c.name for c in t.columns))
    Console().print(grid)


@app.command("import")
def import_file(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="Official file or folder of a benchmark, or a CSV (also .gz, .bz2, .zst) or Parquet file of your own.",
        ),
    ],
    name: Annotated[str, typer.Option("--name", "-n", help="Name of the table, as in COLUMN@NAME.")],
    space: Annotated[
        str | None,
        typer.Option("--space", "-s", help="Space whose strings the column 'arch' of a file of your own holds."),
    ] = None,
    minimize: Annotated[
        str, typer.Option("--minimize", help="Columns where lower is better, besides those known by name.")
    ] = "",
    unit: Annotated[list[str] | None, typer.Option("--unit", help="Unit of a column, as COLUMN=UNIT.")] = None,
    seed: Seed = 0,
    plugin: Plugins = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Import a benchmark: one row an architecture, one column of numbers a quantity.

    Recognised by content: NATS-Bench (both spaces; folder, tar or single archive), NAS-Bench-101, NAS-Bench-201,
    NAS-Bench-360's NAS-Bench-201 results, TransNAS-Bench-101, HW-NAS-Bench. Pickles in them are read without being
    run. Any other table is a CSV or Parquet file with a column 'arch'; say its space.
    """
    del seed  # nothing here is random
    load_plugins(plugin)
    from ogive.metrics.importers import import_tables
    from ogive.metrics.tables import table_names

    older = set(table_names())
    units = dict(map(_unit, unit or []))
    with _progress(quiet or json) as progress:
        tables = import_tables(file, name, space, minimize=split_list(minimize), units=units, progress=progress)
    if json:
        emit({"tables": [_facts(t) for t in tables], "replaced": any(t.name in older for t in tables)})
        return
    for table in tables:
        replaced = ", replacing the older one" if table.name in older else ""
        note(f"imported '{file}' as table '{table.name}'{replaced}", quiet)
        if len(table.columns) > _MANY:
            note(
                f"{len(table):,} architectures, {len(table.columns)} columns; see: ogive tables show {table.name}",
                quiet,
            )
        elif not quiet:
            _show(table)


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[int, int], object]]:
    """Show on stderr how far a big source is read."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("reading"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    bar = Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet)
    task = bar.add_task("reading")

    def advance(done: int, total: int) -> None:
        if total > _BIG and sys.stderr.isatty():
            bar.start()
            bar.update(task, completed=done, total=total)

    try:
        yield advance
    finally:
        if bar.live.is_started:
            bar.stop()


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Imported table.")],
    seed: Seed = 0,
    plugin: Plugins = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Show a table's columns with unit, direction, range and best architecture."""
    del seed, quiet  # nothing here is random, and what is printed was asked for
    load_plugins(plugin)
    from ogive.metrics.tables import Table

    table = Table.open(name)
    if json:
        emit({"tables": [_facts(table)]})
    else:
        _show(table)


def _unit(text: str) -> tuple[str, str]:
    column, equals, unit = text.partition("=")
    if not (column and equals and unit):
        raise InputError(f"unit '{text}' cannot be read; write COLUMN=UNIT, for example --unit latency=ms")
    return column, unit


def _facts(table: Table) -> dict[str, Any]:
    import numpy as np

    details = {}
    for column in table.columns.values():
        values = table.values(column.name)
        best = table.optimum(column.name)
        at = int(np.flatnonzero(values == best)[0])
        details[column.name] = {
            "unit": column.unit,
            "direction": column.direction,
            **({"note": column.note} if column.note else {}),
            "values": int(np.isfinite(values).sum()),
            "coverage": table.coverage(column.name),
            "best": best,
            "median": float(np.nanmedian(values)),
            "worst": float(np.nanmin(values) if column.direction == "max" else np.nanmax(values)),
            "best_arch": table.space.format(table.genotypes[at]),
        }
    return {
        "name": table.name,
        "space": table.space.spec,
        "rows": len(table),
        "space_size": table.population,
        "columns": list(details),
        "details": details,
    }


def _show(table: Table) -> None:
    from rich.console import Console
    from rich.table import Table as Grid

    facts = _facts(table)
    console = Console(soft_wrap=True)
    console.print(
        f"table {table.name}: {len(table):,} of {table.population:,} architectures of space {table.space.spec}",
        highlight=False,
        markup=False,
    )
    grid = Grid(box=None, pad_edge=False)
    for title in ("column", "unit", "better"):
        grid.add_column(title, no_wrap=True)
    for title in ("values", "best", "median", "worst"):
        grid.add_column(title, justify="right", no_wrap=True)
    for name, d in facts["details"].items():
        better = "higher" if d["direction"] == "max" else "lower"
        numbers = (f"{d[k]:.6g}" for k in ("best", "median", "worst"))
        grid.add_row(name, d["unit"], better, f"{d['values']:,}", *numbers)
    console.print(grid)
    for name, d in facts["details"].items():
        if "note" in d:
            console.print(f"{name}: {d['note']}", highlight=False, markup=False)
    console.print("best architecture of each column:")
    for name, d in facts["details"].items():
        console.print(f"  {name}: {d['best_arch']}", highlight=False, markup=False)
