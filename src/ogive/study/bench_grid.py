"""A comparison of strategies as a grid of cells (table, strategy, block of seeds): run in parallel, kept, gone on with.

A cell's result depends on the cell alone, so neither workers nor interruptions change a number.
"""

from __future__ import annotations

import hashlib
import io
import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ogive import __version__
from ogive._errors import InputError, OgiveError, StorageError
from ogive._registry import load_plugin
from ogive.metrics.tables import Column, Table
from ogive.spaces.base import get_space
from ogive.strategies.base import get_strategy
from ogive.study.bench import BenchRow, check, choices, lockstep, summarise
from ogive.study.bench_stats import Ranking, rank_strategies
from ogive.study.directory import RunDirectory
from ogive.study.progress import counting_bar
from ogive.study.workers import Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

Chosen = NDArray[np.intp]

_BLOCK = 5
"""Seeds in a cell of a strategy that runs one search at a time: what an interruption can cost at most."""
_SETTINGS = "settings.json"


@dataclass(frozen=True)
class Case:
    """A table, the column that chooses and the column that says what the choice is worth."""

    table: Table
    objective: str
    report: str

    def __str__(self) -> str:
        by = "" if self.report == self.objective else f", {self.report} by {self.objective}"
        return f"{self.table.name}{by or ', ' + self.objective}"

    def facts(self) -> dict[str, str]:
        """Return what identifies the case, with a digest of everything its results depend on."""
        digest = hashlib.sha256(np.ascontiguousarray(self.table.genotypes).tobytes())
        for name in (self.objective, self.report):
            digest.update(self.table.column(name).direction.encode() + self.table.values(name).tobytes())
        return {
            "table": self.table.name,
            "space": self.table.space.spec,
            "objective": self.objective,
            "report": self.report,
            "content": digest.hexdigest()[:16],
        }


@dataclass(frozen=True)
class Cell:
    """Seeds ``first`` to ``first + seeds - 1`` of one strategy on one case."""

    case: int
    strategy: int
    first: int
    seeds: int

    @property
    def file(self) -> str:
        """Where it is kept."""
        return f"cells/{self.case}-{self.strategy}-{self.first}.npy"


@dataclass(frozen=True)
class Bench:
    """A finished comparison: rows by case, strategy and budget, and a ranking for each budget."""

    cases: tuple[Case, ...]
    strategies: tuple[str, ...]
    budgets: tuple[int, ...]
    seeds: int
    rows: list[BenchRow]
    rankings: list[Ranking]


@dataclass(frozen=True)
class Grid:
    """What is to be compared.

    Parameters
    ----------
    cases : tuple of Case
    strategies : tuple of str
        As for `bench_strategies`; each once.
    budgets : tuple of int
        Rising.
    seeds : int
        Runs of each strategy on each case.
    seed : int
    repeats : bool
        As for `bench_strategies`.
    """

    cases: tuple[Case, ...]
    strategies: tuple[str, ...]
    budgets: tuple[int, ...]
    seeds: int
    seed: int = 0
    repeats: bool = True

    def check(self) -> None:
        """Refuse what cannot be run, before anything runs.

        Raises
        ------
        OgiveError
            As `bench_strategies` does, or if a strategy is named twice.
        """
        for case in self.cases:
            check(case.table, (case.objective, case.report), self.budgets, self.seeds, self.repeats)
            for spec in self.strategies:
                get_strategy(spec, case.table.space, seed=self.seed)
        if not self.strategies:
            raise InputError("no strategies to compare; name some, for example random,evolution")
        if twice := [s for i, s in enumerate(self.strategies) if s in self.strategies[:i]]:
            raise InputError(f"strategy '{twice[0]}' is named twice")

    def settings(self) -> dict[str, Any]:
        """Return everything the results depend on, as JSON values."""
        return {
            "ogive": __version__,
            "tables": [case.facts() for case in self.cases],
            "strategies": list(self.strategies),
            "budgets": list(self.budgets),
            "seeds": self.seeds,
            "seed": self.seed,
            "repeats": self.repeats,
        }

    def cells(self) -> list[Cell]:
        """Return all cells: a strategy in lock-step is one, others are cut into blocks of seeds."""
        return [
            Cell(c, s, first, min(size, self.seeds - first))
            for c in range(len(self.cases))
            for s, spec in enumerate(self.strategies)
            for size in [self.seeds if lockstep(spec) else _BLOCK]
            for first in range(0, self.seeds, size)
        ]

    def run(self, cell: Cell) -> Chosen:
        """Return the row of the table each run of a cell holds for best after each budget, ``(budgets, seeds)``."""
        case, seed = self.cases[cell.case], self.seed + cell.first
        spec = self.strategies[cell.strategy]
        return choices(case.table, case.objective, spec, self.budgets, cell.seeds, seed=seed, repeats=self.repeats)

    def bench(self, done: Mapping[Cell, Chosen]) -> Bench:
        """Put the results of all cells together."""
        rows, regrets = [], []
        for c, case in enumerate(self.cases):
            chosen = {
                spec: np.concatenate([done[k] for k in self.cells() if (k.case, k.strategy) == (c, s)], axis=1)
                for s, spec in enumerate(self.strategies)
            }
            rows += summarise(case.table, case.objective, case.report, self.budgets, chosen, seed=self.seed)
            worth = case.table.values(case.report)
            regrets.append(np.stack([case.table.regret(case.report, worth[r]) for r in chosen.values()], axis=-1))
        together = np.concatenate(regrets, axis=1)  # (budgets, cases x seeds, strategies)
        ranked = zip(together, self.budgets, strict=True) if len(self.strategies) > 1 else ()
        rankings = [rank_strategies(r, self.strategies, b) for r, b in ranked]
        return Bench(self.cases, self.strategies, self.budgets, self.seeds, rows, rankings)


def run_grid(
    grid: Grid,
    *,
    workers: int = 1,
    out: str | Path | None = None,
    plugins: Sequence[str] = (),
    show: bool | None = None,
) -> Bench:
    """Run all cells of a grid that are not done yet and return the comparison.

    Parameters
    ----------
    grid : Grid
    workers : int
        Processes; with one, everything happens in this one.
    out : path, optional
        Folder where every finished cell is kept; the same grid goes on from it.
    plugins : sequence of str
        Loaded by each worker.
    show : bool, optional
        Whether to draw a progress bar; by default on a terminal.

    Raises
    ------
    InputError
        If a number is out of range, a name unknown, or `out` was begun with other settings.
    StorageError
        If `out` cannot be read or written, or another process writes it.
    OgiveError
        If a worker failed; what is finished is kept.
    """
    if workers < 1:
        raise InputError(f"workers is a whole number >= 1, not {workers}")
    grid.check()
    with ExitStack() as stack:
        store = None
        if out is not None:
            store = _Store(Path(out))
            stack.enter_context(store.open(grid.settings()))
        cells = grid.cells()
        done = {} if store is None else store.load(grid, cells)
        todo = [c for c in cells if c not in done]
        move = stack.enter_context(counting_bar("cells", len(todo), show))
        for cell, chosen in _computed(grid, todo, workers, plugins):
            done[cell] = chosen
            if store is not None:
                store.keep(cell, chosen)
            move(1)
    return grid.bench(done)


def _computed(grid: Grid, todo: list[Cell], workers: int, plugins: Sequence[str]) -> Iterator[tuple[Cell, Chosen]]:
    """Yield cells in the order they are finished."""
    if min(workers, len(todo)) <= 1:
        for cell in todo:
            yield cell, grid.run(cell)
        return
    with TemporaryDirectory(prefix="ogive-bench-") as folder:
        _hand_over(grid, Path(folder))
        setup = {"folder": folder, "plugins": list(plugins)}
        pool = Pool(min(workers, len(todo)), setup, jobs="ogive.study.bench_grid")
        try:
            for key, cell in enumerate(todo):
                pool.submit(key, "run", cell.case, cell.strategy, cell.first, cell.seeds)
            left = len(todo)
            while left:
                for answer in pool.wait():
                    cell = todo[answer.key]
                    if answer.reason is not None:
                        raise OgiveError(
                            f"strategy '{grid.strategies[cell.strategy]}' on {grid.cases[cell.case]}: {answer.reason}"
                        )
                    left -= 1
                    yield cell, np.array(answer.result, dtype=np.intp)
        finally:
            pool.close()


# -------------------------------------------------------------------- the worker's side


def _hand_over(grid: Grid, folder: Path) -> None:
    """Write what workers need: tables may exist in this process only."""
    for c, case in enumerate(grid.cases):
        np.savez(folder / f"{c}.npz", genotypes=case.table.genotypes, values=case.table.values(case.objective))
    cases = [
        {
            "name": case.table.name,
            "space": case.table.space.spec,
            "by_graph": case.table.by_graph,
            "objective": case.objective,
            "direction": case.table.column(case.objective).direction,
        }
        for case in grid.cases
    ]
    (folder / "grid.json").write_text(json.dumps(grid.settings() | {"cases": cases}), encoding="utf-8")


def caller(setup: Mapping[str, Any], *, threads: int) -> Callable[[str, list[Any]], Any]:
    """Return the function that runs a cell in a worker."""
    del threads  # in the environment already, before numpy was loaded
    for source in setup["plugins"]:
        load_plugin(source)
    folder = Path(setup["folder"])
    asked = json.loads((folder / "grid.json").read_text(encoding="utf-8"))
    cases = []
    for c, about in enumerate(asked["cases"]):
        with np.load(folder / f"{c}.npz", allow_pickle=False) as held:
            table = Table(
                about["name"],
                get_space(about["space"]),
                held["genotypes"],
                [Column(about["objective"], direction=about["direction"])],
                held["values"][None],
                by_graph=about["by_graph"],
            )
        cases.append(Case(table, about["objective"], about["objective"]))
    options = {k: asked[k] for k in ("seeds", "seed", "repeats")}
    grid = Grid(tuple(cases), tuple(asked["strategies"]), tuple(asked["budgets"]), **options)

    def call(name: str, args: list[Any]) -> Any:
        del name
        return grid.run(Cell(*args)).tolist()

    return call


# -------------------------------------------------------------------- what is kept


class _Store:
    """The folder of a bench: its settings, and one file a finished cell that appears whole or not at all."""

    def __init__(self, path: Path) -> None:
        self.path, self._folder = path, RunDirectory(path)

    def open(self, settings: dict[str, Any]) -> ExitStack:
        """Be the one writer of the folder while the returned block runs."""
        stack = ExitStack()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"'{self.path}' cannot be created: {error.strerror}; choose another folder") from error
        others = sorted(p.name for p in self.path.iterdir() if not p.name.startswith("."))
        if others and _SETTINGS not in others:
            raise InputError(f"'{self.path}' is not empty (it holds '{others[0]}'); choose a new folder for --out")
        with stack:
            stack.enter_context(self._folder.lock())
            self._agree(settings)
            return stack.pop_all()

    def _agree(self, settings: dict[str, Any]) -> None:
        file = self.path / _SETTINGS
        if not file.exists():
            self._folder.write(_SETTINGS, json.dumps(settings, indent=2) + "\n")
            return
        try:
            there = dict(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise StorageError(f"'{file}' is damaged; choose another folder for --out") from error
        for name, asked in settings.items():
            if (kept := there.get(name)) != asked:
                raise InputError(
                    f"'{self.path}' was begun with {_difference(name, kept, asked)}; repeat the command it was begun "
                    "with, or choose another folder for --out"
                )

    def load(self, grid: Grid, cells: Sequence[Cell]) -> dict[Cell, Chosen]:
        """Return the cells that are finished."""
        out = {}
        for cell in cells:
            file = self.path / cell.file
            if not file.exists():
                continue
            try:
                chosen = np.load(file, allow_pickle=False)
            except (OSError, ValueError, EOFError) as error:
                raise StorageError(f"'{file}' is damaged; delete it and its cell is run again") from error
            n = len(grid.cases[cell.case].table)
            fits = chosen.shape == (len(grid.budgets), cell.seeds) and chosen.dtype.kind == "i"
            if not fits or chosen.min() < 0 or chosen.max() >= n:
                raise StorageError(f"'{file}' is damaged; delete it and its cell is run again")
            out[cell] = chosen.astype(np.intp)
        return out

    def keep(self, cell: Cell, chosen: Chosen) -> None:
        """Write a finished cell."""
        content = io.BytesIO()
        np.save(content, chosen)
        self._folder.write(cell.file, content.getvalue())


def _difference(name: str, kept: Any, asked: Any) -> str:
    """Return what differs, in as few words as say it."""
    if name == "tables" and isinstance(kept, list) and len(kept) == len(asked):
        for one, other in zip(kept, asked, strict=True):
            for key in other:
                if one.get(key) != other[key]:
                    about = "other content" if key == "content" else f"{key} '{one.get(key)}', not '{other[key]}'"
                    return f"{about}, of table '{other['table']}'"
    return f"{name} {_text(kept)}, not {_text(asked)}"


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(str(v["table"]) if isinstance(v, dict) else str(v) for v in value)
    return str(value)
