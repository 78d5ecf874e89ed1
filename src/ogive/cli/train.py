"""``ogive train``: train one architecture from scratch; validation watches, test reports."""

from __future__ import annotations

import hashlib
import json as json_module
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ogive._errors import InputError
from ogive.cli.common import Device, Json, Plugins, Quiet, Seed, SpaceSpec, TaskSpec, emit, load_plugins, note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import nn

    from ogive.training.trainer import Epoch


_CHECKPOINT = "checkpoint.safetensors"
_ONE_THREAD_MACS = 1_000_000_000


def train(
    arch: Annotated[str, typer.Argument(metavar="ARCH", help="Architecture string of the space.")],
    space: SpaceSpec = "nasbench201",
    task: TaskSpec = "digits",
    epochs: Annotated[int | None, typer.Option("--epochs", "-e", help="Passes over the training split.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", "-b", help="Examples a step.")] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="Highest learning rate of the schedule.")] = None,
    options: Annotated[
        str, typer.Option("--set", help="Other options of the recipe, as name=value,name=value (see docs/training.md).")
    ] = "",
    device: Device = "cpu",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the results [default: runs/train-... by content].")
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="CPU threads [default: one for small networks, else all].")
    ] = None,
    seed: Seed = 0,
    plugin: Plugins = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Train one architecture. Interrupted, the same command goes on where it stopped."""
    load_plugins(plugin)
    from ogive.spaces.base import get_space
    from ogive.tasks.base import get_task
    from ogive.training.config import TrainConfig
    from ogive.training.export import save_arch, save_weights
    from ogive.training.seeding import seeded
    from ogive.training.trainer import find_device, score
    from ogive.training.trainer import train as fit

    where, what = get_space(space), get_task(task)
    genotype = where.parse(arch)
    given = {"epochs": epochs, "batch_size": batch_size, "lr": lr}
    config = TrainConfig.parse(options)
    config = TrainConfig.from_dict(config.to_dict() | {k: v for k, v in given.items() if v is not None})
    facts = {
        "arch": where.format(genotype),
        "space": where.spec,
        "task": what.spec,
        "seed": seed,
        "recipe": config.to_dict(),
    }
    folder = out or Path("runs") / f"train-{_digest(facts)}"
    find_device(device)
    what.split("train")
    _claim(folder, facts)
    with seeded(seed):
        model = where.build(genotype, what)
    _use_threads(threads, model, what.input_shape, config.batch_size)
    checkpoint = folder / _CHECKPOINT
    with _progress(config.epochs, quiet, folder) as show:
        result = fit(model, what, config, seed=seed, device=device, callback=show, checkpoint=checkpoint)
        show(result.history[-1])
    found = {
        "accuracy": result.accuracy,
        "validation_accuracy": result.accuracy,
        "validation_loss": result.loss,
        "test_accuracy": score(model, what, "test", device=device)["accuracy"],
        "seconds": result.seconds,
        "epochs": result.epochs,
    }
    weights = save_weights(model, folder / "weights.safetensors")
    arch_file = save_arch(folder / "arch.json", facts | found)
    document = {**facts, **found, "files": [str(weights), str(arch_file), str(checkpoint)]}
    if json:
        emit(document)
    else:
        _print(document)


def _use_threads(threads: int | None, model: nn.Module, input_shape: tuple[int, ...], batch_size: int) -> None:
    """Set PyTorch's threads; a step of little work loses more by waiting for other threads than they take over."""
    import torch

    from ogive.metrics.counts import count_module

    if threads is None and count_module(model, input_shape).macs * batch_size < _ONE_THREAD_MACS:
        threads = 1
    if threads is not None:
        torch.set_num_threads(threads)


def _digest(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json_module.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]


def _claim(folder: Path, facts: dict[str, Any]) -> None:
    """Note in the folder what is trained there, or refuse a folder where something else was."""
    from ogive.training.export import load_arch, save_arch

    noted = folder / "arch.json"
    if not (folder / _CHECKPOINT).exists():
        save_arch(noted, facts)
        return
    before = load_arch(noted)
    before |= before.get("recipe", {})
    for name, now in (facts | facts["recipe"]).items():
        if name != "recipe" and before.get(name) != now:
            raise InputError(
                f"'{folder}' holds a run with {name}={before.get(name)}, not {now}; delete it or choose another --out"
            )


@contextmanager
def _progress(epochs: int, quiet: bool, folder: Path) -> Iterator[Callable[[Epoch], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("epoch {task.completed}/{task.total}"),
        BarColumn(),
        TextColumn("{task.description}"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        row = bar.add_task("", total=epochs)

        def show(epoch: Epoch) -> None:
            seen = "" if epoch.accuracy is None else f", validation accuracy {epoch.accuracy:.2f} %"
            bar.update(row, completed=epoch.epoch, description=f"training loss {epoch.train_loss:.3f}{seen}")

        try:
            yield show
        except KeyboardInterrupt:
            bar.stop()
            note(f"stopped; '{folder}' holds every finished epoch, the same command goes on from there", quiet)
            raise


def _print(document: dict[str, Any]) -> None:
    lines = [
        ("architecture", document["arch"]),
        ("space, task", f"{document['space']}, {document['task']}"),
        ("validation accuracy", f"{document['validation_accuracy']:.2f} %"),
        ("test accuracy", f"{document['test_accuracy']:.2f} %"),
        ("time", f"{document['seconds']:.1f} s, {document['epochs']} epochs"),
        *(("file", name) for name in document["files"]),
    ]
    for label, text in lines:
        typer.echo(f"{label:<20}  {text}")
