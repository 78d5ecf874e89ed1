"""The contract of a task: subclass `TaskSuite`, say how to make yours, and run pytest on it."""

from __future__ import annotations

import itertools
from hashlib import blake2b
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ogive.tasks.base import TASKS, Task, get_task

if TYPE_CHECKING:
    from ogive.tasks.base import Split, SplitName

SPLITS: tuple[SplitName, ...] = ("train", "val", "test")


class TaskSuite:
    """Tests that every task passes.

    Attributes
    ----------
    repeats : bool
        True where the data themselves hold identical examples, so that splits need not differ in content.

    Examples
    --------
    >>> class TestMine(TaskSuite):
    ...     def make(self):
    ...         return MyTask()
    """

    repeats: ClassVar[bool] = False

    def make(self) -> Task:
        """Return the task under test, with its data on this machine."""
        raise NotImplementedError("say how to make the task: def make(self): return MyTask()")

    def test_is_registered_and_written_as_its_spec(self) -> None:
        task = self.make()
        assert task.name in TASKS, f"task '{task.name}' is not registered; add TASKS.add('{task.name}', {type(task)})"
        again = get_task(task.spec)
        assert type(again) is type(task)
        assert again.spec == task.spec
        assert (again.input_shape, again.n_outputs) == (task.input_shape, task.n_outputs)

    def test_states_what_a_network_needs(self) -> None:
        task = self.make()
        assert all(isinstance(d, int) and d > 0 for d in task.input_shape)
        assert isinstance(task.n_outputs, int)
        assert task.n_outputs >= 2
        assert task.direction in ("max", "min")
        assert task.augment in ("none", "crop-flip")
        assert len(task.mean) == len(task.std) == task.input_shape[0], "mean and std have one number a channel"
        assert all(s > 0 for s in task.std)

    def test_splits_have_the_stated_shapes_and_types(self) -> None:
        task = self.make()
        for which in SPLITS:
            split = task.split(which)
            assert split.x.shape == (len(split), *task.input_shape), which
            assert split.x.dtype in (np.uint8, np.float32), which
            assert split.y.shape == (len(split),), which
            assert split.y.dtype == np.int64, which
            assert len(split) > 0, which
            assert np.isfinite(split.x).all(), which

    def test_labels_are_classes_and_training_sees_each(self) -> None:
        task = self.make()
        for which in SPLITS:
            y = task.split(which).y
            assert y.min() >= 0, which
            assert y.max() < task.n_outputs, which
        assert len(np.unique(task.split("train").y)) == task.n_outputs

    def test_splits_share_no_example(self) -> None:
        task = self.make()
        if self.repeats:
            return
        digests = {which: _digests(task.split(which)) for which in SPLITS}
        for a, b in itertools.combinations(SPLITS, 2):
            shared = digests[a] & digests[b]
            assert not shared, f"{len(shared)} examples are in both {a} and {b}"

    def test_gives_the_same_arrays_at_every_call(self) -> None:
        task, other = self.make(), self.make()
        for which in SPLITS:
            first, second, third = task.split(which), task.split(which), other.split(which)
            for split in (second, third):
                assert np.array_equal(first.x, split.x), which
                assert np.array_equal(first.y, split.y), which

    def test_mean_and_std_normalise_the_training_split(self) -> None:
        task = self.make()
        x = task.split("train").x.astype(np.float64)
        axes = (0, *range(2, x.ndim))
        mean, std = np.array(task.mean), np.array(task.std)
        assert np.all(np.abs(x.mean(axis=axes) - mean) / std < 0.1), "mean is that of the training split"
        assert np.all(np.abs(x.std(axis=axes) / std - 1) < 0.1), "std is that of the training split"


def _digests(split: Split) -> set[bytes]:
    return {blake2b(row.tobytes(), digest_size=16).digest() for row in split.x}
