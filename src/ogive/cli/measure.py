"""``ogive measure``: counts, zero-cost scores and other metrics of named architectures."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ogive.cli.common import Json, Plugins, Quiet, Seed, emit, load_plugins, split_list


def measure(
    archs: Annotated[list[str], typer.Argument(metavar="ARCH...", help="Architecture strings of the space.")],
    space: Annotated[
        str, typer.Option("--space", "-s", help="Space, as name or name:option=value,...")
    ] = "nasbench201",
    metrics: Annotated[
        str, typer.Option("--metrics", "-m", help="Metrics, separated by commas.")
    ] = "params,macs,relus",
    task: Annotated[str, typer.Option("--task", "-t", help="Task; counting needs only its shapes.")] = "digits",
    seed: Seed = 0,
    plugin: Plugins = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Measure architectures: counts, zero-cost scores, table look-ups, trained accuracy."""
    load_plugins(plugin)
    from ogive.metrics.base import Context, evaluate, resolve
    from ogive.spaces.base import get_space
    from ogive.tasks.base import get_task

    where = get_space(space)
    named = [resolve(m) for m in split_list(metrics)]
    wanted = list(dict.fromkeys(n for m in named for n in (m.name, *m.baseline)))
    genotypes = where.parse(archs)
    scores = evaluate(wanted, where, genotypes, Context(task=get_task(task), seed=seed))
    rows: list[dict[str, Any]] = []
    for i, arch in enumerate(archs):
        row: dict[str, Any] = {"arch": arch, **{m: float(v[i]) for m, v in scores.values.items()}}
        if i in scores.failures:
            row["failed"] = scores.failures[i]
        rows.append(row)
    if json:
        units = {n: {"unit": m.unit, "direction": m.direction} for n in wanted for m in [resolve(n)]}
        emit({"space": where.spec, "task": task, "seed": seed, "metrics": units, "rows": rows})
    else:
        _table(wanted, rows)


def _table(wanted: list[str], rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    from ogive.metrics.base import resolve

    table = Table("architecture", box=None, pad_edge=False)
    for name in wanted:
        m = resolve(name)
        table.add_column(
            f"{name}\n{m.unit}, {'higher' if m.direction == 'max' else 'lower'} is better", justify="right"
        )
    for row in rows:
        table.add_row(row["arch"], *(_number(row[name]) for name in wanted))
    console = Console(soft_wrap=True)
    console.print(table)
    for row in rows:
        if "failed" in row:
            console.print(f"{row['arch']}: {row['failed']}", markup=False)


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:.6g}"
