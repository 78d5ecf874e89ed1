"""``ogive certify``: train architectures, attack them, and say which are locked."""

from __future__ import annotations

import math
import os
import time
from dataclasses import replace
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from ogive._errors import InputError
from ogive.cli.common import Device, Json, Plugins, Quiet, Seed, SpaceSpec, emit, load_plugins, note, split_list

if TYPE_CHECKING:
    from ogive.methods.certification import Certificate, Finding, Protocol
    from ogive.study.final import Estimate


def certify(
    archs: Annotated[list[str] | None, typer.Argument(metavar="[ARCH]...", help="Candidates, as arch strings.")] = None,
    space: SpaceSpec = "nasbench201:C=8,N=1",
    source: Annotated[str, typer.Option("--source", help="Task the network is shipped for.")] = "digits",
    target: Annotated[list[str] | None, typer.Option("--target", help="Task of an attacker; repeat for more.")] = None,
    random: Annotated[
        int, typer.Option("--random", min=0, help="Architectures drawn at random to certify beside them.")
    ] = 0,
    unlocked: Annotated[
        str | None,
        typer.Option("--unlocked", help="Source-only winner, shipped without a lock [default: the first --public]."),
    ] = None,
    public: Annotated[
        list[str] | None,
        typer.Option("--public", help="What attackers can train themselves [default: resnet8:width=16]."),
    ] = None,
    limit: Annotated[
        float, typer.Option("--limit", help="Points of accuracy the network may be worth to an attacker.")
    ] = 5.0,
    gate: Annotated[
        str, typer.Option("--gate", help="Source accuracy: value:95 percent, or within:2 points of the unlocked one's.")
    ] = "within:2",
    preset: Annotated[
        str, typer.Option("--preset", help="How hard attackers try: full, or small for minutes.")
    ] = "full",
    seeds: Annotated[
        int | None, typer.Option("--seeds", help="Trainings of everything [default: the preset's].")
    ] = None,
    recipe: Annotated[
        str, typer.Option("--set", help="Options of the owner's training recipe, as name=value,name=value.")
    ] = "",
    attack: Annotated[str, typer.Option("--attack", help="Options of the attackers' recipe, likewise.")] = "",
    workers: Annotated[
        int | None, typer.Option("--workers", "-w", help="Processes that train; 0 for none [default: one a core].")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the run; the same command goes on from it.")
    ] = None,
    device: Device = "cpu",
    seed: Seed = 0,
    plugin: Plugins = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Certify a lock: is a trained network worth more to attackers than what they can train themselves?"""
    plugins = load_plugins(plugin)
    from ogive.methods.certification import certify as run
    from ogive.training.trainer import find_device

    find_device(device)
    began = time.perf_counter()
    try:
        certificate = run(
            [*(archs or []), *_drawn(space, random, seed)],
            space,
            source,
            split_list(target),
            unlocked=unlocked,
            **({"public": split_list(public)} if public else {}),
            limit=limit,
            gate=gate,
            protocol=_protocol(preset, seeds, recipe, attack),
            workers=(os.cpu_count() or 1) if workers is None else workers,
            out=out,
            seed=seed,
            device=device,
            plugins=plugins,
            show=False if quiet or json else None,
        )
    except KeyboardInterrupt:
        if out is not None:
            note(f"every finished training is kept in {out}; the same command goes on from there", quiet)
        raise
    if json:
        emit(
            {
                "run": None if out is None else str(out),
                "space": space,
                "source": source,
                "targets": split_list(target),
                "preset": preset,
                "seed": seed,
                "seconds": time.perf_counter() - began,
                **certificate.to_dict(),
            }
        )
    else:
        _print(certificate)


def _drawn(space: str, n: int, seed: int) -> list[str]:
    import numpy as np

    from ogive.spaces.base import get_space

    where = get_space(space)
    return list(where.format(where.sample(n, np.random.default_rng(seed)))) if n else []


def _protocol(name: str, seeds: int | None, ship: str, attack: str) -> Protocol:
    from ogive._registry import parse_spec
    from ogive.methods.certification import preset
    from ogive.training.config import TrainConfig

    found = preset(name)
    asked = {"ship": parse_spec(f"train:{ship}")[1], "attack": parse_spec(f"train:{attack}")[1]}
    if "lr" in asked["attack"]:
        raise InputError("attackers choose their learning rate among the preset's; leave lr out of --attack")
    return replace(
        found,
        seeds=found.seeds if seeds is None else seeds,
        ship=TrainConfig.from_dict(found.ship.to_dict() | asked["ship"]),
        attack=TrainConfig.from_dict(found.attack.to_dict() | asked["attack"]),
    )


# -------------------------------------------------------------------- what is said


def _print(certificate: Certificate) -> None:
    typer.echo("test accuracy in percent, advantage in points, each with half its 95 % interval")
    findings = [*enumerate(certificate.findings, start=1), ("unlocked", certificate.unlocked)]
    for name, finding in findings:
        _print_finding(f"{name}", finding)
    typer.echo("")
    for name, finding in findings:
        typer.echo(f"{name}: {finding.verdict}")
        for doubt in finding.doubts:
            typer.echo(f"  {doubt}")
    if certificate.unlocked.locked:
        typer.echo("the unlocked network passes too: on these targets there is nothing that a lock could take away")
    for target, rho in certificate.agreement.items():
        typer.echo(f"{target}: rank correlation of accuracy from scratch and under attack {rho:.2f}")


def _print_finding(name: str, finding: Finding) -> None:
    typer.echo(f"\n{name}: {finding.arch}")
    typer.echo(f"  source {_shown(finding.source)}, against the unlocked network {_shown(finding.source_difference)}")
    kinds = list(finding.contests[0].attacks)
    before = ""
    for c in finding.contests:
        if c.target != before:
            before = c.target
            typer.echo(f"  {c.target}")
            typer.echo("  " + _line("data", [*kinds, "public", "unlocked", "advantage"]))
        estimates = [*c.attacks.values(), c.public, c.unlocked, c.advantage]
        typer.echo("  " + _line(f"{c.share:.0%}", [_shown(e) for e in estimates]))


def _line(first: str, cells: list[str]) -> str:
    return f"{first:>4}" + "".join(f"{cell:>12}" for cell in cells)


def _shown(e: Estimate) -> str:
    return "-" if math.isnan(e.mean) else f"{e.mean:.1f}±{e.high - e.mean:.1f}"
