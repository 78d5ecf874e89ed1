"""What real training says: each architecture is built, trained and scored on the validation split."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ogive._errors import InputError
from ogive.metrics.base import Context, Cost, Metric, register

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ogive.spaces.base import Genotypes, Space


def trained(names: tuple[str, ...], space: Space, genotype: Genotypes, context: Context) -> Mapping[str, float]:
    """Build one network with weights fixed by the seed, train it, and return validation accuracy, loss and time.

    The recipe is ``context.options["train"]``, a `TrainConfig`; the default recipe without it. The test split is never
    read.

    Raises
    ------
    DivergedError
        If the run diverges.
    DataMissingError
        If the task's files are not on this machine.
    """
    from ogive.training.config import TrainConfig
    from ogive.training.seeding import seeded
    from ogive.training.trainer import train

    task = context.need_task(names[0])
    config = context.options.get("train", TrainConfig())
    if not isinstance(config, TrainConfig):
        raise InputError(f"option 'train' must be a TrainConfig, not {type(config).__name__}")
    with seeded(context.seed):
        model = space.build(genotype, task)
    result = train(model, task, config, seed=context.seed, device=context.device)
    return {
        "accuracy@train": result.accuracy,
        "loss@train": result.loss,
        "seconds@train": result.seconds,
    }


def _metric(name: str, unit: str, direction: str, description: str) -> Metric:
    return Metric(
        name=name,
        provider=trained,
        unit=unit,
        direction=direction,  # type: ignore[arg-type]
        cost=Cost.TRAIN,
        identity="graph",
        needs=frozenset({"task", "data", "weights"}),
        batched=False,
        description=description,
    )


register(
    _metric("accuracy@train", "%", "max", "Validation accuracy after the last epoch of training from scratch."),
    _metric("loss@train", "nats", "min", "Validation cross-entropy after the last epoch of training from scratch."),
    _metric("seconds@train", "s", "min", "Wall-clock time of training and validation on this machine."),
)
