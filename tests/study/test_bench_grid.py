"""A grid of cells: the same numbers whoever runs them and however often they were interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import ogive
from ogive import OgiveError
from ogive._errors import StorageError
from ogive.metrics.tables import Column, Table
from ogive.spaces import get_space
from ogive.strategies import STRATEGIES
from ogive.strategies.random import Random
from ogive.study.bench import bench_strategies
from ogive.study.bench_grid import Case, Grid, run_grid
from ogive.study.bench_page import page
from ogive.testing.strategy import score
from tests.study.test_report import browse

RUNS: list[int] = []


class Counted(Random):
    """Random search, one run at a time, that notes the seeds it was made with."""

    name = "test-counted"
    lockstep = False

    def __init__(self, space, *, n_objectives=1, seed=0):
        super().__init__(space, n_objectives=n_objectives, seed=seed)

    def ask(self, n):
        if self.seed not in RUNS:
            RUNS.append(self.seed)
        return super().ask(n)


STRATEGIES.add("test-counted", Counted)


@pytest.fixture(scope="module")
def table():
    space = get_space("transnas_micro")
    everything = space.enumerate()
    columns = [Column("val", "%"), Column("cost", "ms", "min")]
    return Table("mine", space, everything, columns, score(space, everything, 2).T)


def grid_of(table, strategies=("random", "test-counted"), **changes):
    options = {"cases": (Case(table, "val", "cost"), Case(table, "cost", "cost")), "budgets": (3, 10), "seeds": 12}
    return Grid(**(options | {"strategies": tuple(strategies), "seed": 4} | changes))


def test_cases_are_those_of_single_benches(table):
    bench = run_grid(grid_of(table, ["random", "local", "reinforce"]))
    alone = [
        bench_strategies(table, o, "cost", ["random", "local", "reinforce"], [3, 10], 12, seed=4)
        for o in ("val", "cost")
    ]
    assert bench.rows == [*alone[0], *alone[1]]
    assert [(r.budget, r.blocks) for r in bench.rankings] == [(3, 24), (10, 24)]


def test_ranks_are_of_the_runs(table):
    grid = grid_of(table, ["local", "test-counted"], seeds=7)
    bench = run_grid(grid)
    wins = {3: [], 10: []}
    for case in range(2):
        for i, budget in enumerate((3, 10)):
            cost = {
                s: np.concatenate(
                    [table.values("cost")[grid.run(c)[i]] for c in grid.cells() if (c.case, c.strategy) == (case, s)]
                )
                for s in (0, 1)
            }
            wins[budget] += np.sign(cost[0] - cost[1]).tolist()
    for ranking in bench.rankings:
        assert ranking.average["local"] == pytest.approx(1.5 + np.mean(wins[ranking.budget]) / 2)


def test_one_strategy_has_no_rank(table):
    assert run_grid(grid_of(table, ["random"])).rankings == []


def test_model_based_strategies_in_workers_give_the_same_rows(shared):
    table = Table.read(shared / "nasbench201.csv.gz", "nasbench201")
    case = Case(table, "cifar100_val_accuracy", "cifar100_test_accuracy")
    strategies = ("random", "bo", "bananas", "reinforce", "optuna:TPESampler", "pymoo:NSGA2")
    grid = Grid((case,), strategies, (12, 25), 2, seed=1)
    alone, together = run_grid(grid), run_grid(grid, workers=2)
    assert alone.rows == together.rows
    assert alone.rankings == together.rankings
    assert {r.strategy for r in alone.rows} == set(strategies)
    assert all(0.3 < r.noise_floor < 0.5 for r in alone.rows)


def test_finished_cells_are_not_run_again(table, tmp_path):
    out = tmp_path / "bench"
    whole = run_grid(grid_of(table), out=out)
    files = sorted((out / "cells").glob("*.npy"))
    assert len(files) == 2 * (1 + 3)  # in lock-step one cell a case; one at a time blocks of 5, 5 and 2 seeds
    RUNS.clear()
    assert run_grid(grid_of(table), out=out).rows == whole.rows
    assert RUNS == []
    (out / "cells" / "1-1-5.npy").unlink()
    assert run_grid(grid_of(table), out=out).rows == whole.rows
    assert RUNS == [9, 10, 11, 12, 13]


def test_an_interrupted_grid_goes_on(table, tmp_path, monkeypatch):
    out = tmp_path / "bench"
    whole = run_grid(grid_of(table))
    ask = Counted.ask
    RUNS.clear()

    def interrupted(self, n):
        if self.seed == 4 + 7:
            raise KeyboardInterrupt
        return ask(self, n)

    monkeypatch.setattr(Counted, "ask", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_grid(grid_of(table), out=out)
    assert sorted(p.name for p in (out / "cells").iterdir()) == ["0-0-0.npy", "0-1-0.npy"]
    monkeypatch.setattr(Counted, "ask", ask)
    RUNS.clear()
    assert run_grid(grid_of(table), out=out).rows == whole.rows


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": 13}, r"was begun with seeds 12, not 13; repeat the command"),
        ({"seed": 5}, "seed 4, not 5"),
        ({"budgets": (3, 11)}, "budgets 3,10, not 3,11"),
        ({"strategies": ("random", "local")}, "strategies random,test-counted, not random,local"),
        ({"repeats": False}, "repeats True, not False"),
    ],
)
def test_other_settings_are_refused(table, tmp_path, changes, message):
    run_grid(grid_of(table), out=tmp_path / "bench")
    with pytest.raises(OgiveError, match=message) as caught:
        run_grid(grid_of(table, **changes), out=tmp_path / "bench")
    assert "\n" not in str(caught.value)


def test_another_table_of_the_same_name_is_refused(table, tmp_path):
    run_grid(grid_of(table), out=tmp_path / "bench")
    values = np.stack([table.values("val"), table.values("cost")])
    values[0, 17] += 1e-9
    other = Table("mine", table.space, table.genotypes, tuple(table.columns.values()), values)
    with pytest.raises(OgiveError, match="begun with other content, of table 'mine'"):
        run_grid(grid_of(other), out=tmp_path / "bench")
    with pytest.raises(OgiveError, match="objective 'val', not 'cost', of table 'mine'"):
        run_grid(grid_of(table, cases=(Case(table, "cost", "cost"),) * 2), out=tmp_path / "bench")


def test_folders_that_cannot_be_used(table, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(OgiveError, match=r"not empty \(it holds 'thesis.tex'\)"):
        run_grid(grid_of(table), out=tmp_path / "full")
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["thesis.tex"]
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be created"):
        run_grid(grid_of(table), out=tmp_path / "file")


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", "short", "foreign"])
def test_a_damaged_cell_is_named(table, tmp_path, content):
    out = tmp_path / "bench"
    run_grid(grid_of(table), out=out)
    cell = out / "cells" / "0-1-0.npy"
    if isinstance(content, bytes):
        cell.write_bytes(content)
    else:
        np.save(cell, np.zeros((2, 4), dtype=int) if content == "short" else np.full((2, 5), len(table)))
    with pytest.raises(StorageError, match=r"0-1-0\.npy' is damaged; delete it and its cell is run again"):
        run_grid(grid_of(table), out=out)


@pytest.mark.parametrize(
    ("changes", "workers", "message"),
    [
        ({"strategies": ()}, 1, "no strategies to compare"),
        ({"strategies": ("random", "local", "random")}, 1, "strategy 'random' is named twice"),
        ({"strategies": ("random", "evolution:pop=3")}, 1, "unknown option of strategy 'evolution' 'pop'"),
        ({}, 0, "workers is a whole number >= 1, not 0"),
    ],
)
def test_wrong_grids_are_one_line(table, tmp_path, changes, workers, message):
    with pytest.raises(OgiveError, match=message):
        run_grid(grid_of(table, **changes), workers=workers, out=tmp_path / "bench")
    assert not (tmp_path / "bench").exists()


# -------------------------------------------------------------------- signals, as the system sends them

SLOW = """
import time
from pathlib import Path
from ogive.strategies import STRATEGIES
from ogive.strategies.random import Random


class Slow(Random):
    name = "slow"
    lockstep = False

    def __init__(self, space, *, n_objectives=1, seed=0):
        super().__init__(space, n_objectives=n_objectives, seed=seed)

    def ask(self, n):
        time.sleep({pause})
        return super().ask(n)


STRATEGIES.add("slow", Slow)
"""


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("workers", [1, 2])
def test_the_same_command_goes_on_after_a_signal(table, tmp_path, kill, workers):
    table.save()
    plugin, out = tmp_path / "slow.py", tmp_path / "bench"
    plugin.write_text(SLOW.format(pause=0.01))
    command = [sys.executable, "-m", "ogive", "bench-strategies", "--table", "mine", "--objective", "val"]
    command += ["--strategies", "random,slow", "--budgets", "4", "--seeds", "60", "--json", "--plugin", str(plugin)]
    command += ["--workers", str(workers), "--out", str(out)]
    environment = os.environ | {"PYTHONPATH": str(Path(ogive.__file__).parents[1])}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as first:
        while len(list(out.glob("cells/*.npy"))) < 3:
            assert first.poll() is None
            time.sleep(0.01)
        first.send_signal(kill)
        _, complaint = first.communicate(timeout=30)
    if kill is signal.SIGINT:
        assert first.returncode == 130
        assert f"kept in {out}; the same command goes on" in complaint
        assert "Traceback" not in complaint
    kept = {p: p.stat().st_mtime_ns for p in out.glob("cells/*.npy")}
    assert 3 <= len(kept) < 13
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    expected = bench_strategies(table, "val", "val", ["random", "test-counted"], [4], 60)
    rows = json.loads(done.stdout)["rows"]
    assert [r["regret_mean"] for r in rows] == [r.regret_mean for r in expected]
    assert [tuple(r["regret_ci"]) for r in rows] == [r.regret_ci for r in expected]


def test_a_failing_worker_is_one_line(table, tmp_path):
    plugin = tmp_path / "bad.py"
    plugin.write_text(SLOW.format(pause="'long'"))
    from ogive._registry import load_plugin

    load_plugin(str(plugin))
    with pytest.raises(OgiveError, match="strategy 'slow' on mine, cost by val: TypeError") as caught:
        run_grid(grid_of(table, ["random", "slow"]), workers=2, plugins=[str(plugin)])
    assert "\n" not in str(caught.value)


# -------------------------------------------------------------------- the page


def test_a_browser_shows_the_page(table, tmp_path):
    bench = run_grid(grid_of(table, ["random", "local", "evolution:population=5,sample=2"]))
    text = page(bench)
    path = tmp_path / "bench.html"
    path.write_text(text, encoding="utf-8")
    done = browse(path, tmp_path / "profile", "--dump-dom", "--enable-logging=stderr")
    assert "CONSOLE" not in done.stderr
    assert "://" not in text
    assert text.count('class="band') == 3 * 2
    assert text.count('aria-label="critical difference') == 2
    for row in bench.rows:
        assert f"<td>{row.regret_mean:.3g}</td>" in done.stdout
    for ranking in bench.rankings:
        for name, rank in ranking.average.items():
            assert f"</title>{name} {rank:.2f}</text>" in done.stdout
