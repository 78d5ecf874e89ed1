"""Handwritten digits, the default that needs no download, and variants of them to transfer to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ogive._errors import UnknownNameError
from ogive.tasks._splits import stratified
from ogive.tasks.base import TASKS, Split, Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ogive.tasks.base import SplitName

    Bytes = NDArray[np.uint8]

_WHITE = 16
_NOISE = 8


class Digits(Task):
    """The 1,797 handwritten digits of 8 x 8 pixels with 17 grey levels that come with scikit-learn.

    The examples are all different. A fixed stratified split gives 997 to training, 400 to validation and 400 to test.

    Parameters
    ----------
    variant : str
        A change that makes another task of them, for trying out transfer without a download: "rotated" (a quarter
        turn anticlockwise), "inverted" (white is black), "noisy" (each pixel off by up to 8 levels), "permuted" (all
        images' pixels in one other order), "parity" (even or odd, two classes). Every variant has the split of the
        original, so an example that trains in one is never tested in another.

    Raises
    ------
    UnknownNameError
        If there is no such variant.
    """

    name = "digits"
    input_shape = (1, 8, 8)
    n_outputs = 10
    mean = (4.8800,)
    std = (6.0171,)
    reference = "E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998 (its test set)"

    def __init__(self, variant: str = "") -> None:
        self.variant = str(variant)
        if variant:
            if self.variant not in _VARIANTS:
                raise UnknownNameError.of("variant of the digits", self.variant, _VARIANTS)
            change = _VARIANTS[self.variant]
            self.mean, self.std, self.n_outputs = (change.mean,), (change.std,), change.n_outputs

    @property
    def spec(self) -> str:
        """The text that gives this task again."""
        return f"{self.name}:variant={self.variant}" if self.variant else self.name

    def split(self, which: SplitName) -> Split:
        """Return one of the splits; pixels are uint8 from 0 to 16."""
        return _splits(self.variant)[which]


@dataclass(frozen=True)
class _Variant:
    """A change of the images ``(n, 8, 8)`` or of the classes ``(n,)``, and the training split's statistics."""

    images: Callable[[Bytes], Bytes] = lambda x: x
    classes: Callable[[NDArray[np.int64]], NDArray[np.int64]] = lambda y: y
    mean: float = Digits.mean[0]
    std: float = Digits.std[0]
    n_outputs: int = Digits.n_outputs


def _uniform(*shape: int) -> NDArray[np.float64]:
    # Raw doubles are a stream that numpy guarantees never to change.
    return np.random.Generator(np.random.PCG64(0)).random(shape)


def _noisy(x: Bytes) -> Bytes:
    offset = np.floor(_uniform(*x.shape) * (2 * _NOISE + 1)) - _NOISE
    changed: Bytes = np.clip(x + offset, 0, _WHITE).astype(np.uint8)
    return changed


def _permuted(x: Bytes) -> Bytes:
    order = np.argsort(_uniform(x[0].size), kind="stable")
    return x.reshape(len(x), -1)[:, order].reshape(x.shape)


_VARIANTS = {
    "rotated": _Variant(lambda x: np.rot90(x, axes=(1, 2))),
    "inverted": _Variant(lambda x: _WHITE - x, mean=_WHITE - Digits.mean[0]),
    "noisy": _Variant(_noisy, mean=5.7082, std=5.6488),
    "permuted": _Variant(_permuted),
    "parity": _Variant(classes=lambda y: y % 2, n_outputs=2),
}


@cache
def _splits(variant: str) -> dict[SplitName, Split]:
    from sklearn.datasets import load_digits

    found = load_digits()
    y = found.target.astype(np.int64)
    change = _VARIANTS.get(variant, _Variant())
    x = np.ascontiguousarray(change.images(found.images.astype(np.uint8)))[:, None]
    names: tuple[SplitName, ...] = ("train", "val", "test")
    parts = stratified(y, (400, 400), seed=0)
    return {name: Split(x[i], change.classes(y[i])) for name, i in zip(names, parts, strict=True)}


TASKS.add("digits", Digits)
