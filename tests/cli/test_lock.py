"""``ogive lock``: the promised keys, one line for every mistake, interruption, and the whole way on real training."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pandas as pd
import pytest

from ogive._registry import load_plugin
from ogive.cli.main import run
from ogive.methods import archlock
from ogive.metrics.tables import import_table
from ogive.study import Study
from tests.study.test_report import browse

PLUGIN = str(Path(__file__).parents[1] / "study" / "plugin.py")
load_plugin(PLUGIN)
TABLE = ("--table", "micro", "--space", "transnas_micro", "--source", "class_scene_val", "--target", "jigsaw_val")
CHEAP = ("--source", "skips@test", "--target", "graph@test", "--space", "nasbench201", "--gate", "pct:50",
         "--budget", "20", "--workers", "0", "--plugin", PLUGIN)  # fmt: skip


def lock(capsys, *words):
    code = run(["lock", *map(str, words)])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def micro(shared):
    import_table(shared / "transnasbench101_micro.csv.gz", "micro", "transnas_micro")


def test_json_is_one_document_with_the_promised_keys(capsys, tmp_path, micro, shared):
    words = ("--target", "normal_val", "--setting", "tk", "--gate", "pct:98", "--budget", 40, "--seed", 3, "--json")
    code, out, err = lock(capsys, *TABLE, *words, "--out", tmp_path / "r")
    found = json.loads(out)
    assert (code, err) == (0, "")
    promised = "arch source targets source_percentile target_percentiles apt reduction evaluations"
    assert set(promised.split()) <= set(found)
    assert (found["source"], found["targets"]) == ("class_scene_val", ["jigsaw_val", "normal_val"])
    assert found["evaluations"] == {"class_scene_val": 40, "jigsaw_val": 40, "normal_val": 40}
    ranks = pd.read_csv(shared / "transnasbench101_micro.csv.gz").set_index("arch").rank(pct=True) * 100
    own = ranks.loc[found["arch"]]
    assert found["target_percentiles"] == pytest.approx(own[["jigsaw_val", "normal_val"]].to_dict())
    assert found["source_percentile"] == pytest.approx(own["class_scene_val"])
    assert found["apt"] == pytest.approx(own[["jigsaw_val", "normal_val"]].mean())
    assert json.loads((tmp_path / "r" / "lock.json").read_text()) == found
    assert len(Study.open(found["run"]).trials) == 40


def test_the_table_names_the_space_and_unknown_targets_are_not_evaluated(capsys, tmp_path, micro):
    del micro
    words = (
        "--setting",
        "tu",
        "--auxiliary",
        "normal_val",
        "--auxiliary",
        "class_object_val",
        "--budget",
        40,
        "--json",
    )
    words += ("--table", "micro", "--source", "class_scene_val", "--target", "jigsaw_val", "--out", tmp_path / "r")
    found = json.loads(lock(capsys, *words, "--json")[1])
    assert found["space"] == "transnas_micro"
    assert found["auxiliary"] == ["normal_val", "class_object_val"]
    assert (found["evaluations"]["jigsaw_val"], found["evaluations"]["normal_val"]) == (0, 40)


def test_text_says_what_was_lost_and_where_the_report_is(capsys, tmp_path, micro):
    del micro
    code, out, err = lock(capsys, *TABLE, "--budget", 40, "--out", tmp_path / "r")
    found = json.loads((tmp_path / "r" / "lock.json").read_text())
    assert (code, err) == (0, "")
    assert out.startswith(f"lock: {found['arch']}\n")
    assert f"{found['raw_drop']['jigsaw_val']:.2f} %" in out
    assert f"Its mean target percentile is {found['apt']:.1f}" in out
    assert f"mean of {found['null']['architectures']}" in out
    assert str(tmp_path / "r" / "lock.html") in out


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--gate", "98"], "pct:98"),
        (["--gate", "2%"], "does not say of what"),
        (["--gate", "pct:101"], "at most 100"),
        (["--gate", "value:99"], "the best value found is"),
        (["--budget", "3"], "at least 10"),
        (["--target", "jigsaw"], "'jigsaw_val'"),
        (["--target", "class_scene_val"], "both source and target"),
        (["--table", "macro"], "ogive tables import"),
        (["--space", "nasbench201"], "of space 'transnas_micro', not of 'nasbench201"),
        (["--setting", "tx"], "write tk"),
        (["--setting", "tu"], "--auxiliary"),
        (["--setting", "tu", "--auxiliary", "jigsaw_val"], "both target and auxiliary"),
        (["--auxiliary", "normal_val"], "--setting tu"),
        (["--aggregate", "cvar:7"], "cvar:ALPHA"),
        (["--solver", "nsga2"], "pareto or legacy"),
        (["--leak"], "--solver legacy"),
        (["--solver", "legacy", "--comparator", "oracle"], "comparator"),
        (["--comparator", "perfect"], "--solver legacy"),
        (["--solver", "legacy", "--certify"], "default solver"),
        (["--reference", "10"], "no reference sample"),
        (["--epochs", "3"], "nothing is trained"),
        (["--certify"], "needs tasks to attack"),
        (["--seed", "-1"], "seed"),
        (["--colour"], "--colour"),
    ],
)
def test_mistakes_are_one_line(capsys, tmp_path, micro, words, text):
    del micro
    code, out, err = lock(capsys, *TABLE, "--budget", "12", "--out", tmp_path / "r", *words)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert text in err


def test_an_unknown_task_is_one_line(capsys, tmp_path):
    code, out, err = lock(capsys, "--source", "digits", "--target", "minst", "--out", tmp_path / "r")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "did you mean 'mnist'" in err
    assert not (tmp_path / "r").exists()


def test_ctrl_c_says_how_to_go_on_and_resume_does(capsys, tmp_path, monkeypatch):
    whole = json.loads(lock(capsys, *CHEAP, "--json", "--out", tmp_path / "whole")[1])
    real = Study.run

    def stopped(study, trials=None, **more):
        real(study, min(trials, 3), **more)
        raise KeyboardInterrupt

    monkeypatch.setattr(Study, "run", stopped)
    code, out, err = lock(capsys, *CHEAP, "--json", "--out", tmp_path / "r")
    assert (code, out) == (130, "")
    assert f"ogive resume {tmp_path / 'r'}" in err
    code, _, err = lock(capsys, *CHEAP, "--out", tmp_path / "r")
    assert (code, err.count("\n")) == (2, 1)
    assert f"ogive resume {tmp_path / 'r'}" in err
    monkeypatch.setattr(Study, "run", real)
    assert run(["resume", str(tmp_path / "r"), "--json"]) == 0
    gone_on = json.loads(capsys.readouterr().out)
    assert {k: v for k, v in gone_on.items() if k not in ("run", "report")} == {
        k: v for k, v in whole.items() if k not in ("run", "report")
    }
    assert run(["resume", str(tmp_path / "r"), "--trials", "5"]) == 2
    assert "budget" in capsys.readouterr().err


def test_a_damaged_question_is_one_line(capsys, tmp_path):
    lock(capsys, *CHEAP, "--json", "--out", tmp_path / "r")
    (tmp_path / "r" / "lock.yaml").write_text("- nonsense")
    assert run(["resume", str(tmp_path / "r")]) == 2
    err = capsys.readouterr().err
    assert (err.count("\n"), "lock.yaml" in err) == (1, True)


def test_real_training_counts_the_sample_and_gives_intervals(capsys, tmp_path):
    words = ("--source", "digits", "--target", "digits:variant=rotated", "--space", "nasbench201:C=4,N=1")
    words += ("--budget", 10, "--reference", 5, "--gate", "pct:60", "--epochs", 1, "--workers", 1, "--json")
    code, out, err = lock(capsys, *words, "--out", tmp_path / "r", "--quiet")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert found["evaluations"] == {"digits": 10, "digits:variant=rotated": 10}
    assert found["percentiles_of"] == {"architectures": 5, "whole_space": False}
    for name, (low, high) in found["intervals"].items():
        percentile = found["source_percentile"] if name == "digits" else found["target_percentiles"][name]
        assert 0 <= low <= percentile <= high <= 100
    trials = Study.open(tmp_path / "r").trials
    sample = trials.head(5)["accuracy@train/digits"]
    assert found["gate"]["value"] == sorted(sample)[2]
    own = trials.set_index("arch").loc[found["arch"]]
    assert found["values"]["digits"] == own["accuracy@train/digits"] >= found["gate"]["value"]


# ---------------------------------------------------------------- the page


@pytest.fixture(scope="module")
def page(shared, tmp_path_factory):
    """Return the folder of a lock from the table, made once."""
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OGIVE_DATA", str(folder / "data"))
        import_table(shared / "transnasbench101_micro.csv.gz", "micro", "transnas_micro")
        assert run(["lock", *TABLE, "--budget", "60", "--out", str(folder / "r"), "--json"]) == 0
    return folder / "r"


def test_the_page_loads_nothing_and_says_the_numbers(page):
    text = (page / "lock.html").read_text()
    found = json.loads((page / "lock.json").read_text())
    assert not re.findall(r"(?i)https?://|//cdn|@import|url\(|<link|<iframe|<img|<script", text)
    assert not re.findall(r"(?i)\b(src|href|action)\s*=", text)
    plain = html.unescape(text)
    for piece in (
        found["arch"],
        found["source_winner"]["arch"],
        f"{found['source_percentile']:.1f}",
        f"{found['target_percentiles']['jigsaw_val']:.1f}",
        f"{found['raw_drop']['jigsaw_val']:.2f} %",
        f"{found['values']['jigsaw_val']:.6g}",
        "60</b><span>evaluations",
    ):
        assert piece in plain
    assert text.count('class="mark') >= 60
    for choice, value in found["explanation"]["shapley"].items():
        assert choice in plain
        assert f">{value:+.1f}<" in text


def test_a_browser_shows_the_page_without_errors_or_requests(page, tmp_path):
    log = tmp_path / "net.json"
    flags = ("--dump-dom", "--enable-logging=stderr", f"--log-net-log={log}")
    done = browse(page / "lock.html", tmp_path / "profile", *flags)
    assert json.loads((page / "lock.json").read_text())["arch"] in html.unescape(done.stdout)
    assert "CONSOLE" not in done.stderr
    addresses = re.findall(r'"url":"(https?://[^"]+)"', log.read_text())
    assert not [a for a in addresses if "google" not in a and "gstatic" not in a]


def test_foreign_text_is_shown_as_text(page, micro):
    del micro
    found = archlock.resume(page)
    evil = "<script>alert(1)</script>"
    from ogive.methods._lock_report import page as drawn

    text = drawn(found, evil, f"ogive lock {evil}")
    assert "<script" not in text
    assert text.count(html.escape(evil)) == 2
