"""``ogive resume``: goes on, adds trials, says what is wrong; tests/study/test_durability.py has the interruptions."""

from __future__ import annotations

import json
from pathlib import Path

from ogive._registry import load_plugin
from ogive.cli.main import run
from ogive.study import Study

PLUGIN = str(Path(__file__).parents[1] / "study" / "plugin.py")
load_plugin(PLUGIN)


def make(out, trials):
    return Study("nasbench201", "digits", maximize=["rugged"], minimize=["params"], out=out, trials=trials)


def resume(capsys, *words):
    code = run(["resume", *map(str, words)])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_run_that_never_began_is_run(capsys, tmp_path):
    make(tmp_path / "r", 20)
    code, out, err = resume(capsys, tmp_path / "r", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["trials"] == 20
    assert Study.open(tmp_path / "r").trials.equals(make(None, 20).run().trials)


def test_a_finished_run_is_shown_or_gets_more_trials(capsys, tmp_path):
    make(tmp_path / "r", 20).run()
    before = [e.seq for e in Study.open(tmp_path / "r").events()]
    assert json.loads(resume(capsys, tmp_path / "r", "--json")[1])["trials"] == 20
    assert [e.seq for e in Study.open(tmp_path / "r").events()] == before
    assert json.loads(resume(capsys, tmp_path / "r", "--json", "--trials", 15)[1])["trials"] == 35
    assert Study.open(tmp_path / "r").trials.equals(make(None, 35).run().trials)


def test_mistakes_are_one_line(capsys, tmp_path):
    make(tmp_path / "r", 20)
    (tmp_path / "r" / "run.db").write_bytes(b"garbage" * 1000)
    for words, text in (
        ([tmp_path / "none"], "no run"),
        ([tmp_path / "r"], "no log of a run"),
        ([tmp_path / "r", "--trials", 0], "at least 1"),
    ):
        code, out, err = resume(capsys, *words)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert text in err
