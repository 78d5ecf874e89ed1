"""``ogive export`` as a person and a script meet it."""

from __future__ import annotations

import json

import pytest
import torch

from ogive.cli.main import run
from ogive.spaces.base import get_space
from ogive.tasks import get_task
from ogive.training.export import load_weights
from tests.conftest import lacking

ARCH = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|none~2|"
SPACE = ["--space", "nasbench201:C=4,N=1"]


@pytest.fixture
def trained(tmp_path, capsys):
    folder = tmp_path / "run"
    assert run(["train", ARCH, *SPACE, "--epochs", "1", "--out", str(folder), "--json"]) == 0
    return folder, json.loads(capsys.readouterr().out)


def document(capsys, *args):
    assert run(["export", *args, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def network(weights):
    space = get_space(SPACE[1])
    return load_weights(space.build(space.parse(ARCH), get_task("digits")), weights).eval()


def test_a_run_folder_exports_its_own_network(trained, capsys, tmp_path):
    folder, training = trained
    out = tmp_path / "out"
    found = document(capsys, str(folder), "--format", "torch,safetensors", "--out", str(out))
    assert (found["arch"], found["space"], found["task"]) == (ARCH, SPACE[1], "digits")
    assert found["accuracy"] == training["accuracy"]
    assert sorted(p.name for p in out.iterdir()) == ["arch.json", "model.pt2", "weights.safetensors"]
    assert sorted(found["files"]) == sorted(str(p) for p in out.iterdir())
    x = torch.randn(5, 1, 8, 8)
    expected = network(folder / "weights.safetensors")(x)
    assert torch.equal(network(out / "weights.safetensors")(x), expected)
    torch.testing.assert_close(torch.export.load(out / "model.pt2").module()(x), expected, rtol=0, atol=1e-5)


def test_a_search_run_exports_its_best(trained, capsys, tmp_path):
    folder, training = trained
    search = tmp_path / "search"
    search.mkdir()
    folder.rename(search / "best")
    found = document(capsys, str(search), "--format", "torch")
    assert found["accuracy"] == training["accuracy"]
    assert found["files"] == [str(search / "best" / "model.pt2")]


def test_onnx_of_an_arch_string_with_weights(trained, capsys, tmp_path):
    try:
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError:
        lacking("onnxruntime or onnxscript is not installed")
    folder, training = trained
    weights = ["--weights", str(folder / "weights.safetensors")]
    found = document(capsys, ARCH, *SPACE, *weights, "--format", "onnx", "--out", str(tmp_path))
    assert found["accuracy"] == training["accuracy"]
    assert found["onnx_max_abs_difference"] <= 1e-4
    (path,) = found["files"]
    x = torch.randn(5, 1, 8, 8)
    (logits,) = onnxruntime.InferenceSession(path).run(None, {"x": x.numpy()})
    torch.testing.assert_close(torch.from_numpy(logits), network(folder / "weights.safetensors")(x), rtol=0, atol=1e-4)


def test_without_weights_it_says_that_the_network_is_untrained(capsys, tmp_path):
    assert run(["export", ARCH, *SPACE, "--format", "safetensors", "--out", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert "untrained network" in captured.err
    assert "accuracy" not in captured.out
    assert str(tmp_path / "weights.safetensors") in captured.out


def test_a_task_without_its_files_still_exports(capsys, tmp_path):
    options = ["--format", "safetensors", "--out", str(tmp_path), "--task", "cifar100"]
    first = document(capsys, ARCH, *SPACE, *options)
    again = document(capsys, ARCH, *SPACE, *options, "--weights", first["files"][0])
    assert again["accuracy"] is None


def test_wrong_input_is_one_line_and_exit_2(trained, capsys, tmp_path):
    folder, _ = trained
    weights = str(folder / "weights.safetensors")
    cases = {
        "unknown format 'onxx'; did you mean 'onnx'": [str(folder), "--format", "onxx"],
        "holds no arch.json": [str(tmp_path)],
        "belong to another network": [ARCH, "--space", "nasbench201:C=8,N=1", "--weights", weights],
        "cannot be read as safetensors": [ARCH, *SPACE, "--weights", str(folder / "arch.json")],
        "position 0: expected '|'": ["no-such-folder", *SPACE],
        "cannot write": [ARCH, *SPACE, "--format", "safetensors", "--quiet", "--out", weights],
    }
    for match, args in cases.items():
        assert run(["export", *args]) == 2
        captured = capsys.readouterr()
        assert match in captured.err
        assert captured.out == ""
        assert len(captured.err.splitlines()) == 1
