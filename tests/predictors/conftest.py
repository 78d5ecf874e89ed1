"""Latency tables that several tests read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from ogive.predictors.families import exclude_family
from ogive.predictors.latency import Candidates

if TYPE_CHECKING:
    from pathlib import Path

    from ogive.predictors.base import Floats

PROXY = "hwnas_pixel3"


def onehot(codes: np.ndarray) -> Floats:
    """Return the published encoding: five columns an edge and a constant."""
    return np.hstack([(codes[:, :, None] == np.arange(5)).reshape(len(codes), -1), np.ones((len(codes), 1))])


class Slice:
    """The 1,999 best cells of NAS-Bench-201 on 18 devices, and the specification's protocol."""

    def __init__(self, shared: Path) -> None:
        frame = pd.read_csv(shared / "nb201_device_latency.csv.gz")
        self.codes = np.array([[int(op) for op in ops.split("-")] for ops in frame["ops"]])
        self.encoding, self.macs = onehot(self.codes), frame["macs_alive_m"].to_numpy()
        self.latencies = {name: frame[name].to_numpy() for name in frame.columns[6:]}
        self.targets = [name for name in self.latencies if name != PROXY]
        self._candidates: dict[str, Candidates] = {}

    def candidates(self, target: str) -> Candidates:
        if target not in self._candidates:
            pool = exclude_family(self.latencies, target)
            pool.pop("hwnas_edgetpu", None)
            self._candidates[target] = Candidates(self.codes, self.encoding, self.macs, pool)
        return self._candidates[target]

    def split(self, target: str, seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows that are measured and the others, failures left out."""
        order = np.random.default_rng(1000 + seed).permutation(len(self.codes))
        order = order[np.isfinite(self.latencies[target][order])]
        return order[:n], order[n:]


@pytest.fixture(scope="session")
def top(shared: Path) -> Slice:
    return Slice(shared)


@pytest.fixture
def toy() -> tuple[Candidates, Floats]:
    """300 cells, two pool devices and a target that is like the first of them but for one operation."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 5, (300, 6))
    X = onehot(codes)
    macs = 5.0 + (codes == 3).sum(axis=1) * 9.0 + (codes == 2).sum(axis=1)
    one = X @ np.r_[np.tile([0.1, 0.2, 1.0, 2.0, 0.5], 6), 3.0] * np.exp(0.02 * rng.normal(size=300))
    two = X @ np.r_[np.tile([0.1, 0.2, 0.4, 3.0, 0.2], 6), 9.0] * np.exp(0.02 * rng.normal(size=300))
    target = X @ np.r_[np.tile([0.1, 0.2, 1.0, 2.0, 1.2], 6), 3.0] * np.exp(0.02 * rng.normal(size=300))
    return Candidates(codes, X, macs, {"one": one, "two": two}), target
