"""Tasks whose examples lie in files: where these are looked for, and how the official parts become three splits."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ogive._errors import InputError, StorageError
from ogive._paths import data_home
from ogive.tasks._files import Layout, read_files, read_npz
from ogive.tasks._splits import stratified
from ogive.tasks.base import Split, Task

if TYPE_CHECKING:
    from ogive.tasks._files import Arrays, Examples, Parts
    from ogive.tasks.base import SplitName


class StoredTask(Task):
    """A task with an official training part, of which a fixed stratified share becomes validation.

    Parameters
    ----------
    path : str
        Folder or file of the data; by default ``<data home>/<task>``.
    val : int
        Examples set aside for validation; 0 takes a tenth of those that come with the training part.

    Attributes
    ----------
    layouts : tuple of Layout
        Official distributions.
    extract : str
        Name of the ``.npz`` file that the folder may hold instead.
    """

    layouts: ClassVar[tuple[Layout, ...]] = ()
    extract: ClassVar[str] = ""

    def __init__(self, path: str = "", val: int = 0) -> None:
        if isinstance(val, bool) or not isinstance(val, int) or val < 0:
            raise InputError(f"task '{self.name}': val={val!r} must be a whole number >= 0")
        self.path, self.val = str(path), val

    def _options(self) -> dict[str, str | int]:
        """Return the options that differ from their defaults."""
        return ({"path": self.path} if self.path else {}) | ({"val": self.val} if self.val else {})

    @property
    def spec(self) -> str:
        """The text that gives this task again."""
        return ":".join([self.name, *filter(None, [",".join(f"{k}={v}" for k, v in self._options().items())])])

    @property
    def place(self) -> Path:
        """Folder or file where the data are looked for."""
        return Path(self.path).expanduser() if self.path else data_home() / self.name

    def split(self, which: SplitName) -> Split:
        """Return one of the splits."""
        return self._splits[which]

    @cached_property
    def _splits(self) -> dict[SplitName, Split]:
        parts = self._read()
        for x, y in parts.values():
            if len(x) == 0 or y.min() < 0 or y.max() >= self.n_outputs:
                raise InputError(
                    f"task '{self.name}': '{self.place}' has no examples, or labels beyond 0..{self.n_outputs - 1}"
                )
        return self._cut(parts)

    def _cut(self, parts: Parts) -> dict[SplitName, Split]:
        """Return the parts as splits; the training part gives up a share for each that is missing."""
        if self.val and "val" in parts:
            raise InputError(f"task '{self.name}': '{self.place}' has a validation part of its own; leave val away")
        x, y = parts["train"]
        n_val = 0 if "val" in parts else self.val or len(y) // 10
        n_test = 0 if "test" in parts else len(y) // 10
        if n_val + n_test >= len(y):
            raise InputError(f"task '{self.name}': val={n_val} leaves none of the {len(y)} examples to train on")
        kept, held_out, tail = stratified(y, (n_val, n_test), seed=0)
        return {
            "train": Split(x[kept], y[kept]),
            "val": Split(*parts["val"]) if "val" in parts else Split(x[held_out], y[held_out]),
            "test": Split(*parts["test"]) if "test" in parts else Split(x[tail], y[tail]),
        }

    def _read(self) -> Parts:
        """Return the official parts: training, and those of validation and test that there are."""
        inside = self.place / self.extract
        place = inside if self.extract and inside.is_file() else self.place
        if place.suffix == ".npz":
            return self._unpack(read_npz(self.name, place))
        layout, files = read_files(self.name, self.place, self.layouts, self.extract)
        return {"train": self._decode(layout, files, layout.train), "test": self._decode(layout, files, layout.test)}

    def _unpack(self, held: Arrays) -> Parts:
        """Return the parts that a ``.npz`` file holds."""
        raise StorageError(
            f"task '{self.name}' reads no .npz file ('{self.place}' holds {', '.join(sorted(held))}); "
            f"it wants {', or '.join(map(str, self.layouts))}"
        )

    def _decode(self, layout: Layout, files: dict[str, bytes], names: tuple[str, ...]) -> Examples:
        """Return the examples in the named files of a distribution."""
        parts = [layout.decode(files[name], name) for name in names]
        return np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])
