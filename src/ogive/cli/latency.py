"""``ogive latency``: how long networks take on a device that was measured little or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ogive._errors import InputError
from ogive.cli import latency_devices
from ogive.cli.common import Json, Quiet, Seed, SpaceSpec, emit, note, split_list
from ogive.cli.latency_words import document_of, print_adaptation, print_front, print_matrix, symmetric

if TYPE_CHECKING:
    import numpy as np

    from ogive.methods.one_proxy import Adaptation, Measure
    from ogive.metrics.devices import DeviceTable
    from ogive.predictors.base import Floats

app = typer.Typer(
    help="Latency of devices: measure, compare, predict from a few measurements, search under a cap.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.command("measure")(latency_devices.measure)
app.command("job")(latency_devices.job)
app.command("read")(latency_devices.read)
app.command("import")(latency_devices.import_devices)
app.command("devices")(latency_devices.list_devices)

_TableFile = Annotated[
    Path, typer.Option("--table", help="CSV or Parquet, also compressed: a row an architecture, a column a device, ms.")
]
_Devices = Annotated[str, typer.Option("--devices", help="Columns that are devices [default: all that look like one].")]
_Target = Annotated[
    str, typer.Option("--target", help="Device to learn: a column of the table, or 'host' for this machine, measured.")
]
_Proxy = Annotated[str | None, typer.Option("--proxy", help="Learn from this one device only.")]
_PoolOption = Annotated[
    str, typer.Option("--pool", help="Learn from these devices [default: all but near copies of the target].")
]
_Exclude = Annotated[
    list[str] | None, typer.Option("--exclude", help="Patterns of devices to leave out, such as 'eagle_*'.")
]
_Samples = Annotated[int, typer.Option("--samples", help="Measurements on the target.")]
_Predictor = Annotated[
    str, typer.Option("--predictor", help="raw, adaproxy, ridge, pool_ridge, pool_gp, blend or default.")
]
_Sampler = Annotated[str, typer.Option("--sampler", help="What to measure: d_optimal, k_means, random or active.")]
_Task = Annotated[str, typer.Option("--task", "-t", help="Task whose input and output shapes the networks have.")]
_Verify = Annotated[
    int, typer.Option("--verify", help="Further random architectures measured to check the predictions for a host.")
]
_Report = Annotated[Path | None, typer.Option("--report", help="Write a page with charts here.")]
_Save = Annotated[
    str | None, typer.Option("--save", help="Keep the predictions as a device: latency@NAME for every search.")
]


@app.command()
def monotonicity(
    table: _TableFile,
    space: SpaceSpec = "nasbench201",
    devices: _Devices = "",
    report: _Report = None,
    seed: Seed = 0,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Compare the orders in which devices rank architectures: which may stand for which, and which are near copies."""
    del seed  # nothing here is random
    import numpy as np

    from ogive.metrics.devices import DeviceTable
    from ogive.predictors.families import detect_families
    from ogive.predictors.monotonicity import agreement, matrix

    held = DeviceTable.read(table, space, devices=split_list(devices))
    latencies = {name: d.latency for name, d in held.devices.items()}
    names = list(latencies)
    note(f"{len(held):,} architectures, {len(names)} devices", quiet or json)
    pairs = {(a, b): agreement(latencies[a], latencies[b]) for i, a in enumerate(names) for b in names[i + 1 :]}
    document: dict[str, Any] = {
        "devices": names,
        "architectures": len(held),
        "srcc": matrix(latencies).tolist(),
        "kendall": symmetric(names, {k: v.kendall for k, v in pairs.items()}),
        "lower": symmetric(names, {k: v.lower for k, v in pairs.items()}),
        "state": symmetric(names, {k: v.state for k, v in pairs.items()}, "accept"),
        "distinct": {name: len(np.unique(v[np.isfinite(v)])) for name, v in latencies.items()},
        "failed": {name: int(d.failed.sum()) for name, d in held.devices.items()},
        "families": [list(f) for f in detect_families(latencies) if len(f) > 1],
    }
    if report is not None:
        from ogive.methods._latency_report import write_monotonicity

        document["report"] = str(write_monotonicity(document, report))
    if json:
        emit(document)
    else:
        print_matrix(document)


@app.command()
def adapt(
    table: _TableFile,
    target: _Target,
    space: SpaceSpec = "nasbench201",
    samples: _Samples = 30,
    proxy: _Proxy = None,
    pool: _PoolOption = "",
    exclude: _Exclude = None,
    devices: _Devices = "",
    predictor: _Predictor = "default",
    sampler: _Sampler = "d_optimal",
    until: Annotated[
        float | None, typer.Option("--until", help="Stop before that when the order is surely this good (SRCC).")
    ] = None,
    verify: _Verify = 60,
    task: _Task = "cifar10",
    save: _Save = None,
    report: _Report = None,
    seed: Seed = 0,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Learn a device from a few measurements, and say how good the predictions are on what was not measured."""
    from ogive.metrics.devices import DeviceTable

    held = DeviceTable.read(table, space, devices=split_list(devices))
    found, truth, repeats = _adapted(
        held, target, samples, predictor, proxy, pool, exclude, sampler, until, verify, task, seed, quiet or json
    )
    check = found.check(truth)
    document = document_of(found, check) | ({} if repeats is None else {"repeatability": repeats})
    if save is not None:
        document["saved"] = _keep(held, found, save)
    if report is not None:
        from ogive.methods._latency_report import write_adaptation

        document["report"] = str(write_adaptation(found, check, report, truth))
    if json:
        emit(document)
    else:
        print_adaptation(document, check)


@app.command()
def search(
    table: _TableFile,
    target: _Target,
    maximize: Annotated[str, typer.Option("--maximize", help="Metric to trade for latency.")],
    space: SpaceSpec = "nasbench201",
    cap: Annotated[float | None, typer.Option("--cap", help="Latency not to be exceeded, in ms.")] = None,
    risk: Annotated[
        float, typer.Option("--risk", help="Trust mean + RISK x spread: above 0 the cap is seldom broken.")
    ] = 0.0,
    layers: Annotated[int, typer.Option("--layers", help="Layers of the predicted front that are measured.")] = 2,
    samples: _Samples = 30,
    proxy: _Proxy = None,
    pool: _PoolOption = "",
    exclude: _Exclude = None,
    devices: _Devices = "",
    predictor: _Predictor = "default",
    sampler: _Sampler = "d_optimal",
    task: _Task = "cifar10",
    report: _Report = None,
    seed: Seed = 0,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Search the table's architectures for the best under the target's latency, and measure the short list."""
    from ogive.methods._latency_search import search as find
    from ogive.metrics.devices import DeviceTable

    held = DeviceTable.read(table, space, devices=split_list(devices))
    worth = _worth(held, maximize, task)
    found, _, _ = _adapted(
        held, target, samples, predictor, proxy, pool, exclude, sampler, None, 0, task, seed, quiet or json
    )
    measure = _measure(held, target, task, seed)
    front = find(found, worth, measure, cap=cap, risk=risk, layers=layers)
    archs = held.space.format_many(held.genotypes)
    document: dict[str, Any] = {
        "device": target,
        "samples": len(found.index),
        "verified": len(front.verified),
        "maximize": maximize,
        "cap": cap,
        "chosen": None if front.chosen is None else archs[front.chosen],
        "prediction_alone_breaks_cap": front.broken,
        "front": [
            {"arch": archs[row], maximize: worth, "latency_ms": latency, "predicted_ms": mean, "spread_ms": spread}
            for row, worth, latency, mean, spread in zip(
                front.rows, front.worth, front.latency, front.predicted, front.spread, strict=True
            )
        ],
        "warnings": list(found.warnings),
    }
    if report is not None:
        from ogive.methods._latency_report import write_search

        document["report"] = str(write_search(found, front, maximize, cap, report))
    if json:
        emit(document)
    else:
        print_front(document, maximize)


# ---------------------------------------------------------------- work


def _adapted(
    held: DeviceTable,
    target: str,
    samples: int,
    predictor: str,
    proxy: str | None,
    pool: str,
    exclude: list[str] | None,
    sampler: str,
    until: float | None,
    verify: int,
    task: str,
    seed: int,
    silent: bool,
) -> tuple[Adaptation, Floats, float | None]:
    """Adapt, and get what to check it on: the column's own latencies, or some more architectures of a host."""
    import numpy as np

    from ogive.methods.one_proxy import adapt as learn

    live = target == "host" and target not in held.devices
    if live:
        note(f"measuring {samples} architectures on this machine", silent)
    found = learn(
        held,
        target,
        samples=samples,
        predictor=predictor,
        proxy=proxy,
        pool=split_list(pool),
        exclude=exclude or (),
        sampler=sampler,
        bar=until,
        seed=seed,
        measure=_measure(held, target, task, seed) if live else None,
        task=task,
    )
    for warning in found.warnings:
        note(f"warning: {warning}", silent)
    if not live:
        return found, held.device(target).latency, None
    truth, repeats = np.full(len(held), np.nan), None
    left = np.setdiff1d(np.arange(len(held)), found.index)
    if verify:
        note(f"measuring {verify} others to check the predictions", silent)
        rows = np.random.default_rng(seed).choice(left, min(verify, len(left)), replace=False)
        truth[rows], repeats = _host(held, rows, task, seed)
    return found, truth, repeats


def _measure(held: DeviceTable, target: str, task: str, seed: int) -> Measure:
    if target in held.devices:
        latency = held.device(target).latency
        return lambda rows: latency[rows]
    if target != "host":
        held.device(target)
    return lambda rows: _host(held, rows, task, seed)[0]


def _host(held: DeviceTable, rows: np.ndarray[Any, np.dtype[np.intp]], task: str, seed: int) -> tuple[Floats, float]:
    from ogive.metrics.host_latency import measure_host
    from ogive.tasks.base import get_task

    found = measure_host(held.space, held.genotypes[rows], get_task(task), seed=seed)
    return found.latency, found.repeatability


def _worth(held: DeviceTable, metric: str, task: str) -> Floats:
    from ogive.metrics.base import Context, Cost, resolve
    from ogive.metrics.evaluate import evaluate
    from ogive.tasks.base import get_task

    known = resolve(metric)
    if known.cost > Cost.COUNT:
        raise InputError(f"'{metric}' is too dear to compute for all {len(held):,} candidates; use a table's column")
    values = evaluate([known.name], held.space, held.genotypes, Context(get_task(task))).values[known.name]
    return values if known.direction == "max" else -values


def _keep(held: DeviceTable, found: Adaptation, name: str) -> str:
    """Keep predictions, and measurements apart from them, as a device."""
    import numpy as np

    from ogive.metrics.device_registry import save_device
    from ogive.metrics.devices import Device, DeviceTable, Latencies

    device = Device(name, note=f"predicted by {found.predictor} from {len(found.index)} measurements of {found.device}")
    none = np.zeros(len(found.mean), dtype=np.bool_)
    guess = Latencies(device, found.mean, found.spread, none)
    save_device(DeviceTable(held.space, held.genotypes, {name: guess}), name, predicted=True)
    seen = Latencies(device, found.latency, np.full(len(found.index), np.nan), np.isnan(found.latency))
    folder = save_device(DeviceTable(held.space, held.genotypes[found.index], {name: seen}), name)
    return str(folder)
