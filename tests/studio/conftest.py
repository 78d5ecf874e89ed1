"""A real browser, a real studio, and a watch that fails a test on whatever the page does wrong unseen."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.conftest import lacking

UP = 90
"""Seconds that a start may take on a machine that does other things too."""


def browser_path() -> str:
    """Return the path of Chromium, or skip."""
    found = os.environ.get("OGIVE_CHROMIUM") or shutil.which("chromium")
    if not found:
        lacking("no browser; install Debian's chromium or name one in OGIVE_CHROMIUM")
    return found


# For a module, not for the session: Playwright keeps an event loop in this thread, and other tests run their own.
@pytest.fixture(scope="module")
def browser():
    """Chromium, without a window."""
    try:
        from playwright.sync_api import expect, sync_playwright
    except ImportError:
        lacking("no playwright; install ogive[dev]")
    expect.set_options(timeout=45_000)
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=browser_path(), args=flags)
        yield started
        started.close()


class Studio:
    """A running ``ogive studio`` and its HTTP interface, asked beside the page."""

    def __init__(self, process: subprocess.Popen, printed: dict) -> None:
        self.process, self.printed = process, printed
        token = printed["url"].split("token=")[1]
        self.base = f"http://127.0.0.1:{printed['port']}"
        self.http = httpx.Client(base_url=self.base, headers={"Authorization": f"Bearer {token}"}, timeout=30)

    def get(self, path: str):
        return self.http.get(f"/api/{path}").raise_for_status().json()

    def state(self) -> dict:
        return self.get("state")

    def command(self, op: str, **args) -> dict:
        """Send a command as the page does, without the page; waits until it is applied."""
        state = self.state()
        body = {"id": f"test-{time.monotonic_ns()}", "op": op, "args": args, "base_rev": state["rev"], "note": ""}
        answer = self.http.post("/api/commands", json=body, headers={"X-CSRF-Token": state["csrf"]}).json()
        if answer.get("status") == "accepted":
            until(
                lambda: any(c["id"] == body["id"] and c["status"] == "applied" for c in self.get("history")["commands"])
            )
        return answer

    def events(self, after: int) -> list[dict]:
        """Return the events after one."""
        found = []
        while some := self.get(f"events?after={found[-1]['seq'] if found else after}")["events"]:
            found += some
        return found

    def rows(self) -> list[dict]:
        """Return the candidates, one dictionary each."""
        found = self.get("candidates?after=0")
        names = found["part_names"]
        return [
            {"id": number, "status": status, "parts": {names[i] for i in parts}}
            for number, status, parts in zip(found["ids"], found["status"], found["parts"], strict=True)
        ]

    def measured(self) -> int:
        return sum(row["status"] == "done" for row in self.rows())


def until(check, seconds: float = 90):
    """Ask until the answer is true; returns it."""
    end = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)
    return found


def processes_of(folder: Path) -> list[int]:
    """Return the processes that name a folder: the engine of a run, and its workers."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if os.fsencode(folder) in words and int(entry.name) != os.getpid():
            found.append(int(entry.name))
    return found


@contextmanager
def running(folder: Path, *words: object):
    """Start ``ogive studio FOLDER ...``; at the end it and every process that works on the folder are gone."""
    command = [sys.executable, "-m", "ogive", "studio", str(folder), *map(str, words), "--no-open", "--json"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, start_new_session=True
    )
    try:
        line = process.stdout.readline()
        assert line, "the studio did not start"
        yield Studio(process, json.loads(line))
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
        process.stdout.close()
        for pid in processes_of(folder):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def data_home(tmp_path_factory):
    """Give the studios of a module a data folder of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OGIVE_DATA", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="module")
def demo(tmp_path_factory, data_home):
    """The demo of the contract; every test of a module works on the same one."""
    with running(tmp_path_factory.mktemp("demo") / "run", "--demo", "--seed", "7", "--port", "0") as studio:
        yield studio


class Watch:
    """Everything a page must not do: console errors, exceptions, reports of the CSP, requests that leave the origin."""

    def __init__(self, base: str) -> None:
        self.base, self.seen, self.allowed = base, [], []

    def allow(self, pattern: str) -> None:
        """Expect what matches: a refused command, for one, is an error on the console of the browser."""
        self.allowed.append(re.compile(pattern))

    def follow(self, context) -> None:
        context.add_init_script(
            "addEventListener('securitypolicyviolation', (e) => console.error('CSP: ' + e.violatedDirective))"
        )
        context.on(
            "console", lambda m: m.type == "error" and self.seen.append(f"console: {m.text} {m.location['url']}")
        )
        context.on("weberror", lambda e: self.seen.append(f"page: {e.error}"))
        context.on("dialog", lambda d: (self.seen.append(f"dialog: {d.message}"), d.dismiss()))
        context.on("request", self._request)

    def _request(self, request) -> None:
        if not request.url.startswith((self.base, "data:", "blob:" + self.base)):
            self.seen.append(f"foreign: {request.url}")

    def check(self) -> None:
        left = [s for s in self.seen if not any(p.search(s) for p in self.allowed)]
        assert not left, left


@pytest.fixture
def serve(data_home):
    """Return a function that starts a studio on a run, for one test."""
    with ExitStack() as stack:
        yield lambda run, *words: stack.enter_context(running(run, *words))


# Asks for `serve` so that its windows are closed before a server ends, which they would report.
@pytest.fixture
def opened(browser, serve):
    """Return a function that opens a studio in a window of its own and returns (page, watch)."""
    contexts, watches = [], []

    def open_(studio: Studio, fragment: str = "", **options):
        context = browser.new_context(
            **{"viewport": {"width": 1280, "height": 800}, "accept_downloads": True} | options
        )
        watch = Watch(studio.base)
        watch.follow(context)
        contexts.append(context)
        watches.append(watch)
        page = context.new_page()
        if fragment:
            context.request.get(studio.printed["url"])
        page.goto(f"{studio.base}/{fragment}" if fragment else studio.printed["url"])
        return page, watch

    yield open_
    for context in contexts:
        context.close()
    for watch in watches:
        watch.check()
