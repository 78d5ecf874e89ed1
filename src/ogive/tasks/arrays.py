"""Any labelled arrays in a ``.npz`` file, as a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ogive._errors import InputError, StorageError
from ogive.tasks._files import read_npz
from ogive.tasks._stored import StoredTask
from ogive.tasks.base import TASKS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ogive.tasks._files import Arrays, Examples, Parts
    from ogive.tasks.base import SplitName


class ArrayFile(StoredTask):
    """The examples in a ``.npz`` file: ``x_train, y_train`` and, where there are, ``x_val, y_val, x_test, y_test``.

    Unlike other tasks it needs its file to know its shapes, so a missing file is told at once. Its mean and deviation
    are those of its training split. Bytes stay bytes; other numbers become float32.

    Parameters
    ----------
    path : str
        The file. Examples are ``(n, channels, height, width)``; those with fewer axes gain leading ones of length 1,
        so grey images ``(n, h, w)`` become ``(n, 1, h, w)`` and series ``(n, length)`` become ``(n, 1, 1, length)``.
        Classes are whole numbers from 0.
    val : int
        Examples set aside for validation where there is no ``x_val``; 0 takes a tenth of the training part. A missing
        test part takes a tenth as well.

    Raises
    ------
    InputError
        If no path is given, or the values are unusable.
    DataMissingError
        If there is no such file.
    StorageError
        If it is damaged or holds other arrays.
    """

    name = "arrays"
    reference = "the file named by the option path"

    def __init__(self, path: str = "", val: int = 0) -> None:
        super().__init__(path, val)
        if not path:
            raise InputError("task 'arrays' needs its file: write arrays:path=FILE.npz")
        self._parts = parts_of(read_npz(self.name, self.place), str(self.place))
        x, y = self._parts["train"]
        self.input_shape = tuple(x.shape[1:])
        self.n_outputs = int(y.max(initial=1)) + 1
        train = self._splits["train"].x
        axes = (0, *range(2, x.ndim))
        std = train.std(axis=axes, dtype=np.float64)
        self.mean = tuple(train.mean(axis=axes, dtype=np.float64).tolist())
        self.std = tuple(np.where(std > 0, std, 1.0).tolist())

    def _read(self) -> Parts:
        return self._parts


def parts_of(held: Arrays, source: str) -> Parts:
    """Return the parts named in a file's arrays, each as examples ``(n, c, h, w)`` and classes ``(n,)``.

    Raises
    ------
    StorageError
        If there is no training part, or examples and classes do not fit.
    InputError
        If a value is not finite.
    """
    names: tuple[SplitName, ...] = ("train", "val", "test")
    found = {w: _examples(held[f"x_{w}"], held[f"y_{w}"], f"x_{w}", source) for w in names if _has(held, w)}
    if "train" not in found:
        raise StorageError(f"'{source}' has no x_train and y_train; it holds {', '.join(sorted(held))}")
    for which, (x, _) in found.items():
        if x.shape[1:] != found["train"][0].shape[1:]:
            raise StorageError(f"'{source}': x_{which} has examples of another shape than x_train")
    return found


def _has(held: Arrays, which: str) -> bool:
    return f"x_{which}" in held and f"y_{which}" in held


def _examples(x: NDArray[np.generic], y: NDArray[np.generic], name: str, source: str) -> Examples:
    if not 2 <= x.ndim <= 4 or y.shape != x.shape[:1] or x.dtype.kind not in "buif" or y.dtype.kind not in "bui":
        raise StorageError(
            f"'{source}': {name} is {x.dtype}{list(x.shape)} with classes {y.dtype}{list(y.shape)} where numbers "
            "(n, channels, height, width) and whole numbers (n,) belong"
        )
    x = x.reshape(len(x), *[1] * (4 - x.ndim), *x.shape[1:])
    if x.dtype != np.uint8:
        x = x.astype(np.float32)
        if not np.isfinite(x).all():
            raise InputError(f"'{source}': {name} has values that are not finite")
    return x, y.astype(np.int64)


TASKS.add("arrays", ArrayFile)
