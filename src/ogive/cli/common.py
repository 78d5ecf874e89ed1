"""What every command shares: options, one JSON document on stdout, everything else on stderr."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print exactly one JSON document on stdout and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar and no notes.")]
Seed = Annotated[int, typer.Option("--seed", help="Fixes every random decision.")]
SpaceSpec = Annotated[str, typer.Option("--space", "-s", help="Space, as name or name:option=value,...")]
TaskSpec = Annotated[str, typer.Option("--task", "-t", help="Task, as name or name:option=value,...")]
Device = Annotated[str, typer.Option("--device", help="PyTorch device, such as cpu or cuda.")]
SupernetFolder = Annotated[
    Path | None, typer.Option("--supernet", help="Trained supernet for @supernet metrics: its folder.")
]
Plugins = Annotated[
    list[str] | None,
    typer.Option("--plugin", help="Module or .py file that registers spaces, tasks, metrics or strategies."),
]


def load_plugins(plugins: list[str] | None) -> list[str]:
    """Import the plug-ins named on the command line and return them."""
    from ogive._registry import load_plugin

    for source in plugins or []:
        load_plugin(source)
    return list(plugins or [])


def split_list(text: str | list[str] | None) -> list[str]:
    """Read ``a,b`` or repeated options as one list; ``name:option=value,option=value`` stays one item."""
    items: list[str] = []
    for piece in ",".join([text] if isinstance(text, str) else text or []).split(","):
        key, equals, _ = piece.partition("=")
        if items and ":" in items[-1] and equals and ":" not in key:
            items[-1] += f",{piece.strip()}"
        elif piece.strip():
            items.append(piece.strip())
    return items


def emit(document: dict[str, Any]) -> None:
    """Print one JSON document; a value that is not finite becomes null."""
    sys.stdout.write(json.dumps(finite(document), indent=2, allow_nan=False) + "\n")


def finite(value: Any) -> Any:
    """Return `value` as plain JSON: numpy scalars unpacked, values that are not finite as None."""
    if isinstance(value, dict):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(v) for v in value]
    if hasattr(value, "tolist"):
        return finite(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def number(value: float) -> str:
    """Write a number for people: whole ones with thousands separators, others with six significant digits."""
    if not math.isfinite(value):
        return "none" if math.isnan(value) else str(value)
    return f"{value:,.0f}" if value == int(value) and abs(value) < 1e15 else f"{value:.6g}"


def note(text: str, quiet: bool = False) -> None:
    """Print a line for the person at the terminal, on stderr."""
    if not quiet:
        sys.stderr.write(text + "\n")
