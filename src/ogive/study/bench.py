"""Strategies against a table, many seeds: how much regret is left after a budget of evaluations.

The objective column chooses an architecture, the report column says what it is worth, so a strategy that overfits
validation noise cannot hide it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._errors import InputError
from ogive.strategies.base import STRATEGIES, get_strategy
from ogive.study.bench_stats import interval, noise_floor, resampled_means

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ogive.metrics.tables import Table
    from ogive.strategies.base import Strategy

_PATIENCE = 100


@dataclass(frozen=True)
class BenchRow:
    """How one strategy stands after one budget, over all seeds.

    Attributes
    ----------
    table, objective, report : str
        Where it searched; the column it saw; the column that says what its choice is worth.
    strategy : str
    budget : int
        Evaluations spent.
    regret_mean, regret_std, regret_median : float
        Best value of the report column in the table minus that of the chosen architecture (the other way round where
        lower is better), in the column's unit.
    regret_ci : tuple of float
        95 % interval of the mean: percentile bootstrap over seeds.
    objective_regret_mean : float
    objective_regret_ci : tuple of float
        The same in the objective column, which the search saw.
    report_mean : float
        Mean of the report column itself.
    optimum_found : float
        Share of seeds whose choice has the best value of the objective column.
    noise_floor, objective_noise_floor : float, optional
        Spread of the report and of the objective column between architectures that are the same function, see
        `bench_stats.noise_floor`; None where the table cannot tell.
    distinguishable : tuple of str
        Strategies with the same budget whose mean regret differs by at least the noise floor (if there is one), and by
        more than chance: the 95 % interval of the difference (bootstrap paired by seed) leaves out zero.
    """

    table: str
    objective: str
    report: str
    strategy: str
    budget: int
    regret_mean: float
    regret_ci: tuple[float, float]
    regret_median: float
    regret_std: float
    objective_regret_mean: float
    objective_regret_ci: tuple[float, float]
    report_mean: float
    optimum_found: float
    noise_floor: float | None
    objective_noise_floor: float | None
    distinguishable: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        return asdict(self)


def bench_strategies(
    table: Table,
    objective: str,
    report: str,
    strategies: Sequence[str],
    budgets: Sequence[int],
    seeds: int,
    *,
    seed: int = 0,
    repeats: bool = True,
) -> list[BenchRow]:
    """Run every strategy `seeds` times against a table and report the regret at every budget.

    Parameters
    ----------
    table : Table
        Has a value of both columns for every architecture of its space.
    objective : str
        Column the strategies see; its direction is respected.
    report : str
        Column that says what the chosen architecture is worth; may be the same one.
    strategies : sequence of str
        ``name`` or ``name:option=value,...``. Those that can run in lock-step do so.
    budgets : sequence of int
        Numbers of evaluations after which to look.
    seeds : int
        Independent runs of each strategy.
    seed : int
        Fixes everything. Strategies in lock-step share one generator with this seed; run i of any other strategy has
        the seed ``seed + i``.
    repeats : bool
        Whether an architecture evaluated again by the same run costs again, or only new ones count.

    Returns
    -------
    list of BenchRow
        By strategy, then budget.

    Raises
    ------
    InputError
        If the table lacks values, a number is out of range, or a strategy stops proposing new architectures.
    UnknownNameError
        If there is no such column or strategy.
    """
    check(table, (objective, report), budgets, seeds, repeats)
    looks = sorted(set(budgets))
    chosen = {s: choices(table, objective, s, looks, seeds, seed=seed, repeats=repeats) for s in strategies}
    return summarise(table, objective, report, looks, chosen, seed=seed)


def summarise(
    table: Table,
    objective: str,
    report: str,
    budgets: Sequence[int],
    chosen: Mapping[str, NDArray[np.intp]],
    *,
    seed: int = 0,
) -> list[BenchRow]:
    """Return what `choices` of each strategy, ``(budgets, seeds)``, amount to, by strategy, then budget."""
    floor, hidden_floor = noise_floor(table, report), noise_floor(table, objective)
    regret = {s: table.regret(report, table.values(report)[rows]) for s, rows in chosen.items()}
    means = {s: resampled_means(r, seed) for s, r in regret.items()}
    apart: dict[tuple[str, int], list[str]] = {(s, i): [] for s in chosen for i in range(len(budgets))}
    for one, other in permutations(chosen, 2):
        for i in range(len(budgets)):
            gap = abs(regret[one][i].mean() - regret[other][i].mean())
            low, high = interval(means[one][i] - means[other][i])
            if gap >= (floor or 0.0) and (low > 0 or high < 0) and regret[one].shape[1] > 1:
                apart[one, i].append(other)
    out = []
    for spec, rows in chosen.items():
        hidden = table.regret(objective, table.values(objective)[rows])
        hidden_means = resampled_means(hidden, seed)
        for i, budget in enumerate(budgets):
            told = regret[spec][i]
            out.append(
                BenchRow(
                    table=table.name,
                    objective=objective,
                    report=report,
                    strategy=spec,
                    budget=budget,
                    regret_mean=float(told.mean()),
                    regret_ci=interval(means[spec][i]),
                    regret_median=float(np.median(told)),
                    regret_std=float(told.std(ddof=1)) if len(told) > 1 else 0.0,
                    objective_regret_mean=float(hidden[i].mean()),
                    objective_regret_ci=interval(hidden_means[i]),
                    report_mean=float(table.values(report)[rows[i]].mean()),
                    optimum_found=float((hidden[i] == 0).mean()),
                    noise_floor=floor,
                    objective_noise_floor=hidden_floor,
                    distinguishable=tuple(apart[spec, i]),
                )
            )
    return out


def lockstep(spec: str) -> bool:
    """Return whether a strategy runs all seeds in lock-step, as one program."""
    return bool(getattr(STRATEGIES.get(spec.partition(":")[0].strip()), "lockstep", False))


def choices(
    table: Table, objective: str, spec: str, budgets: Sequence[int], seeds: int, *, seed: int = 0, repeats: bool = True
) -> NDArray[np.intp]:
    """Return the row of the table that each run of a strategy holds for best after each budget, ``(budgets, seeds)``.

    The parameters are those of `bench_strategies`; `budgets` are rising.
    """
    if lockstep(spec):
        return _run(table, objective, get_strategy(spec, table.space, seed=seed, lanes=seeds), budgets, repeats)
    runs = [
        _run(table, objective, get_strategy(spec, table.space, seed=seed + i), budgets, repeats) for i in range(seeds)
    ]
    return np.concatenate(runs, axis=1)


def _run(table: Table, objective: str, strategy: Strategy, budgets: Sequence[int], repeats: bool) -> NDArray[np.intp]:
    """Advance all lanes of a strategy, one architecture each a step, until every lane has spent the last budget."""
    lanes, last = np.arange(strategy.lanes), budgets[-1]
    values = table.values(objective)
    if table.column(objective).direction == "min":
        values = -values
    best = np.full(strategy.lanes, -np.inf)
    holds = np.zeros(strategy.lanes, dtype=np.intp)
    spent = np.zeros(strategy.lanes, dtype=np.intp)
    look = np.full(last + 2, -1)  # which budget a number of evaluations is, if any
    look[list(budgets)] = np.arange(len(budgets))
    out = np.zeros((len(budgets), strategy.lanes), dtype=np.intp)
    costs = np.ones(strategy.lanes, dtype=np.bool_)
    seen = np.zeros((0 if repeats else len(table), strategy.lanes), dtype=np.bool_)
    for _ in range(last if repeats else last * _PATIENCE):
        genotypes = strategy.ask(1)
        rows = table.rows(genotypes)
        found = values[rows]
        strategy.tell(genotypes, found[:, None])
        better = found > best
        best, holds = np.where(better, found, best), np.where(better, rows, holds)
        if not repeats:
            costs = ~seen[rows, lanes]
            seen[rows, lanes] = True
        spent = np.minimum(spent + costs, last + 1)
        now = np.flatnonzero(costs & (look[spent] >= 0))
        out[look[spent[now]], now] = holds[now]
        if spent.min() >= last:
            return out
    raise InputError(
        f"strategy '{strategy.name}' proposed only {spent.min()} different architectures in {last * _PATIENCE} draws; "
        "take smaller budgets or count repeats"
    )


def check(table: Table, columns: Sequence[str], budgets: Sequence[int], seeds: int, repeats: bool) -> None:
    """Refuse what `bench_strategies` cannot do, with the errors it documents."""
    for name in columns:
        table.column(name)
        if (share := table.coverage(name)) < 1:
            raise InputError(
                f"column '{name}' of table '{table.name}' has values for {share:.1%} of space '{table.space.name}'; "
                "strategies need one for every architecture"
            )
    if not budgets or min(budgets) < 1:
        raise InputError(f"budgets are whole numbers >= 1, not {', '.join(map(str, budgets)) or 'none'}")
    if seeds < 1:
        raise InputError(f"seeds is a whole number >= 1, not {seeds}")
    if not repeats and max(budgets) > len(table):
        raise InputError(f"table '{table.name}' has {len(table):,} architectures, fewer than budget {max(budgets):,}")
