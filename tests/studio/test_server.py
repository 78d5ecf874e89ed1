"""Starting and stopping the server: where it listens, what it prints, and that nothing can hold up its end."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time

import httpx
import pytest

from ogive._errors import InputError, StorageError
from ogive.studio.server import _session, serve
from tests.studio.runs import cell_run, logged_in, served


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return cell_run(tmp_path_factory.mktemp("server") / "run")


def other_address():
    """Return an address of this machine that is no loopback, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        found = probe.getsockname()[0]
    return None if found.startswith("127.") else found


def test_only_this_machine_can_connect(run):
    """P22: by default nothing but loopback listens."""
    with served(run) as (_, printed):
        assert set(printed) == {"url", "port", "pid", "run"}
        assert printed["run"] == str(run)
        assert httpx.get(f"http://127.0.0.1:{printed['port']}/healthz").text == "ok"
        for address in filter(None, ["127.0.0.2", other_address()]):
            with pytest.raises(OSError), socket.create_connection((address, printed["port"]), timeout=2):
                pass


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.org"])
def test_other_machines_need_a_second_word(run, host):
    with pytest.raises(InputError, match="--allow-remote"):
        serve([run], lambda _: pytest.fail("it started"), host=host)


def test_with_both_words_other_machines_may_ask(run):
    with served(run, "--host", "0.0.0.0", "--allow-remote") as (_, printed):
        name = socket.gethostname()
        base = f"http://127.0.0.1:{printed['port']}"
        assert httpx.get(f"{base}/healthz", headers={"host": f"{name}:{printed['port']}"}).status_code == 200
        assert httpx.get(f"{base}/healthz", headers={"host": "evil.example"}).status_code == 400
        assert httpx.get(f"{base}/api/state").status_code == 401


def test_a_taken_port_is_said_in_one_line(run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(StorageError, match="choose another --port"):
            serve([run], lambda _: pytest.fail("it started"), port=taken.getsockname()[1])


@pytest.mark.parametrize("word", [signal.SIGINT, signal.SIGTERM])
def test_an_open_stream_does_not_hold_up_the_end(run, word):
    """P25, without an engine: Ctrl-C with an open stream ends it soon, and cleanly."""
    with served(run) as (process, printed), logged_in(printed) as client, client.stream("GET", "/api/stream") as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith("retry:")
        process.send_signal(word)
        # Five seconds on a machine with nothing else to do; what is held up never ends.
        assert process.wait(20) == 0
        assert "Traceback" not in process.stderr.read()


def test_a_page_stays_logged_in_over_a_restart(run):
    with served(run) as (_, printed), logged_in(printed) as client:
        port = printed["port"]
        first = client.get("/api/state").json()["csrf"]
        old_url = printed["url"]
        cookies = client.cookies
    with served(run, "--port", port) as (_, printed):
        again = httpx.Client(base_url=f"http://127.0.0.1:{port}", cookies=cookies)
        assert again.get("/api/state").json()["csrf"] == first
        assert printed["url"] != old_url
        assert httpx.get(old_url).status_code == 401, "the printed address is good for one start"


def test_the_kept_secret_is_its_owners_alone_and_bound_to_run_and_port(run, tmp_path, monkeypatch):
    monkeypatch.setenv("OGIVE_DATA", str(tmp_path))
    secret = _session([run], 8000)
    (file,) = (tmp_path / "studio").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert _session([run], 8000) == secret
    assert len({secret, _session([run], 8001), _session([run.parent], 8000)}) == 3
    old = time.time() - 25 * 3600
    os.utime(file, (old, old))
    assert _session([run], 8000) != secret
    monkeypatch.setenv("OGIVE_DATA", "/proc/nowhere")
    assert _session([run], 8000) != _session([run], 8000), "without a place for it there is a new one each time"


def test_the_token_is_printed_once_and_never_again(run):
    with served(run) as (process, printed):
        token = printed["url"].partition("token=")[2]
        with logged_in(printed) as client:
            client.get("/api/state")
            client.get("/login?token=wrong")
        process.send_signal(signal.SIGINT)
        process.wait(10)
        assert token not in process.stderr.read()
        assert process.stdout.read() == ""


def test_several_runs_are_told_apart(run, tmp_path):
    other = cell_run(tmp_path / "run", seed=2)
    with served(run, other) as (_, printed), logged_in(printed) as client:
        runs = client.get("/api/runs").json()["runs"]
        assert [r["name"] for r in runs] == ["run", "run-2"]
        assert [r["trials"] for r in runs] == [30, 30]
        seeds = [client.get("/api/state", params={"run": r["name"]}).json()["run"]["seed"] for r in runs]
        assert seeds == [1, 2]
        answer = client.get("/api/state", params={"run": "nosuch"})
        assert (answer.status_code, "run" in answer.json()["error"]) == (404, True)


def pause_and_see(client):
    """Pause a run that other processes measure for: it is paused when these have ended, and nothing more comes."""
    headers = {"X-CSRF-Token": client.get("/api/state").json()["csrf"]}
    assert client.post("/api/commands", json={"op": "pause"}, headers=headers).status_code == 202
    until = time.monotonic() + 60
    while (state := client.get("/api/state").json())["state"] != "paused":
        assert time.monotonic() < until
        time.sleep(0.05)
    events = client.get("/api/events", params={"limit": 5000}).json()["events"]
    assert [e["data"]["state"] for e in events if e["kind"] == "run.state"] == ["searching", "pausing", "paused"]
    time.sleep(1.0)
    assert client.get("/api/state").json()["budget"]["done"] == state["budget"]["done"]


def test_a_live_run_is_followed(tmp_path):
    """Another process writes; candidates and state arrive without asking it."""
    folder = tmp_path / "live"
    words = ["search", "--space", "nasbench201", "--task", "digits", "--maximize", "accuracy@train", "--epochs", "1"]
    words += ["-n", "200", "--workers", "1", "-q", "-o", str(folder), "--confirm", "0"]
    search = subprocess.Popen([sys.executable, "-m", "ogive", *words], stdout=subprocess.DEVNULL)
    try:
        for _ in range(300):
            if (folder / "run.db").exists():
                break
            time.sleep(0.1)
        with served(folder) as (_, printed), logged_in(printed) as client:
            count, until = 0, time.monotonic() + 60
            while count < 3 and time.monotonic() < until:
                time.sleep(0.1)
                found = client.get("/api/candidates").json()
                count = found["status"].count("done")
            assert client.get("/api/state").json()["state"] == "searching"
            assert count >= 3
            later = client.get("/api/candidates", params={"after": found["seq"]}).json()
            assert later["seq"] >= found["seq"]
            assert not set(later["ids"]) & {
                i for i, s in zip(found["ids"], found["status"], strict=True) if s == "done"
            }, "only what changed"
            pause_and_see(client)
    finally:
        search.terminate()
        search.wait(30)
