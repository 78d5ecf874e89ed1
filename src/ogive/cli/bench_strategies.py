"""``ogive bench-strategies``: search strategies against tables, many seeds, regret with intervals, ranks."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ogive._errors import InputError, UnknownNameError, nearest
from ogive.cli.common import Json, Plugins, Quiet, Seed, emit, load_plugins, note, split_list

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ogive.metrics.tables import Table
    from ogive.study.bench import BenchRow
    from ogive.study.bench_grid import Bench, Case

_FILES = (".csv", ".gz", ".bz2", ".zst", ".parquet")
_WIDTH = 14
"""Longest strategy name that leaves room for the figures on a line of 80."""


def bench_strategies(
    table: Annotated[list[str], typer.Option("--table", help="Imported table, or a CSV or Parquet file.")],
    objective: Annotated[
        list[str], typer.Option("--objective", help="Column the strategies see: it chooses. Repeat for several cases.")
    ],
    report: Annotated[
        list[str] | None,
        typer.Option("--report", help="Column that says what the choice is worth [default: the objective]."),
    ] = None,
    space: Annotated[
        list[str] | None, typer.Option("--space", "-s", help="Space of the table; needed for a file.")
    ] = None,
    strategies: Annotated[
        str, typer.Option("--strategies", help="Strategies, as name or name:option=value,...")
    ] = "random,evolution,local",
    budgets: Annotated[str, typer.Option("--budgets", help="Evaluations after which to look.")] = "50,100,200,500",
    seeds: Annotated[int, typer.Option("--seeds", help="Independent runs of each strategy.")] = 200,
    minimize: Annotated[str, typer.Option("--minimize", help="Columns of the tables where lower is better.")] = "",
    repeats: Annotated[
        bool, typer.Option("--repeats/--no-repeats", help="Whether evaluating an architecture again costs again.")
    ] = True,
    workers: Annotated[int, typer.Option("--workers", help="Processes that run strategies side by side.")] = 1,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for finished parts and bench.html; the same command goes on from it."),
    ] = None,
    seed: Seed = 0,
    plugin: Plugins = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Bench strategies against tables: after each budget, how far is the chosen architecture from the best one?

    One --table and one --objective make a case; repeat both, or one of them, to compare over several cases.
    """
    plugins = load_plugins(plugin)
    from ogive.study.bench_grid import Grid, run_grid

    asked, looks = tuple(split_list(strategies)), tuple(sorted(set(whole_numbers(budgets))))
    cases = _cases(table, space or [], objective, report or [], split_list(minimize))
    grid = Grid(cases, asked, looks, seeds, seed=seed, repeats=repeats)
    try:
        bench = run_grid(grid, workers=workers, out=out, plugins=plugins, show=False if quiet or json else None)
    except KeyboardInterrupt:
        if out is not None:
            note(f"what was finished is kept in {out}; the same command goes on from there", quiet)
        raise
    page = None
    if out is not None:
        from ogive.study.bench_page import write_page

        page = write_page(bench, out)
    if json:
        emit(_document(bench, seed, repeats, page))
        return
    for case in bench.cases:
        _print_case(bench, case, quiet)
    if bench.rankings:
        _print_ranks(bench, quiet)
    if page is not None:
        note(f"drawn in {page}", quiet)


# -------------------------------------------------------------------- what is asked


def _cases(
    tables: list[str], spaces: list[str], objectives: list[str], reports: list[str], minimize: list[str]
) -> tuple[Case, ...]:
    """Pair the repeated options: each is given once, for all cases, or once a case."""
    from ogive.study.bench_grid import Case

    given = {"--table": tables, "--space": spaces, "--objective": objectives, "--report": reports}
    n = max(len(values) for values in given.values())
    for option, values in given.items():
        if len(values) not in (0, 1, n):
            raise InputError(f"{n} cases but {len(values)} {option}; give it once for all of them, or {n} times")
    named = [values * n if len(values) == 1 else values for values in (tables, spaces or [""], objectives, reports)]
    held = [open_table(t, s or None) for t, s in zip(*named[:2], strict=True)]
    columns = {c for t in held for c in t.columns}
    for name in minimize:
        if name not in columns:
            raise UnknownNameError(f"no table has the column '{name}' of --minimize; {nearest(name, columns)}")
    turned = [t.lower_is_better(here) if (here := [c for c in minimize if c in t.columns]) else t for t in held]
    return tuple(Case(t, o, r) for t, o, r in zip(turned, named[2], named[3] or named[2], strict=True))


def open_table(source: str, space: str | None) -> Table:
    """Open an imported table, or read a file that is named by its path.

    Raises
    ------
    InputError
        If a file comes without its space, or a table is of another space.
    OgiveError
        As `Table.open` and `Table.read`.
    """
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


def whole_numbers(text: str) -> list[int]:
    """Read budgets such as ``50,100``.

    Raises
    ------
    InputError
        If one is no whole number.
    """
    try:
        return [int(part) for part in split_list(text)]
    except ValueError:
        raise InputError(f"budgets '{text}' cannot be read; write whole numbers, for example 50,100") from None


# -------------------------------------------------------------------- what is said


def _document(bench: Bench, seed: int, repeats: bool, page: Path | None) -> dict[str, Any]:
    cases = [
        {
            "table": case.table.name,
            "space": case.table.space.spec,
            "objective": case.objective,
            "report": case.report,
            "unit": case.table.column(case.report).unit,
            "optimum": case.table.optimum(case.report),
            "noise_floor": _rows(bench, case)[0].noise_floor,
        }
        for case in bench.cases
    ]
    return {
        **(cases[0] if len(cases) == 1 else {}),
        "cases": cases,
        "seeds": bench.seeds,
        "seed": seed,
        "repeats": repeats,
        "rows": [row.to_dict() for row in bench.rows],
        "ranks": [ranking.to_dict() for ranking in bench.rankings],
        "cd": bench.rankings[0].cd if bench.rankings else None,
        "page": None if page is None else str(page),
    }


def _rows(bench: Bench, case: Case) -> list[BenchRow]:
    """Return the rows of one case, which follow each other."""
    each = len(bench.rows) // len(bench.cases)
    first = bench.cases.index(case) * each
    return bench.rows[first : first + each]


def _print_case(bench: Bench, case: Case, quiet: bool) -> None:
    rows, unit = _rows(bench, case), case.table.column(case.report).unit
    unit = "" if unit == "1" else f" {unit}"
    floor = rows[0].noise_floor
    noise = "unknown: no two are isomorphic" if floor is None else f"{floor:.3g}{unit}"
    if len(bench.cases) > 1:
        typer.echo(f"\n{case}")
    note(
        f"table {case.table.name}, '{case.objective}' chooses, '{case.report}' reports "
        f"(best {case.table.optimum(case.report):g}{unit}); {bench.seeds} runs each",
        quiet,
    )
    note(f"noise floor (spread between isomorphic architectures): {noise}", quiet)
    print_rows(rows)
    note("seen: mean regret in the column that chose; found: share of runs that found its best", quiet)
    note("* best of its budget; ~ not distinguishable from it: under the noise floor, or by chance", quiet)


def print_rows(rows: Sequence[BenchRow]) -> None:
    """Print one line a strategy and budget."""
    best = {b: min((r for r in rows if r.budget == b), key=lambda r: r.regret_mean) for b in {r.budget for r in rows}}
    lines: list[tuple[str, ...]] = []
    for name, group in groupby(rows, key=lambda r: r.strategy):
        names = _folded(name)
        for row in group:
            top = best[row.budget]
            lines.append(
                (
                    next(names, ""),
                    f"{row.budget:,}",
                    f"{row.regret_mean:.3g}",
                    "*" if row is top else "" if name in top.distinguishable else "~",
                    "{:.3g} to {:.3g}".format(*row.regret_ci),
                    f"{row.regret_median:.3g}",
                    "-" if row.noise_floor is None else f"{row.noise_floor:.3g}",
                    f"{row.objective_regret_mean:.3g}",
                    f"{row.optimum_found:.0%}",
                )
            )
        lines += [(rest,) for rest in names]
    titles = ("strategy", "budget", "regret", "", "95 % interval", "median", "noise", "seen", "found")
    _print_grid(titles, lines)


def _folded(name: str) -> Iterator[str]:
    """Cut a long name after its colon and commas, so that it goes beside the rows of its budgets."""
    if len(name) <= _WIDTH:
        return iter([name])
    first, colon, options = name.partition(":")
    *more, last = options.split(",")
    return iter([first + colon, *(f" {option}," for option in more), f" {last}"])


def _print_ranks(bench: Bench, quiet: bool) -> None:
    first, names = bench.rankings[0], bench.strategies
    typer.echo()
    note(
        f"average ranks by regret over {first.blocks:,} runs (1 is best); a difference under {first.cd:.3g} "
        "(Nemenyi, 5 %) is not distinguishable",
        quiet,
    )
    lines = [
        (name, *(f"{r.average[name]:.2f}" for r in bench.rankings))
        for name in sorted(names, key=lambda n: bench.rankings[-1].average[n])
    ]
    _print_grid(("strategy", *(f"{b:,}" for b in bench.budgets)), lines)
    for ranking in bench.rankings:
        p = "p < 0.001" if ranking.p < 0.001 else f"p = {ranking.p:.3f}"
        alike = "not distinguishable:" if ranking.groups else "all distinguishable"
        typer.echo(f"after {ranking.budget:,} (Friedman {p}), {alike}")
        for group in ranking.groups:
            typer.echo(f"  {', '.join(group)}")


def _print_grid(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table as Grid

    grid = Grid(box=None, pad_edge=False)
    grid.add_column(titles[0], overflow="fold")
    for title in titles[1:]:
        grid.add_column(title, justify="right", no_wrap=True)
    for line in lines:
        grid.add_row(*line)
    Console(soft_wrap=True).print(grid)
