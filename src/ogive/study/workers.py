"""Measuring in other processes: a small pool that outlives its workers and never outlives its owner.

A worker is a new Python that runs `serve`. It reads one JSON document a line on its standard input (what to set up,
then jobs) and writes one a line on a private copy of its standard output. It inherits neither
locks nor threads. When its input closes, because the owner closed it or died in any way, it exits at once, even in the
middle of a measurement.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO, cast

from ogive._errors import InputError, OgiveError
from ogive.metrics import guard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Job = tuple[str, tuple[Any, ...]]
"""Name of a job, such as a function of `ogive.study.jobs`, and its JSON arguments."""


@dataclass(frozen=True)
class Answer:
    """What became of a job: its JSON result, or the reason why there is none."""

    key: int
    result: Any = None
    reason: str | None = None
    wrong_input: bool = False


@dataclass
class _Worker:
    process: subprocess.Popen[str]
    key: int | None = None
    started: float = math.inf
    """When it began with its job; never while it is still setting up."""
    ready: bool = False


class Pool:
    """Worker processes that run jobs, each in turn.

    Parameters
    ----------
    size : int
        Number of processes; they start when there is work for them.
    setup : mapping
        JSON values that every worker receives first: for a study its `StudyConfig` as a dictionary.
    timeout : float, optional
        Seconds after which a job has failed and its worker is replaced.
    threads : int
        Threads each worker computes with.
    jobs : str
        Module whose ``caller(setup, threads=...)`` gives a worker the function that does its jobs.
    """

    def __init__(
        self,
        size: int,
        setup: Mapping[str, Any],
        *,
        timeout: float | None = None,
        threads: int = 1,
        jobs: str = "ogive.study.jobs",
    ) -> None:
        self.size, self.timeout, self.threads = size, timeout, threads
        self._setup = {"jobs": jobs, "config": dict(setup), "path": sys.path, "threads": threads}
        self._workers: list[_Worker] = []
        self._jobs: deque[tuple[int, Job]] = deque()
        self._inbox: queue.Queue[tuple[_Worker, str | None]] = queue.Queue()

    def submit(self, key: int, name: str, *args: Any, first: bool = False) -> None:
        """Put a job in line, or at its head; `wait` will return its answer under `key`."""
        if first:
            self._jobs.appendleft((key, (name, args)))
        else:
            self._jobs.append((key, (name, args)))
        self._dispatch()

    def withdraw(self, key: int) -> bool:
        """Take a job out of the line; return whether it had not begun."""
        left = [item for item in self._jobs if item[0] != key]
        gone = len(left) < len(self._jobs)
        self._jobs = deque(left)
        return gone

    def busy(self) -> bool:
        """Return whether a job is being done or in line."""
        return bool(self._jobs) or any(w.key is not None for w in self._workers)

    def wait(self, timeout: float | None = None) -> list[Answer]:
        """Wait for at least one answer, at most `timeout` seconds if given, and return all that have come in.

        Raises
        ------
        InputError
            If a worker found that the user's input is wrong.
        """
        answers: list[Answer] = []
        end = math.inf if timeout is None else time.monotonic() + timeout
        while not answers:
            left = end - time.monotonic()
            patience = self._patience()
            if left < math.inf:
                patience = max(left, 0.0) if patience is None else min(max(left, 0.0), patience)
            try:
                answers += self._receive(*self._inbox.get(timeout=patience))
                while True:
                    answers += self._receive(*self._inbox.get_nowait())
            except queue.Empty:
                answers += self._expire()
            self._dispatch()
            if time.monotonic() >= end:
                break
        for answer in answers:
            if answer.wrong_input:
                raise InputError(answer.reason)
        return answers

    def close(self) -> None:
        """Stop all workers and forget what is in line; the pool can be used again."""
        self._jobs.clear()
        for worker in self._workers:
            self._stop(worker)
        self._workers.clear()
        self._inbox = queue.Queue()

    # ---------------------------------------------------------------- workers

    def _dispatch(self) -> None:
        while self._jobs:
            worker = next((w for w in self._workers if w.key is None), None)
            if worker is None:
                if len(self._workers) >= self.size:
                    return
                worker = self._hire()
            key, job = self._jobs.popleft()
            worker.key, worker.started = key, time.monotonic() if worker.ready else math.inf
            self._send(worker, json.dumps(job))

    def _hire(self) -> _Worker:
        environment = os.environ | {v: str(self.threads) for v in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        # Its own session: Ctrl-C in the terminal is for the owner, who decides what becomes of the work.
        process = subprocess.Popen(
            [sys.executable, "-c", "from ogive.study.workers import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=environment,
            start_new_session=True,
        )
        worker = _Worker(process)
        self._workers.append(worker)
        threading.Thread(target=self._listen, args=(worker, self._inbox), daemon=True).start()
        # What the owner must not read now, its workers never may.
        self._send(worker, json.dumps(self._setup | {"forbidden": guard.held()}))
        return worker

    @staticmethod
    def _listen(worker: _Worker, inbox: queue.Queue[tuple[_Worker, str | None]]) -> None:
        assert worker.process.stdout is not None
        for line in worker.process.stdout:
            inbox.put((worker, line))
        inbox.put((worker, None))

    @staticmethod
    def _send(worker: _Worker, line: str) -> None:
        assert worker.process.stdin is not None
        try:
            worker.process.stdin.write(line + "\n")
            worker.process.stdin.flush()
        except OSError:
            # It is dead; the end of its output will say so.
            return

    def _receive(self, worker: _Worker, line: str | None) -> list[Answer]:
        key = worker.key
        if worker not in self._workers:
            return []
        if line is None:
            self._workers.remove(worker)
            code = worker.process.wait()
            self._stop(worker)
            return [] if key is None else [Answer(key, reason=f"the worker process died ({_exit_text(code)})")]
        if not worker.ready:
            worker.ready, worker.started = True, time.monotonic()
            return []
        worker.key = None
        return [] if key is None else [Answer(key, **json.loads(line))]

    def _patience(self) -> float | None:
        """Return the seconds until the next job is late, at most a while, so that new workers are noticed."""
        if self.timeout is None:
            return None
        first = min((w.started for w in self._workers if w.key is not None), default=math.inf)
        return min(max(first + self.timeout - time.monotonic(), 0.0), self.timeout)

    def _expire(self) -> list[Answer]:
        if self.timeout is None:
            return []
        late = [w for w in self._workers if w.key is not None and time.monotonic() - w.started >= self.timeout]
        for worker in late:
            self._workers.remove(worker)
            self._stop(worker)
        return [Answer(w.key, reason=f"took longer than {self.timeout:g} s") for w in late if w.key is not None]

    @staticmethod
    def _stop(worker: _Worker) -> None:
        worker.process.kill()
        worker.process.wait()
        if worker.process.stdin is not None:
            try:
                worker.process.stdin.close()
            except OSError:
                # Closing flushes; a dead reader makes that fail.
                return


def _exit_text(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"{name}, perhaps out of memory" if -code == signal.SIGKILL else name


# -------------------------------------------------------------------- the worker's side


def serve() -> None:
    """Run jobs from standard input until it closes."""
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    # Whatever a plug-in prints goes to standard error and cannot be taken for an answer.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read, args=(sys.stdin, lines), daemon=True).start()
    setup = json.loads(lines.get())
    sys.path[:] = setup["path"]
    guard.hold(setup["forbidden"])
    call = _attempt(partial(_caller, setup))
    answers.write("ready\n")
    while True:
        name, args = json.loads(lines.get())
        answer = call if "reason" in call else _attempt(partial(call["result"], name, args))
        answers.write(json.dumps(answer) + "\n")


def _caller(setup: Mapping[str, Any]) -> Callable[[str, list[Any]], Any]:
    caller = importlib.import_module(setup["jobs"]).caller
    return cast("Callable[[str, list[Any]], Any]", caller(setup["config"], threads=setup["threads"]))


def _attempt(what: Callable[[], Any]) -> dict[str, Any]:
    """Return what a call gives, or why it gives nothing, as the fields of `Answer`."""
    try:
        return {"result": what()}
    except OgiveError as error:
        return {"reason": _one_line(error), "wrong_input": isinstance(error, InputError)}
    except Exception as error:  # noqa: BLE001 - a fault of a job must not take its worker along
        return {"reason": f"{type(error).__name__}: {_one_line(error)}"}


def _read(source: TextIO, lines: queue.Queue[str]) -> None:
    for line in source:
        lines.put(line)
    # The owner is gone or wants no more: leave without waiting for the measurement that may be running.
    os._exit(0)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
