"""What steering has made of a run, as the page shows it: the state of every part, the history, the sampler."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ogive.strategies.base import get_strategy
from ogive.studio.graph import part_id
from ogive.study.settings import restricted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ogive.spaces.base import Space
    from ogive.study.settings import Settings
    from ogive.study.steering import Steering

_SAMPLER = ("T", "uniform", "mutation")
_DRAWN = ("nodes: ", "groups: ", "edges: ")
_PLAIN = frozenset({"choice", "option", "node", "group", "name", "where", "to", "source", "target"})
"""Arguments that speak for themselves."""


def by_part(space: Space, table: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a table of choices and options, such as the locks of a revision, by the ids of the page."""
    return {part_id(space, c, o): value for c, row in table.items() for o, value in row.items()}


def sampler(settings: Settings, space: Space) -> dict[str, Any]:
    """Return the strategy and what is set of a guided one: temperature, uniform share, share of mutations."""
    strategy = get_strategy(settings.strategy, space, n_objectives=len(settings.objectives))
    values = {name: settings.sampler.get(name, getattr(strategy, name, None)) for name in _SAMPLER}
    return {"strategy": settings.strategy, **values}


def taken(steering: Steering) -> set[str]:
    """Return the ids that nodes and groups of some revision have or had; none is ever given to another."""
    drawings = [r.settings.template for r in steering.revisions if r.settings.template is not None]
    drawn = {item["id"] for d in drawings for kind in ("nodes", "groups") for item in d.get(kind, ())}
    return drawn.union(*(d.get("retired", ()) for d in drawings))


def architectures(space: Space) -> int:
    """Return how many points of the box the present locks and exclusions leave."""
    return math.prod(space.restriction.allowed.sum(axis=1).tolist())


def history(steering: Steering, rows: Sequence[Mapping[str, Any]], sizes: dict[str, int]) -> list[dict[str, Any]]:
    """Return the revisions, oldest first, with what each did in words and whether it has been undone since.

    Parameters
    ----------
    steering : Steering
    rows : sequence of mapping
        What ``study.history()`` gives, a row a revision; the last revisions may be missing.
    sizes : dict
        Size of the space by the name of the settings, as far as it is known; filled in.
    """
    standing = set()
    at: int | None = steering.head.same_as
    while at is not None:
        standing.add(at)
        at = steering.revisions[at].parent
    found = []
    before = 0
    for row, revision in zip(rows, steering.revisions, strict=False):
        name = revision.settings.hash
        if name not in sizes:
            whole = revision.settings.space(steering.origin)
            sizes[name] = architectures(restricted(whole, revision.settings.status))
        # What was drawn stands in the command; a list of edges says nothing more to a reader.
        changes = [c for c in row.get("changes", []) if not c.startswith(_DRAWN)]
        if before not in (0, sizes[name]):
            changes.append(f"space {before:,} → {sizes[name]:,}")
        before = sizes[name]
        found.append(
            {
                "rev": row["rev"],
                "parent": row["parent"],
                "ts": row.get("ts"),
                "actor": row.get("actor", "engine"),
                "op": row.get("op", "start"),
                "args": row.get("args", {}),
                "text": _words(row),
                "note": row.get("note", ""),
                "effect": "; ".join(changes),
                "branch": row["branch"],
                "same_as": row["same_as"],
                "undone": row["same_as"] == row["rev"] and row["rev"] not in standing,
            }
        )
    return found


def _words(row: Mapping[str, Any]) -> str:
    """Write what a command did: its name, then what it was done to."""
    if "op" not in row:
        return "the question the run was asked"
    words = [row["op"].replace("_", " ")]
    for name, value in row["args"].items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        if value not in ({}, []):
            words.append(text if name in _PLAIN else f"{name}={text}")
    return " ".join(words)
