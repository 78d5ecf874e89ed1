"""What a trained supernet says of an architecture: its shared weights are scored, nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ogive._errors import InputError, StorageError
from ogive.metrics.base import Context, Cost, Metric, register

if TYPE_CHECKING:
    from ogive.spaces.base import Genotypes, Space
    from ogive.tasks.base import Task
    from ogive.training.supernet_trainer import SupernetTrainer


def inside(names: tuple[str, ...], space: Space, genotype: Genotypes, context: Context) -> Mapping[str, float]:
    """Score one architecture with the weights it shares, on the part of the validation split that a search may see.

    The supernet is ``context.options["supernet"]``: the folder that ``ogive supernet train`` wrote, a mapping with such
    a "folder", a `SupernetTrainer`, or anything that has one as its `trainer`. What batch normalisation uses is up to
    the supernet's recipe.

    Raises
    ------
    InputError
        If there is no supernet, or it is one of another space or task.
    DivergedError
        If the loss is not finite.
    """
    task = context.need_task(names[0])
    trainer = find_trainer(context.options.get("supernet"), names[0], task, context.device)
    held, asked = identity(trainer.supernet.space), identity(space)
    if held != asked:
        raise InputError(f"the supernet holds space '{held}', not '{asked}'; give that one")
    if trainer.task.spec != task.spec:
        raise InputError(f"the supernet was trained on task '{trainer.task.spec}', not '{task.spec}'; give that one")
    found = trainer.scorer(genotype)
    return {"accuracy@supernet": found["accuracy"], "loss@supernet": found["loss"]}


def identity(space: Space) -> str:
    """Return what names a space wherever it came from: its spec, or a drawing's digest."""
    return str(getattr(space, "digest", None) or space.spec)


def find_trainer(source: Any, metric: str, task: Task | None, device: str) -> SupernetTrainer:
    """Return the training behind an option "supernet"; a folder is read once for as long as its file stays.

    Raises
    ------
    InputError
        If it is none of what `inside` takes, or the folder holds no supernet that can be read. It is the study that is
        at fault then, not one architecture.
    """
    from ogive.training.supernet import FILE
    from ogive.training.supernet_trainer import SupernetTrainer

    source = source.get("folder") if isinstance(source, Mapping) else getattr(source, "trainer", source)
    if isinstance(source, SupernetTrainer):
        return source
    if not isinstance(source, (str, Path)):
        raise InputError(
            f"metric '{metric}' needs a trained supernet; make one with ogive supernet train and give its folder, for "
            "example --supernet runs/supernet"
        )
    file = Path(source) / FILE
    if not file.is_file():
        raise InputError(f"'{source}' holds no {FILE}; make one with ogive supernet train --out {source}")
    try:
        return _loaded(file.resolve(), file.stat().st_mtime_ns, task, device)
    except StorageError as error:
        raise InputError(str(error)) from error


@lru_cache(maxsize=2)
def _loaded(file: Path, written: int, task: Task | None, device: str) -> SupernetTrainer:  # noqa: ARG001 - part of the key
    from ogive.training.supernet_trainer import SupernetTrainer

    return SupernetTrainer.load(file.parent, task, device=device)


def _metric(name: str, unit: str, direction: str, description: str) -> Metric:
    return Metric(
        name=name,
        provider=inside,
        unit=unit,
        direction=direction,  # type: ignore[arg-type]
        cost=Cost.FORWARD,
        needs=frozenset({"task", "data", "weights"}),
        batched=False,
        description=description,
        reference="Bender et al., ICML 2018; Guo et al., ECCV 2020",
    )


register(
    _metric("accuracy@supernet", "%", "max", "Validation accuracy with the weights of a trained supernet."),
    _metric("loss@supernet", "nats", "min", "Validation cross-entropy with the weights of a trained supernet."),
)
