"""arch2vec: learn an embedding of a space without labels, then search in it.

Yan et al., "Does Unsupervised Architecture Representation Learning Help Neural Architecture Search?", NeurIPS 2020
(arXiv 2006.06936).
"""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ogive._errors import InputError
from ogive.predictors._graph_grammar import grammar
from ogive.predictors._graph_quality import generation, reconstruction
from ogive.predictors.graph_autoencoder import Embedding, pretrain, split
from ogive.study.bench import bench_strategies

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ogive.metrics.tables import Table
    from ogive.predictors._graph_training import Pass
    from ogive.spaces.base import Space
    from ogive.study.bench import BenchRow

_CHECKPOINT = "checkpoint.safetensors"
_SAMPLES = 10_000


def train(
    space: Space | str,
    out: str | Path,
    *,
    preset: str = "arch2vec",
    seed: int = 0,
    epochs: int | None = None,
    cells: int | None = None,
    progress: Callable[[Pass], object] | None = None,
) -> Embedding:
    """Learn an embedding into a folder and measure it; interrupted, the same call goes on.

    Parameters
    ----------
    space, preset, seed, epochs, cells, progress
        See `ogive.predictors.graph_autoencoder.pretrain`.
    out : path
        Folder of the embedding; an older one there is replaced.

    Returns
    -------
    Embedding
        Its `facts` hold ``cpu_seconds`` of this call and, where it has a decoder, ``reconstruction`` and ``generation``
        (from 10,000 draws), see `ogive.predictors._graph_quality`.

    Raises
    ------
    OgiveError
        As `pretrain` does, or if the folder cannot be written.
    """
    start = time.process_time()
    folder = Path(out)
    checkpoint = folder / _CHECKPOINT
    embedding = pretrain(space, preset, seed=seed, epochs=epochs, cells=cells, progress=progress, checkpoint=checkpoint)
    embedding.facts["cpu_seconds"] = time.process_time() - start
    embedding.facts |= quality(embedding, cells, seed)
    embedding.save(folder)
    checkpoint.unlink(missing_ok=True)
    return embedding


def quality(embedding: Embedding, cells: int | None, seed: int) -> dict[str, Any]:
    """Return what an embedding with a decoder reconstructs of the held-out tenth and what it generates, as JSON values.

    Without a decoder nothing; without rules to read the space's graphs by, no generation.
    """
    if embedding.posterior is None:
        return {}
    found: dict[str, Any] = {
        "reconstruction": asdict(reconstruction(embedding, split(embedding.space, cells, seed)[1]))
    }
    try:
        grammar(embedding.space)
    except InputError:
        return found
    return found | {"generation": asdict(generation(embedding, _SAMPLES, seed))}


def search(
    table: Table,
    objective: str,
    report: str,
    embedding: str | Path | None = None,
    *,
    strategies: Sequence[str] = ("arch2vec-bo",),
    budgets: Sequence[int] = (100,),
    seeds: int = 50,
    seed: int = 0,
) -> list[BenchRow]:
    """Run strategies against a table, many seeds each; see `ogive.study.bench.bench_strategies`.

    Parameters
    ----------
    table, objective, report, strategies, budgets, seeds, seed
        See there. Strategies without an embedding can stand beside those with one.
    embedding : path, optional
        Folder of the embedding for those strategies called ``arch2vec-...`` that name none; by default each process
        trains one.

    Returns
    -------
    list of BenchRow
        Under the names that were asked for.

    Raises
    ------
    OgiveError
        As `bench_strategies` does, or if the folder's name has a comma, which options of strategies cannot hold.
    """
    asked = {_with(spec, embedding): spec for spec in strategies}
    rows = bench_strategies(table, objective, report, list(asked), budgets, seeds, seed=seed)
    return [
        replace(row, strategy=asked[row.strategy], distinguishable=tuple(asked[other] for other in row.distinguishable))
        for row in rows
    ]


def _with(spec: str, embedding: str | Path | None) -> str:
    """Return the strategy with the embedding as its option, where it takes one and has none."""
    if embedding is None or not spec.startswith("arch2vec-") or "embedding=" in spec:
        return spec
    if "," in str(embedding):
        raise InputError(f"the folder '{embedding}' has a comma in its name; rename it")
    return f"{spec}{',' if ':' in spec else ':'}embedding={embedding}"
