"""ESC-10: ten kinds of environmental sound, as log-mel spectrograms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ogive._errors import InputError, StorageError
from ogive.tasks._stored import StoredTask
from ogive.tasks.base import TASKS

if TYPE_CHECKING:
    from ogive.tasks._files import Arrays, Parts

_FOLDS = 5
_BANDS, _FRAMES = 96, 101


class ESC10(StoredTask):
    """ESC-10: one-second log-mel spectrograms of 96 bands and 101 frames, 1,165 pieces of 400 recordings.

    Pixels are levels in whole decibels above the floor of -100 dB. The recordings come in five official folds, and all
    pieces of one recording lie in one fold; one fold is for test, the one before it for validation, three are for
    training.

    Parameters
    ----------
    path : str
        The ``.npz`` file of spectrograms (``logmel_q``, ``label``, ``fold``), or its folder; by default
        ``<data home>/esc10``.
    fold : int
        The fold for test, 1 to 5.
    pool : int
        Side of the squares of pixels that are averaged into one; 3 gives 32 x 33 and a ninth of the work.
    """

    name = "esc10"
    input_shape = (1, _BANDS, _FRAMES)
    n_outputs = 10
    mean = (91.8,)
    std = (23.0,)
    reference = "Piczak, ESC: Dataset for Environmental Sound Classification, ACM Multimedia 2015"
    extract = "audio_esc10_logmel.npz"

    def __init__(self, path: str = "", fold: int = _FOLDS, pool: int = 1) -> None:
        super().__init__(path)
        for option, value, most in (("fold", fold, _FOLDS), ("pool", pool, _BANDS)):
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
                raise InputError(f"task 'esc10': {option}={value!r} must be a whole number from 1 to {most}")
        self.fold, self.pool = fold, pool
        self.input_shape = (1, _BANDS // pool, _FRAMES // pool)

    def _options(self) -> dict[str, str | int]:
        own = {"fold": self.fold} if self.fold != _FOLDS else {}
        return super()._options() | own | ({"pool": self.pool} if self.pool > 1 else {})

    def _unpack(self, held: Arrays) -> Parts:
        x, y, fold = (held.get(key, np.empty(0)) for key in ("logmel_q", "label", "fold"))
        if x.dtype != np.uint8 or x.shape[1:] != (_BANDS, _FRAMES) or not len(x) == len(y) == len(fold):
            raise StorageError(
                f"'{self.place}' does not hold ESC-10: logmel_q must be uint8[n, {_BANDS}, {_FRAMES}], with label and "
                f"fold of one length; it holds {', '.join(sorted(held))}"
            )
        x, y = self._pooled(x[:, None]), y.astype(np.int64)
        val = fold == (self.fold - 2) % _FOLDS + 1
        test = fold == self.fold
        train = ~(val | test)
        return {"train": (x[train], y[train]), "val": (x[val], y[val]), "test": (x[test], y[test])}

    def _pooled(self, x: np.ndarray) -> np.ndarray:
        if self.pool == 1:
            return x
        _, h, w = self.input_shape
        squares = x[:, :, : h * self.pool, : w * self.pool].reshape(len(x), 1, h, self.pool, w, self.pool)
        pooled: np.ndarray = squares.mean(axis=(3, 5), dtype=np.float32)
        return pooled


TASKS.add("esc10", ESC10)
