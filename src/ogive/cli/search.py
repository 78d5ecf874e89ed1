"""``ogive search``: constrained, multi-objective search with real training, in a directory that can be resumed."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ogive._errors import InputError
from ogive.cli.common import (
    Device,
    Json,
    Plugins,
    Quiet,
    Seed,
    SpaceSpec,
    TaskSpec,
    emit,
    load_plugins,
    note,
    number,
    split_list,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ogive.study import Study

# The question without options. The skeleton is narrow and deep enough for five epochs to tell cells apart (random ones
# within the budget test at 90 %, good ones at 97 %); the budget admits cells with at most two convolutions.
_SPACE, _TASK, _EPOCHS = "nasbench201:C=4,N=3", "digits", 5
_MAXIMIZE, _MINIMIZE, _WHERE = ("accuracy@train",), ("macs",), ("relus<=3500", "depth>=1")
_STRATEGY = "nsga2:population=20"
_TRIALS = 100
_CONFIRM = 5
_FINALS = 3
_SHOWN = 8


def search(
    space: SpaceSpec = _SPACE,
    task: TaskSpec = _TASK,
    maximize: Annotated[
        list[str] | None,
        typer.Option("--maximize", help="Metrics to maximise [default: accuracy@train if no objective is given]."),
    ] = None,
    minimize: Annotated[
        list[str] | None,
        typer.Option("--minimize", help="Metrics to minimise [default: macs if no objective is given]."),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where", help="Constraints such as 'relus<=50000' [default: relus<=3500, depth>=1 without objectives]."
        ),
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            "--strategy",
            help="Strategy [default: evolution; nsga2 for several objectives; guided on a supernet of its own].",
        ),
    ] = None,
    trials: Annotated[int, typer.Option("--trials", "-n", help="Architectures to measure.")] = _TRIALS,
    workers: Annotated[
        int | None, typer.Option("--workers", "-w", help="Processes that measure; 0 for none [default: one a core].")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Directory of the run [default: runs/ and the time].")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option("--epochs", "-e", help="Epochs of each training [default: 5 without objectives, else 12]."),
    ] = None,
    recipe: Annotated[
        str, typer.Option("--set", help="Other options of the training recipe, as name=value,name=value.")
    ] = "",
    supernet: Annotated[
        str | None,
        typer.Option(
            "--supernet", help="For @supernet metrics: a trained one's folder, or name=value,... to train one here."
        ),
    ] = None,
    batch: Annotated[int | None, typer.Option("--batch", help="Candidates drawn together.")] = None,
    repeats: Annotated[str, typer.Option("--repeats", help="Known architectures: free, or count as trials.")] = "free",
    max_draws: Annotated[int, typer.Option("--max-draws", help="Draws without a trial that end the search.")] = 10_000,
    timeout: Annotated[float | None, typer.Option("--timeout", help="Seconds a trial may take.")] = None,
    confirm: Annotated[
        int | None,
        typer.Option(
            "--confirm",
            help="Trainings of the chosen one for its test accuracy [default: 5 for trained objectives, 3 of each of a "
            "few finalists where a supernet ranks, else 0].",
        ),
    ] = None,
    device: Device = "cpu",
    seed: Seed = 0,
    plugin: Plugins = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Search for architectures; without options: cells for handwritten digits under a ReLU budget, trained for real."""
    plugins = load_plugins(plugin)
    from ogive.study import Study

    if not (maximize or minimize):
        epochs, strategy = epochs or _EPOCHS, strategy or _STRATEGY
    up, down, bounds = _question(split_list(maximize), split_list(minimize), split_list(where))
    folder = out or fresh_folder("search")
    study = Study(
        space,
        task,
        maximize=up,
        minimize=down,
        where=bounds,
        strategy=strategy,
        out=folder,
        trials=trials,
        seed=seed,
        workers=workers,
        batch=batch,
        train=training(recipe, epochs),
        supernet=supernet,
        repeats=repeats,  # type: ignore[arg-type]
        max_draws=max_draws,
        timeout=timeout,
        device=device,
        confirm=_confirmations(up + down) if confirm is None else confirm,
        plugins=plugins,
        command=command_line("search", folder if out is None else None),
    )
    go_on(study, quiet=quiet, json=json)


def go_on(study: Study, *, trials: int | None = None, quiet: bool, json: bool) -> None:
    """Run a study to its end, say what it found, or how to resume it when it is interrupted."""
    began = time.perf_counter()
    folder = study.directory.path if study.directory else Path()
    show = False if quiet or not sys.stderr.isatty() else None
    try:
        if trials is not None or _has_more_to_do(study):
            study.run(trials, progress=show)
        if study.config.confirm:
            study.confirm(study.config.confirm, progress=show)
    except KeyboardInterrupt:
        note(f"stopped after {study.results().n_trials} trials; go on with: ogive resume {shlex.quote(str(folder))}")
        raise typer.Exit(130) from None
    document = _document(study, time.perf_counter() - began)
    if json:
        emit(document)
    else:
        _print(document, study)


def _has_more_to_do(study: Study) -> bool:
    """Return whether trials are left of those planned, or commands wait to be carried out."""
    waiting = any(c["status"] in ("posted", "accepted") for c in study.commands())
    return waiting or study.results().n_trials < study.planned()


def _question(up: list[str], down: list[str], where: list[str]) -> tuple[list[str], list[str], list[str]]:
    """Fill in the default question where the user gave no objective."""
    if up or down:
        return up, down, where
    return list(_MAXIMIZE), list(_MINIMIZE), where or list(_WHERE)


def _confirmations(objectives: list[str]) -> int:
    """Return how often the chosen one, or each finalist, is trained in the end: where the search itself trains."""
    from ogive.metrics.base import Cost, resolve

    if "@supernet" in objectives[0]:
        return _FINALS
    return _CONFIRM if any(resolve(m).cost == Cost.TRAIN for m in objectives) else 0


def training(text: str, epochs: int | None) -> Mapping[str, Any] | None:
    """Return the training recipe that --set and --epochs give, None where neither is given."""
    if not text and epochs is None:
        return None
    from ogive.training.config import TrainConfig

    given = {} if epochs is None else {"epochs": epochs}
    return TrainConfig.from_dict(TrainConfig.parse(text).to_dict() | given).to_dict()


def fresh_folder(kind: str) -> Path:
    """Return a directory named by the time that does not exist yet."""
    stem = Path("runs") / time.strftime(f"{kind}-%Y%m%d-%H%M%S")
    for n in range(1000):
        folder = stem if n == 0 else stem.with_name(f"{stem.name}-{n + 1}")
        if not folder.exists():
            return folder
    raise InputError("no free name for a run in 'runs'; give one with --out")


def command_line(name: str, folder: Path | None) -> str:
    """Return the command that makes this run again; with a folder, that one is its --out."""
    words = ["ogive", *sys.argv[1:]] if Path(sys.argv[0]).stem in {"ogive", "__main__"} else ["ogive", name]
    return shlex.join(words if folder is None else [*words, "--out", str(folder)])


def _document(study: Study, seconds: float) -> dict[str, Any]:
    """Return what the command prints with --json."""
    results, config = study.results(), study.config
    best, verdict = results.best(), study.verdict
    front = results.rows.take(results.front_positions())
    archs = study.problem.space.format_many(front.genotypes) if len(front) else []
    document: dict[str, Any] = {
        "run": None if study.directory is None else str(study.directory.path),
        "space": config.space,
        "task": config.task,
        "strategy": config.strategy,
        "seed": config.seed,
        "trials": results.n_trials,
        "seconds": seconds,
        "candidates": results.counts(),
        "best": None if best is None else {"arch": best.arch, "metrics": best.metrics},
        "front": [
            {"arch": a, "metrics": dict(zip(study.problem.metrics, row, strict=True))}
            for a, row in zip(archs, front.values.tolist(), strict=True)
        ],
    }
    if study.note:
        document["note"] = study.note
    if verdict is not None:
        found = verdict.to_dict()
        document |= {k: found[k] for k in ("test_accuracy", "baseline", "difference", "statement")}
    return document


def _print(document: dict[str, Any], study: Study) -> None:
    from rich.console import Console

    console = Console(soft_wrap=True, highlight=False)
    ends = ", ".join(f"{n:,} {end}" for end, n in document["candidates"].items())
    console.print(f"{document['trials']:,} trials in {document['seconds']:.1f} s ({ends})", markup=False)
    if "note" in document:
        console.print(document["note"], markup=False)
    _print_front(document["front"], study, console)
    _print_choice(document, console)


def _print_front(front: list[dict[str, Any]], study: Study, console: Any) -> None:
    """Print a numbered row for each distinct point of the front: arch strings are wider than a terminal's columns."""
    from rich.table import Table

    points: dict[tuple[float, ...], list[str]] = {}
    for row in front:
        points.setdefault(tuple(row["metrics"].values()), []).append(row["arch"])
    shown = list(points.items())[:_SHOWN]
    title = f"Pareto front, {len(front)} architectures, {len(points)} distinct"
    table = Table("", box=None, pad_edge=False, title=title, title_justify="left")
    for name in study.problem.metrics:
        unit = study.problem.info[name].unit
        table.add_column(name if unit == "1" else f"{name} ({unit})", justify="right")
    for i, (values, _) in enumerate(shown, start=1):
        table.add_row(str(i), *(number(v) for v in values))
    console.print(table)
    for i, (_, archs) in enumerate(shown, start=1):
        others = f" and {len(archs) - 1} more" if len(archs) > 1 else ""
        console.print(f"{i}  {archs[0]}{others}", markup=False)
    if len(points) > _SHOWN:
        console.print(f"... and {len(points) - _SHOWN} more points in front.csv", markup=False)


def _print_choice(document: dict[str, Any], console: Any) -> None:
    best = document["best"]
    if best is None:
        console.print("nothing found that meets the constraints", markup=False)
    else:
        console.print(f"chosen: {best['arch']}", markup=False)
    if "statement" in document:
        for label, key in (("chosen", "test_accuracy"), ("random ones", "baseline")):
            e = document[key]
            low, high = e["interval"]
            runs = f"{len(e['values'])} trainings"
            console.print(f"test accuracy, {label}: {e['mean']:.2f} % (95 % interval {low:.2f} to {high:.2f}, {runs})")
        console.print(document["statement"], markup=False)
    if document["run"]:
        console.print(f"report: {Path(document['run']) / 'report.html'}", markup=False)
