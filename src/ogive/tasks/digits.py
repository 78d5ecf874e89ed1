"""Handwritten digits, the default that needs no download, and variants of them to transfer to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ogive._errors import InputError, UnknownNameError
from ogive.tasks._splits import stratified
from ogive.tasks.base import TASKS, Split, Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ogive.tasks.base import SplitName

    Bytes = NDArray[np.uint8]

_WHITE = 16
_NOISE = 8
_EXAMPLES = 1797
_SIZE = 400


class Digits(Task):
    """The 1,797 handwritten digits of 8 x 8 pixels with 17 grey levels that come with scikit-learn.

    The examples are all different. A fixed stratified split gives 400 to validation, 400 to test and the other 997 to
    training.

    Parameters
    ----------
    variant : str
        A change that makes another task of them, for trying out transfer without a download: "rotated" (a quarter
        turn anticlockwise), "inverted" (white is black), "noisy" (each pixel off by up to 8 levels), "permuted" (all
        images' pixels in one other order), "parity" (even or odd, two classes). Every variant has the split of the
        original, so an example that trains in one is never tested in another.
    noise : float
        Standard deviation of Gaussian noise added to each pixel, as a share of white. It makes the digits so hard that
        architectures differ: at 0.45 small networks get about 60 % right. Pixels are float32 then, and not clipped.
    val, test : int
        Examples set aside for validation and for test.

    Raises
    ------
    UnknownNameError
        If there is no such variant.
    InputError
        If the noise is not a number >= 0, or the sizes leave a split empty.
    """

    name = "digits"
    input_shape = (1, 8, 8)
    n_outputs = 10
    mean = (4.8800,)
    std = (6.0171,)
    reference = "E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998 (its test set)"

    def __init__(self, variant: str = "", noise: float = 0.0, val: int = _SIZE, test: int = _SIZE) -> None:
        self.variant = str(variant)
        if self.variant and self.variant not in _VARIANTS:
            raise UnknownNameError.of("variant of the digits", self.variant, _VARIANTS)
        self.noise, self.val, self.test = _share_of_white(noise), _size("val", val), _size("test", test)
        if self.val + self.test >= _EXAMPLES:
            raise InputError(f"task 'digits' has {_EXAMPLES} examples; val={val} and test={test} leave none to train")
        change = _VARIANTS.get(self.variant, _Variant())
        # The variances of pixels and noise add up.
        self.mean, self.std = (change.mean,), (math.hypot(change.std, _WHITE * self.noise),)
        self.n_outputs = change.n_outputs

    @property
    def spec(self) -> str:
        """The text that gives this task again."""
        given = {"variant": self.variant, "noise": self.noise, "val": self.val, "test": self.test}
        plain = {"variant": "", "noise": 0.0, "val": _SIZE, "test": _SIZE}
        options = ",".join(f"{key}={value}" for key, value in given.items() if value != plain[key])
        return f"{self.name}:{options}" if options else self.name

    def split(self, which: SplitName) -> Split:
        """Return one of the splits; pixels are uint8 from 0 to 16, or float32 with noise."""
        return _splits(self.variant, self.noise, self.val, self.test)[which]


@dataclass(frozen=True)
class _Variant:
    """A change of the images ``(n, 8, 8)`` or of the classes ``(n,)``, and the training split's statistics."""

    images: Callable[[Bytes], Bytes] = lambda x: x
    classes: Callable[[NDArray[np.int64]], NDArray[np.int64]] = lambda y: y
    mean: float = Digits.mean[0]
    std: float = Digits.std[0]
    n_outputs: int = Digits.n_outputs


def _share_of_white(noise: object) -> float:
    if isinstance(noise, (int, float)) and not isinstance(noise, bool) and math.isfinite(noise) and noise >= 0:
        return float(noise)
    raise InputError(f"task 'digits' needs a number noise >= 0, a share of white, not {noise!r}")


def _size(name: str, value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    raise InputError(f"task 'digits' needs a whole number {name} >= 1, not {value!r}")


def _uniform(*shape: int) -> NDArray[np.float64]:
    # Raw doubles are a stream that numpy guarantees never to change.
    return np.random.Generator(np.random.PCG64(0)).random(shape)


def _noisy(x: Bytes) -> Bytes:
    offset = np.floor(_uniform(*x.shape) * (2 * _NOISE + 1)) - _NOISE
    changed: Bytes = np.clip(x + offset, 0, _WHITE).astype(np.uint8)
    return changed


def _with_gaussian_noise(x: Bytes, share: float) -> NDArray[np.float32]:
    """Return the images with noise on every pixel, by the polar form of Box and Muller."""
    radius, angle = _uniform(2, *x.shape)
    normal = np.sqrt(-2.0 * np.log1p(-radius)) * np.cos(2.0 * np.pi * angle)
    noisy: NDArray[np.float32] = (x + _WHITE * share * normal).astype(np.float32)
    return noisy


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
def _splits(variant: str, noise: float, val: int, test: int) -> dict[SplitName, Split]:
    from sklearn.datasets import load_digits

    found = load_digits()
    y = found.target.astype(np.int64)
    change = _VARIANTS.get(variant, _Variant())
    images = change.images(found.images.astype(np.uint8))
    x = np.ascontiguousarray(_with_gaussian_noise(images, noise) if noise else images)[:, None]
    names: tuple[SplitName, ...] = ("train", "val", "test")
    parts = stratified(y, (val, test), seed=0)
    return {name: Split(x[i], change.classes(y[i])) for name, i in zip(names, parts, strict=True)}


TASKS.add("digits", Digits)
