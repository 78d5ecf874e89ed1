"""Every built-in task with data here, and the example plug-in, pass the shipped suite; the suite catches bad tasks."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from ogive._registry import load_plugin
from ogive.tasks import TASKS, Split, Task, get_task
from ogive.testing.task import SPLITS, TaskSuite

PLUGIN = Path(__file__).parents[2] / "examples" / "plugins" / "task.py"


class TestDigits(TaskSuite):
    def make(self):
        return get_task("digits")


class TestCIFAR10Extract(TaskSuite):
    @pytest.fixture(autouse=True)
    def _place(self, shared):
        self.path = shared / "cifar10_lossless_first4000.npz"

    def make(self):
        return get_task(f"cifar10:path={self.path}")


class _Extract(TaskSuite):
    file: ClassVar[str]
    spec: ClassVar[str]

    @pytest.fixture(autouse=True)
    def _place(self, shared):
        self.path = shared / self.file

    def make(self):
        return get_task(self.spec.format(self.path))


class TestMNISTExtract(_Extract):
    file, spec = "mnist_12k.npz", "mnist:path={}"


class TestESC10Extract(_Extract):
    file, spec = "audio_esc10_logmel.npz", "esc10:path={}"


class TestESC10PooledOtherFold(_Extract):
    file, spec = "audio_esc10_logmel.npz", "esc10:path={},fold=1,pool=3"


class TestArrays(_Extract):
    file, spec = "semg_myo_eval.npz", "arrays:path={}"


class TestRotated(TaskSuite):
    variant = "rotated"

    def make(self):
        return get_task(f"digits:variant={self.variant}")


class TestInverted(TestRotated):
    variant = "inverted"


class TestNoisy(TestRotated):
    variant = "noisy"


class TestPermuted(TestRotated):
    variant = "permuted"


class TestParity(TestRotated):
    variant = "parity"


class TestPlugin(TaskSuite):
    def make(self):
        load_plugin(str(PLUGIN))
        return get_task("stripes")


def test_plugin_is_short():
    assert len(PLUGIN.read_text().splitlines()) <= 40


class _Good(Task):
    name = "suite-check"
    input_shape = (1, 2, 2)
    n_outputs = 2
    mean = (127.5,)
    std = (73.6,)

    def split(self, which):
        rng = np.random.default_rng(SPLITS.index(which))
        return Split(rng.integers(0, 256, (400, 1, 2, 2), dtype=np.uint8), np.arange(400) % 2)


class _Leaky(_Good):
    def split(self, which):
        return super().split("train" if which == "val" else which)


class _Restless(_Good):
    def split(self, which):
        return Split(super().split(which).x[np.random.default_rng().permutation(400)], np.arange(400) % 2)


class _WrongLabels(_Good):
    def split(self, which):
        return Split(super().split(which).x, np.arange(400) % 3)


class _OneClass(_Good):
    def split(self, which):
        return Split(super().split(which).x, np.zeros(400, dtype=np.int64))


class _WrongShape(_Good):
    input_shape = (1, 4, 1)


class _WrongMean(_Good):
    mean = (0.5,)


class _NotNumbers(_Good):
    def split(self, which):
        return Split(np.full((400, 1, 2, 2), np.nan, dtype=np.float32), np.arange(400) % 2)


class _Unwritable(_Good):
    @property
    def spec(self):
        return "digits"


@pytest.mark.parametrize(
    ("task", "broken"),
    [
        (_Good, set()),
        (_Leaky, {"test_splits_share_no_example"}),
        (_Restless, {"test_gives_the_same_arrays_at_every_call"}),
        (_WrongLabels, {"test_labels_are_classes_and_training_sees_each"}),
        (_OneClass, {"test_labels_are_classes_and_training_sees_each"}),
        (_WrongShape, {"test_splits_have_the_stated_shapes_and_types"}),
        (_WrongMean, {"test_mean_and_std_normalise_the_training_split"}),
        (_NotNumbers, {"test_splits_have_the_stated_shapes_and_types"}),
        (_Unwritable, {"test_is_registered_and_written_as_its_spec"}),
    ],
)
def test_suite_catches_what_it_is_for(task, broken, monkeypatch):
    monkeypatch.setitem(TASKS._items, "suite-check", task)
    suite = type("Suite", (TaskSuite,), {"make": lambda self: task()})()
    failed = set()
    for name in dir(suite):
        if name.startswith("test_"):
            try:
                getattr(suite, name)()
            except AssertionError:
                failed.add(name)
    assert broken <= failed
    assert failed if broken else not failed
