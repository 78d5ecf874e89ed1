"""Devices at the end of a folder or of a socket: the runner runs as a program of its own, without this package."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ogive._errors import InputError, StorageError
from ogive.metrics import onnx_runner
from ogive.metrics.remote import measure_remote, read_job, write_job
from ogive.metrics.timing import Protocol
from ogive.spaces.base import get_space
from ogive.tasks.base import get_task

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")

SPACE = get_space("nasbench201:C=8,N=1")
CELLS = np.array([[1, 1, 1, 1, 1, 1], [3, 3, 3, 3, 3, 3]], dtype=SPACE.dtype)
TASK = get_task("cifar10")
QUICK = Protocol(rounds=2, runs=5, every=2)


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return write_job(tmp_path / "job", SPACE, CELLS, TASK, QUICK)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    held = onnx_runner.make_server("127.0.0.1:0", "secret", tmp_path)
    thread = threading.Thread(target=held.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{held.server_address[1]}"
    held.shutdown()
    held.server_close()


def test_a_job_is_run_by_the_copied_file_alone_and_read_back(job: Path) -> None:
    # -I leaves this project out of the path: what the device has is Python, NumPy and ONNX Runtime.
    blocked = "import sys; sys.modules['ogive'] = None; sys.argv = ['onnx_runner.py', '.']; import runpy; "
    code = f"{blocked} runpy.run_path('onnx_runner.py', run_name='__main__')"
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=job, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    table, found = read_job(job, "phone")
    held = table.device("phone")
    assert (table.genotypes == CELLS).all()
    assert 0 < held.latency[0] < held.latency[1]
    assert found.rounds.shape == (2, 2)
    assert held.device.runtime.startswith("onnxruntime ")


def test_a_network_that_the_device_cannot_run_is_a_failure(job: Path) -> None:
    (job / "models" / "00001.onnx").write_bytes(b"not a network")
    onnx_runner.run_job(job)
    table, found = read_job(job, "phone")
    assert table.device("phone").failed.tolist() == [False, True]
    assert set(found.reasons) == {1}


def test_a_folder_that_is_no_finished_job_is_refused(job: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no timings\.json; run onnx_runner\.py"):
        read_job(job, "phone")
    with pytest.raises(InputError, match=r"no job\.json"):
        read_job(tmp_path / "nowhere", "phone")
    with pytest.raises(InputError, match="not empty"):
        write_job(job, SPACE, CELLS, TASK)
    (job / "timings.json").write_text(json.dumps({"device": {}}))
    with pytest.raises(StorageError, match="damaged"):
        read_job(job, "phone")


def test_the_same_networks_by_http(server: str, tmp_path: Path) -> None:
    table, found = measure_remote(server, "secret", "board", SPACE, CELLS, TASK, QUICK, folder=tmp_path)
    held = table.device("board")
    assert 0 < held.latency[0] < held.latency[1]
    assert not found.reasons
    assert held.device.name == "board"


def test_the_server_wants_its_token_and_looks_up_no_paths(server: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="token"):
        measure_remote(server, "wrong", "board", SPACE, CELLS, TASK, QUICK, folder=tmp_path)
    from ogive.metrics.remote import _call

    (tmp_path / "secret.onnx").write_bytes(b"")
    for name in ("../secret", "secret", "%2e%2e%2fsecret", ""):
        with pytest.raises(InputError, match="no network"):
            _call(server, "secret", f"/time?model={name}", b"")
    with pytest.raises(InputError, match="there are /models and /time"):
        _call(server, "secret", "/files", b"")


def test_garbage_sent_over_http_is_a_failure_of_that_network(server: str) -> None:
    from ogive.metrics.remote import _call

    model = _call(server, "secret", "/models", b"garbage")["model"]
    with pytest.raises(RuntimeError):
        _call(server, "secret", f"/time?model={model}&runs=1", b"")


def test_nobody_there_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not answer"):
        measure_remote("http://127.0.0.1:9", "x", "board", SPACE, CELLS, TASK, folder=tmp_path)
    with pytest.raises(InputError, match="http://"):
        measure_remote("file:///etc/passwd", "x", "board", SPACE, CELLS, TASK, folder=tmp_path)
