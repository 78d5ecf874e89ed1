"""What is taken out computes what the network computes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from ogive._errors import InputError, MissingDependencyError, StorageError
from ogive.training import export
from ogive.training.config import TrainConfig
from ogive.training.export import (
    ExportError,
    export_onnx,
    export_program,
    load_arch,
    load_weights,
    onnx_difference,
    save_arch,
    save_weights,
)
from ogive.training.trainer import train
from tests.conftest import lacking

SHAPE = (2, 4, 4)


def inputs(n):
    return torch.randn(n, *SHAPE, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def need_onnx():
    for module in ("onnx", "onnxscript", "onnxruntime"):
        try:
            __import__(module)
        except ImportError:
            lacking(f"{module} is not installed")


def test_weights_come_back_to_the_bit_also_from_a_checkpoint(make, blobs, tmp_path):
    model, config = make(), TrainConfig(epochs=1, batch_size=20)
    train(model, blobs, config, checkpoint=tmp_path / "checkpoint.safetensors")
    save_weights(model, tmp_path / "weights.safetensors")
    for name in ("checkpoint", "weights"):
        other = load_weights(make(), tmp_path / f"{name}.safetensors")
        for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
            assert torch.equal(a, b)


def test_weights_of_another_network_are_refused(make, tmp_path):
    path = save_weights(nn.Linear(3, 2), tmp_path / "w.safetensors")
    with pytest.raises(InputError, match="belong to another network"):
        load_weights(make(), path)
    with pytest.raises(StorageError, match="cannot be read as safetensors"):
        load_weights(make(), tmp_path / "absent")


def test_arch_files_round_trip_and_say_what_they_lack(tmp_path):
    facts = {"space": "s", "arch": "|a|", "task": "t", "accuracy": 97.5}
    path = save_arch(tmp_path / "arch.json", facts)
    assert load_arch(path) == facts
    for text, match in (("{", "cannot be read"), ("[]", "lacks space, arch, task"), ('{"space": "s"}', "arch, task")):
        path.write_text(text)
        with pytest.raises(StorageError, match=match):
            load_arch(path)
    path.write_text(json.dumps(facts | {"arch": 3}))
    with pytest.raises(StorageError, match="lacks arch"):
        load_arch(path)


@pytest.mark.parametrize("training", [True, False])
def test_a_program_computes_the_same_for_every_batch_size(training, make, tmp_path):
    model = make().train(training)
    before = [v.clone() for v in model.state_dict().values()]
    path = export_program(model, SHAPE, tmp_path / "model.pt2")
    assert model.training is training
    assert all(torch.equal(a, b) for a, b in zip(before, model.state_dict().values(), strict=True))
    program = torch.export.load(path).module()
    for n in (1, 2, 9):
        torch.testing.assert_close(program(inputs(n)), model.eval()(inputs(n)), rtol=0, atol=1e-6)


def test_onnx_computes_the_same_for_every_batch_size(need_onnx, make, tmp_path):
    import onnxruntime

    model = make()
    path = export_onnx(model, SHAPE, tmp_path / "model.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"], "weights are inside the one file"
    assert onnx_difference(model, SHAPE, path) <= 1e-5
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for n in (1, 9):
        (found,) = session.run(None, {"x": inputs(n).numpy()})
        np.testing.assert_allclose(found, model.eval()(inputs(n)).detach().numpy(), atol=1e-5)


def test_the_onnx_check_sees_another_networks_weights(need_onnx, make, tmp_path):
    path = export_onnx(make(), SHAPE, tmp_path / "model.onnx")
    other = make()
    with torch.no_grad():
        other[-1].bias += 0.5
    assert onnx_difference(other, SHAPE, path) == pytest.approx(0.5, rel=1e-4)


def test_a_file_that_differs_is_never_written(need_onnx, make, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "onnx_difference", lambda *_: float("nan"))
    with pytest.raises(ExportError, match="the ONNX file in ONNX Runtime differs"):
        export_onnx(make(), SHAPE, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_onnx_without_its_packages_names_the_extra(make, tmp_path, monkeypatch):
    def absent(module, extra, purpose):
        raise MissingDependencyError(f"{purpose} needs ogive[{extra}]")

    monkeypatch.setattr(export, "require", absent)
    with pytest.raises(MissingDependencyError, match=r"ONNX export needs ogive\[onnx\]"):
        export_onnx(make(), SHAPE, tmp_path / "model.onnx")


def test_a_network_that_cannot_be_traced_is_one_clear_line(tmp_path):
    class Branches(nn.Module):
        def forward(self, x):
            return x.flatten(1) if float(x.sum()) > 0 else -x.flatten(1)

    with pytest.raises(ExportError, match="cannot trace this network") as found:
        export_program(Branches(), SHAPE, tmp_path / "model.pt2")
    assert len(str(found.value).splitlines()) == 1
