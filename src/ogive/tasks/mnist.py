"""MNIST: handwritten digits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ogive._errors import StorageError
from ogive.tasks._files import Layout
from ogive.tasks._images import idx_array
from ogive.tasks._stored import StoredTask
from ogive.tasks.arrays import parts_of
from ogive.tasks.base import TASKS

if TYPE_CHECKING:
    from ogive.tasks._files import Arrays, Examples, Parts

_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def _layout(end: str) -> Layout:
    names = tuple(name + end for name in _FILES)
    return Layout("", "MNIST/raw", names[:2], names[2:], idx_array)


class MNIST(StoredTask):
    """MNIST: 28 x 28 grey images of handwritten digits, 60,000 for training and 10,000 for test.

    A tenth of the training images is for validation by default. Images are not augmented: a mirrored digit is none.
    The files are the four official ones, compressed or not; ``path`` may also name a ``.npz`` file with ``x_train``,
    ``y_train``, ``x_test`` and ``y_test``.
    """

    name = "mnist"
    input_shape = (1, 28, 28)
    n_outputs = 10
    mean = (33.3,)
    std = (78.6,)
    reference = "LeCun, Bottou, Bengio and Haffner, Proceedings of the IEEE 86, 1998"
    layouts = (_layout(".gz"), _layout(""))
    extract = "mnist.npz"

    def _decode(self, layout: Layout, files: dict[str, bytes], names: tuple[str, ...]) -> Examples:
        images, labels = (layout.decode(files[name], name) for name in names)
        return self._checked(images, labels, str(self.place))

    def _unpack(self, held: Arrays) -> Parts:
        found = parts_of(held, str(self.place))
        return {which: self._checked(x, y, str(self.place)) for which, (x, y) in found.items()}

    def _checked(self, images: np.ndarray, labels: np.ndarray, source: str) -> Examples:
        x = images.reshape(len(images), 1, *images.shape[-2:])
        if x.dtype != np.uint8 or x.shape[1:] != self.input_shape or labels.shape != (len(x),):
            raise StorageError(
                f"'{source}' is not MNIST: images {images.dtype}{list(images.shape)} and labels {list(labels.shape)} "
                "where uint8[n, 28, 28] and [n] belong"
            )
        return x, labels.astype(np.int64)


TASKS.add("mnist", MNIST)
