"""CIFAR-10, CIFAR-100 and ImageNet16-120: the three image tasks of NAS-Bench-201.

Files are looked for in ``<data home>/<task>/`` or at the option ``path``: a folder with the official files, the
folder they unpack to, or the official archive.
"""

from __future__ import annotations

from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ogive._errors import DataMissingError, InputError
from ogive._paths import data_home
from ogive.tasks._files import Layout, read_files
from ogive.tasks._images import binary_batch, cifar10_extract, python_batch
from ogive.tasks._splits import stratified
from ogive.tasks.base import TASKS, Split, Task

if TYPE_CHECKING:
    from ogive.tasks._files import Examples
    from ogive.tasks.base import SplitName


class _OfficialImages(Task):
    """Small colour images with an official training part, of which a fixed stratified share becomes validation.

    Parameters
    ----------
    path : str
        Folder or file of the data; by default ``<data home>/<task>``.
    val : int
        Images set aside for validation; 0 takes a tenth of the images that come with the training part.
    """

    augment = "crop-flip"
    layouts: ClassVar[tuple[Layout, ...]]

    def __init__(self, path: str = "", val: int = 0) -> None:
        if isinstance(val, bool) or not isinstance(val, int) or val < 0:
            raise InputError(f"task '{self.name}': val={val!r} must be a whole number >= 0")
        self.path, self.val = str(path), val

    @property
    def spec(self) -> str:
        """The text that gives this task again."""
        options = [f"path={self.path}"] * bool(self.path) + [f"val={self.val}"] * bool(self.val)
        return self.name + (":" + ",".join(options) if options else "")

    @property
    def place(self) -> Path:
        """Folder or file where the data are looked for."""
        return Path(self.path).expanduser() if self.path else data_home() / self.name

    def split(self, which: SplitName) -> Split:
        """Return one of the splits; pixels are uint8 from 0 to 255."""
        return self._splits[which]

    @cached_property
    def _splits(self) -> dict[SplitName, Split]:
        train, test = self._read()
        for x, y in (train, *([test] if test else [])):
            if len(x) == 0 or y.min() < 0 or y.max() >= self.n_outputs:
                raise InputError(
                    f"task '{self.name}': '{self.place}' has no images, or labels beyond 0..{self.n_outputs - 1}"
                )
        return self._cut(train, test)

    def _cut(self, train: Examples, test: Examples | None) -> dict[SplitName, Split]:
        x, y = train
        n_val = self.val or len(y) // 10
        n_test = 0 if test else len(y) // 10
        if n_val + n_test >= len(y):
            raise InputError(f"task '{self.name}': val={n_val} leaves none of the {len(y)} images to train on")
        kept, held_out, tail = stratified(y, (n_val, n_test), seed=0)
        return {
            "train": Split(x[kept], y[kept]),
            "val": Split(x[held_out], y[held_out]),
            "test": Split(*test) if test else Split(x[tail], y[tail]),
        }

    def _read(self) -> tuple[Examples, Examples | None]:
        """Return the official training part and, where there is one, the official test part."""
        layout, files = read_files(self.name, self.place, self.layouts)
        return _joined(layout, files, layout.train), _joined(layout, files, layout.test)


def _joined(layout: Layout, files: dict[str, bytes], names: tuple[str, ...]) -> Examples:
    parts = [layout.decode(files[name], name) for name in names]
    return np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])


class CIFAR10(_OfficialImages):
    """CIFAR-10: 32 x 32 colour images of ten classes, 50,000 for training and 10,000 for test.

    By default 5,000 of the training images, 500 a class, are for validation (the 45,000/5,000 proportion of Zoph and
    Le, ICLR 2017); ``val=25000`` is the half-and-half proportion of NAS-Bench-201. The test images are the official
    ones. ``path`` may also name one of two compact ``.npz`` extracts; the one without test images gives up a tenth of
    its images for test.
    """

    name = "cifar10"
    input_shape = (3, 32, 32)
    n_outputs = 10
    mean = (125.3, 123.0, 113.9)
    std = (63.0, 62.1, 66.7)
    reference = "Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009"
    layouts = (
        Layout(
            "cifar-10-python.tar.gz",
            "cifar-10-batches-py",
            tuple(f"data_batch_{i}" for i in range(1, 6)),
            ("test_batch",),
            partial(python_batch, label="labels", side=32),
        ),
        Layout(
            "cifar-10-binary.tar.gz",
            "cifar-10-batches-bin",
            tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
            ("test_batch.bin",),
            partial(binary_batch, labels=1),
        ),
    )

    def _read(self) -> tuple[Examples, Examples | None]:
        if self.place.suffix == ".npz":
            if not self.place.is_file():
                raise DataMissingError(f"task '{self.name}': there is no file '{self.place}'")
            return cifar10_extract(self.place)
        return super()._read()


class CIFAR100(_OfficialImages):
    """CIFAR-100: 32 x 32 colour images of a hundred classes, 50,000 for training and 10,000 for test.

    5,000 of the training images, 50 a class, are for validation by default. NAS-Bench-201 instead halves the official
    test images into validation and test; here the test part stays whole and unseen.
    """

    name = "cifar100"
    input_shape = (3, 32, 32)
    n_outputs = 100
    mean = (129.3, 124.1, 112.4)
    std = (68.2, 65.4, 70.4)
    reference = CIFAR10.reference
    layouts = (
        Layout(
            "cifar-100-python.tar.gz",
            "cifar-100-python",
            ("train",),
            ("test",),
            partial(python_batch, label="fine_labels", side=32),
        ),
        Layout(
            "cifar-100-binary.tar.gz",
            "cifar-100-binary",
            ("train.bin",),
            ("test.bin",),
            partial(binary_batch, labels=2),
        ),
    )


class ImageNet16x120(_OfficialImages):
    """ImageNet16-120: the first 120 classes of ImageNet at 16 x 16 pixels, about 151,700 for training, 6,000 for test.

    The files are those of the down-sampled ImageNet (1,000 classes); other classes are dropped. A tenth of the
    training images is for validation by default; NAS-Bench-201 instead halves the official validation images into
    validation and test; here they all are the test part.
    """

    name = "imagenet16-120"
    input_shape = (3, 16, 16)
    n_outputs = 120
    mean = (122.68, 116.66, 104.01)
    std = (63.22, 61.26, 65.09)
    reference = "Chrabaszcz, Loshchilov and Hutter, arXiv 1707.08819; classes of Dong and Yang, ICLR 2020"
    layouts = (
        Layout(
            "",
            "ImageNet16",
            tuple(f"train_data_batch_{i}" for i in range(1, 11)),
            ("val_data",),
            partial(python_batch, label="labels", side=16, first=1),
        ),
    )

    def _read(self) -> tuple[Examples, Examples | None]:
        train, test = super()._read()
        return self._first_classes(train), None if test is None else self._first_classes(test)

    def _first_classes(self, part: Examples) -> Examples:
        x, y = part
        return x[y < self.n_outputs], y[y < self.n_outputs]


for _task in (CIFAR10, CIFAR100, ImageNet16x120):
    TASKS.add(_task.name, _task)
