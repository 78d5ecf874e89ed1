"""One proxy device, or any devices you happen to have: latency of a new device from a handful of measurements.

Lu, Yang, Jiang, Shi and Ren, "One Proxy Device Is Enough for Hardware-Aware Neural Architecture Search", POMACS 5(3),
2021. Ranks are what a search needs; where no known device ranks architectures as the new one does, a few measurements
adapt what is known. The paper adapts the linear model of one proxy (predictor ``adaproxy``); the default here mixes all
devices in the table (`ogive.predictors.latency_blend`).
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np

from ogive._errors import InputError
from ogive.metrics.base import Context
from ogive.metrics.evaluate import evaluate
from ogive.predictors.families import exclude_family, related
from ogive.predictors.latency import Candidates, LatencyPredictor, get_latency_predictor
from ogive.predictors.monotonicity import Agreement, agreement, srcc
from ogive.predictors.samplers import StoppingRule, choose
from ogive.spaces._mobile_base import Mobile
from ogive.tasks.base import get_task

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from ogive.metrics.devices import DeviceTable
    from ogive.predictors.base import Floats
    from ogive.spaces.base import Genotypes, Space
    from ogive.tasks.base import Task

    Index = NDArray[np.intp]
    Measure = Callable[[Index], Floats]
    """Measures rows of the candidates on the target: ms, NaN where the network failed."""

BATCH = 10


@dataclass(frozen=True)
class Adaptation:
    """A device known from few measurements.

    Attributes
    ----------
    device : str
    space : Space
    genotypes : ndarray of int, (N, n_choices)
        The candidates.
    model : LatencyPredictor
        Fitted; `predictor` is its name.
    index : ndarray of int, (n,)
        Rows measured, in the order in which they were.
    latency : ndarray of float64, (n,)
        In ms; NaN where the network failed.
    mean, spread : ndarray of float64, (N,)
        Predicted latency and its standard deviation, in ms.
    pool : tuple of str
        Devices the model could use.
    family : tuple of str
        Near copies of the target that were kept from it.
    proxy : str
        The device whose order is the alternative to adapting: the one asked for, or the one that agrees best with the
        measurements. Empty without a pool.
    warnings : tuple of str
    stopped : str
        Why no further batch was measured.
    """

    device: str
    predictor: str
    space: Space
    genotypes: Genotypes
    candidates: Candidates
    model: LatencyPredictor
    index: Index
    latency: Floats
    mean: Floats
    spread: Floats
    pool: tuple[str, ...]
    family: tuple[str, ...] = ()
    proxy: str = ""
    warnings: tuple[str, ...] = ()
    stopped: str = ""

    @property
    def failed(self) -> Index:
        """Rows whose network failed on the device."""
        return self.index[np.isnan(self.latency)]

    def check(self, truth: Floats) -> Check:
        """Compare predictions with measurements of candidates that the model has not seen.

        Parameters
        ----------
        truth : ndarray of float64, (N,)
            In ms; NaN where nothing was measured. What the model has seen is left out.
        """
        unseen = np.where(np.isin(np.arange(len(truth)), self.index), np.nan, truth)
        held = np.isfinite(unseen)
        before = agreement(self.candidates.pool[self.proxy], unseen) if self.proxy else None
        error = np.abs(self.mean - unseen)[held]
        inside = error <= 1.645 * self.spread[held]
        return Check(
            before,
            agreement(self.mean, unseen),
            float(100.0 * np.mean(error / unseen[held])) if held.any() else float("nan"),
            float(np.mean(inside)) if held.any() else float("nan"),
        )


@dataclass(frozen=True)
class Check:
    """How good predictions are on architectures that were not used to make them.

    Attributes
    ----------
    before, after : Agreement
        Of the proxy as it is, and of the adapted model, with the target.
    mape : float
        Mean absolute error in percent of the latency; lower is better.
    coverage : float
        Share of latencies inside the interval that should hold 90 % of them.
    """

    before: Agreement | None
    after: Agreement
    mape: float
    coverage: float


def candidates_of(table: DeviceTable, pool: Sequence[str], task: Task | str | None = None) -> Candidates:
    """Return a table's architectures with what is known of them: codes, encoding, multiply-adds, the pool's latencies.

    Parameters
    ----------
    table : DeviceTable
    pool : sequence of str
        Devices of the table.
    task : Task or str, optional
        Whose shapes the multiply-adds are counted with; CIFAR-10 by default. They only help to rank, so the shapes
        need not be those of the table.
    """
    space, genotypes = table.space, table.genotypes
    context = Context(task=get_task(task or "cifar10"))
    macs = np.maximum(evaluate(["macs"], space, genotypes, context).values["macs"], 1.0)
    # What a cell does not use still takes a device's time (0.95 and 0.96 SRCC at 50 measurements, canonical and not);
    # mobile genotypes have entries for blocks that are not there.
    codes = space.canonical(genotypes) if isinstance(space, Mobile) else genotypes
    encoding = np.hstack([latency_encoding(space, codes), np.ones((len(codes), 1))])
    return Candidates(codes, encoding, macs, {name: table.device(name).latency for name in pool})


def latency_encoding(space: Space, genotypes: Genotypes) -> Floats:
    """Return the features of a linear latency model: one-hot, or for mobile networks what each stage holds."""
    kind = "stages" if isinstance(space, Mobile) else "onehot"
    return space.encode(genotypes, kind).astype(np.float64)


def choose_pool(
    table: DeviceTable, target: str, asked: Sequence[str] = (), exclude: Sequence[str] = ()
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return the pool for a target, the near copies kept out of it, and warnings.

    Without names, the pool is every device of the table but the target, its family and what matches `exclude`. A near
    copy that is asked for by name is used, with a warning.

    Raises
    ------
    UnknownNameError
        If a device is not in the table.
    InputError
        If the target is asked for as its own proxy.
    """
    latencies = {name: held.latency for name, held in table.devices.items()}
    known = target in latencies
    if target in asked:
        raise InputError(f"device '{target}' cannot be its own proxy; name another one")
    copies = related(latencies)[target] - {target} if known else set()
    if asked:
        pool = tuple(table.device(name).device.name for name in asked)
        suspicious = [name for name in pool if name in copies]
        told = tuple(
            f"'{name}' is a near copy of '{target}' (SRCC {srcc(latencies[name], latencies[target]):.3f}); "
            "what is found with it says nothing of a new device"
            for name in suspicious
        )
        return pool, (), told
    left = exclude_family(latencies, target) if known else latencies
    pool = tuple(name for name in left if not any(fnmatchcase(name, pattern) for pattern in exclude))
    return pool, tuple(sorted(copies)), ()


def adapt(
    table: DeviceTable,
    target: str,
    *,
    samples: int = 3 * BATCH,
    predictor: str = "default",
    proxy: str | None = None,
    pool: Sequence[str] = (),
    exclude: Sequence[str] = (),
    sampler: str = "d_optimal",
    bar: float | None = None,
    seed: int = 0,
    measure: Measure | None = None,
    task: Task | str | None = None,
) -> Adaptation:
    """Learn a device's latency from a few measurements.

    Parameters
    ----------
    table : DeviceTable
        The candidates, and what other devices take for them.
    target : str
        A device of the table, whose column stands for measuring, or any name where `measure` is given.
    samples : int
        Measurements, in batches of 10.
    predictor : str
        See `ogive.predictors.latency.LATENCY_PREDICTORS`.
    proxy : str, optional
        The one proxy device; the pool is then that device alone.
    pool : sequence of str
        The devices to learn from; by default all but the target's family.
    exclude : sequence of str
        Patterns of devices to leave out of the pool.
    sampler : str
        See `ogive.predictors.samplers.SAMPLERS`.
    bar : float, optional
        Stop as soon as the leave-one-out SRCC is surely above this, or a batch brings nothing more.
    seed : int
    measure : callable, optional
        Measures rows; by default the table's column is looked up.
    task : Task or str, optional
        See `candidates_of`.

    Raises
    ------
    UnknownNameError
        If a device, predictor or sampler does not exist.
    InputError
        If there are fewer candidates than samples, or all measurements failed.
    """
    asked = (proxy,) if proxy else tuple(pool)
    names, family, warnings = choose_pool(table, target, asked, exclude)
    look = measure or _column(table, target)
    known = np.arange(len(table)) if measure is not None else np.flatnonzero(_told(table, target))
    if not 1 <= samples <= len(known):
        raise InputError(f"device '{target}' can be measured on {len(known)} architectures, not on {samples}")
    candidates = candidates_of(table, names, task)
    rng = np.random.default_rng(seed)
    index, latency = np.empty(0, dtype=np.intp), np.empty(0)
    model: LatencyPredictor | None = None
    rule = None if bar is None else StoppingRule(bar)
    stopped = f"{samples} measurements were asked for"
    open_, doubt = _rows(candidates, known), None
    while len(index) < samples:
        n = min(BATCH, samples - len(index))
        place = choose(sampler, open_, n, measured=np.searchsorted(known, index), rng=rng, doubt=doubt)
        index = np.concatenate([index, known[place]])
        latency = np.concatenate([latency, look(known[place])])
        # A model between batches is only for those who look at it.
        last = len(index) == samples
        if np.isnan(latency).all() or not (last or rule or sampler == "active"):
            continue
        model = get_latency_predictor(predictor).fit(candidates, index, latency)
        mean, spread = model.predict()
        doubt = (spread / mean)[known]
        reason = None if rule is None else rule(model)
        if reason is not None:
            stopped = reason
            break
    if model is None:
        raise InputError(f"all {len(index)} networks failed on device '{target}'; nothing can be learned from that")
    best = proxy or _nearest(candidates, index, latency)
    return Adaptation(
        target, predictor, table.space, table.genotypes, candidates, model, index, latency, mean, spread, names, family,
        best, warnings, stopped,
    )  # fmt: skip


def _rows(candidates: Candidates, rows: Index) -> Candidates:
    pool = {name: latency[rows] for name, latency in candidates.pool.items()}
    return Candidates(candidates.codes[rows], candidates.encoding[rows], candidates.macs[rows], pool)


def _told(table: DeviceTable, target: str) -> NDArray[np.bool_]:
    held = table.device(target)
    return np.asarray(held.known | held.failed)


def _column(table: DeviceTable, target: str) -> Measure:
    latency = table.device(target).latency
    return lambda rows: latency[rows]


def _nearest(candidates: Candidates, index: Index, latency: Floats) -> str:
    """Return the pool device whose order agrees best with the measurements."""
    found = {name: srcc(known[index], latency) for name, known in candidates.pool.items()}
    return max(found, key=lambda name: np.nan_to_num(found[name], nan=-2.0)) if found else ""
