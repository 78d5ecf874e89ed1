"""One candidate as a file: PyTorch source that stands alone, JSON, safetensors, ONNX."""

from __future__ import annotations

import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from ogive._errors import UnknownNameError
from ogive.spaces.template import Template
from ogive.studio.insight import genotype_of
from ogive.studio.weights import network, trained

if TYPE_CHECKING:
    from collections.abc import Callable

    from ogive.spaces.base import Genotypes
    from ogive.studio.reading import Reading

TYPES = {
    "py": "text/x-python",
    "json": "application/json",
    "safetensors": "application/octet-stream",
    "onnx": "application/octet-stream",
}


def export(reading: Reading, number: int, kind: str) -> Callable[[], Response]:
    """Return what makes the file of a candidate, to be called without the lock: it may build a network.

    Raises
    ------
    UnknownNameError
        If there is no such candidate or format.
    InputError
        If the network cannot be built, has no trained weights, or the present drawing no longer has it.
    MissingDependencyError
        If ONNX needs an extra that is not installed.
    """
    if kind not in TYPES:
        raise UnknownNameError.of("format", kind, TYPES)
    genotype, anchors = genotype_of(reading, number), reading.study.anchors()
    facts = _facts(reading, number, genotype)
    problem, directory, config = reading.problem, reading.directory, reading.config
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", f"{reading.name}-{number}") + f".{kind}"

    def make() -> Response:
        if kind == "json":
            data = (json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode()
        elif kind == "py":
            from ogive.studio.source import source

            task = problem.context.need_task("export")
            steps = problem.space.steps(genotype) if isinstance(problem.space, Template) else ()
            data = source(network(problem, genotype), task.input_shape, headline(facts), steps).encode()
        else:
            model, _ = trained(directory, config, problem, genotype, anchors)
            data = _written(model, problem.context.need_task("export").input_shape, kind)
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return Response(data, media_type=TYPES[kind], headers=headers)

    return make


def _facts(reading: Reading, number: int, genotype: Genotypes) -> dict[str, Any]:
    problem, row = reading.problem, reading.columns.row(number)
    assert row is not None
    space, task = problem.space, problem.context.task
    return {
        "run": reading.name,
        "id": number,
        "arch": row["arch"],
        "genotype": genotype.tolist(),
        "space": space.to_dict() if isinstance(space, Template) else space.spec,
        "task": None if task is None else task.spec,
        "rev": row["rev"],
        "metrics": row["metrics"],
    }


def headline(facts: dict[str, Any]) -> list[str]:
    """Return what a source file says of its architecture, text that can stand in a comment."""
    lines = [f"Candidate {facts['id']} of run {facts['run']}", f"architecture: {facts['arch']}"]
    lines += [f"{name}: {value:.6g}" for name, value in facts["metrics"].items() if value is not None]
    return [re.sub(r"[^\x20-\x7e]+", "?", line) for line in lines]


def _written(model: Any, input_shape: tuple[int, ...], kind: str) -> bytes:
    from ogive.training.export import export_onnx, save_weights

    with TemporaryDirectory() as folder:
        file = Path(folder) / "network"
        return (
            save_weights(model, file) if kind == "safetensors" else export_onnx(model, input_shape, file)
        ).read_bytes()
