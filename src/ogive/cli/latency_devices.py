"""The parts of ``ogive latency`` that deal with devices: measure here or elsewhere, keep, list."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ogive._errors import InputError
from ogive.cli.common import Json, Quiet, Seed, SpaceSpec, emit, note, split_list

if TYPE_CHECKING:
    from ogive.metrics.devices import DeviceTable
    from ogive.metrics.timing import Timings
    from ogive.spaces.base import Genotypes, Space

_Archs = Annotated[list[str] | None, typer.Argument(metavar="[ARCH]...", help="Architecture strings of the space.")]
_Sample = Annotated[int, typer.Option("--sample", "-n", help="Random architectures, where none are named.")]
_Task = Annotated[str, typer.Option("--task", "-t", help="Task whose input and output shapes the networks have.")]
_Threads = Annotated[int, typer.Option("--threads", help="Threads of one network.")]
_Batch = Annotated[int, typer.Option("--batch", help="Examples of one run.")]
_Rounds = Annotated[int, typer.Option("--rounds", help="Visits of each network, in another order every time.")]
_Runs = Annotated[int, typer.Option("--runs", help="Runs of a visit that count.")]
_Out = Annotated[Path | None, typer.Option("--out", "-o", help="CSV file to write, one more device table.")]


def measure(
    archs: _Archs = None,
    space: SpaceSpec = "nasbench201",
    sample: _Sample = 20,
    task: _Task = "cifar10",
    runtime: Annotated[str, typer.Option("--runtime", help="auto, onnxruntime or torch, on this machine.")] = "auto",
    threads: _Threads = 1,
    batch: _Batch = 1,
    rounds: _Rounds = 6,
    runs: _Runs = 15,
    remote: Annotated[
        str | None, typer.Option("--remote", help="Address of a runner (onnx_runner.py --serve) on the device.")
    ] = None,
    token: Annotated[
        str, typer.Option("--token", envvar="OGIVE_RUNNER_TOKEN", help="The runner's secret.", show_default=False)
    ] = "",
    name: Annotated[str, typer.Option("--name", help="What the device is called [default: host, or remote].")] = "",
    save: Annotated[bool, typer.Option("--save", help="Keep the device: latency@NAME for every search.")] = False,
    out: _Out = None,
    seed: Seed = 0,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Measure architectures on this machine, or on a device where a runner serves."""
    import tempfile

    from ogive.metrics.host_latency import HostConfig, host_table
    from ogive.metrics.remote import measure_remote
    from ogive.metrics.timing import Protocol
    from ogive.spaces.base import get_space
    from ogive.tasks.base import get_task

    where, shapes = get_space(space), get_task(task)
    genotypes = _architectures(where, archs, sample, seed)
    protocol = Protocol(rounds=rounds, runs=runs, seed=seed)
    note(f"timing {len(genotypes)} networks, {rounds} rounds of {runs} runs", quiet or json)
    if remote is None:
        config = HostConfig(runtime, threads, batch, protocol)  # type: ignore[arg-type]
        table, found = host_table(where, genotypes, shapes, config, seed=seed)
        called = "host"
    else:
        called = name or "remote"
        with tempfile.TemporaryDirectory() as folder:
            table, found = measure_remote(
                remote, token, called, where, genotypes, shapes, protocol,
                threads=threads, batch=batch, folder=Path(folder),
            )  # fmt: skip
    _tell(table, found, called, name or called, save, out, quiet, json)


def job(
    folder: Annotated[Path, typer.Argument(help="New folder to carry to the device.")],
    archs: _Archs = None,
    space: SpaceSpec = "nasbench201",
    sample: _Sample = 20,
    task: _Task = "cifar10",
    threads: _Threads = 1,
    batch: _Batch = 1,
    rounds: _Rounds = 6,
    runs: _Runs = 15,
    seed: Seed = 0,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Write networks and the program that times them, for a device that cannot be reached; see `read`."""
    from ogive.metrics.remote import write_job
    from ogive.metrics.timing import Protocol
    from ogive.spaces.base import get_space
    from ogive.tasks.base import get_task

    where = get_space(space)
    genotypes = _architectures(where, archs, sample, seed)
    protocol = Protocol(rounds=rounds, runs=runs, seed=seed)
    write_job(folder, where, genotypes, get_task(task), protocol, threads=threads, batch=batch)
    if json:
        emit({"folder": str(folder), "networks": len(genotypes)})
    note(f"on the device: cd {folder.name} && python onnx_runner.py .", quiet or json)
    note(f"then here: ogive latency read {folder} --name DEVICE", quiet or json)


def read(
    folder: Annotated[Path, typer.Argument(help="Folder that `job` wrote and the device ran.")],
    name: Annotated[str, typer.Option("--name", help="What the device is called.")],
    save: Annotated[bool, typer.Option("--save", help="Keep the device: latency@NAME for every search.")] = False,
    out: _Out = None,
    seed: Seed = 0,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Read what a device found of a job."""
    del seed  # nothing here is random
    from ogive.metrics.remote import read_job

    table, found = read_job(folder, name)
    _tell(table, found, name, name, save, out, quiet, json)


def import_devices(
    file: Annotated[Path, typer.Argument(help="CSV or Parquet: a row an architecture, a column a device, in ms.")],
    space: SpaceSpec = "nasbench201",
    devices: Annotated[str, typer.Option("--devices", help="Columns [default: all that look like a device].")] = "",
    seed: Seed = 0,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Keep the devices of a table that was measured elsewhere."""
    del seed  # nothing here is random
    from ogive.metrics.device_registry import save_device
    from ogive.metrics.devices import DeviceTable

    table = DeviceTable.read(file, space, devices=split_list(devices))
    for name in table.devices:
        save_device(table, name)
    if json:
        emit({"devices": list(table.devices), "space": table.space.spec, "architectures": len(table)})
    note(f"kept {len(table.devices)} devices: {', '.join(table.devices)}", quiet or json)


def list_devices(seed: Seed = 0, quiet: Quiet = False, json: Json = False) -> None:
    """List the devices kept on this machine."""
    del seed  # nothing here is random
    from ogive.metrics.device_registry import device_names, spaces_of

    known = [{"name": name, "spaces": spaces_of(name)} for name in device_names()]
    if json:
        emit({"devices": known})
        return
    if not known:
        note("no devices yet; keep one with: ogive latency import FILE, or ogive latency measure --save", quiet)
    for device in known:
        typer.echo(f"{device['name']}: {', '.join(device['spaces'])}")


def _architectures(space: Space, archs: list[str] | None, sample: int, seed: int) -> Genotypes:
    import numpy as np

    if archs:
        return space.parse(archs)
    if sample < 1:
        raise InputError(f"--sample is a whole number of at least 1, not {sample}")
    return space.sample(sample, np.random.default_rng(seed))


def _tell(
    table: DeviceTable, found: Timings, held: str, name: str, save: bool, out: Path | None, quiet: bool, json: bool
) -> None:
    """Keep what was measured where that is asked for, and say it."""
    from dataclasses import asdict, replace

    device = replace(table.device(held).device, name=name)
    archs = table.space.format_many(table.genotypes)
    rows = [
        {"arch": arch, "latency_ms": latency, "spread_ms": spread}
        for arch, latency, spread in zip(archs, found.latency, found.spread, strict=True)
    ]
    for i, reason in found.reasons.items():
        rows[i]["failed"] = reason
    if out is not None:
        _write(out, name, rows)
    if save:
        from ogive.metrics.device_registry import save_device

        save_device(table, held, device)
    if not math.isnan(found.drift) and found.drift > 0.05:
        note(
            f"warning: the machine changed by {100 * found.drift:.0f} % meanwhile; measure again when it is quiet",
            quiet,
        )
    if json:
        facts: dict[str, Any] = {"device": asdict(device), "repeatability": found.repeatability, "drift": found.drift}
        emit(facts | {"rows": rows})
    else:
        _print(rows, found, name)


def _write(path: Path, name: str, rows: list[dict[str, Any]]) -> None:
    import pandas as pd

    frame = pd.DataFrame(
        {
            "arch": [row["arch"] for row in rows],
            name: [-1.0 if "failed" in row else row["latency_ms"] for row in rows],
            f"{name}_spread": [row["spread_ms"] for row in rows],
        }
    )
    try:
        frame.to_csv(path, index=False)
    except OSError as error:
        raise InputError(f"cannot write '{path}': {error}") from error


def _print(rows: list[dict[str, Any]], found: Timings, name: str) -> None:
    for row in rows:
        time = f"failed: {row['failed']}" if "failed" in row else f"{row['latency_ms']:.4f} ms"
        typer.echo(f"{time}  {row['arch']}")
    if not math.isnan(found.repeatability):
        typer.echo(f"{name}: repeatability SRCC {found.repeatability:.3f} between two halves of the visits")
