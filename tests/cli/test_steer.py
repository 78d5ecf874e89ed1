"""``ogive steer``: commands from a shell reach a run, the history is listed, refusals are one line."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ogive._registry import load_plugin
from ogive.cli.main import run
from ogive.study import Study
from ogive.study.operations import OPERATIONS

PLUGIN = str(Path(__file__).parents[1] / "study" / "plugin.py")
load_plugin(PLUGIN)


@pytest.fixture
def folder(tmp_path):
    Study("nasbench201", "digits", maximize=["rugged"], strategy="random", out=tmp_path / "r", batch=5).run(10)
    return tmp_path / "r"


def steer(capsys, *words):
    code = run(["steer", *map(str, words)])
    out, err = capsys.readouterr()
    return code, out, err


def test_commands_wait_for_the_run_and_are_listed_when_done(capsys, folder):
    code, out, err = steer(capsys, folder, "lock", "0->1", "none", "--note", "to see", "--actor", "ada")
    assert (code, out) == (0, "")
    assert "in line" in err
    assert "lock: in line" in steer(capsys, folder)[1]
    assert steer(capsys, folder, "nudge", "0->2", "none", "-0.5")[0] == 0
    Study.open(folder).run(10)
    lines = steer(capsys, folder)[1].splitlines()
    assert lines[0].split() == ["0", "as", "asked"]
    assert "ada  lock  to see" in lines[1]
    assert lines[2].strip() == "status of 0->1=none: free -> locked"
    assert lines[4].strip() == "nudges of 0->2=none: 0 -> -0.5"
    assert not any("in line" in line for line in lines)


def test_json_is_one_document(capsys, folder):
    told = json.loads(steer(capsys, folder, "exclude", "0->1", "none", "--json", "--id", "mine")[1])
    assert (told["id"], told["status"], told["args"]) == ("mine", "posted", {"choice": "0->1", "option": ["none"]})
    Study.open(folder).run(1)
    # The same command once more is not carried out again.
    again = json.loads(steer(capsys, folder, "exclude", "0->1", "none", "--json", "--id", "mine")[1])
    assert (again["status"], again["rev"]) == ("applied", 1)
    document = json.loads(steer(capsys, folder, "--json")[1])
    assert (document["rev"], len(document["history"]), len(document["commands"])) == (1, 2, 1)
    listed = json.loads(steer(capsys, folder, "--list", "--json")[1])["operations"]
    assert set(listed) == set(OPERATIONS)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["lock", "0->1", "nnoe"], "did you mean 'none'"),
        (["undo"], "nothing to undo"),
        (["explode"], "unknown steering command"),
        (["step", "zero"], "whole number"),
        (["lock", "0->1", "none", "--base-rev", "4"], "no revision 4"),
        (["pause", "--now"], "is too much"),
    ],
)
def test_a_refusal_is_one_line_and_exit_2(capsys, folder, words, error):
    code, out, err = steer(capsys, folder, *words)
    assert (code, out) == (2, "")
    assert error in err
    assert err.count("\n") == 1
    assert Study.open(folder).commands() == []


def test_no_run(capsys, tmp_path):
    code, _, err = steer(capsys, tmp_path / "none", "pause")
    assert (code, "no run" in err) == (2, True)


def test_a_paused_search_stays_alive_and_goes_on(capsys, tmp_path):
    path = tmp_path / "r"
    question = (
        "--space", "nasbench201", "--task", "digits", "--maximize", "slow@test", "--plugin", PLUGIN,
        "--trials", "100000", "--workers", "0", "--quiet",
    )  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "ogive", "search", "--out", str(path), *question],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        deadline = time.monotonic() + 60
        while not (path / "run.db").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        told = json.loads(steer(capsys, path, "pause", "--wait", "30", "--json")[1])
        assert told["status"] == "applied"
        at = Study.open(path).results().n_trials
        time.sleep(0.3)
        assert process.poll() is None
        assert Study.open(path).results().n_trials == at
        assert json.loads(steer(capsys, path, "step", 3, "--wait", "30", "--json")[1])["until"] == at + 3
        assert json.loads(steer(capsys, path, "stop", "--wait", "30", "--json")[1])["status"] == "applied"
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()
