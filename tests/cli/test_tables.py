"""``ogive tables`` as scripts and people use it."""

from __future__ import annotations

import json

import pytest

from ogive.cli.main import run

BEST = "|none~0|+|none~0|none~1|+|none~0|none~1|nor_conv_3x3~2|"
OTHER = "|none~0|+|none~0|none~1|+|none~0|none~1|avg_pool_3x3~2|"


@pytest.fixture
def csv(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(f"arch,accuracy,delay\n{BEST},91.5,4\n{OTHER},88,\n")
    return path


def test_import_list_and_show_agree(csv, capsys):
    imported = ["tables", "import", str(csv), "--name", "mine", "--space", "nasbench201", "--minimize", "delay"]
    assert run([*imported, "--unit", "delay=ms", "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    (first,) = json.loads(out)["tables"]
    assert json.loads(out)["replaced"] is False
    assert (first["name"], first["space"], first["rows"]) == ("mine", "nasbench201", 2)
    assert first["columns"] == ["accuracy", "delay"]
    assert first["details"]["accuracy"] | {"coverage": 0} == {
        "unit": "%", "direction": "max", "values": 2, "coverage": 0, "best": 91.5, "median": 89.75, "worst": 88.0,
        "best_arch": BEST,
    }  # fmt: skip
    assert first["details"]["delay"]["unit"] == "ms"
    assert first["details"]["delay"]["direction"] == "min"
    assert first["details"]["delay"]["values"] == 1
    assert run(["tables", "show", "mine", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tables"] == [first]
    assert run(["tables", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "tables": [{"name": "mine", "space": "nasbench201", "rows": 2, "columns": ["accuracy", "delay"]}]
    }
    assert run([*imported, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["replaced"] is True


def test_people_see_directions_units_and_the_best(csv, capsys):
    assert run(["tables", "import", str(csv), "--name", "mine", "--space", "nasbench201"]) == 0
    out, err = capsys.readouterr()
    assert "imported" in err
    assert "2 of 15,625 architectures" in out
    assert f"accuracy: {BEST}" in out
    assert run(["tables", "list"]) == 0
    assert "mine" in capsys.readouterr().out


def test_no_tables_yet(capsys):
    assert run(["tables", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"tables": []}
    assert run(["tables", "list"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "ogive tables import FILE" in err


def test_an_imported_column_is_a_metric(csv, capsys):
    assert run(["tables", "import", str(csv), "--name", "mine", "--space", "nasbench201", "--quiet"]) == 0
    assert run(["measure", BEST, OTHER, "--metrics", "accuracy@mine,delay@mine", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [r["accuracy@mine"] for r in rows] == [91.5, 88.0]
    assert [r["delay@mine"] for r in rows] == [4.0, None]
    assert "no value" in rows[1]["failed"]


@pytest.mark.parametrize("which", ["macro", "micro"])
def test_real_extracts_import(shared, capsys, which):
    file = str(shared / f"transnasbench101_{which}.csv.gz")
    assert run(["tables", "import", file, "--name", "tnb", "--space", f"transnas_{which}", "--json"]) == 0
    (table,) = json.loads(capsys.readouterr().out)["tables"]
    assert table["rows"] == table["space_size"] == {"macro": 3256, "micro": 4096}[which]
    assert table["details"]["jigsaw_val"]["coverage"] == 1.0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["tables", "import", "FILE", "--name", "x", "--space", "nasbench"], "unknown space 'nasbench'"),
        (["tables", "import", "no.csv", "--name", "x", "--space", "nasbench201"], "file 'no.csv' does not exist"),
        (["tables", "import", "FILE", "--name", "x", "--space", "transnas_micro"], "row 1: "),
        (["tables", "import", "FILE", "--name", "x y", "--space", "nasbench201"], "table name 'x y'"),
        (["tables", "import", "FILE", "--space", "nasbench201"], "--name"),
        (["tables", "import", "FILE", "--name", "x", "--space", "nasbench201", "--unit", "ms"], "write COLUMN=UNIT"),
        (["tables", "import", "FILE", "--name", "x", "--space", "nasbench201", "--minimize", "dela"], "mean 'delay'"),
        (["tables", "show", "mine"], "unknown table 'mine'; known: none"),
        (["tables", "lst"], "lst"),
    ],
)
def test_errors_are_one_line_and_exit_2(csv, capsys, args, message):
    assert run([str(csv) if a == "FILE" else a for a in args]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err


def test_without_a_subcommand_the_help_is_printed(capsys):
    assert run(["tables"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("Usage: ")
    assert "import" in err
