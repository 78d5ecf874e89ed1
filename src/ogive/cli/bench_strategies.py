"""``ogive bench-strategies``: search strategies against a table, many seeds, regret with intervals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ogive._errors import InputError
from ogive.cli.common import Json, Plugins, Quiet, Seed, emit, load_plugins, note, split_list

if TYPE_CHECKING:
    from ogive.metrics.tables import Table
    from ogive.study.bench import BenchRow

_FILES = (".csv", ".gz", ".bz2", ".zst", ".parquet")


def bench_strategies(
    table: Annotated[str, typer.Option("--table", help="Imported table, or a CSV or Parquet file.")],
    objective: Annotated[str, typer.Option("--objective", help="Column the strategies see: it chooses.")],
    report: Annotated[
        str | None, typer.Option("--report", help="Column that says what the choice is worth [default: the objective].")
    ] = None,
    space: Annotated[str | None, typer.Option("--space", "-s", help="Space of the table; needed for a file.")] = None,
    strategies: Annotated[
        str, typer.Option("--strategies", help="Strategies, as name or name:option=value,...")
    ] = "random,evolution,local",
    budgets: Annotated[str, typer.Option("--budgets", help="Evaluations after which to look.")] = "50,100,200,500",
    seeds: Annotated[int, typer.Option("--seeds", help="Independent runs of each strategy.")] = 200,
    minimize: Annotated[str, typer.Option("--minimize", help="Columns of the table where lower is better.")] = "",
    repeats: Annotated[
        bool, typer.Option("--repeats/--no-repeats", help="Whether evaluating an architecture again costs again.")
    ] = True,
    seed: Seed = 0,
    plugin: Plugins = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Bench strategies against a table: after each budget, how far is the chosen architecture from the best one?"""
    load_plugins(plugin)
    from ogive.study.bench import bench_strategies as bench

    held = _table(table, space).lower_is_better(split_list(minimize))
    told = objective if report is None else report
    rows = bench(held, objective, told, split_list(strategies), _whole(budgets), seeds, seed=seed, repeats=repeats)
    if json:
        emit(
            {
                "table": held.name,
                "space": held.space.spec,
                "objective": objective,
                "report": told,
                "unit": held.column(told).unit,
                "optimum": held.optimum(told),
                "seeds": seeds,
                "seed": seed,
                "repeats": repeats,
                "rows": [row.to_dict() for row in rows],
            }
        )
        return
    unit = held.column(told).unit
    best = f"{held.optimum(told):g}" + (f" {unit}" if unit != "1" else "")
    note(
        f"table {held.name}, '{objective}' chooses, '{told}' reports (best {best}); "
        f"{seeds} runs each, 95 % bootstrap intervals of the mean",
        quiet,
    )
    _print(rows)
    note("objective's: mean regret in the column that chose; optimum: share of runs that found its best", quiet)


def _table(source: str, space: str | None) -> Table:
    """Open an imported table, or read a file that is named by its path."""
    from ogive.metrics.tables import Table, table_names
    from ogive.spaces.base import get_space

    if source not in table_names() and (Path(source).is_file() or Path(source).suffix in _FILES):
        if space is None:
            raise InputError(f"'{source}' is a file; say which space its architectures belong to with --space")
        return Table.read(source, space)
    table = Table.open(source)
    if space is not None and get_space(space).spec != table.space.spec:
        raise InputError(f"table '{source}' is of space '{table.space.spec}', not of '{space}'")
    return table


def _whole(text: str) -> list[int]:
    try:
        return [int(part) for part in split_list(text)]
    except ValueError:
        raise InputError(f"budgets '{text}' cannot be read; write whole numbers, for example 50,100") from None


def _print(rows: list[BenchRow]) -> None:
    from rich.console import Console
    from rich.table import Table as Grid

    grid = Grid(box=None, pad_edge=False)
    grid.add_column("strategy", overflow="fold")
    for title in ("budget", "regret", "95 % interval", "median", "objective's", "optimum"):
        grid.add_column(title, justify="right", no_wrap=True)
    for i, row in enumerate(rows):
        first = i == 0 or rows[i - 1].strategy != row.strategy
        grid.add_row(
            row.strategy if first else "",
            f"{row.budget:,}",
            f"{row.regret_mean:.3g}",
            "{:.3g} to {:.3g}".format(*row.regret_ci),
            f"{row.regret_median:.3g}",
            f"{row.objective_regret_mean:.3g}",
            f"{row.optimum_found:.0%}",
        )
    Console(soft_wrap=True).print(grid)
