"""``ogive bench-strategies`` as scripts and people use it."""

from __future__ import annotations

import json

import pytest

from ogive.cli.main import run
from ogive.metrics.tables import Column, Table
from ogive.spaces import get_space
from ogive.testing.strategy import score


@pytest.fixture
def table():
    space = get_space("transnas_micro")
    everything = space.enumerate()
    values = score(space, everything, 2).T
    Table("mine", space, everything, [Column("val", "%"), Column("cost", "ms", "min")], values).save()
    return Table.open("mine")


ARGS = ["bench-strategies", "--table", "mine", "--space", "transnas_micro", "--objective", "val"]


def test_rows_for_scripts(table, capsys):
    args = [*ARGS, "--report", "cost", "--strategies", "random,evolution:population=5,sample=2,local"]
    assert run([*args, "--budgets", "20,5", "--seeds", "30", "--seed", "3", "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    document = json.loads(out)
    rows = document["rows"]
    names = ["random", "evolution:population=5,sample=2", "local"]
    assert [(r["strategy"], r["budget"]) for r in rows] == [(n, b) for n in names for b in (5, 20)]
    for r in rows:
        low, high = r["regret_ci"]
        assert 0 <= low <= r["regret_mean"] <= high
        assert 0 <= r["optimum_found"] <= 1
        assert r["report_mean"] == pytest.approx(document["optimum"] + r["regret_mean"])
    assert rows[1]["objective_regret_mean"] < rows[0]["objective_regret_mean"]
    assert document["optimum"] == table.values("cost").min()
    assert (document["seed"], document["seeds"], document["objective"], document["report"]) == (3, 30, "val", "cost")
    assert run([*args, "--budgets", "20,5", "--seeds", "30", "--seed", "3", "--json"]) == 0
    assert capsys.readouterr().out == out


def test_the_objective_reports_by_default_and_minimize_turns_it_round(capsys, table):
    assert run([*ARGS, "--budgets", "500", "--seeds", "5", "--strategies", "local", "--json"]) == 0
    up = json.loads(capsys.readouterr().out)
    assert run([*ARGS, "--minimize", "val", "--budgets", "500", "--seeds", "5", "--strategies", "local", "--json"]) == 0
    down = json.loads(capsys.readouterr().out)
    assert up["report"] == "val"
    assert up["optimum"] == table.values("val").max()
    assert down["optimum"] == table.values("val").min()
    assert down["rows"][0]["report_mean"] < table.values("val").mean() < up["rows"][0]["report_mean"]


def test_people_get_a_table_with_intervals(table, capsys):
    assert run([*ARGS, "--strategies", "random,nsga2", "--budgets", "5,50", "--seeds", "4"]) == 0
    out, err = capsys.readouterr()
    assert "95 % interval" in out
    assert "nsga2" in out
    assert "'val' chooses" in err
    assert run([*ARGS, "--strategies", "random", "--budgets", "5", "--seeds", "4", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_a_file_is_as_good_as_an_imported_table(shared, capsys):
    file = str(shared / "nasbench201.csv.gz")
    args = ["--objective", "cifar10_val_accuracy", "--budgets", "50", "--seeds", "20", "--json"]
    assert run(["bench-strategies", "--table", file, "--space", "nasbench201", *args]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["optimum"] == pytest.approx(91.57)
    assert document["table"] == "nasbench201"
    assert [r["strategy"] for r in document["rows"]] == ["random", "evolution", "local"]


def test_several_cases_make_ranks(table, capsys):
    args = ["bench-strategies", "--table", "mine", "--objective", "val", "--objective", "cost", "--report", "cost"]
    args += ["--strategies", "random,local,evolution", "--budgets", "40,5", "--seeds", "20"]
    assert run([*args, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [(c["table"], c["objective"], c["report"]) for c in document["cases"]] == [
        ("mine", "val", "cost"),
        ("mine", "cost", "cost"),
    ]
    assert {r["table"] for r in document["rows"]} == {"mine"}
    assert [r["objective"] for r in document["rows"]] == ["val"] * 6 + ["cost"] * 6
    floor = document["cases"][0]["noise_floor"]
    assert all(r["noise_floor"] == floor for r in document["rows"])
    assert [r["budget"] for r in document["ranks"]] == [5, 40]
    for ranking in document["ranks"]:
        assert ranking["blocks"] == 40
        assert sum(ranking["average"].values()) == pytest.approx(1 + 2 + 3)
        # Demsar 2006: 2.343 sqrt(k (k + 1) / 6 N)
        assert ranking["cd"] == document["cd"] == pytest.approx(2.343 * (12 / 240) ** 0.5, abs=1e-3)
    assert run([*args, "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "mine, cost by val" in out
    assert "after 40 (Friedman p" in out


def test_a_folder_keeps_it_and_draws_it(table, capsys, tmp_path):
    args = [*ARGS, "--strategies", "random,reinforce", "--budgets", "5,20", "--seeds", "6", "--json"]
    assert run(args) == 0
    alone = json.loads(capsys.readouterr().out)
    for _ in range(2):
        assert run([*args, "--out", str(tmp_path / "b"), "--workers", "2"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document.pop("page") == str(tmp_path / "b" / "bench.html")
        assert document == {k: v for k, v in alone.items() if k != "page"}
    assert "<svg" in (tmp_path / "b" / "bench.html").read_text()
    assert run([*args, "--out", str(tmp_path / "b"), "--seed", "1"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_lines_fit_a_terminal(table, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    specs = "random,optuna:TPESampler,evolution:population=10,sample=3"
    assert run([*ARGS, "--strategies", specs, "--budgets", "10,50", "--seeds", "3"]) == 0
    out, _ = capsys.readouterr()
    assert max(map(len, out.splitlines())) <= 80
    assert "optuna:" in out
    assert " population=10," in out


def test_a_strategy_of_a_plug_in(table, tmp_path, capsys):
    plugin = tmp_path / "first.py"
    plugin.write_text(
        "from ogive.strategies import STRATEGIES\n"
        "from ogive.strategies.random import Random\n\n\n"
        "class First(Random):\n"
        "    name = 'cli-first'\n\n"
        "    def ask(self, n):\n"
        "        return self.space.enumerate()[: n * self.lanes]\n\n\n"
        "STRATEGIES.add('cli-first', First)\n"
    )
    args = [*ARGS, "--plugin", str(plugin), "--strategies", "cli-first", "--budgets", "1", "--seeds", "1", "--json"]
    assert run(args) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["report_mean"] == table.values("val")[0]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--table", "mien"], "unknown table 'mien'; did you mean 'mine'"),
        (["--table", "no.csv", "--space", "nasbench201"], "file 'no.csv' does not exist"),
        (["--table", "no.csv"], "say which space"),
        (["--table", "mine", "--space", "nasbench201"], "of space 'transnas_micro', not of 'nasbench201'"),
        (["--table", "mine", "--objective", "vall"], "no column 'vall'; did you mean 'val'"),
        (["--table", "mine", "--report", "costs"], "no column 'costs'; did you mean 'cost'"),
        (["--table", "mine", "--strategies", "randon"], "unknown strategy 'randon'"),
        (["--table", "mine", "--strategies", "evolution:pop=3"], "unknown option of strategy 'evolution' 'pop'"),
        (["--table", "mine", "--budgets", "5,x"], "budgets '5,x' cannot be read"),
        (["--table", "mine", "--budgets", "-5"], "budgets are whole numbers >= 1"),
        (["--table", "mine", "--seeds", "0"], "seeds is a whole number >= 1"),
        (["--table", "mine", "--workers", "0"], "workers is a whole number >= 1"),
        (["--table", "mine", "--minimize", "vall"], "no table has the column 'vall' of --minimize; did you mean 'val'"),
        (
            ["--table", "mine", "--table", "mine", "--objective", "val", "--objective", "cost", "--objective", "val"],
            "3 cases but 2 --table; give it once for all of them, or 3 times",
        ),
        (["--table", "mine", "--budgets", "5000", "--no-repeats"], "4,096 architectures, fewer than budget 5,000"),
    ],
)
def test_errors_are_one_line_and_exit_2(table, capsys, args, message):
    objective = [] if "--objective" in args else ["--objective", "val"]
    assert run(["bench-strategies", *args, *objective]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err
