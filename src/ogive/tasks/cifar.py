"""CIFAR-10, CIFAR-100 and ImageNet16-120: the three image tasks of NAS-Bench-201.

Files are looked for in ``<data home>/<task>/`` or at the option ``path``: a folder with the official files, the
folder they unpack to, or the official archive.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ogive.tasks._files import Layout
from ogive.tasks._images import binary_batch, cifar10_extract, python_batch
from ogive.tasks._stored import StoredTask
from ogive.tasks.base import TASKS

if TYPE_CHECKING:
    from ogive.tasks._files import Arrays, Examples, Parts


class CIFAR10(StoredTask):
    """CIFAR-10: 32 x 32 colour images of ten classes, 50,000 for training and 10,000 for test.

    By default 5,000 of the training images, 500 a class, are for validation (the 45,000/5,000 proportion of Zoph and
    Le, ICLR 2017); ``val=25000`` is the half-and-half proportion of NAS-Bench-201. The test images are the official
    ones. ``path`` may also name one of two compact ``.npz`` extracts; the one without test images gives up a tenth of
    its images for test.
    """

    name = "cifar10"
    augment = "crop-flip"
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

    def _unpack(self, held: Arrays) -> Parts:
        return cifar10_extract(held, str(self.place))


class CIFAR100(StoredTask):
    """CIFAR-100: 32 x 32 colour images of a hundred classes, 50,000 for training and 10,000 for test.

    5,000 of the training images, 50 a class, are for validation by default. NAS-Bench-201 instead halves the official
    test images into validation and test; here the test part stays whole and unseen.
    """

    name = "cifar100"
    augment = "crop-flip"
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


class ImageNet16x120(StoredTask):
    """ImageNet16-120: the first 120 classes of ImageNet at 16 x 16 pixels, about 151,700 for training, 6,000 for test.

    The files are those of the down-sampled ImageNet (1,000 classes); other classes are dropped. A tenth of the
    training images is for validation by default; NAS-Bench-201 instead halves the official validation images into
    validation and test; here they all are the test part.
    """

    name = "imagenet16-120"
    augment = "crop-flip"
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

    def _decode(self, layout: Layout, files: dict[str, bytes], names: tuple[str, ...]) -> Examples:
        x, y = super()._decode(layout, files, names)
        return x[y < self.n_outputs], y[y < self.n_outputs]


for _task in (CIFAR10, CIFAR100, ImageNet16x120):
    TASKS.add(_task.name, _task)
