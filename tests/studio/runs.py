"""Small runs and a running server for the tests of the studio."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np

from ogive.study import SqliteLog, Study

SMALL = Path(__file__).parents[2] / "examples" / "templates" / "small.yaml"


def cell_run(folder: Path, trials: int = 30, seed: int = 1, **options) -> Path:
    """Search cells by what can be counted: quick, and real."""
    options = {"maximize": ["params"], "minimize": ["macs"]} | options
    Study("nasbench201", "digits", out=folder, trials=trials, seed=seed, **options).run()
    return folder


def drawn_run(folder: Path, trials: int = 20, seed: int = 1, **options) -> Path:
    """Search a drawn template in the same way."""
    options = {"maximize": ["params"], "minimize": ["macs"]} | options
    Study(f"template:path={SMALL}", "digits", out=folder, trials=trials, seed=seed, **options).run()
    return folder


def large_run(folder: Path, n: int, batch: int = 2000) -> Path:
    """Write the log of a run with many candidates whose values are drawn, not measured."""
    study = Study("nasbench201", "digits", maximize=["params"], minimize=["macs"], out=folder, trials=n, seed=1)
    rng = np.random.default_rng(1)
    genotypes, values = study.problem.space.sample(n, rng), rng.random((n, len(study.problem.metrics)))
    entries = []
    for at in range(0, n, batch):
        k = len(genotypes[at : at + batch])
        metrics = dict(zip(study.problem.metrics, values[at : at + k].T.tolist(), strict=True))
        row = {"candidate": list(range(at, at + k)), "genotype": genotypes[at : at + k].tolist(), "metrics": metrics}
        entries.append(("eval.done", row | {"status": ["done"] * k, "violation": [0.0] * k, "seconds": [0.1] * k}))
    with SqliteLog(study.directory.database) as log:
        log.extend([*entries, ("run.state", {"state": "done"})])
    return folder


class Asgi:
    """Asks an application without a network; keeps cookies, follows no redirect."""

    def __init__(self, app, host: str) -> None:
        self.app, self.host = app, host
        self.cookies = httpx.Cookies()

    def request(self, method: str, path: str, **options) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(
                transport=transport, base_url=f"http://{self.host}", cookies=self.cookies
            ) as client:
                answer = await client.request(method, path, **options)
                self.cookies = client.cookies
                return answer

        return asyncio.run(ask())

    def get(self, path: str, **options) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options) -> httpx.Response:
        return self.request("POST", path, **options)


@contextmanager
def served(*words, timeout: float = 60):
    """Start ``ogive studio`` as a process; yields the process and what it printed. Ends it, however the test ends."""
    command = [sys.executable, "-m", "ogive", "studio", *map(str, words), "--no-open", "--json"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    try:
        line = process.stdout.readline()
        if not line:
            raise AssertionError(f"the studio did not start: {process.stderr.read()}")
        yield process, json.loads(line)
    finally:
        process.kill()
        process.wait(timeout)
        process.stdout.close()
        process.stderr.close()


@contextmanager
def logged_in(printed: dict):
    """Yield a client that has opened the printed address."""
    with httpx.Client(base_url=f"http://127.0.0.1:{printed['port']}", follow_redirects=True, timeout=30) as client:
        assert client.get(printed["url"]).status_code == 200
        yield client
