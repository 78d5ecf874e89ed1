"""``latency@host``: how long a network takes on this very machine, measured with care.

One thread by default, ONNX Runtime where the extra ``onnx`` is installed, else PyTorch. How it is timed says
`ogive.metrics.timing`.
"""

from __future__ import annotations

import math
import platform
import tempfile
import warnings
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ogive._errors import InputError
from ogive._imports import require
from ogive.metrics.base import Context, Cost, Metric, register
from ogive.metrics.devices import Device, DeviceTable, Latencies
from ogive.metrics.onnx_runner import session_visit
from ogive.metrics.timing import Protocol, Timings, measure, timed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray
    from torch import nn

    from ogive.metrics.onnx_runner import Visit
    from ogive.spaces.base import Genotypes, Space, TaskShape

Runtime = Literal["auto", "onnxruntime", "torch"]

_OPSET = 17


@dataclass(frozen=True)
class HostConfig:
    """How this machine is measured.

    Attributes
    ----------
    runtime : {"auto", "onnxruntime", "torch"}
        "auto" takes ONNX Runtime where it is installed.
    threads : int
    batch : int
    protocol : Protocol
    """

    runtime: Runtime = "auto"
    threads: int = 1
    batch: int = 1
    protocol: Protocol = field(default_factory=Protocol)

    def __post_init__(self) -> None:
        if self.runtime not in ("auto", "onnxruntime", "torch"):
            raise InputError(f"a host is measured with runtime auto, onnxruntime or torch, not '{self.runtime}'")
        for name in ("threads", "batch"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise InputError(f"measuring needs a whole number {name} >= 1, not {getattr(self, name)}")

    @property
    def chosen(self) -> Literal["onnxruntime", "torch"]:
        """The runtime that "auto" stands for on this machine."""
        if self.runtime == "auto":
            return "onnxruntime" if find_spec("onnxruntime") and find_spec("onnx") else "torch"
        return self.runtime

    def device(self, name: str = "host") -> Device:
        """Return the description of this machine under these settings."""
        runtime = f"{self.chosen} {version(self.chosen)}"
        clock = f"{self.threads} thread{'s' * (self.threads > 1)}, clock not pinned"
        return Device(name, runtime, "float32", self.batch, clock, f"{platform.machine()} {platform.system()}")


def measure_host(
    space: Space,
    genotypes: Genotypes,
    task: TaskShape,
    config: HostConfig | None = None,
    *,
    seed: int = 0,
    advance: Callable[[], None] = lambda: None,
) -> Timings:
    """Time the networks of some architectures on this machine.

    Parameters
    ----------
    space : Space
        One that can build networks.
    genotypes : ndarray of int, (n, n_choices)
    task : Task
        Input shape and outputs.
    config : HostConfig, optional
    seed : int
        Fixes the weights.
    advance : callable
        Called after each visit.

    Returns
    -------
    Timings
        In milliseconds for one batch.

    Raises
    ------
    MissingDependencyError
        If ONNX Runtime is asked for and not installed.
    """
    import torch
    from filelock import FileLock

    config = config or HostConfig()
    shape = (config.batch, *task.input_shape)
    onnx = config.chosen == "onnxruntime"
    if onnx:
        require("onnxruntime", "onnx", "measuring latency with ONNX Runtime")
    # Two measurements at a time would measure each other.
    with tempfile.TemporaryDirectory() as folder, FileLock(Path(tempfile.gettempdir()) / "ogive-latency.lock"):
        threads = torch.get_num_threads()
        torch.set_num_threads(config.threads)
        try:
            visits = []
            for i, model in enumerate(networks(space, genotypes, task, seed)):
                path = Path(folder) / f"{i}.onnx"
                visits.append(
                    session_visit(str(write_onnx(model, shape, path)), config.threads) if onnx else _torch(model, shape)
                )
            return measure(visits, config.protocol, advance)
        finally:
            torch.set_num_threads(threads)


def networks(space: Space, genotypes: Genotypes, task: TaskShape, seed: int = 0) -> Iterator[nn.Module]:
    """Build one network after another, in evaluation mode, with weights fixed by the seed."""
    from ogive.training.seeding import seeded

    for genotype in genotypes:
        with seeded(seed):
            model = space.build(genotype, task)
        yield model.eval()


def host_table(
    space: Space, genotypes: Genotypes, task: TaskShape, config: HostConfig | None = None, **more: Any
) -> tuple[DeviceTable, Timings]:
    """Return what `measure_host` finds as the table of the device ``host``, and the timings."""
    config = config or HostConfig()
    found = measure_host(space, genotypes, task, config, **more)
    failed = np.isnan(found.latency)
    latencies = Latencies(config.device(), found.latency, found.spread, failed)
    return DeviceTable(space, genotypes, {"host": latencies}), found


def write_onnx(model: nn.Module, shape: tuple[int, ...], path: Path) -> Path:
    """Write a network for timing: fixed batch, operations as they are, no check of what it computes.

    PyTorch's older exporter takes a twentieth of the time of the one that `export_onnx` uses.
    """
    import torch

    require("onnx", "onnx", "measuring latency with ONNX Runtime")
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, (torch.zeros(shape),), path, dynamo=False, opset_version=_OPSET, input_names=["x"])
    return path


def _torch(model: nn.Module, shape: tuple[int, ...]) -> Visit:
    import torch

    x = torch.zeros(shape)

    def run() -> object:
        with torch.inference_mode():
            return model(x)

    return timed(run)


def _provider(
    names: tuple[str, ...], space: Space, genotypes: Genotypes, context: Context
) -> Mapping[str, NDArray[np.float64]]:
    task = context.need_task(names[0])
    config = context.options.get("host", HostConfig())
    if not isinstance(config, HostConfig):
        raise InputError(f"option 'host' must be a HostConfig, not {type(config).__name__}")
    found = measure_host(space, genotypes, task, config, seed=context.seed)
    columns = {"latency@host": found.latency, "latency_spread@host": found.spread}
    return {name: columns[name] for name in names}


def drifted(found: Timings, bound: float = 0.05) -> bool:
    """Return whether the machine changed by more than `bound` while it was measured."""
    return not math.isnan(found.drift) and found.drift > bound


def _metric(name: str, description: str) -> Metric:
    return Metric(
        name=name,
        provider=_provider,
        unit="ms",
        direction="min",
        cost=Cost.FORWARD,
        identity="graph",
        needs=frozenset({"task", "weights"}),
        description=description,
    )


register(
    _metric("latency@host", "Smallest time of one batch on this machine, of several visits in turns."),
    _metric("latency_spread@host", "Standard deviation of the visits' smallest times."),
)
