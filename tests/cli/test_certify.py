"""``ogive certify`` as a person and a script meet it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ogive.cli.main import run
from ogive.methods.certification import PRESETS

CELL = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|none~2|"
QUICK = [
    "certify", CELL, "--space", "nasbench201:C=2,N=1", "--target", "digits:variant=parity", "--public",
    "resnet8:width=2", "--preset", "test", "--seeds", "2", "--set", "epochs=1", "--attack", "epochs=1", "--workers",
    "0",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _preset(monkeypatch):
    """Attackers who hardly try, for tests that take seconds."""
    small = PRESETS["small"]
    monkeypatch.setitem(PRESETS, "test", replace(small, rates=(0.1,), owned=50, held=50, steps=1, shares=(0.5, 1.0)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(tmp_path_factory.mktemp("certify") / "run")


def test_json_holds_what_scripts_rely_on(capsys, folder):
    assert run([*QUICK, "--random", "1", "--out", folder, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"run", "space", "source", "targets", "limit", "gate", "findings", "unlocked", "public"} <= found.keys()
    assert found["targets"] == ["digits:variant=parity"]
    assert [f["arch"] == CELL for f in found["findings"]] == [True, False]
    for finding in (*found["findings"], found["unlocked"]):
        assert finding["verdict"] == ("not shown" if finding["doubts"] else "locked")
        assert [c["share"] for c in finding["contests"]] == [0.5, 1.0]
        for contest in finding["contests"]:
            assert {"fine-tune", "probe", "adapter", "scratch"} == contest["attacks"].keys()
            low, high = contest["advantage"]["interval"]
            assert low <= contest["advantage"]["mean"] <= high


def test_a_person_sees_the_verdicts_and_the_same_command_trains_nothing_anew(capsys, folder):
    log = Path(folder) / "trainings.jsonl"
    before = log.read_text()
    assert run([*QUICK, "--random", "1", "--out", folder]) == 0
    out = capsys.readouterr().out
    assert log.read_text() == before
    assert f"1: {CELL}" in out
    for word in ("fine-tune", "probe", "adapter", "scratch", "advantage", "digits:variant=parity", "±"):
        assert word in out
    assert "\n1: not shown" in out or "\n1: locked" in out
    assert all(len(line) <= 90 for line in out.splitlines() if "±" in line)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--target", "digit"], "digits"),
        (["--gate", "2"], "within:2"),
        (["--attack", "lr=0.1"], "--attack"),
        (["--preset", "tiny"], "preset"),
        (["--seeds", "1"], "--seeds 3"),
        (["--device", "moon"], "moon"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(capsys, options, message):
    assert run([*QUICK, *options]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_an_interruption_says_how_to_go_on(capsys, tmp_path, monkeypatch):
    from ogive.methods._certification_run import Store

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "append", interrupted)
    assert run([*QUICK, "--out", str(tmp_path / "run")]) == 130
    assert f"kept in {tmp_path / 'run'}; the same command goes on" in capsys.readouterr().err
