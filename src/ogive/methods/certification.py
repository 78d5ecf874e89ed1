"""Certification of a lock: ship the network for real, attack it for real, and say what that shows.

A lock found in a table of trainings from scratch is a hypothesis. Attackers hold weights, and pretraining may make up
for what the structure lacks. So each candidate is trained on the source and attacked on every target with every attack
of `ogive.training.transfer`, several seeds, shares of the data and learning rates. Against it stand two things anyone
can have: a public architecture trained from scratch on the attacker's data, and the unlocked network (the source-only
winner) under the same attacks.

A network that cannot be worth more to an attacker than what the attacker has anyway is locked. The threat model ends
there: whoever distils it into another structure, edits operations or adds branches beyond the adapter attack holds
another network.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._errors import InputError
from ogive.methods._certificate import Contest, Finding, SourceGate, difference, doubts, estimate
from ogive.methods._certification_jobs import PUBLIC, network_name, unpack
from ogive.methods._certification_plan import PRESETS, SCRATCH, SHIP, Plan, Protocol, Training, preset
from ogive.methods._certification_run import Results, Store, run
from ogive.spaces.base import get_space, image_shape
from ogive.tasks.base import get_task
from ogive.training.transfer import ATTACKS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["PRESETS", "Certificate", "Contest", "Finding", "Protocol", "certify", "preset"]


@dataclass(frozen=True)
class Certificate:
    """The outcome of a certification.

    Attributes
    ----------
    findings : tuple of Finding
        One an architecture, in the order given.
    unlocked : Finding
        The network they are compared with, judged alike: where it passes too, nothing was there to lock.
    public : tuple of str
    gate : str
    limit : float
        Points.
    trainings : int
    agreement : dict of str to float
        For each target, Spearman's correlation over the architectures between accuracy from scratch and the best
        attack's, with the largest share of the data: how far a lock among trainings from scratch says what attacks
        reach. Only for three architectures or more.
    """

    findings: tuple[Finding, ...]
    unlocked: Finding
    public: tuple[str, ...]
    gate: str
    limit: float
    trainings: int
    agreement: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the certificate as JSON values."""
        return {
            "unlocked": self.unlocked.to_dict(),
            "public": list(self.public),
            "gate": self.gate,
            "limit": self.limit,
            "trainings": self.trainings,
            "agreement": self.agreement,
            "findings": [f.to_dict() for f in self.findings],
        }


def certify(
    archs: Sequence[str],
    space: str,
    source: str,
    targets: Sequence[str],
    *,
    unlocked: str | None = None,
    public: Sequence[str] = PUBLIC,
    limit: float = 5.0,
    gate: str = "within:2",
    protocol: Protocol | str = "full",
    workers: int = 1,
    out: str | Path | None = None,
    seed: int = 0,
    device: str = "cpu",
    plugins: Sequence[str] = (),
    show: bool | None = None,
) -> Certificate:
    """Train architectures on the source, attack them on the targets, and say which are locked.

    Parameters
    ----------
    archs : sequence of str
        Candidates, as arch strings of the space.
    space, source : str
    targets : sequence of str
        Image classification tasks.
    unlocked : str, optional
        What would be shipped without a lock, the winner of a search on the source alone; the first public
        architecture by default.
    public : sequence of str
        What an attacker can train without the shipped network: ``resnet8:width=16``, or architectures of the space.
    limit : float
        Points of test accuracy that the shipped network may be worth to an attacker.
    gate : str
        What the source accuracy must hold: ``value:95`` percent, or ``within:2`` points of the unlocked network's.
    protocol : Protocol or str
        How hard the attackers try; a name of `PRESETS`.
    workers : int
        Processes, each with one thread; 0 for none but this one.
    out : path, optional
        Folder of the run: settings, a line a finished training, weights, certificate. The same call goes on from it.
    seed : int
        First of the seeds.
    device : str
    plugins : sequence of str
        Loaded by each worker.
    show : bool, optional
        Whether to draw a progress bar; by default on a terminal.

    Returns
    -------
    Certificate
        An architecture is locked where the lower end of the 95 % interval of its source accuracy passes the gate and
        the upper end of the attacker's advantage stays under `limit` on every target with every share of the data.
        Since all bounds must hold, many targets make no false lock more likely.

    Raises
    ------
    InputError
        If something asked for does not exist or does not fit, or `out` was begun with other settings.
    DataMissingError
        If a task's files are not on this machine.
    StorageError
        If `out` cannot be read or written, or another process writes it.
    OgiveError
        If a worker failed; what is finished is kept.
    """
    if workers < 0:
        raise InputError(f"workers is a whole number >= 0, not {workers}")
    if not archs or not targets:
        raise InputError(f"no {'architectures' if not archs else 'targets'} to certify; name one or more")
    bound = SourceGate.parse(gate)
    where = get_space(space)
    names = tuple(dict.fromkeys(network_name(p, where) for p in public))
    if not names:
        raise InputError("no public architecture to compare with; name one or more, for example resnet8")
    plan = Plan(
        where.spec,
        tuple(dict.fromkeys(network_name(a, where) for a in archs)),
        get_task(source).spec,
        tuple(dict.fromkeys(get_task(t).spec for t in targets)),
        names[0] if unlocked is None else network_name(unlocked, where),
        names,
        preset(protocol) if isinstance(protocol, str) else protocol,
        seed,
        device,
    )
    if plan.source in plan.targets:
        raise InputError(f"task '{plan.source}' is the source and a target; a lock cannot hold on both")
    for task in map(get_task, (plan.source, *plan.targets)):
        image_shape(where.name, task)
        task.split("train")  # missing files are found out now, not by a worker after hours
    with _folder(out) as folder:
        store = Store(folder)
        with store.open(plan.settings()):
            results = run(plan, store, workers, plugins, show)
            certificate = judge(plan, results, bound, limit)
            store.directory.write("certificate.json", json.dumps(certificate.to_dict(), indent=2) + "\n")
    return certificate


def judge(plan: Plan, results: Results, gate: SourceGate, limit: float) -> Certificate:
    """Return what the results of a plan allow one to say."""

    def chosen(
        networks: Sequence[str], kinds: Sequence[str], task: str, share: float, rates: Sequence[float]
    ) -> NDArray[np.bool_] | None:
        """Return the test results of what validation chooses, a row a seed; None if a seed has nothing."""
        rows = []
        for seed in plan.seeds:
            tried = [results.get(Training(n, seed, k, task, share, r)) for n in networks for k in kinds for r in rates]
            fit = [found for found in tried if found is not None and "reason" not in found]
            if not fit:
                return None
            rows.append(unpack(max(fit, key=lambda found: float(found["validation"]))))
        return np.stack(rows)

    def on_source(network: str) -> NDArray[np.bool_] | None:
        return chosen([network], [SHIP], plan.source, 1.0, [plan.protocol.ship.lr])

    def contest(arch: str, target: str, share: float) -> Contest:
        where = (target, share, plan.protocol.rates)
        best, unlocked = chosen([arch], ATTACKS, *where), chosen([plan.unlocked], ATTACKS, *where)
        public = chosen(plan.public, [SCRATCH], *where)
        return Contest(
            target,
            share,
            {kind: estimate(chosen([arch], [kind], *where)) for kind in (*ATTACKS, SCRATCH)},
            estimate(best),
            estimate(public),
            difference(best, public),
            estimate(unlocked),
            difference(unlocked, best),
        )

    def finding(arch: str) -> Finding:
        here, there = on_source(arch), on_source(plan.unlocked)
        contests = tuple(contest(arch, t, s) for t in plan.targets for s in plan.protocol.shares)
        source, against = estimate(here), difference(here, there)
        return Finding(arch, source, against, contests, doubts(source, against, contests, gate, limit))

    findings, unlocked = tuple(finding(arch) for arch in plan.archs), finding(plan.unlocked)
    return Certificate(findings, unlocked, plan.public, str(gate), limit, len(results), _agreement(findings, plan))


def _agreement(findings: Sequence[Finding], plan: Plan) -> dict[str, float]:
    """Return the rank correlation of accuracy from scratch and under attack for each target."""
    from scipy.stats import spearmanr

    found = {}
    for target in plan.targets:
        rows = [c for f in findings for c in f.contests if (c.target, c.share) == (target, max(plan.protocol.shares))]
        pairs = np.array([(c.attacks[SCRATCH].mean, c.best.mean) for c in rows])
        if len(pairs) > 2 and np.isfinite(pairs).all() and np.ptp(pairs, axis=0).all():
            found[target] = float(spearmanr(pairs[:, 0], pairs[:, 1]).statistic)
    return found


@contextmanager
def _folder(out: str | Path | None) -> Iterator[Path]:
    """Give the folder of the run: the one asked for, or one that goes when the block ends."""
    if out is not None:
        yield Path(out)
        return
    with TemporaryDirectory(prefix="ogive-certify-") as folder:
        yield Path(folder)
