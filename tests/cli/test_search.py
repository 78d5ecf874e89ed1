"""``ogive search``: one JSON document, one line for every mistake, and the whole way on real data."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from ogive._registry import load_plugin
from ogive.cli.main import run
from ogive.study import Study

PLUGIN = str(Path(__file__).parents[1] / "study" / "plugin.py")
load_plugin(PLUGIN)
CHEAP = ("--space", "nasbench201", "--maximize", "rugged", "--minimize", "params", "--trials", "30", "--plugin", PLUGIN)


def search(capsys, *words):
    code = run(["search", *map(str, words)])
    out, err = capsys.readouterr()
    return code, out, err


def test_json_is_one_document_with_the_promised_keys(capsys, tmp_path):
    code, out, err = search(capsys, *CHEAP, "--where", "relus<=20000", "--out", tmp_path / "r", "--json", "--seed", 3)
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert {"run", "space", "strategy", "trials", "seconds", "best", "front"} <= set(found)
    assert (found["trials"], found["space"], found["strategy"]) == (30, "nasbench201", "nsga2")
    assert found["best"] == found["front"][0]
    study = Study.open(found["run"])
    assert [f["arch"] for f in found["front"]] == study.front["arch"].tolist()
    assert found["best"]["metrics"]["relus"] <= 20000
    assert found["best"]["metrics"]["rugged"] == study.front["rugged"].max()


def test_the_command_in_the_configuration_makes_the_same_run(capsys, tmp_path, monkeypatch):
    import shlex

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "sys.argv", ["/usr/bin/ogive", "search", *CHEAP, "--seed", "5", "--json", "--where", "relus<=20000"]
    )
    _, out, _ = search(capsys, *CHEAP, "--seed", 5, "--json", "--where", "relus<=20000")
    first = Study.open(json.loads(out)["run"])
    words = shlex.split(first.config.command)
    assert words[:2] == ["ogive", "search"]
    words[words.index("--out") + 1] = "again"
    assert run(words[1:]) == 0
    assert Study.open("again").trials.equals(first.trials)


def test_text_names_front_choice_and_report(capsys, tmp_path):
    code, out, err = search(capsys, *CHEAP, "--out", tmp_path / "r")
    best = Study.open(tmp_path / "r").best
    assert (code, err) == (0, "")
    assert "30 trials" in out
    assert f"chosen: {best.arch}" in out.replace("\n", "")
    assert "report.html" in out


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--space", "nasbench2O1"], "did you mean 'nasbench201'"),
        (["--task", "digit"], "did you mean 'digits'"),
        (["--maximize", "acuracy@train"], "did you mean 'accuracy@train'"),
        (["--strategy", "nsga"], "did you mean 'nsga2'"),
        (["--strategy", "random:population=3"], "population"),
        (["--where", "relu<=5"], "did you mean 'relus'"),
        (["--where", "relus=5"], "relus<=50000"),
        (["--where", "relus<=many"], "finite"),
        (["--maximize", "params"], "both maximised and minimised"),
        (["--trials", "0"], "at least 1"),
        (["--trials", "three"], "--trials"),
        (["--epochs", "0", "--maximize", "accuracy@train"], "epochs"),
        (["--plugin", "no/such/file.py"], "no/such/file.py"),
        (["--where", "relus<=1", "--max-draws", "200"], "relus<=1 (best value seen"),
        (["--colour"], "--colour"),
    ],
)
def test_mistakes_are_one_line(capsys, tmp_path, words, text):
    code, out, err = search(capsys, *CHEAP, "--out", tmp_path / "r", *words)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert text in err


def test_an_existing_run_is_left_alone(capsys, tmp_path):
    search(capsys, *CHEAP, "--out", tmp_path / "r")
    before = (tmp_path / "r" / "front.csv").read_bytes()
    code, _, err = search(capsys, *CHEAP, "--out", tmp_path / "r")
    assert code == 2
    assert f"ogive resume {tmp_path / 'r'}" in err
    assert (tmp_path / "r" / "front.csv").read_bytes() == before


def test_a_folder_that_cannot_be_made_is_named(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = search(capsys, *CHEAP, "--out", tmp_path / "file" / "r")
    assert (code, err.count("\n")) == (2, 1)
    assert str(tmp_path / "file") in err


def test_real_training_ends_with_a_test_beside_random_architectures(capsys, tmp_path):
    words = ["--trials", "4", "--epochs", "1", "--confirm", "2", "--out", tmp_path / "r", "--json", "--workers", "2"]
    code, out, err = search(capsys, *words)
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert (found["task"], found["trials"]) == ("digits", 4)
    assert len(found["test_accuracy"]["values"]) == 2
    assert len(found["baseline"]["values"]) == 8
    low, high = found["baseline"]["interval"]
    assert low <= found["baseline"]["mean"] <= high
    assert "random one" in found["statement"]
    assert found["best"]["metrics"]["relus"] <= 3500
    best = tmp_path / "r" / "best"
    assert json.loads((best / "arch.json").read_text())["arch"] == found["best"]["arch"]
    from ogive.training.export import load_weights
    from ogive.training.trainer import score

    study = Study.open(tmp_path / "r")
    model = load_weights(study.best.build(), best / "weights.safetensors")
    # The weights are those of the first training of the chosen one: they give exactly its test accuracy.
    assert score(model, study.problem.context.task, "test")["accuracy"] == found["test_accuracy"]["values"][0]
    front = pd.read_csv(tmp_path / "r" / "front.csv")
    assert (front["relus"] <= 3500).all()
    assert (front["depth"] >= 1).all()
