"""``ogive export``: take a network out as ONNX, safetensors or a `torch.export` program."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ogive._errors import DataMissingError, StorageError, UnknownNameError
from ogive.cli.common import Json, Plugins, Quiet, Seed, emit, load_plugins, note, split_list

if TYPE_CHECKING:
    from torch import nn

    from ogive.tasks.base import Task

_FORMATS = ("onnx", "safetensors", "torch")


def export(
    arch: Annotated[
        str, typer.Argument(metavar="ARCH|DIR", help="Architecture string, or the folder of a search or training run.")
    ],
    space: Annotated[
        str, typer.Option("--space", "-s", help="Space of an architecture string, as name or name:option=value,...")
    ] = "nasbench201",
    task: Annotated[
        str, typer.Option("--task", "-t", help="Task of an architecture string: gives the shapes.")
    ] = "digits",
    weights: Annotated[
        Path | None, typer.Option("--weights", "-w", help="Safetensors file [default: the run's own; else untrained].")
    ] = None,
    formats: Annotated[
        str, typer.Option("--format", "-f", help="Any of onnx, safetensors, torch, separated by commas.")
    ] = "onnx,safetensors",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the files [default: the run's, else export].")
    ] = None,
    seed: Seed = 0,
    plugin: Plugins = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Export a network, checked to compute what the original computes."""
    load_plugins(plugin)
    from ogive.spaces.base import get_space
    from ogive.tasks.base import get_task
    from ogive.training.export import load_weights
    from ogive.training.seeding import seeded

    began = time.perf_counter()
    wanted = split_list(formats)
    for name in wanted:
        if name not in _FORMATS:
            raise UnknownNameError.of("format", name, _FORMATS)
    facts: dict[str, Any] = {"arch": arch, "space": space, "task": task}
    folder = Path("export")
    if Path(arch).is_dir():
        facts, folder = _find_run(Path(arch))
        held = folder / "weights.safetensors"
        weights = weights or (held if held.is_file() else None)
    where, what = get_space(facts["space"]), get_task(facts["task"])
    genotype = where.parse(facts["arch"])
    facts |= {"arch": where.format(genotype), "space": where.spec, "task": what.spec}
    with seeded(seed):
        model = where.build(genotype, what)
    if weights is None:
        note(f"no --weights: exporting an untrained network with the initial weights of seed {seed}", quiet)
    else:
        load_weights(model, weights)
    files, difference = _write(model, what, facts, out or folder, wanted)
    document = {
        **{k: facts[k] for k in ("arch", "space", "task")},
        "accuracy": None if weights is None else _accuracy(model, what),
        "onnx_max_abs_difference": difference,
        "seconds": time.perf_counter() - began,
        "files": [str(f) for f in files],
    }
    if json:
        emit(document)
    else:
        _print(document)


def _find_run(run: Path) -> tuple[dict[str, Any], Path]:
    """Return the architecture of a run and the folder it lies in: a search run's best, or a training run itself."""
    from ogive.training.export import load_arch

    for folder in (run / "best", run):
        if (folder / "arch.json").is_file():
            return load_arch(folder / "arch.json"), folder
    raise StorageError(f"'{run}' holds no arch.json, nor does '{run / 'best'}'; give the folder of a finished run")


def _write(
    model: nn.Module, task: Task, facts: dict[str, Any], out: Path, wanted: list[str]
) -> tuple[list[Path], float | None]:
    """Write the wanted files; the second value is the measured difference of the ONNX file."""
    from ogive.training.export import export_onnx, export_program, onnx_difference, save_arch, save_weights

    shape = task.input_shape
    files: list[Path] = []
    difference = None
    if "safetensors" in wanted:
        files += [save_weights(model, out / "weights.safetensors"), save_arch(out / "arch.json", facts)]
    if "torch" in wanted:
        files.append(export_program(model, shape, out / "model.pt2"))
    if "onnx" in wanted:
        files.append(export_onnx(model, shape, out / "model.onnx"))
        difference = onnx_difference(model, shape, files[-1])
    return files, difference


def _accuracy(model: nn.Module, task: Task) -> float | None:
    """Return the validation accuracy of the exported weights, None where the data are not on this machine."""
    from ogive.training.trainer import score

    try:
        return score(model, task, "val")["accuracy"]
    except DataMissingError:
        return None


def _print(document: dict[str, Any]) -> None:
    lines = [("architecture", document["arch"]), ("space, task", f"{document['space']}, {document['task']}")]
    if document["accuracy"] is not None:
        lines.append(("validation accuracy", f"{document['accuracy']:.2f} %"))
    if document["onnx_max_abs_difference"] is not None:
        lines.append(("ONNX Runtime", f"logits differ by at most {document['onnx_max_abs_difference']:.1e}"))
    for label, text in [*lines, *(("file", name) for name in document["files"])]:
        typer.echo(f"{label:<20}  {text}")
