"""What predicts a new device's latency: candidates with what is known of them, a few measurements, mean and spread.

The setting is that of Lu et al., "One Proxy Device Is Enough for Hardware-Aware Neural Architecture Search", POMACS
5(3), 2021: other devices (the pool) have been measured on the candidates, the target device only on a few of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ogive._errors import InputError, UnknownNameError
from ogive._registry import Registry, parse_spec
from ogive.predictors.feasibility import compile_probability

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ogive.predictors.base import Floats

Index = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Candidates:
    """The N architectures whose latency can be predicted, and what is known of them before measuring the target.

    Attributes
    ----------
    codes : ndarray of int, (N, n_choices)
        Genotypes as they are measured: what a cell does not use still takes time on many devices, so a canonical form
        that merges equal functions loses something. Codes are names, not amounts: 3 is no nearer to 4 than to 0.
    encoding : ndarray of float64, (N, d)
        Features for linear models, most often a one-hot code and a constant.
    macs : ndarray of float64, (N,)
        Multiply-adds, in any one unit; positive.
    pool : mapping of str to ndarray of float64, (N,)
        Latency in ms on each other device; NaN where it is unknown or failed.
    """

    codes: NDArray[np.integer[Any]]
    encoding: Floats
    macs: Floats
    pool: Mapping[str, Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("encoding", "macs"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        object.__setattr__(self, "codes", np.asarray(self.codes))
        object.__setattr__(self, "pool", {d: np.asarray(v, dtype=np.float64) for d, v in self.pool.items()})
        N = len(self.codes)
        if self.codes.ndim != 2 or self.encoding.ndim != 2 or len(self.encoding) != N or self.macs.shape != (N,):
            raise InputError(
                f"candidates need codes (N, e), encoding (N, d) and multiply-adds (N,), not {self.codes.shape}, "
                f"{self.encoding.shape} and {self.macs.shape}"
            )
        if not np.isfinite(self.encoding).all() or not (np.isfinite(self.macs) & (self.macs > 0)).all():
            raise InputError("a candidate's encoding is not finite or its multiply-adds are not positive")
        for device, latency in self.pool.items():
            if latency.shape != (N,):
                raise InputError(f"pool device '{device}' has {latency.shape} latencies for {N} candidates")
            positive(latency, f"pool device '{device}'")
            if np.isnan(latency).all():
                raise InputError(f"pool device '{device}' has no latency at all; leave it out")

    def __len__(self) -> int:
        return len(self.codes)

    def with_pool(self, devices: Sequence[str]) -> Candidates:
        """Return the same architectures with only these pool devices.

        Raises
        ------
        UnknownNameError
            If the pool lacks one.
        """
        for device in devices:
            if device not in self.pool:
                raise UnknownNameError.of("pool device", device, self.pool)
        return replace(self, pool={d: self.pool[d] for d in devices})


class LatencyPredictor(ABC):
    """A model of one device's latency, fitted on a few measured candidates; predicts all candidates.

    A subclass gives `_fit`, `_predict` and `_leave_one_out`, which see measured, positive latencies only.

    Attributes
    ----------
    measured : ndarray of int, (n,)
        Rows of the candidates that have a latency, in the order of `fit`; failures are left out.
    latency : ndarray of float64, (n,)
        Their latencies, in ms.
    """

    name: ClassVar[str]
    least: ClassVar[int] = 1
    """Measured latencies the model needs at least."""

    def fit(self, candidates: Candidates, index: Sequence[int] | Index, latency: Sequence[float] | Floats) -> Self:
        """Learn from measured candidates.

        Parameters
        ----------
        candidates : Candidates
        index : ndarray of int, (n,)
            Rows measured, each once.
        latency : ndarray of float64, (n,)
            In ms; NaN where the architecture did not compile or run.

        Raises
        ------
        InputError
            If the shapes do not fit, a row is measured twice, a latency is not positive (-1 is no latency: write a
            failure as NaN), too few rows have one, or a pool device is the target itself.
        """
        rows, values = np.asarray(index), np.asarray(latency, dtype=np.float64)
        if rows.ndim != 1 or rows.shape != values.shape or not (rows.size == 0 or rows.dtype.kind in "iu"):
            raise InputError(f"measurements are rows (n,) and latencies (n,), not {rows.shape} and {values.shape}")
        rows = rows.astype(np.intp)
        if rows.size and not 0 <= rows.min() <= rows.max() < len(candidates):
            raise InputError(f"measured rows are numbered 0 to {len(candidates) - 1}, not {rows.min()} to {rows.max()}")
        if len(np.unique(rows)) < len(rows):
            raise InputError("an architecture is measured twice; give the minimum of its latencies")
        positive(values, "the target")
        ran = ~np.isnan(values)
        if ran.sum() < self.least:
            raise InputError(f"latency predictor '{self.name}' needs {self.least} latencies or more, not {ran.sum()}")
        self.measured, self.latency = rows[ran], values[ran]
        _refuse_copies(candidates.pool, self.measured, self.latency)
        self._feasibility = compile_probability(candidates.encoding, rows, ran)
        self._fit(candidates, self.measured, self.latency)
        return self

    def predict(self) -> tuple[Floats, Floats]:
        """Return latency and its standard deviation for every candidate, two arrays ``(N,)`` in ms, positive.

        The deviation is that of a new measurement, noise included.
        """
        return self._predict()

    def leave_one_out(self) -> tuple[Floats, Floats]:
        """Return what would be predicted of each of `measured` from the others, two arrays ``(n,)`` in ms.

        Hyper-parameters stay those found from all.
        """
        return self._leave_one_out()

    def feasibility(self) -> Floats:
        """Return the probability that each candidate compiles and runs on the device, ``(N,)``."""
        return self._feasibility

    @abstractmethod
    def _fit(self, candidates: Candidates, index: Index, latency: Floats) -> None: ...

    @abstractmethod
    def _predict(self) -> tuple[Floats, Floats]: ...

    @abstractmethod
    def _leave_one_out(self) -> tuple[Floats, Floats]: ...


def positive(latency: Floats, whose: str) -> None:
    """Refuse latencies that are infinite, zero or negative; NaN stands for unknown or failed and passes."""
    bad = ~(np.isnan(latency) | ((latency > 0) & np.isfinite(latency)))
    if bad.any():
        raise InputError(
            f"{whose} has a latency of {latency[bad][0]:g} ms; latencies are positive, write a failure as NaN"
        )


_COPY = 5
"""Equal distinct latencies that make a pool device the target itself; fewer may agree by chance in whole ms."""


def _refuse_copies(pool: Mapping[str, Floats], index: Index, latency: Floats) -> None:
    for device, known in pool.items():
        equal = np.isclose(known[index], latency, rtol=1e-9, atol=0)
        if equal.all() and len(np.unique(latency)) >= _COPY:
            raise InputError(
                f"pool device '{device}' is the target itself: all measured latencies are equal; leave it out"
            )


def bend(value: Floats, floor: float) -> Floats:
    """Return latencies of a linear model made positive without changing their order.

    Values above `floor` stay; below it ``floor**2 / (2 * floor - value)`` continues them with equal slope.
    """
    return np.where(value >= floor, value, floor**2 / (2.0 * floor - np.minimum(value, floor)))


LATENCY_PREDICTORS: Registry[Callable[..., LatencyPredictor]] = Registry(
    "latency predictor",
    {
        "raw": "ogive.predictors.linear_latency",
        "adaproxy": "ogive.predictors.linear_latency",
        "ridge": "ogive.predictors.linear_latency",
        "pool_ridge": "ogive.predictors.linear_latency",
        "pool_gp": "ogive.predictors.pool_process",
        "blend": "ogive.predictors.latency_blend",
        "default": "ogive.predictors.latency_blend",
    },
)


def get_latency_predictor(spec: str = "default") -> LatencyPredictor:
    """Return the latency predictor written as ``name`` or ``name:option=value,...``.

    Raises
    ------
    UnknownNameError
        If no latency predictor has this name.
    InputError
        If an option does not exist or has a wrong value.
    """
    name, options = parse_spec(spec)
    factory = LATENCY_PREDICTORS.get(name)
    try:
        return factory(**options)
    except TypeError as error:
        raise InputError(f"latency predictor '{spec}': {error}") from error
