"""What ``ogive latency`` says of what it found: documents and lines."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import typer

from ogive.cli.common import number

if TYPE_CHECKING:
    from ogive.methods.one_proxy import Adaptation, Check
    from ogive.predictors.monotonicity import Agreement


def document_of(found: Adaptation, check: Check) -> dict[str, Any]:
    """Return what `adapt` prints with --json."""
    archs = found.space.format_many(found.genotypes)
    able = found.model.feasibility()
    return {
        "device": found.device,
        "samples": len(found.index),
        "predictor": found.predictor,
        "pool": list(found.pool),
        "family": list(found.family),
        "proxy": found.proxy,
        "measured": [archs[row] for row in found.index],
        "failed": len(found.failed),
        "srcc_before": None if check.before is None else check.before.srcc,
        "srcc_after": check.after.srcc,
        "srcc_after_lower": check.after.lower,
        "kendall_after": check.after.kendall,
        "checked_on": check.after.n,
        "mape_percent": check.mape,
        "coverage_90": check.coverage,
        "state": check.after.state,
        "stopped": found.stopped,
        "warnings": list(found.warnings),
        "predictions": [
            {"arch": arch, "latency_ms": mean, "spread_ms": spread, "compiles": p}
            for arch, mean, spread, p in zip(archs, found.mean, found.spread, able, strict=True)
        ],
    }


def symmetric(names: list[str], values: dict[tuple[str, str], Any], diagonal: Any = 1.0) -> list[list[Any]]:
    """Return a full matrix of what is known of each pair once."""
    return [[diagonal if a == b else values.get((a, b), values.get((b, a))) for b in names] for a in names]


def print_matrix(document: dict[str, Any]) -> None:
    """Print the matrix by numbers and the names below: device names are wider than a terminal's columns."""
    names = document["devices"]
    typer.echo("SRCC x 100")
    typer.echo("   " + "".join(f"{i:4d}" for i in range(1, len(names) + 1)))
    for i, (name, row) in enumerate(zip(names, document["srcc"], strict=True), start=1):
        cells = "".join("   -" if math.isnan(v) else f"{round(100 * v):4d}" for v in row)
        failed = document["failed"][name]
        typer.echo(f"{i:3d}{cells}  {name}" + (f" ({failed} failed, left out)" if failed else ""))
    for family in document["families"]:
        typer.echo(f"near copies of one another: {', '.join(family)}")
    if "report" in document:
        typer.echo(f"report: {document['report']}")


def _said(found: Agreement) -> str:
    return f"{found.srcc:.3f} (95 % sure above {found.lower:.3f}, on {found.n:,} architectures): {found.state}"


def print_adaptation(document: dict[str, Any], check: Check) -> None:
    """Print how good the order was before and is after, and the error."""
    from rich.console import Console

    say = Console(highlight=False, soft_wrap=True, markup=False).print
    say(f"{document['device']}: {document['samples']} measurements, predictor {document['predictor']}")
    if document["family"]:
        say(f"kept out of the pool as near copies: {', '.join(document['family'])}")
    if document["failed"]:
        say(f"{document['failed']} networks failed on the device")
    if check.before is not None:
        say(f"SRCC before, proxy {document['proxy']}: {_said(check.before)}")
    if check.after.n:
        say(f"SRCC after: {_said(check.after)}")
        say(f"mean error {check.mape:.1f} %; the 90 % interval holds {100 * check.coverage:.0f} %")
    if "repeatability" in document:
        say(f"repeatability of the measurements: SRCC {document['repeatability']:.3f}")
    for key in ("saved", "report"):
        if key in document:
            say(f"{key}: {document[key]}")


def print_front(document: dict[str, Any], maximize: str) -> None:
    """Print the measured front by numbers and its architectures below."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=True, markup=False)
    title = (
        f"front on {document['device']}, measured ({document['samples']} to learn, {document['verified']} to verify)"
    )
    grid = Table("", maximize, "ms", "predicted", box=None, pad_edge=False, title=title, title_justify="left")
    for i, row in enumerate(document["front"], start=1):
        guess = f"{row['predicted_ms']:.4g} +- {row['spread_ms']:.2g}"
        grid.add_row(str(i), number(row[maximize]), f"{row['latency_ms']:.4g}", guess)
    console.print(grid)
    for i, row in enumerate(document["front"], start=1):
        console.print(f"{i}  {row['arch']}")
    if document["chosen"] is not None:
        console.print(f"chosen under {document['cap']:g} ms: {document['chosen']}")
        if document["prediction_alone_breaks_cap"]:
            console.print("the pick of the predictions alone breaks the cap; it was measured and passed over")
    if "report" in document:
        console.print(f"report: {document['report']}")
