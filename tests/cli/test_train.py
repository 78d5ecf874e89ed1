"""``ogive train`` as a person and a script meet it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from functools import partial

import pytest
import torch

from ogive.cli.main import run
from ogive.spaces.base import get_space
from ogive.tasks import get_task
from ogive.training.checkpoint import load_tensors
from ogive.training.export import load_weights
from ogive.training.trainer import score

ARCH = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|none~2|"
BASE = ["train", ARCH, "--space", "nasbench201:C=4,N=1", "--epochs", "2"]


def document(capsys, *args):
    assert run([*args, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_json_holds_what_scripts_rely_on_and_the_weights_score_as_stated(capsys, tmp_path):
    found = document(capsys, *BASE, "--out", str(tmp_path / "run"), "--lr", "0.2", "--set", "weight_decay=0.001")
    assert {"accuracy", "validation_accuracy", "test_accuracy", "seconds", "files", "recipe", "seed"} <= found.keys()
    assert found["accuracy"] == found["validation_accuracy"]
    assert {k: found["recipe"][k] for k in ("epochs", "lr", "weight_decay")} == {
        "epochs": 2, "lr": 0.2, "weight_decay": 0.001,
    }  # fmt: skip
    task, space = get_task(found["task"]), get_space(found["space"])
    weights = next(f for f in found["files"] if f.endswith("weights.safetensors"))
    model = load_weights(space.build(space.parse(found["arch"]), task), weights)
    assert score(model, task, "val")["accuracy"] == found["validation_accuracy"]
    assert score(model, task, "test")["accuracy"] == found["test_accuracy"]
    noted = json.loads((tmp_path / "run" / "arch.json").read_text())
    assert {k: noted[k] for k in ("arch", "space", "task", "test_accuracy")} == {
        k: found[k] for k in ("arch", "space", "task", "test_accuracy")
    }


def test_seed_decides_and_the_same_command_gives_the_finished_run_again(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = document(capsys, *BASE)
    assert document(capsys, *BASE) == first
    assert len(list((tmp_path / "runs").iterdir())) == 1
    again = document(capsys, *BASE, "--out", "elsewhere")
    assert again["validation_loss"] == first["validation_loss"]
    assert document(capsys, *BASE, "--seed", "1")["validation_loss"] != first["validation_loss"]


def test_a_person_sees_labelled_accuracies_and_files(capsys, tmp_path):
    assert run([*BASE, "--out", str(tmp_path / "run")]) == 0
    out = capsys.readouterr().out
    assert ARCH in out
    assert "validation accuracy" in out
    assert "test accuracy" in out
    assert str(tmp_path / "run" / "weights.safetensors") in out


def test_interrupted_the_same_command_goes_on_to_the_same_weights(tmp_path):
    """A real Ctrl-C to a real process, after some epoch and before the last."""
    command = [*BASE[:-1], "40", "--quiet", "--out"]
    program = [sys.executable, "-c", "from ogive.cli.main import main; main()"]
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    # A suite started in the background ignores SIGINT, and so would its children.
    heed = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    broken = subprocess.Popen([*program, *command[:-2], "--out", a], stderr=subprocess.PIPE, text=True, preexec_fn=heed)
    for _ in range(2400):
        if (tmp_path / "a" / "checkpoint.safetensors").exists():
            break
        time.sleep(0.05)
    broken.send_signal(signal.SIGINT)
    _, said = broken.communicate(timeout=120)
    assert broken.returncode == 130, said
    assert "the same command goes on from there" in said
    assert "Traceback" not in said
    assert not (tmp_path / "a" / "weights.safetensors").exists()
    assert run([*command, a]) == run([*command, b]) == 0
    (resumed, _), (whole, _) = (load_tensors(tmp_path / f / "weights.safetensors") for f in ("a", "b"))
    assert all(torch.equal(resumed[k], whole[k]) for k in resumed | whole)


@pytest.mark.parametrize(
    ("args", "match"),
    [
        (["--task", "digist"], "unknown task 'digist'; did you mean 'digits'"),
        (["--task", "cifar10"], "cifar-10-python.tar.gz"),
        (["--space", "nasbench210"], "unknown space 'nasbench210'; did you mean 'nasbench201'"),
        (["--set", "schedul=cosine"], "unknown training option 'schedul'; did you mean 'schedule'"),
        (["--set", "schedule"], "has no value"),
        (["--lr", "0"], "training option lr=0.0 must be a number > 0"),
        (["--lr", "fast"], "Invalid value for '--lr'"),
        (["--device", "warp"], "device 'warp' cannot be used"),
        (["--out", "file/inside"], "cannot write 'file/inside/arch.json'"),
    ],
)
def test_wrong_input_is_one_line_and_exit_2(args, match, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("in the way")
    assert run([*BASE, *args]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert match in captured.err
    assert len(captured.err.splitlines()) == 1


def test_a_malformed_arch_names_the_position(capsys):
    assert run(["train", "|nor_conv_9x9~0|+|", *BASE[2:]]) == 2
    assert "position 1: unknown operation 'nor_conv_9x9'" in capsys.readouterr().err


def test_another_run_in_the_same_folder_is_refused(capsys, tmp_path):
    out = ["--out", str(tmp_path / "run")]
    assert run([*BASE, *out, "--quiet"]) == 0
    assert run([*BASE, *out, "--lr", "0.3"]) == 2
    assert "holds a run with lr=0.1, not 0.3" in capsys.readouterr().err
    other = ARCH.replace("nor_conv_1x1", "avg_pool_3x3")
    assert run(["train", other, *BASE[2:], *out]) == 2
    assert f"holds a run with arch={ARCH}" in capsys.readouterr().err


@pytest.mark.parametrize(("asked", "used"), [([], 1), (["--threads", "2"], 2)])
def test_small_networks_take_one_thread_unless_told_otherwise(asked, used, tmp_path):
    before = torch.get_num_threads()
    try:
        assert run([*BASE, *asked, "--quiet", "--out", str(tmp_path / "a")]) == 0
        assert torch.get_num_threads() == used
    finally:
        torch.set_num_threads(before)
