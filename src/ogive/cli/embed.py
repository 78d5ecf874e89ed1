"""``ogive embed``: learn a map of a space without labels, search in it, draw it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ogive._errors import InputError
from ogive.cli.bench_strategies import open_table, print_rows, whole_numbers
from ogive.cli.common import Json, Quiet, Seed, SpaceSpec, emit, note, split_list

if TYPE_CHECKING:
    from ogive.predictors.base import Floats
    from ogive.predictors.graph_autoencoder import Embedding

app = typer.Typer(
    help="Embeddings of architectures: learn one without labels, search in it, draw it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_Folder = Annotated[Path, typer.Option("--embedding", help="Folder that 'ogive embed train' wrote.")]


@app.command()
def train(
    out: Annotated[
        Path, typer.Option("--out", help="Folder for the embedding; interrupted, the same command goes on.")
    ],
    space: SpaceSpec = "nasbench201",
    preset: Annotated[
        str, typer.Option("--preset", help="arch2vec as published, arch2vec-train, or masked, which predicts better.")
    ] = "arch2vec",
    epochs: Annotated[int | None, typer.Option("--epochs", help="Passes [default: the preset's].")] = None,
    cells: Annotated[
        int | None, typer.Option("--cells", help="Architectures to learn from [default: all, or 20,000].")
    ] = None,
    seed: Seed = 0,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Learn an embedding from the graphs of a space alone."""
    from ogive.methods.arch2vec import train as learn
    from ogive.predictors.graph_autoencoder import PRESETS
    from ogive.study.progress import counting_bar

    passes = epochs or (PRESETS[preset].epochs if preset in PRESETS else 1)
    with counting_bar("epochs", passes, False if quiet or json else None) as move:
        found = learn(space, out, preset=preset, seed=seed, epochs=epochs, cells=cells, progress=lambda _: move(1))
    document = _document(found, out)
    if json:
        emit(document)
        return
    typer.echo(f"{out}: {found.preset} of {found.space.spec}, vectors of length {found.dimension}")
    for name in ("reconstruction", "validity", "uniqueness", "strict_validity"):
        typer.echo(f"  {name:16} {'-' if document[name] is None else format(document[name], '.1%')}")
    typer.echo(f"  {'seconds':16} {document['seconds']:.1f}")


def _document(embedding: Embedding, out: Path) -> dict[str, Any]:
    """Return what was trained; shares are in [0, 1], None where the embedding has no decoder."""
    facts = embedding.facts
    restored, drawn = facts.get("reconstruction", {}), facts.get("generation", {})
    return {
        "space": embedding.space.spec,
        "preset": embedding.preset,
        "embedding": str(out),
        "dimension": embedding.dimension,
        "seed": facts["seed"],
        "epochs": facts["epochs"],
        "cells": facts["cells"],
        "reconstruction": restored.get("operators"),
        "reconstruction_graphs": restored.get("graphs"),
        "validity": drawn.get("validity"),
        "uniqueness": drawn.get("uniqueness"),
        "strict_validity": drawn.get("strict"),
        "distinct_architectures": drawn.get("architectures"),
        "distinct_classes": drawn.get("classes"),
        "seconds": facts["seconds"],
        "cpu_seconds": facts["cpu_seconds"],
    }


@app.command()
def search(
    table: Annotated[str, typer.Option("--table", help="Imported table, or a CSV or Parquet file.")],
    objective: Annotated[str, typer.Option("--objective", help="Column the strategies see: it chooses.")],
    space: Annotated[str | None, typer.Option("--space", "-s", help="Space of the table; needed for a file.")] = None,
    report: Annotated[
        str | None, typer.Option("--report", help="Column that says what the choice is worth [default: the objective].")
    ] = None,
    embedding: Annotated[
        Path | None, typer.Option("--embedding", help="Folder of an embedding [default: one is trained].")
    ] = None,
    strategy: Annotated[
        str, typer.Option("--strategy", help="Strategies, as name or name:option=value,...")
    ] = "arch2vec-bo",
    budget: Annotated[str, typer.Option("--budget", help="Evaluations after which to look.")] = "100",
    seeds: Annotated[int, typer.Option("--seeds", help="Independent runs of each strategy.")] = 50,
    minimize: Annotated[str, typer.Option("--minimize", help="Columns where lower is better.")] = "",
    seed: Seed = 0,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Search in an embedding against a table, many seeds: how far is the choice from the best?"""
    from ogive.methods.arch2vec import search as run

    held = open_table(table, space)
    held = held.lower_is_better(split_list(minimize)) if minimize else held
    rows = run(
        held,
        objective,
        report or objective,
        embedding,
        strategies=split_list(strategy),
        budgets=whole_numbers(budget),
        seeds=seeds,
        seed=seed,
    )
    if json:
        emit(
            {
                "table": held.name,
                "space": held.space.spec,
                "objective": objective,
                "report": report or objective,
                "embedding": None if embedding is None else str(embedding),
                "seeds": seeds,
                "seed": seed,
                "rows": [row.to_dict() for row in rows],
            }
        )
        return
    note(f"'{objective}' chooses, '{report or objective}' reports; {seeds} runs each", quiet)
    print_rows(rows)


@app.command("map")
def map_(
    embedding: _Folder,
    out: Annotated[Path, typer.Option("--out", help="Page to write.")],
    metric: Annotated[
        str, typer.Option("--metric", help="What colours the points: a column of the table, or params, macs, depth...")
    ] = "params",
    table: Annotated[str | None, typer.Option("--table", help="Imported table, or a CSV or Parquet file.")] = None,
    task: Annotated[
        str, typer.Option("--task", "-t", help="Task whose shapes a count such as params is for.")
    ] = "cifar10",
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Draw an embedding as a page, coloured by a metric: do similar cells lie together?"""
    from ogive.methods._embedding_map import embedding_map
    from ogive.predictors.graph_autoencoder import Embedding

    held = Embedding.load(embedding)
    genotypes = held.table[0]
    values = (
        _counted(held, metric, task) if table is None else open_table(table, held.space.spec).lookup(metric, genotypes)
    )
    page = embedding_map(held, genotypes, values, metric, out)
    if json:
        emit({"page": str(page), "metric": metric, "architectures": len(genotypes)})
    else:
        note(f"{len(genotypes):,} architectures drawn in {page}", quiet)


def _counted(embedding: Embedding, name: str, task: str) -> Floats:
    """Return a metric that costs next to nothing of every architecture of the embedding's table."""
    from ogive.metrics.base import Context, Cost, resolve
    from ogive.metrics.evaluate import evaluate
    from ogive.tasks.base import get_task

    metric = resolve(name)
    if metric.cost > Cost.COUNT:
        raise InputError(f"'{name}' is too dear to compute for all architectures; name a column of a --table")
    return evaluate([metric.name], embedding.space, embedding.table[0], Context(get_task(task))).values[metric.name]
