"""Handwritten digits: the default that needs no download."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ogive.tasks._splits import stratified
from ogive.tasks.base import TASKS, Split, Task

if TYPE_CHECKING:
    from ogive.tasks.base import SplitName


class Digits(Task):
    """The 1,797 handwritten digits of 8 x 8 pixels with 17 grey levels that come with scikit-learn.

    The examples are all different. A fixed stratified split gives 997 to training, 400 to validation and 400 to test.
    """

    name = "digits"
    input_shape = (1, 8, 8)
    n_outputs = 10
    mean = (4.8800,)
    std = (6.0171,)
    reference = "E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998 (its test set)"

    def split(self, which: SplitName) -> Split:
        """Return one of the splits; pixels are uint8 from 0 to 16."""
        return _splits()[which]


@cache
def _splits() -> dict[SplitName, Split]:
    from sklearn.datasets import load_digits

    found = load_digits()
    x = found.images.astype(np.uint8)[:, None]
    y = found.target.astype(np.int64)
    names: tuple[SplitName, ...] = ("train", "val", "test")
    return {name: Split(x[i], y[i]) for name, i in zip(names, stratified(y, (400, 400), seed=0), strict=True)}


TASKS.add("digits", Digits)
