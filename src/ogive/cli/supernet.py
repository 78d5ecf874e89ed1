"""``ogive supernet``: train one network that holds all architectures, take one of them out, ask how far to trust it."""

from __future__ import annotations

import json as json_module
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ogive._errors import InputError, StorageError
from ogive.cli.common import Device, Json, Plugins, Quiet, Seed, SpaceSpec, TaskSpec, emit, load_plugins, note

if TYPE_CHECKING:
    from ogive.spaces.base import Space
    from ogive.tasks.base import Task
    from ogive.training.supernet_config import SupernetConfig
    from ogive.training.supernet_trainer import SupernetTrainer

app = typer.Typer(
    help="Supernets: one network that holds all architectures of a space, whose weights they share.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_SAVE_EVERY = 60.0
"""Seconds between checkpoints."""

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder that 'ogive supernet train' wrote.")]


@app.command()
def train(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of the supernet; interrupted, the same command goes on.")
    ],
    space: SpaceSpec = "nasbench201:C=4,N=1",
    task: TaskSpec = "digits",
    sampler: Annotated[
        str, typer.Option("--sampler", help="What a step trains, as name or name:option=value,... (docs/supernet.md).")
    ] = "uniform",
    epochs: Annotated[int | None, typer.Option("--epochs", "-e", help="Passes over the training split.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", "-b", help="Examples a step.")] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="Highest learning rate of the schedule.")] = None,
    options: Annotated[
        str, typer.Option("--set", help="Other options of the recipe, as name=value,name=value (docs/supernet.md).")
    ] = "",
    device: Device = "cpu",
    threads: Annotated[
        int, typer.Option("--threads", min=1, help="CPU threads; small networks are fastest with one.")
    ] = 1,
    seed: Seed = 0,
    plugin: Plugins = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Train a supernet on the training split; no architecture is chosen yet."""
    load_plugins(plugin)
    import torch

    from ogive.spaces.base import get_space
    from ogive.tasks.base import get_task
    from ogive.training.supernet_config import SupernetConfig
    from ogive.training.trainer import find_device

    given = {"sampler": sampler, "epochs": epochs, "batch_size": batch_size, "lr": lr}
    config = SupernetConfig.parse(options)
    config = SupernetConfig.from_dict(config.to_dict() | {k: v for k, v in given.items() if v is not None})
    find_device(device)
    torch.set_num_threads(threads)
    began = time.perf_counter()
    where = get_space(space)
    trainer = _trainer(out, where, get_task(task), config, seed, device)
    loss = _fit(trainer, out, quiet or json)
    document = {"space": where.spec, **_document(trainer, out), "loss": loss, "seconds": time.perf_counter() - began}
    if json:
        emit(document)
        return
    updates = document["updates"]
    lines = [
        ("space, task", f"{document['space']}, {document['task']}"),
        ("sampler", document["sampler"]),
        ("trained", f"{document['steps']:,} steps, {document['epochs']} epochs, {document['seconds']:.1f} s"),
        ("training loss", "-" if loss is None else f"{loss:.3f}, mean of the last epoch"),
        ("updates an option", f"{updates['least']:,} to {updates['most']:,}"),
        ("file", document["file"]),
    ]
    _print(lines)


def _trainer(folder: Path, space: Space, task: Task, config: SupernetConfig, seed: int, device: str) -> SupernetTrainer:
    """Return the training that the folder holds, if it is this one, or a new one."""
    from ogive.metrics.supernet import identity
    from ogive.training.supernet import FILE, Supernet
    from ogive.training.supernet_trainer import SupernetTrainer

    if not (folder / FILE).exists():
        return SupernetTrainer(Supernet(space, task, seed=seed, device=device), task, config, seed=seed)
    trainer = SupernetTrainer.load(folder, task, device=device)
    before = {"space": identity(trainer.supernet.space), "seed": trainer.seed, **trainer.config.to_dict()}
    for name, now in {"space": identity(space), "seed": seed, **config.to_dict()}.items():
        if before[name] != now:
            raise InputError(
                f"'{folder}' holds a supernet with {name}={before[name]}, not {now}; delete it or choose another --out"
            )
    return trainer


def _fit(trainer: SupernetTrainer, folder: Path, quiet: bool) -> float | None:
    """Train to the end and return the mean loss of the last epoch, None where that was done before.

    The state is saved once a minute, at the end and after Ctrl-C, which takes effect after the present step.
    """
    from ogive.study.executors import Interrupts
    from ogive.study.progress import counting_bar

    losses: list[float] = []
    saved = time.monotonic()
    left = trainer.total_steps - trainer.steps_done
    with Interrupts() as interrupts, counting_bar("steps", left, False if quiet else None) as move:
        while trainer.steps_done < trainer.total_steps and not interrupts.pending:
            losses += trainer.run(1)
            move(1)
            if time.monotonic() - saved > _SAVE_EVERY:
                trainer.save(folder)
                saved = time.monotonic()
        if losses:
            trainer.save(folder)
    if trainer.steps_done < trainer.total_steps:
        note(f"stopped after {trainer.steps_done:,} of {trainer.total_steps:,} steps; the same command goes on there")
        raise typer.Exit(130)
    last = losses[-(trainer.total_steps // trainer.config.epochs) :]
    return sum(last) / len(last) if last else None


def _document(trainer: SupernetTrainer, folder: Path) -> dict[str, Any]:
    from ogive.training.supernet import FILE

    supernet = trainer.supernet
    updates = supernet.exposure[supernet.space.restriction.allowed]
    return {
        "task": trainer.task.spec,
        "seed": trainer.seed,
        "sampler": trainer.config.sampler,
        "recipe": trainer.config.to_dict(),
        "steps": trainer.steps_done,
        "epochs": trainer.epochs_done,
        "updates": {"least": int(updates.min()), "most": int(updates.max())},
        "file": str(folder / FILE),
    }


@app.command()
def extract(
    folder: Folder,
    arch: Annotated[str, typer.Argument(metavar="ARCH", help="Architecture string of the supernet's space.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the network; 'ogive export' reads it.")],
    device: Device = "cpu",
    plugin: Plugins = None,
    json: Json = False,
) -> None:
    """Take one architecture out as a plain network, with the batch statistics that it is scored with."""
    load_plugins(plugin)
    from ogive.metrics.supernet import find_trainer
    from ogive.spaces.template import Template
    from ogive.training.export import save_arch, save_weights

    trainer = find_trainer(folder, "accuracy@supernet", None, device)
    space = trainer.supernet.space
    if isinstance(space, Template):  # the drawing goes with the network: the file it was read from may change
        out.mkdir(parents=True, exist_ok=True)
        space = space.save(out / "template.yaml")
    genotype = space.parse(arch)
    found = trainer.scorer(genotype)
    facts = {
        "arch": space.format(genotype),
        "space": space.spec,
        "task": trainer.task.spec,
        "supernet": str(folder),
        "accuracy@supernet": found["accuracy"],
        "loss@supernet": found["loss"],
    }
    weights = save_weights(trainer.scorer.prepared(genotype), out / "weights.safetensors")
    document = {**facts, "files": [str(weights), str(save_arch(out / "arch.json", facts))]}
    if json:
        emit(document)
        return
    lines = [
        ("architecture", document["arch"]),
        ("space, task", f"{document['space']}, {document['task']}"),
        ("accuracy@supernet", f"{found['accuracy']:.2f} %"),
        ("loss@supernet", f"{found['loss']:.4f} nats"),
        *(("file", name) for name in document["files"]),
    ]
    _print(lines)


@app.command()
def trust(
    folder: Folder,
    anchors: Annotated[int, typer.Option("--anchors", "-n", min=1, help="Architectures to train alone.")] = 12,
    repeated: Annotated[int, typer.Option("--repeated", min=0, help="Anchors trained with a second seed too.")] = 4,
    candidates: Annotated[
        int, typer.Option("--candidates", min=1, help="Architectures that anchors are chosen from.")
    ] = 200,
    pin: Annotated[list[str] | None, typer.Option("--pin", help="Architecture that must be an anchor.")] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", "-e", help="Epochs of a training alone.")] = None,
    options: Annotated[
        str, typer.Option("--set", help="Other options of the recipe alone, as name=value (docs/training.md).")
    ] = "",
    device: Device = "cpu",
    threads: Annotated[int, typer.Option("--threads", min=1, help="CPU threads.")] = 1,
    seed: Seed = 0,
    plugin: Plugins = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Train some architectures alone and say how well the supernet ranks them; trainings are kept in DIR/trust.json."""
    load_plugins(plugin)
    import torch

    from ogive.cli.search import training
    from ogive.methods.supernet_trust import examine
    from ogive.metrics.supernet import find_trainer
    from ogive.study.progress import counting_bar
    from ogive.training.config import TrainConfig

    torch.set_num_threads(threads)
    trainer = find_trainer(folder, "accuracy@supernet", None, device)
    config = TrainConfig.from_dict(training(options, epochs) or {})
    kept = Trainings(folder / "trust.json", config.to_dict())
    with counting_bar("trainings", anchors + min(repeated, anchors), False if quiet or json else None) as move:
        found, verdict = examine(
            trainer,
            config,
            anchors=anchors,
            repeated=repeated,
            candidates=candidates,
            pinned=pin or [],
            seed=seed,
            known=kept,
            progress=lambda: move(1),
        )
    document = {
        "supernet": str(folder),
        "steps": trainer.steps_done,
        "seed": seed,
        "recipe": config.to_dict(),
        "anchors": [asdict(anchor) for anchor in found],
        "trust": verdict.to_dict(),
    }
    if json:
        emit(document)
    else:
        _print_trust(document)


class Trainings(dict[tuple[str, int], float]):
    """What trainings alone gave, by architecture and seed; every new one is written to a file at once.

    Parameters
    ----------
    path : Path
        Trainings with another recipe in it are forgotten.
    recipe : dict
    """

    def __init__(self, path: Path, recipe: dict[str, Any]) -> None:
        self._path, self._recipe = path, recipe
        try:
            held = json_module.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
            rows = held.get("trainings", []) if held.get("recipe") == recipe else []
            super().__init__({(row["arch"], row["seed"]): row["accuracy"] for row in rows})
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise StorageError(f"'{path}' holds no trainings that can be read ({error}); delete it") from error

    def __setitem__(self, key: tuple[str, int], accuracy: float) -> None:
        from ogive.training.checkpoint import write_bytes

        super().__setitem__(key, accuracy)
        rows = [{"arch": arch, "seed": seed, "accuracy": value} for (arch, seed), value in self.items()]
        write_bytes(self._path, json_module.dumps({"recipe": self._recipe, "trainings": rows}, indent=2).encode())


def _print_trust(document: dict[str, Any]) -> None:
    for anchor in document["anchors"]:
        accuracy = ", ".join(f"{value:.2f} %" for value in anchor["accuracy"])
        typer.echo(f"{anchor['why']:<8}  loss inside {anchor['loss']:.4f}  alone {accuracy:<18}  {anchor['arch']}")
    trust = document["trust"]
    names = {
        "tau": "Kendall's tau",
        "rho": "Spearman's rho",
        "order": "pairs in order",
        "hit": f"best {trust['k']} found",
        "regret": "regret, points",
        "ceiling": "ceiling of tau",
    }
    _print([(label, _interval(trust[name])) for name, label in names.items()])
    typer.echo(f"ranking: {trust['wording']} ({trust['anchors']} anchors; intervals are 90 %, over anchors)")


def _interval(estimate: dict[str, float | None]) -> str:
    value, low, high = (estimate[key] for key in ("value", "low", "high"))
    return "unknown" if value is None else f"{value:.2f} ({low:.2f} to {high:.2f})"


def _print(lines: list[tuple[str, str]]) -> None:
    for label, text in lines:
        typer.echo(f"{label:<20}  {text}")
