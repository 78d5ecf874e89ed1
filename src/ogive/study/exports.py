"""Single architectures of a run as files in its directory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._errors import InputError
from ogive.study.anchors import weights_of
from ogive.study.journal import ANCHOR
from ogive.study.reassess import reassess
from ogive.study.settings import digest

if TYPE_CHECKING:
    from pathlib import Path

    from ogive.study.directory import RunDirectory
    from ogive.study.engine import Engine
    from ogive.study.events import EventLog


def export(directory: RunDirectory, log: EventLog, engine: Engine, arch: str, kind: str) -> str:
    """Write an architecture as ``exports/NAME.KIND`` and return the file's place in the run directory.

    Parameters
    ----------
    directory : RunDirectory
    log : EventLog
        Names the anchors, whose weights "safetensors" and "onnx" take.
    engine : Engine
    arch : str
    kind : {"json", "safetensors", "onnx"}

    Raises
    ------
    InputError
        If there is no such architecture, or no anchor of it has been trained.
    MissingDependencyError
        If ONNX needs an extra that is not installed.
    """
    problem = engine.problem
    genotype = problem.space.check(problem.space.parse(arch))[0]
    facts = {"arch": problem.space.format(genotype), "genotype": genotype.tolist(), "metrics": {}}
    for measured_for, told in engine.told:
        rows = reassess(told, measured_for, problem)
        for i in np.flatnonzero((rows.genotypes == genotype).all(axis=1)):
            values = zip(problem.metrics, rows.values[i].tolist(), strict=True)
            facts["metrics"] = {name: value for name, value in values if np.isfinite(value)}
    name = f"exports/{digest(facts['arch'])}.{kind}"
    if kind == "json":
        task = problem.context.task
        space = problem.space.to_dict() if hasattr(problem.space, "to_dict") else problem.space.spec
        facts |= {"space": space, "task": None if task is None else task.spec}
        directory.write(name, json.dumps(facts, indent=2) + "\n")
        return name
    _write_network(directory.path / name, engine, facts, _weights(directory, log, str(facts["arch"])), kind)
    return name


def _weights(directory: RunDirectory, log: EventLog, arch: str) -> Path:
    """Return the weights of the last anchor of an architecture."""
    trained = [e.data["command"] for e in log.read(kinds=(ANCHOR,)) if e.data["arch"] == arch and "accuracy" in e.data]
    files = [file for name in reversed(trained) if (file := weights_of(directory, name)).is_file()]
    if not files:
        raise InputError(f"'{arch}' has no trained weights in this run; train it first: train_alone")
    return files[0]


def _write_network(target: Path, engine: Engine, facts: dict[str, Any], weights: Path, kind: str) -> None:
    from ogive.training.export import export_onnx, load_weights, save_weights

    problem = engine.problem
    task = problem.context.need_task("export")
    model = load_weights(problem.space.build(np.array(facts["genotype"]), task), weights)
    target.parent.mkdir(exist_ok=True)
    if kind == "onnx":
        export_onnx(model, task.input_shape, target)
    else:
        save_weights(model, target)
