"""Which devices are near copies of one another: the same silicon, or an order of latencies that is all but equal.

A near copy of the target in the pool makes any predictor look good; results for a target are reported without its
family.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from ogive._errors import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ogive.predictors.base import Floats

NEAR_COPY = 0.98
"""Spearman's correlation from which two devices count as one family."""
_SHARED = 30
"""Architectures both devices must have measured for their correlation to say anything."""
_SOURCE = re.compile(r"^(hwnas|nnmeter|eagle)_")
_SETTING = re.compile(r"_(fp16|fp32|int8|\d{1,3})$")


def silicon(device: str) -> str:
    """Return a device's name without the collection it comes from and without its precision or batch size.

    Examples
    --------
    >>> silicon("eagle_edgetpu_int8"), silicon("hwnas_edgetpu"), silicon("titan_rtx_64"), silicon("gold_6226")
    ('edgetpu', 'edgetpu', 'titan_rtx', 'gold_6226')
    """
    return _SETTING.sub("", _SOURCE.sub("", device))


def unit_ranks(table: Floats) -> Floats:
    """Return the centred ranks along the last axis, of length 1, so that products are Spearman's correlations.

    Ties share their mean rank; ranks of a constant are 0 and correlate with nothing.
    """
    from scipy.stats import rankdata

    ranks = np.asarray(rankdata(table, axis=-1), dtype=np.float64)
    ranks -= ranks.mean(axis=-1, keepdims=True)
    return np.asarray(ranks / np.maximum(np.sqrt((ranks**2).sum(axis=-1, keepdims=True)), 1e-12))


def related(latencies: Mapping[str, Floats], near: float = NEAR_COPY) -> dict[str, set[str]]:
    """Return, for every device, itself and its near copies.

    Parameters
    ----------
    latencies : mapping of str to ndarray of float64, (N,)
        In ms; NaN where unknown.
    near : float
        Spearman's correlation from which two devices are near copies; above 1 only names count.
    """
    names = list(latencies)
    known = {name: np.isfinite(latencies[name]) for name in names}
    # Ranking takes most of the time; devices without gaps are ranked once.
    whole = {name: unit_ranks(latencies[name]) for name in names if known[name].all()}
    out = {a: {b for b in names if silicon(a) == silicon(b)} for a in names}
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            both = known[a] & known[b]
            if both.sum() < _SHARED:
                continue
            pair = [whole[d] if both.all() else unit_ranks(latencies[d][both]) for d in (a, b)]
            if pair[0] @ pair[1] >= near:
                out[a].add(b)
                out[b].add(a)
    return out


def detect_families(latencies: Mapping[str, Floats], near: float = NEAR_COPY) -> list[tuple[str, ...]]:
    """Return the families among devices, near copies of near copies included; a device alone is a family of one.

    Parameters
    ----------
    latencies, near
        As in `related`.
    """
    links = related(latencies, near)
    families: list[set[str]] = []
    for device, copies in links.items():
        joined = [f for f in families if f & copies]
        families = [f for f in families if f not in joined]
        families.append({device}.union(copies, *joined))
    return [tuple(d for d in latencies if d in family) for family in families]


def exclude_family(latencies: Mapping[str, Floats], target: str, near: float = NEAR_COPY) -> dict[str, Floats]:
    """Return the devices that are neither the target nor a near copy of it: the pool to report the target with.

    Parameters
    ----------
    latencies : mapping of str to ndarray of float64, (N,)
        In ms, the target's among them.
    target : str
    near : float
        As in `related`.

    Raises
    ------
    UnknownNameError
        If the target is not among the devices.
    """
    if target not in latencies:
        raise UnknownNameError.of("device", target, latencies)
    copies = related(latencies, near)[target]
    return {device: v for device, v in latencies.items() if device not in copies}
