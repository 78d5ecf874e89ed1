"""Times ONNX networks on a phone or board. Needs Python, NumPy and ONNX Runtime; copy this one file there.

    python onnx_runner.py JOB                          a folder that `ogive latency job` wrote; writes JOB/timings.json
    python onnx_runner.py --serve 0.0.0.0:8765 --token SECRET        answers `ogive latency measure --remote URL`

It reads and runs ONNX files and nothing else. The server wants its token with every request; it is meant for a network
you trust, because ONNX Runtime was not made to open files of strangers.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import os
import platform
import random
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Visit = Callable[[int, int], list[float]]

FORMAT = 1
_LARGEST = 512 * 2**20


def take_turns(
    visits: Sequence[Visit],
    *,
    rounds: int,
    warmup: int,
    runs: int,
    anchors: int,
    every: int,
    seed: int,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Visit every network in each round, in an order of its own, and some of them again and again.

    Parameters
    ----------
    visits : sequence of callable
        ``visit(warmup, runs)`` runs one network and returns the seconds of each run that counts.
    rounds, warmup, runs, anchors, every, seed : int
        See `ogive.metrics.timing.Protocol`.
    advance : callable
        Called after each visit.

    Returns
    -------
    dict
        ``rounds``: for each round, for each network, the seconds of its runs, or null where it failed; ``looks``: the
        anchors' smallest seconds, look by look; ``failures``: number of the network to the reason.
    """
    rng = random.Random(seed)
    failures: dict[str, str] = {}

    def seen(i: int) -> list[float] | None:
        try:
            return visits[i](warmup, runs)
        except Exception as error:  # noqa: BLE001  a runtime fails in ways of its own, and the others still count
            failures[str(i)] = str(error).strip().partition("\n")[0] or type(error).__name__
            return None

    found: list[list[list[float] | None]] = [[None] * len(visits) for _ in range(rounds)]
    known: list[int] = []
    looks: list[list[float]] = []
    done = 0
    for row in found:
        for i in rng.sample(range(len(visits)), len(visits)):
            row[i] = None if str(i) in failures else seen(i)
            if row[i] is None:
                continue
            advance()
            if len(known) < anchors and i not in known:
                known.append(i)
            done += 1
            if known and done % every == 0:
                looks.append([min(times) for times in map(seen, known) if times])
    return {"rounds": found, "looks": looks, "failures": failures}


def session_visit(model: str | bytes, threads: int) -> Visit:
    """Return what times one ONNX network on random input of its own shape; a new session at each visit."""
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1

    def visit(warmup: int, runs: int) -> list[float]:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        # A network whose output hangs on nothing was folded to a constant and has lost its input.
        feed = {
            i.name: np.zeros([d if isinstance(d, int) else 1 for d in i.shape], np.float32)
            for i in session.get_inputs()
        }
        for _ in range(warmup):
            session.run(None, feed)
        times = []
        for _ in range(runs):
            start = time.perf_counter()
            session.run(None, feed)
            times.append(time.perf_counter() - start)
        return times

    return visit


def describe() -> dict[str, str]:
    """Return what this machine and its runtime are called."""
    import onnxruntime

    return {"runtime": f"onnxruntime {onnxruntime.__version__}", "note": f"{platform.machine()} {platform.system()}"}


def run_job(folder: Path) -> Path:
    """Time the networks of a job folder and write ``timings.json`` beside them."""
    job = json.loads((folder / "job.json").read_text())
    if job.get("format") != FORMAT:
        raise SystemExit(f"'{folder}' is no job of format {FORMAT}; write it again with: ogive latency job")
    visits = [session_visit(str(folder / model["file"]), job["threads"]) for model in job["models"]]
    count = iter(range(1, 1 + len(visits) * job["protocol"]["rounds"]))
    say = sys.stderr.isatty()

    def advance() -> None:
        done = next(count)
        if say:
            sys.stderr.write(f"\r{done} visits")

    found = take_turns(visits, **job["protocol"], advance=advance)
    path = folder / "timings.json"
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps({"format": FORMAT, "device": describe(), **found}))
    draft.replace(path)
    return path


class _Handler(BaseHTTPRequestHandler):
    """GET / describes the device, POST /models takes a network, POST /time?model=ID&threads=&warmup=&runs= times it."""

    token = ""
    folder = Path()

    def do_GET(self) -> None:
        if self._allowed():
            self._answer(200, {"format": FORMAT, "device": describe()})

    def do_POST(self) -> None:
        if not self._allowed():
            return
        length = int(self.headers.get("Content-Length") or 0)
        if length > _LARGEST:
            self._answer(413, {"error": f"a network may have {_LARGEST} bytes"})
            return
        body = self.rfile.read(length)
        address = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(address.query).items()}
        if address.path == "/models":
            name = hashlib.sha256(body).hexdigest()
            (self.folder / f"{name}.onnx").write_bytes(body)
            self._answer(200, {"model": name})
        elif address.path == "/time":
            self._time(query)
        else:
            self._answer(404, {"error": "there are /models and /time"})

    def _time(self, query: dict[str, str]) -> None:
        name = query.get("model", "")
        path = self.folder / f"{name}.onnx"
        # Only a hash is looked up, never a path.
        if len(name) != 64 or not name.isalnum() or not path.is_file():
            self._answer(404, {"error": f"no network '{name[:64]}'; send it to /models first"})
            return
        try:
            threads, warmup, runs = (int(query.get(key, 1)) for key in ("threads", "warmup", "runs"))
            self._answer(200, {"seconds": session_visit(str(path), threads)(warmup, runs)})
        except Exception as error:  # noqa: BLE001  whatever the runtime says is the answer
            self._answer(422, {"error": str(error).strip().partition("\n")[0] or type(error).__name__})

    def _allowed(self) -> bool:
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if hmac.compare_digest(given.encode(), self.token.encode()):
            return True
        self._answer(401, {"error": "the token is missing or wrong"})
        return False

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Keep quiet: writing a line takes time that a measurement would see."""


def make_server(address: str, token: str, folder: Path) -> HTTPServer:
    """Return a server that keeps networks in `folder` and times one request after another."""
    if not token:
        raise SystemExit("give a secret with --token, the same as to ogive latency measure --remote-token")
    host, _, port = address.rpartition(":")
    handler = type("Handler", (_Handler,), {"token": token, "folder": folder})
    return HTTPServer((host or "127.0.0.1", int(port)), handler)


def main() -> None:
    """Run a job or serve."""
    parser = argparse.ArgumentParser(description="Time ONNX networks on this device.")
    parser.add_argument("job", nargs="?", type=Path, help="folder written by: ogive latency job")
    parser.add_argument("--serve", metavar="HOST:PORT")
    parser.add_argument("--token", default=os.environ.get("OGIVE_RUNNER_TOKEN", ""))
    given = parser.parse_args()
    if given.serve:
        with tempfile.TemporaryDirectory() as folder:
            server = make_server(given.serve, given.token, Path(folder))
            sys.stderr.write(f"serving on {given.serve}\n")
            server.serve_forever()
    elif given.job:
        sys.stdout.write(f"{run_job(given.job)}\n")
    else:
        parser.error("give a job folder, or --serve HOST:PORT")


if __name__ == "__main__":
    main()
