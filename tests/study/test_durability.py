"""Killing a search at random instants must change nothing but the time it takes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

import numpy as np
import pytest

from ogive._registry import load_plugin
from ogive.study import SqliteLog, Study
from ogive.study.problem import Status

PLUGIN = str(Path(__file__).with_name("plugin.py"))
load_plugin(PLUGIN)


def ask(out, seed, workers, trials, maximize="slow@test", **more):
    return Study(
        "nasbench201",
        "digits",
        maximize=[maximize],
        minimize=["params"],
        where=["relus<=20000"],
        out=out,
        trials=trials,
        seed=seed,
        workers=workers,
        plugins=[PLUGIN],
        **more,
    )


def story(study):
    """Everything that must not depend on clocks, workers or crashes."""
    rows = study.results().rows
    status = np.where(rows.status == Status.AWAITED, Status.REPEAT, rows.status)
    return (
        rows.candidate.tolist(),
        rows.genotypes.tolist(),
        status.tolist(),
        np.nan_to_num(rows.values, nan=-1.0).tolist(),
        rows.violation.tolist(),
    )


def resume_in_child(path, kill_after):
    """Fork a process that goes on with the run and kill it after some seconds; return whether it had finished."""
    child = os.fork()
    if child == 0:
        try:
            Study.open(path).run(progress=False)
            os._exit(0)
        except BaseException:  # noqa: BLE001 - a forked child must never return into pytest
            traceback.print_exc()
            os._exit(1)
    deadline = time.monotonic() + kill_after
    while time.monotonic() < deadline:
        done, code = os.waitpid(child, os.WNOHANG)
        if done:
            assert code == 0
            return True
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


WATCH = """
import json, sys, threading, time
from ogive.study.events import SqliteLog
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
wrong, looks, longest = [], 0, 0
while not stop.is_set():
    try:
        seqs = [e.seq for e in SqliteLog(sys.argv[1], read_only=True).read()]
    except Exception as error:
        wrong.append(repr(error))
        continue
    if seqs != list(range(1, len(seqs) + 1)):
        wrong.append(f"not dense: {seqs[-5:]}")
    if len(seqs) < longest:
        wrong.append(f"shrank from {longest} to {len(seqs)}")
    looks, longest = looks + 1, len(seqs)
    time.sleep(0.002)
print(json.dumps({"wrong": wrong, "looks": looks}))
"""


class Watcher:
    """Another process that reads the log all the time and reports what was ever wrong with it.

    Not a thread: SQLite forbids to carry an open database across the forks of these tests.
    """

    def __init__(self, path):
        command = [sys.executable, "-c", WATCH, str(path)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def report(self):
        return json.loads(self.process.communicate()[0])


def torment(tmp_path, kills, workers, trials, seed, longest, **more):
    """Kill one run `kills` times, let it finish, and compare it with one that was left alone."""
    undisturbed = ask(None, seed, 0, trials, **more).run()
    path = tmp_path / "run"
    ask(path, seed, workers, trials, **more)
    watcher = Watcher(path / "run.db")
    dice = random.Random(seed)
    killed = 0
    for _ in range(kills):
        killed += not resume_in_child(path, dice.uniform(0.0, longest))
    while not resume_in_child(path, 60.0):
        pass
    watched = watcher.report()
    study = Study.open(path)
    candidates = study.results().rows.candidate
    assert len(set(candidates.tolist())) == len(candidates), "a candidate is in the log twice"
    assert study.results().n_trials == trials
    assert story(study) == story(undisturbed)
    assert watched["wrong"] == []
    assert watched["looks"] > kills
    return killed


def test_fifty_kills_of_a_search_with_dear_metrics(tmp_path):
    # About 0.6 s of measuring in all, so that most kills hit the search and not its end.
    assert torment(tmp_path, kills=50, workers=0, trials=150, seed=3, longest=0.04) > 30


def test_kills_of_a_search_with_cheap_metrics(tmp_path):
    killed = torment(tmp_path, 15, 0, 2500, seed=4, longest=0.04, maximize="rugged", strategy="nsga2:population=20")
    assert killed > 5


def test_kills_of_a_search_with_two_workers(tmp_path):
    assert torment(tmp_path, kills=6, workers=2, trials=400, seed=5, longest=1.0) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("workers", [0, 2])
def test_many_kills(tmp_path, workers, seed):
    assert torment(tmp_path, kills=50, workers=workers, trials=1000, seed=seed, longest=0.8 if workers else 0.1) > 10


def command(*words):
    return [sys.executable, "-m", "ogive", *map(str, words)]


QUESTION = (
    "--space", "nasbench201", "--task", "digits", "--maximize", "slow@test", "--minimize", "params", "--where",
    "relus<=20000", "--plugin", PLUGIN, "--trials", "400", "--seed", "7", "--workers", "0",
)  # fmt: skip


def wait_for_trials(path, at_least):
    """Wait until the log of a run holds some outcomes."""
    deadline = time.monotonic() + 60
    log = SqliteLog(path / "run.db", read_only=True)
    while time.monotonic() < deadline:
        if sum(1 for _ in log.read(kinds=("eval.done",))) >= at_least:
            return
        time.sleep(0.01)
    raise AssertionError("the search never began")


def test_ctrl_c_leaves_a_run_that_resumes(tmp_path):
    path = tmp_path / "run"
    process = subprocess.Popen(
        command("search", "--out", path, *QUESTION), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for_trials(path, 5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert err.strip().splitlines() == [err.strip()]
    assert f"ogive resume {path}" in err
    assert [e.data["state"] for e in Study.open(path).events(kinds=("run.state",))] == ["searching", "stopped"]
    resumed = subprocess.run(command("resume", path, "--json"), capture_output=True, text=True, check=False)
    assert (resumed.returncode, resumed.stderr) == (0, "")
    assert story(Study.open(path)) == story(ask(None, 7, 0, 400).run())


def test_a_second_process_is_refused(tmp_path):
    path = tmp_path / "run"
    process = subprocess.Popen(
        command("search", "--out", path, *QUESTION, "--trials", 1_000_000), stderr=subprocess.PIPE
    )
    try:
        wait_for_trials(path, 1)
        second = subprocess.run(command("resume", path), capture_output=True, text=True, check=False)
        assert second.returncode == 2
        assert len(second.stderr.strip().splitlines()) == 1
        assert f"process {process.pid}" in second.stderr
        again = subprocess.run(command("search", "--out", path, *QUESTION), capture_output=True, text=True, check=False)
        assert again.returncode == 2
        assert "is being written by" in again.stderr
    finally:
        process.kill()
        process.communicate()


def test_workers_die_with_their_owner(tmp_path):
    path = tmp_path / "run"
    ask(path, 0, 2, 10, maximize="sleepy@test")
    child = os.fork()
    if child == 0:
        Study.open(path).run(progress=False)
        os._exit(0)
    children = Path(f"/proc/{child}/task/{child}/children")
    deadline = time.monotonic() + 30
    workers = []
    while len(workers) < 2 and time.monotonic() < deadline:
        workers = children.read_text().split()
        time.sleep(0.01)
    assert len(workers) == 2
    time.sleep(0.5)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while any(Path(f"/proc/{w}").exists() and _state(w) != "Z" for w in workers):
        assert time.monotonic() < deadline, "a worker outlived its owner"
        time.sleep(0.01)


def _state(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"
