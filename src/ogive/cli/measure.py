"""``ogive measure``: counts, zero-cost scores and other metrics of named architectures."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ogive.cli.common import (
    Device,
    Json,
    Plugins,
    Quiet,
    Seed,
    SpaceSpec,
    SupernetFolder,
    emit,
    load_plugins,
    note,
    number,
    split_list,
)


def measure(
    archs: Annotated[list[str], typer.Argument(metavar="ARCH...", help="Architecture strings of the space.")],
    space: SpaceSpec = "nasbench201",
    metrics: Annotated[
        str, typer.Option("--metrics", "-m", help="Metrics, separated by commas.")
    ] = "params,macs,relus",
    task: Annotated[str, typer.Option("--task", "-t", help="Task; counting needs only its shapes.")] = "digits",
    supernet: SupernetFolder = None,
    device: Device = "cpu",
    seed: Seed = 0,
    plugin: Plugins = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Measure architectures: counts, zero-cost scores, table look-ups, trained accuracy."""
    load_plugins(plugin)
    from ogive.metrics.base import Context, resolve
    from ogive.metrics.evaluate import evaluate
    from ogive.spaces.base import get_space
    from ogive.tasks.base import get_task

    where = get_space(space)
    named = [resolve(m) for m in split_list(metrics)]
    wanted = list(dict.fromkeys(n for m in named for n in (m.name, *m.baseline)))
    genotypes = where.parse(archs)
    note(f"measuring {len(archs)} of {where.spec} for {task}, seed {seed}", quiet or json)
    options = {} if supernet is None else {"supernet": supernet}
    context = Context(task=get_task(task), seed=seed, device=device, options=options)
    scores = evaluate(wanted, where, genotypes, context)
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
        _print(wanted, rows)


def _print(wanted: list[str], rows: list[dict[str, Any]]) -> None:
    """Print metrics down and architectures across by number: arch strings are wider than a terminal's columns."""
    from rich.console import Console
    from rich.table import Table

    from ogive.metrics.base import resolve

    console = Console(highlight=False, markup=False)
    table = Table("metric", "unit", "better", box=None, pad_edge=False)
    for i in range(len(rows)):
        table.add_column(f"[{i + 1}]", justify="right")
    for name in wanted:
        m = resolve(name)
        better = "higher" if m.direction == "max" else "lower"
        table.add_row(name, m.unit, better, *(number(row[name]) for row in rows))
    console.print(table)
    for i, row in enumerate(rows):
        console.print(f"[{i + 1}] {row['arch']}", soft_wrap=True)
        if "failed" in row:
            console.print(f"    failed: {row['failed']}", soft_wrap=True)
