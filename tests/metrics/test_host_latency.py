"""This machine measures itself: big networks take longer than small ones, and the figures repeat."""

from __future__ import annotations

import numpy as np
import pytest

from ogive._errors import InputError
from ogive.metrics.base import Context, resolve
from ogive.metrics.counts import count_module
from ogive.metrics.evaluate import evaluate
from ogive.metrics.host_latency import HostConfig, host_table, write_onnx
from ogive.metrics.timing import Protocol
from ogive.spaces.base import get_space
from ogive.tasks.base import get_task

SPACE = get_space("nasbench201:C=16,N=2")
CELLS = np.array([[0, 0, 0, 0, 0, 1], [2, 2, 2, 2, 2, 2], [3, 3, 3, 3, 3, 3]], dtype=SPACE.dtype)
QUICK = Protocol(runs=5, rounds=2)


@pytest.mark.parametrize("runtime", ["onnxruntime", "torch"])
def test_more_work_takes_more_time(runtime: str) -> None:
    if runtime == "onnxruntime":
        pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")
    config = HostConfig(runtime=runtime, protocol=QUICK)  # type: ignore[arg-type]
    table, found = host_table(SPACE, CELLS, get_task("cifar10"), config)
    held = table.device("host")
    assert (np.diff(held.latency) > 0).all()
    assert (held.latency > 0).all()
    assert (held.latency < 1000).all()
    assert not held.failed.any()
    assert held.device.runtime.startswith(f"{runtime} ")
    assert found.rounds.shape == (2, 3)


def test_the_exported_network_is_the_network(tmp_path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")
    import torch

    model = SPACE.build(CELLS[2], get_task("cifar10")).eval()
    path = write_onnx(model, (2, 3, 32, 32), tmp_path / "x.onnx")
    x = torch.randn(2, 3, 32, 32)
    (found,) = runtime.InferenceSession(str(path)).run(None, {"x": x.numpy()})
    with torch.no_grad():
        assert np.abs(model(x).numpy() - found).max() < 1e-4
    assert count_module(model, (3, 32, 32)).params > 0


def test_it_is_a_metric_like_any_other() -> None:
    context = Context(task=get_task("digits"), options={"host": HostConfig(protocol=QUICK)})
    scores = evaluate(["latency@host", "latency_spread@host"], SPACE, CELLS[[0, 2]], context)
    small, large = scores.values["latency@host"]
    assert 0 < small < large
    assert (scores.values["latency_spread@host"] >= 0).all()
    assert resolve("latency@host").direction == "min"


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(InputError, match="onnxruntime or torch"):
        HostConfig(runtime="tflite")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="threads"):
        HostConfig(threads=0)
    with pytest.raises(InputError, match="HostConfig"):
        evaluate(["latency@host"], SPACE, CELLS[:1], Context(task=get_task("digits"), options={"host": 3}))
