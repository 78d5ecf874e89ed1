"""Latency of a device that is not this machine: by a folder that is carried there and back, or by HTTP.

What runs there is one file, `ogive.metrics.onnx_runner`, which needs Python, NumPy and ONNX Runtime only.
"""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._errors import InputError, StorageError
from ogive.metrics import onnx_runner
from ogive.metrics.devices import Device, DeviceTable, Latencies
from ogive.metrics.host_latency import networks, write_onnx
from ogive.metrics.timing import Protocol, Timings, measure
from ogive.spaces.base import get_space

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ogive.metrics.onnx_runner import Visit
    from ogive.spaces.base import Genotypes, Space, TaskShape

_TIMEOUT = 120.0


def write_job(
    folder: str | Path,
    space: Space,
    genotypes: Genotypes,
    task: TaskShape,
    protocol: Protocol | None = None,
    *,
    threads: int = 1,
    batch: int = 1,
) -> Path:
    """Write networks and the order to time them into a new folder, together with the runner.

    Carry the folder to the device, run ``python onnx_runner.py .`` in it, carry it back, and read it with `read_job`.

    Raises
    ------
    InputError
        If the folder exists and is not empty.
    MissingDependencyError
        If the extra ``onnx`` is not installed.
    """
    path = Path(folder)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"folder '{path}' exists and is not empty; name a new one")
    (path / "models").mkdir(parents=True)
    models = []
    for i, (arch, model) in enumerate(zip(space.format_many(genotypes), networks(space, genotypes, task), strict=True)):
        file = f"models/{i:05d}.onnx"
        write_onnx(model, (batch, *task.input_shape), path / file)
        models.append({"arch": arch, "file": file})
    job = {
        "format": onnx_runner.FORMAT,
        "space": space.spec,
        "batch": batch,
        "threads": threads,
        "protocol": asdict(protocol or Protocol()),
        "models": models,
    }
    (path / "job.json").write_text(json.dumps(job, indent=1))
    shutil.copy(onnx_runner.__file__, path / "onnx_runner.py")
    return path


def read_job(folder: str | Path, name: str) -> tuple[DeviceTable, Timings]:
    """Return what a device found, as a table of that device, and the timings.

    Parameters
    ----------
    folder : path
        Written by `write_job`, with the runner's ``timings.json`` in it.
    name : str
        Of the device.

    Raises
    ------
    InputError
        If the folder holds no job, or has not been run yet.
    StorageError
        If a file is damaged.
    """
    path = Path(folder)
    for file, mend in (("job.json", "write one with: ogive latency job"), ("timings.json", "run onnx_runner.py there")):
        if not (path / file).is_file():
            raise InputError(f"folder '{path}' has no {file}; {mend}")
    try:
        job, raw = (json.loads((path / file).read_text()) for file in ("job.json", "timings.json"))
        space = get_space(job["space"])
        genotypes = space.parse_many([model["arch"] for model in job["models"]])
        found = Timings.of(raw)
        if len(found.latency) != len(genotypes):
            raise ValueError(f"{len(found.latency)} timings of {len(genotypes)} networks")
        about = raw["device"]
        clock = _clock(job["threads"])
        device = Device(name, str(about["runtime"]), "float32", int(job["batch"]), clock, str(about["note"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"job '{path}' is damaged ({error}); run it again") from error
    return _table(space, genotypes, device, found), found


def measure_remote(
    url: str,
    token: str,
    name: str,
    space: Space,
    genotypes: Genotypes,
    task: TaskShape,
    protocol: Protocol | None = None,
    *,
    threads: int = 1,
    batch: int = 1,
    folder: Path,
    advance: Callable[[], None] = lambda: None,
) -> tuple[DeviceTable, Timings]:
    """Have a runner that serves at a URL time the networks of some architectures.

    Parameters
    ----------
    url : str
        Such as ``http://192.168.1.7:8765``.
    token : str
        The runner's secret.
    name : str
        Of the device.
    space, genotypes, task, protocol, threads, batch
        See `write_job`.
    folder : path
        Where the ONNX files are kept meanwhile.
    advance : callable
        Called after each visit.

    Raises
    ------
    InputError
        If the runner cannot be reached or refuses the token.
    """
    about = _call(url, token, "", None)["device"]
    shape = (batch, *task.input_shape)
    visits = []
    for i, model in enumerate(networks(space, genotypes, task)):
        data = write_onnx(model, shape, folder / f"{i}.onnx").read_bytes()
        visits.append(_visit(url, token, str(_call(url, token, "/models", data)["model"]), threads))
    found = measure(visits, protocol or Protocol(), advance)
    device = Device(name, str(about["runtime"]), "float32", batch, _clock(threads), str(about["note"]))
    return _table(space, genotypes, device, found), found


def _visit(url: str, token: str, model: str, threads: int) -> Visit:
    def visit(warmup: int, runs: int) -> list[float]:
        answer = _call(url, token, f"/time?model={model}&threads={threads}&warmup={warmup}&runs={runs}", b"")
        return [float(t) for t in answer["seconds"]]

    return visit


def _call(url: str, token: str, path: str, body: bytes | None) -> Mapping[str, Any]:
    """Ask the runner; a network that it cannot run is a RuntimeError, anything else the user's to mend."""
    if not url.startswith(("http://", "https://")):
        raise InputError(f"a runner's address begins with http:// or https://, not '{url}'")
    request = urllib.request.Request(url.rstrip("/") + path, data=body, headers={"Authorization": f"Bearer {token}"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310  checked above
            found: Mapping[str, Any] = json.load(answer)
            return found
    except urllib.error.HTTPError as error:
        reason = _reason(error)
        if error.code == 422:
            raise RuntimeError(reason) from error
        raise InputError(f"runner at {url} refuses: {reason}") from error
    except (OSError, ValueError) as error:
        raise InputError(
            f"runner at {url} does not answer ({error}); is onnx_runner.py --serve running there?"
        ) from error


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["error"])
    except (ValueError, KeyError, TypeError):
        return f"status {error.code}"


def _clock(threads: int) -> str:
    return f"{threads} thread{'s' * (threads > 1)}, clock not pinned"


def _table(space: Space, genotypes: Genotypes, device: Device, found: Timings) -> DeviceTable:
    latencies = Latencies(device, found.latency, found.spread, np.isnan(found.latency))
    return DeviceTable(space, genotypes, {device.name: latencies})
