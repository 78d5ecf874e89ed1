"""Unknown targets, simulated: what architectures would be worth on tasks around the source that nobody has measured.

In its setting "target unknown", ArchLock (Zhou, Ren and Xu, ICLR 2024) compares architectures on embeddings drawn
around the source's. Here a comparator learns from tasks made of the source's own examples: some of its classes, their
images changed. They are embedded by a probe trained on the source, a few random architectures are measured on each, and
the comparator then says what any architecture is worth at an embedding that no data belong to.

Importing this module registers the metric ``worth@simulated``, the mean worth at simulated targets. A search uses it on
the owner's task as ``worth@simulated/digits``, with this module among its plug-ins, so that workers know it too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ogive._errors import InputError
from ogive.metrics.base import Context, metric, resolve
from ogive.metrics.evaluate import evaluate
from ogive.metrics.percentile import percentiles
from ogive.predictors.comparator import Comparator
from ogive.predictors.features import Features
from ogive.tasks.base import Split, Task, get_task

if TYPE_CHECKING:
    from ogive.spaces.base import Genotypes, Space
    from ogive.tasks.base import SplitName
    from ogive.training.config import TrainConfig

Floats = NDArray[np.float64]

METRIC = "worth@simulated"
PLUGIN = __name__
_DRAWS = 20

CHANGES = ("none", "rotated", "inverted", "noisy", "permuted")
"""What is done to the images of a derived task."""


class Derived(Task):
    """Another task made of a task's examples: some of its classes, their images changed.

    Parameters
    ----------
    task : Task
        Of images.
    classes : sequence of int
        At least two; they are numbered anew in this order.
    change : str
        One of `CHANGES`: a quarter turn, light and dark exchanged around the mean, noise of the task's own deviation,
        or all pixels in one other order.
    seed : int
        Draws noise and order.
    """

    name = "derived"

    def __init__(self, task: Task, classes: tuple[int, ...], change: str = "none", seed: int = 0) -> None:
        self.task, self.classes, self.change, self.seed = task, classes, change, seed
        c, h, w = task.input_shape
        self.input_shape = (c, w, h) if change == "rotated" else (c, h, w)
        self.n_outputs = len(classes)
        grow = math.sqrt(2.0) if change == "noisy" else 1.0
        self.mean, self.std = task.mean, tuple(grow * s for s in task.std)
        self._known: dict[SplitName, Split] = {}

    @property
    def spec(self) -> str:
        """What it is made of; for messages, `get_task` cannot read it."""
        return f"{self.task.spec} (classes {', '.join(map(str, self.classes))}; {self.change})"

    def split(self, which: SplitName) -> Split:
        """Return one of the splits, cut as the original is; float32."""
        if which not in self._known:
            whole = self.task.split(which)
            place = np.full(self.task.n_outputs, -1)
            place[list(self.classes)] = np.arange(self.n_outputs)
            rows = place[whole.y] >= 0
            x = self._changed(whole.x[rows].astype(np.float32), ("train", "val", "test").index(which))
            self._known[which] = Split(x, place[whole.y[rows]].astype(np.int64))
        return self._known[which]

    def _changed(self, x: NDArray[np.float32], number: int) -> NDArray[np.float32]:
        mean, std = (np.array(v, dtype=np.float32)[:, None, None] for v in (self.task.mean, self.task.std))
        if self.change == "rotated":
            return np.ascontiguousarray(np.rot90(x, axes=(2, 3)))
        if self.change == "inverted":
            return 2 * mean - x
        if self.change == "noisy":
            rng = np.random.default_rng([self.seed, number])
            return x + std * rng.standard_normal(x.shape, dtype=np.float32)
        if self.change == "permuted":
            flat = x.reshape(*x.shape[:2], -1)
            return flat[..., np.random.default_rng(self.seed).permutation(flat.shape[-1])].reshape(x.shape)
        return x


def derive_tasks(task: Task, n: int, seed: int) -> list[Derived]:
    """Return `n` tasks made of a task's examples, each with a random half of its classes, the changes in turn.

    Raises
    ------
    InputError
        If the examples are no images, or there are fewer than three classes to choose from.
    """
    if len(task.input_shape) != 3 or task.n_outputs < 3:
        raise InputError(
            f"task '{task.spec}' cannot stand in for unknown targets: that needs images of at least three classes"
        )
    rng = np.random.default_rng([seed, 1])
    half = max(2, task.n_outputs // 2)
    chosen = [tuple(sorted(rng.permutation(task.n_outputs)[:half].tolist())) for _ in range(n)]
    return [Derived(task, classes, CHANGES[i % len(CHANGES)], seed + i) for i, classes in enumerate(chosen)]


@dataclass(frozen=True)
class Simulation:
    """How targets are simulated.

    Attributes
    ----------
    tasks : int
        Derived tasks that the comparator learns from, besides the source.
    architectures : int
        Random ones that are measured on each.
    labels : tuple of str
        Metrics that say which of two architectures is better on a task: real trainings, or several zero-cost metrics,
        whose votes are counted.
    epochs : int
        Of each training.
    targets : int
        Simulated embeddings.
    cosine : float or None
        Their cosine to the source's, in random directions, as published; None spreads them as the derived tasks spread.
    probe_steps : int
    """

    tasks: int = 8
    architectures: int = 24
    labels: tuple[str, ...] = ("accuracy@train",)
    epochs: int = 4
    targets: int = 15
    cosine: float | None = None
    probe_steps: int = 200


class SimulatedTargets:
    """What architectures are worth at simulated targets.

    Attributes
    ----------
    evaluations : int
        Measurements that it took, each of one architecture on one task by all labels.
    embeddings : ndarray of float64, (1 + tasks, d)
        Of the source and of the derived tasks.
    targets : ndarray of float64, (n, d)
        Simulated embeddings.
    comparator : Comparator
    """

    def __init__(
        self,
        space: Space,
        source: Task | str,
        simulation: Simulation | None = None,
        *,
        train: TrainConfig | None = None,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        from ogive.tasks.embedding import fisher_embedding, resembling_targets, simulated_targets
        from ogive.training.config import TrainConfig
        from ogive.training.probe import train_probe

        how, source = simulation or Simulation(), get_task(source)
        tasks = [source, *derive_tasks(source, how.tasks, seed)]
        probe = train_probe([source], steps=how.probe_steps, seed=seed, device=device)
        self.embeddings = np.array([fisher_embedding(task, probe, seed=seed) for task in tasks])
        rng = np.random.default_rng([seed, 2])
        self.targets = (
            resembling_targets(self.embeddings[0], self.embeddings[1:], how.targets, rng)
            if how.cosine is None
            else simulated_targets(self.embeddings[0], how.targets, how.cosine, rng)
        )
        genotypes = _distinct(space, how.architectures, rng)
        recipe = replace(train or TrainConfig(), epochs=how.epochs)
        context = Context(seed=seed, device=device, options={"train": recipe})
        scores = np.array([votes(how.labels, space, genotypes, replace(context, task=task)) for task in tasks])
        self.evaluations = scores.size
        self._features = Features(space)
        self.comparator = Comparator(holdout="tasks", seed=seed)
        self.comparator.fit_tasks(self._features(genotypes), self.embeddings, scores)

    def worth(self, genotypes: Genotypes) -> Floats:
        """Return the worth of each genotype at each simulated target, in logits, ``(n_targets, n)``."""
        features = self._features(genotypes)
        return np.array([self.comparator.worth(features, target)[0] for target in self.targets])

    def source_worth(self, genotypes: Genotypes) -> Floats:
        """Return the worth of each genotype at the source in logits, ``(n,)``."""
        return self.comparator.worth(self._features(genotypes), self.embeddings[0])[0]

    def win_probability(self, a: Genotypes, b: Genotypes, task: str) -> Floats:
        """Return how likely each row of `a` beats that of `b`, ``(n,)``: at the source, or the mean over targets.

        Parameters
        ----------
        a, b : ndarray of int, (n, n_choices)
        task : str
            A metric; ``worth@simulated`` means the simulated targets, any other the source.
        """
        from scipy.special import expit

        if task.partition("/")[0] == METRIC:
            return np.asarray(expit(self.worth(a) - self.worth(b)).mean(axis=0))
        return np.asarray(expit(self.source_worth(a) - self.source_worth(b)))


def votes(labels: tuple[str, ...], space: Space, genotypes: Genotypes, context: Context) -> Floats:
    """Return the mean percentile over some metrics, higher is better, ``(n,)``; NaN where one has no value.

    Of two architectures it prefers the one that wins more pairs over all metrics: Borda's count.
    """
    found = evaluate(labels, space, genotypes, context).values
    known = ~np.isnan(np.array(list(found.values()))).any(axis=0)
    out = np.full(len(genotypes), np.nan)
    if known.any():
        out[known] = np.mean([percentiles(v[known], resolve(m).direction) for m, v in found.items()], axis=0)
    return out


def _distinct(space: Space, n: int, rng: np.random.Generator) -> Genotypes:
    drawn = space.sample(_DRAWS * n, rng)
    found = dict(zip(space.keys(space.canonical(drawn)), drawn, strict=True))
    return np.array(list(found.values())[:n], dtype=space.dtype)


@metric(
    METRIC,
    unit="logits",
    needs=frozenset({"task", "data"}),
    description="Mean worth at targets simulated around the task, as a comparator sees it.",
    reference="Zhou, Ren and Xu, ArchLock, ICLR 2024",
)
def mean_worth(space: Space, genotypes: Genotypes, context: Context) -> Floats:
    """Return the mean worth of each genotype at simulated targets, ``(n,)``; the first call fits the comparator."""
    task, train = context.need_task(METRIC), context.options.get("train")
    # By what they are called: a search that goes on has new objects, and asks for the same targets.
    question = (space.spec, task.spec, context.seed, context.device, train)
    if question not in _made:
        _made[question] = SimulatedTargets(space.free(), task, train=train, seed=context.seed, device=context.device)
    return np.asarray(_made[question].worth(genotypes).mean(axis=0))


_made: dict[tuple[Any, ...], SimulatedTargets] = {}
