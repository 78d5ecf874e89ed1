"""Tiny datasets in the official layouts."""

from __future__ import annotations

import pickle
import tarfile
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from pathlib import Path

BATCH = 40


class Official:
    """Writes the same random images in every official layout."""

    def __init__(self, root: Path) -> None:
        self.root = root
        rng = np.random.default_rng(0)
        self.x = rng.integers(0, 256, (6 * BATCH, 3, 32, 32), dtype=np.uint8)
        self.y = rng.permutation(np.arange(6 * BATCH) % 10)

    def batch(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        rows = slice(i * BATCH, (i + 1) * BATCH)
        return self.x[rows].reshape(BATCH, -1), self.y[rows]

    def cifar10_python(self, folder: str = "cifar-10-batches-py") -> Path:
        for i, name in enumerate([*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]):
            x, y = self.batch(i)
            self._pickle(folder, name, {b"data": x, b"labels": y.tolist(), b"batch_label": b"a batch"})
        return self.root / folder

    def cifar10_binary(self, folder: str = "cifar-10-batches-bin") -> Path:
        for i, name in enumerate([*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]):
            x, y = self.batch(i)
            self._write(folder, name, np.column_stack([y.astype(np.uint8), x]).tobytes())
        return self.root / folder

    def cifar100_python(self, folder: str = "cifar-100-python") -> Path:
        for name, part in (("train", slice(0, 5 * BATCH)), ("test", slice(5 * BATCH, None))):
            x, y = self.x[part].reshape(-1, 3072), self.y[part]
            self._pickle(folder, name, {b"data": x, b"fine_labels": y.tolist(), b"coarse_labels": [0] * len(y)})
        return self.root / folder

    def cifar100_binary(self, folder: str = "cifar-100-binary") -> Path:
        for name, part in (("train.bin", slice(0, 5 * BATCH)), ("test.bin", slice(5 * BATCH, None))):
            x, y = self.x[part].reshape(-1, 3072), self.y[part].astype(np.uint8)
            self._write(folder, name, np.column_stack([np.zeros_like(y), y, x]).tobytes())
        return self.root / folder

    def imagenet16(self, folder: str = "ImageNet16") -> Path:
        for i, name in enumerate([*(f"train_data_batch_{k}" for k in range(1, 11)), "val_data"]):
            rng = np.random.default_rng(i)
            labels = [*range(1, 1001, 50), 1, 120, 121, 1000]
            x = rng.integers(0, 256, (len(labels), 768), dtype=np.uint8)
            self._pickle(folder, name, {"data": x, "labels": labels})
        return self.root / folder

    def archive(self, folder: Path, name: str) -> Path:
        path = self.root / name
        with tarfile.open(path, "w:gz") as archive:
            archive.add(folder, arcname=folder.name)
        return path

    def _pickle(self, folder: str, name: str, value: object) -> None:
        self._write(folder, name, pickle.dumps(value, protocol=2))

    def _write(self, folder: str, name: str, data: bytes) -> None:
        path = self.root / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


@pytest.fixture
def official(tmp_path) -> Official:
    return Official(tmp_path)
