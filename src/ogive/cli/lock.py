"""``ogive lock``: an architecture that is good at its own task and poor when someone transfers it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ogive._errors import InputError
from ogive.cli.common import Device, Json, Plugins, Quiet, Seed, emit, load_plugins, note, number, split_list
from ogive.cli.search import command_line, fresh_folder, training

if TYPE_CHECKING:
    from collections.abc import Callable

    from ogive.methods.archlock import Lock, LockProblem

_SPACE = "nasbench201:C=4,N=1"


def lock(
    source: Annotated[str, typer.Option("--source", help="What the architecture is for: a task, or a table's column.")],
    target: Annotated[
        list[str], typer.Option("--target", help="Tasks or columns at which it shall be poor; repeat the option.")
    ],
    space: Annotated[
        str | None, typer.Option("--space", "-s", help=f"Space [default: that of the table, else {_SPACE}].")
    ] = None,
    table: Annotated[
        str | None, typer.Option("--table", help="Look values up in this imported table instead of training.")
    ] = None,
    setting: Annotated[
        str, typer.Option("--setting", help="tk: the search may measure the targets; tu: they are unknown to it.")
    ] = "tk",
    auxiliary: Annotated[
        list[str] | None, typer.Option("--auxiliary", help="Tasks or columns that stand in for unknown targets.")
    ] = None,
    gate: Annotated[
        str, typer.Option("--gate", help="How good at the source: pct:98 (a percentile) or value:54.3 (a value).")
    ] = "pct:98",
    aggregate: Annotated[
        str, typer.Option("--aggregate", help="What counts of several targets: mean, worst or cvar:ALPHA.")
    ] = "mean",
    budget: Annotated[
        int, typer.Option("--budget", "-n", help="True evaluations of the source; each counts, as does the sample.")
    ] = 300,
    reference: Annotated[
        int | None,
        typer.Option("--reference", help="Random architectures that percentiles are of [default: a third of budget]."),
    ] = None,
    solver: Annotated[
        str, typer.Option("--solver", help="pareto, or legacy: the published evolutionary loop.")
    ] = "pareto",
    comparator: Annotated[
        str, typer.Option("--comparator", help="Of --solver legacy: coin (knows nothing) or perfect (true order).")
    ] = "coin",
    leak: Annotated[
        bool, typer.Option("--leak", help="Of --solver legacy: choose by the true targets, as the released code does.")
    ] = False,
    certify: Annotated[
        bool, typer.Option("--certify", help="Attack the finalists after the search, as ogive certify --preset small.")
    ] = False,
    epochs: Annotated[int | None, typer.Option("--epochs", "-e", help="Epochs of each training.")] = None,
    recipe: Annotated[
        str, typer.Option("--set", help="Other options of the training recipe, as name=value,name=value.")
    ] = "",
    workers: Annotated[
        int | None, typer.Option("--workers", "-w", help="Processes that train; 0 for none [default: one a core].")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Directory of the run [default: runs/ and the time].")
    ] = None,
    device: Device = "cpu",
    seed: Seed = 0,
    plugin: Plugins = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Find an architecture that keeps its source task and transfers badly; Ctrl-C leaves a run to resume."""
    plugins = load_plugins(plugin)
    from ogive.methods import archlock

    if setting == "tu" and not auxiliary:
        auxiliary, plugins = _simulated(source, table), [*plugins, archlock.SIMULATED]
        load_plugins([archlock.SIMULATED])
    problem = _problem(space, table, source, target, auxiliary, setting, gate, aggregate, budget, seed)
    folder = out or fresh_folder("lock")
    command = command_line("lock", folder if out is None else None)
    if solver not in {"pareto", "legacy"}:
        raise InputError(f"solver '{solver}' is not known; write pareto or legacy")
    if solver == "pareto" and (leak or comparator != "coin"):
        raise InputError("--leak and --comparator belong to --solver legacy; the default solver has no such choice")
    if solver == "legacy" and (certify or reference is not None):
        raise InputError("--certify and --reference belong to the default solver; leave them out with --solver legacy")
    if table and (epochs is not None or recipe):
        raise InputError("with --table nothing is trained; leave out --epochs and --set")
    if solver == "legacy":
        found = archlock.legacy(problem, comparator=comparator, leak=leak, out=folder, command=command)  # type: ignore[arg-type]
        show(found, json=json)
        return
    settings = {
        "train": training(recipe, epochs),
        "workers": workers,
        "device": device,
        "plugins": plugins,
        "command": command,
    }
    bar = False if quiet or not sys.stderr.isatty() else None
    finish(
        lambda: archlock.lock(
            problem,
            out=folder,
            reference=reference,
            certify="small" if certify else None,
            progress=bar,
            **settings,
        ),
        folder,
        json=json,
    )


def _problem(
    space: str | None,
    table: str | None,
    source: str,
    target: list[str],
    auxiliary: list[str] | None,
    setting: str,
    gate: str,
    aggregate: str,
    budget: int,
    seed: int,
) -> LockProblem:
    from ogive.methods.archlock import Aggregate, Gate, LockProblem
    from ogive.metrics.tables import Table
    from ogive.spaces.base import get_space

    where = get_space(space) if space else Table.open(table).space if table else get_space(_SPACE)
    return LockProblem(
        space=where,
        source=_metric(source, table),
        targets=tuple(_metric(t, table) for t in split_list(target)),
        setting=setting,  # type: ignore[arg-type]
        auxiliary=tuple(_metric(a, table) for a in split_list(auxiliary)),
        gate=Gate.parse(gate),
        aggregate=Aggregate.parse(aggregate),
        budget=budget,
        seed=seed,
    )


def _simulated(source: str, table: str | None) -> list[str]:
    """Return what stands in for unknown targets where the user names nothing."""
    if table or "@" in source:
        raise InputError("setting tu on a table needs columns in place of its targets; name some with --auxiliary")
    return [f"worth@simulated/{source}"]


def _metric(name: str, table: str | None) -> str:
    """Return the metric of a column or task; what has an @ is a metric already."""
    if "@" in name:
        return name
    return f"{name}@{table}" if table else f"accuracy@train/{name}"


def finish(run: Callable[[], Lock], folder: Path, *, json: bool) -> None:
    """Run a lock to its end and show it, or say how to resume it when it is interrupted."""
    try:
        found = run()
    except KeyboardInterrupt:
        note(f"stopped; go on with: ogive resume {shlex.quote(str(folder))}")
        raise typer.Exit(130) from None
    show(found, json=json)


def show(found: Lock, *, json: bool) -> None:
    """Print a lock for people, or as one JSON document."""
    if json:
        emit(found.to_dict())
        return
    from rich.console import Console

    from ogive.methods.archlock import sentences

    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(f"lock: {found.chosen.arch}")
    for sentence in sentences(found):
        console.print(sentence)
    console.print(_standing(found))
    counts = ", ".join(f"{found.name(m)} {n:,}" for m, n in found.evaluations.items())
    failing = "" if found.rejected is None else f"; {found.rejected:,} did not pass the gate"
    console.print(f"evaluations: {counts}{failing}")
    for finding in () if found.certificate is None else found.certificate.findings:
        console.print(f"certificate: {finding.arch}: {finding.verdict}{''.join(f'; {d}' for d in finding.doubts)}")
    for text in found.notes:
        console.print(f"note: {text}")
    console.print(f"report: {found.report}")


def _standing(found: Lock) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, title="percentiles and raw values; before: the best source architecture")
    table.add_column("metric", overflow="fold")
    for head in ("before", "after", "raw before", "after", "raw drop"):
        table.add_column(head, justify="right", no_wrap=True)
    for metric in (found.problem.source, *found.problem.targets):
        before, after = found.standing(found.winner, metric), found.standing(found.chosen, metric)
        drop = found.raw_drop(metric)
        between = "" if found.exact else f" ({after.low:.0f} to {after.high:.0f})"
        table.add_row(
            found.name(metric),
            f"{before.percentile:.1f}",
            f"{after.percentile:.1f}{between}",
            number(before.value),
            number(after.value),
            "-" if drop is None else f"{drop:.2f} %",
        )
    return table
