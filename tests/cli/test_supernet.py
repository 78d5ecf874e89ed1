"""``ogive supernet`` as scripts and people use it."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
import torch

from ogive.cli.main import run
from ogive.spaces.base import get_space
from ogive.study import Study
from ogive.tasks import get_task
from ogive.training.checkpoint import load_tensors
from ogive.training.export import load_weights
from ogive.training.supernet_trainer import SupernetTrainer
from ogive.training.trainer import score

TOY = Path(__file__).parents[2] / "examples" / "templates" / "toy.yaml"
SPEC = "nasbench201:C=2,N=1"
ARCH = "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|"


def train(folder, *more):
    return run(["supernet", "train", "--space", SPEC, "--epochs", "2", "--out", str(folder), "--json", *more])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("supernet")
    assert train(folder, "--sampler", "fair", "--set", "recalibrate=3") == 0
    return folder


def document(capsys):
    return json.loads(capsys.readouterr().out)


def test_training_says_what_it_did(tmp_path, capsys):
    assert train(tmp_path, "--sampler", "fair", "--seed", "4", "--lr", "0.05", "--set", "momentum=0.8") == 0
    found = document(capsys)
    assert (found["space"], found["task"], found["sampler"], found["seed"]) == (SPEC, "digits", "fair", 4)
    assert (found["recipe"]["lr"], found["recipe"]["momentum"]) == (0.05, 0.8)
    assert (found["epochs"], found["steps"]) == (2, 32)
    assert found["updates"] == {"least": 32, "most": 32}
    assert 0 < found["loss"] < 3
    assert found["file"] == str(tmp_path / "supernet.safetensors")


def test_the_same_command_again_trains_no_more_and_another_is_refused(folder, capsys):
    before = (folder / "supernet.safetensors").read_bytes()
    assert train(folder, "--sampler", "fair", "--set", "recalibrate=3") == 0
    assert document(capsys)["loss"] is None
    assert (folder / "supernet.safetensors").read_bytes() == before
    assert train(folder, "--sampler", "uniform", "--set", "recalibrate=3") == 2
    err = capsys.readouterr().err
    assert "holds a supernet with sampler=fair, not uniform; delete it or choose another --out" in err


def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path, capsys, monkeypatch):
    """P32: Ctrl-C in the middle of a step lets it end, saves and exits with 130."""
    assert train(tmp_path / "whole") == 0
    step = SupernetTrainer.step

    def interrupted(self):
        if self.steps_done == 11:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self)

    monkeypatch.setattr(SupernetTrainer, "step", interrupted)
    assert train(tmp_path / "stopped") == 130
    assert "stopped after 12 of 32 steps; the same command goes on there" in capsys.readouterr().err
    monkeypatch.undo()
    assert train(tmp_path / "stopped") == 0
    (one, facts), (two, others) = (load_tensors(tmp_path / k / "supernet.safetensors") for k in ("whole", "stopped"))
    assert facts == others
    assert one.keys() == two.keys()
    assert all(torch.equal(one[k], two[k]) for k in one)


def test_people_get_lines(tmp_path, capsys):
    assert run(["supernet", "train", "--space", SPEC, "--epochs", "1", "--out", str(tmp_path), "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "16 steps, 1 epochs" in out
    assert "mean of the last epoch" in out
    assert str(tmp_path / "supernet.safetensors") in out


def test_measure_reads_the_folder(folder, capsys):
    options = ["--space", SPEC, "--metrics", "accuracy@supernet,loss@supernet,params", "--supernet", str(folder)]
    assert run(["measure", ARCH, *options, "--json"]) == 0
    (row,) = document(capsys)["rows"]
    scorer = SupernetTrainer.load(folder).scorer
    found = scorer(get_space(SPEC).parse(ARCH))
    assert (row["accuracy@supernet"], row["loss@supernet"]) == (found["accuracy"], found["loss"])
    assert row["params"] > 0


def test_a_search_reads_the_folder(folder, tmp_path, capsys):
    options = ["--maximize", "accuracy@supernet", "--supernet", str(folder), "--trials", "3", "--workers", "0"]
    command = ["search", "--space", SPEC, "--task", "digits", "--strategy", "random", *options]
    assert run([*command, "--out", str(tmp_path / "run"), "--json"]) == 0
    found = document(capsys)
    assert found["candidates"] == {"done": 3}
    scorer, best = SupernetTrainer.load(folder).scorer, found["best"]
    assert best["metrics"]["accuracy@supernet"] == scorer(get_space(SPEC).parse(best["arch"]))["accuracy"]
    study = Study.open(tmp_path / "run")
    assert study.config.supernet == {"folder": str(folder)}
    assert len(study.trials) == 3


def test_an_extracted_network_is_plain_and_can_be_exported(folder, tmp_path, capsys):
    assert run(["supernet", "extract", str(folder), ARCH, "--out", str(tmp_path), "--json"]) == 0
    found = document(capsys)
    space, task = get_space(SPEC), get_task("digits")
    model = load_weights(space.build(space.parse(ARCH), task), tmp_path / "weights.safetensors")
    scorer = SupernetTrainer.load(folder).scorer
    assert found["accuracy@supernet"] == scorer(space.parse(ARCH))["accuracy"]
    assert found["files"] == [str(tmp_path / "weights.safetensors"), str(tmp_path / "arch.json")]
    x = torch.randn(5, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(model.eval()(x), scorer.prepared(space.parse(ARCH))(x))
    assert run(["export", str(tmp_path), "--format", "torch", "--out", str(tmp_path / "out"), "--json"]) == 0
    assert document(capsys)["accuracy"] == score(model, task, "val")["accuracy"]


def test_an_extracted_drawing_takes_its_drawing_along(tmp_path, capsys):
    drawn = tmp_path / "drawn.json"
    space = get_space(f"template:path={TOY}").save(drawn)
    command = [
        "supernet",
        "train",
        "--space",
        f"template:path={drawn}",
        "--epochs",
        "1",
        "--out",
        str(tmp_path / "net"),
    ]
    assert run([*command, "--json"]) == 0
    assert run([*command, "--json"]) == 0
    drawn.unlink()
    capsys.readouterr()
    arch = space.format(space.enumerate()[3])
    assert run(["supernet", "extract", str(tmp_path / "net"), arch, "--out", str(tmp_path / "one"), "--json"]) == 0
    found = document(capsys)
    assert get_space(found["space"]).to_dict() == space.to_dict()
    assert run(["export", str(tmp_path / "one"), "--format", "torch", "--json"]) == 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["train", "--out", "x", "--sampler", "fare"], "unknown sampler 'fare'; did you mean 'fair'?"),
        (["train", "--out", "x", "--set", "epoch=1"], "unknown supernet option 'epoch'; did you mean 'epochs'?"),
        (["train"], "Missing option '--out'"),
        (["extract", "nowhere", ARCH, "--out", "x"], "'nowhere' holds no supernet.safetensors"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_two(args, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["supernet", *args]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_trust_trains_anchors_alone_and_keeps_what_it_trained(folder, capsys):
    command = ["supernet", "trust", str(folder), "--anchors", "3", "--repeated", "1", "--candidates", "5", "-e", "1"]
    assert run([*command, "--json"]) == 0
    found = document(capsys)
    assert found["trust"]["wording"] == "too few anchors"
    assert [len(a["accuracy"]) for a in found["anchors"]] == [2, 1, 1]
    kept = (folder / "trust.json").read_bytes()
    assert len(json.loads(kept)["trainings"]) == 4
    assert run([*command, "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "ranking: too few anchors (3 anchors; intervals are 90 %, over anchors)" in out
    assert (folder / "trust.json").read_bytes() == kept
    (folder / "trust.json").write_text("[1]")
    assert run([*command]) == 2
    assert "trust.json' holds no trainings that can be read" in capsys.readouterr().err
