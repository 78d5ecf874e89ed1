"""Events to a browser: nothing lost or doubled over a broken connection, and the end of the server ends them."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
import time

import pytest

from ogive.studio import stream as module
from ogive.studio.stream import Tail, page, stream
from ogive.study import SqliteLog
from tests.studio.runs import cell_run, logged_in, served


def fill(path, n, start=0):
    with SqliteLog(path) as log:
        for i in range(start, start + n):
            log.append("log", {"text": f"event {i}"})


def messages(text):
    """Return the events in a piece of a stream as (id, envelope)."""
    blocks = [b for b in text.split("\n\n") if b.startswith("id:")]
    pairs = [b.split("\n") for b in blocks]
    return [(int(a.removeprefix("id: ")), json.loads(b.removeprefix("data: "))) for a, b in pairs]


async def collect(path, after, until, ending=None):
    """Read a stream until `until` is true of the envelopes; returns them."""
    found = []
    events = stream(path, after, ending or asyncio.Event())
    async for text in events:
        found += [e for _, e in messages(text)]
        if until(found):
            break
    await events.aclose()
    return found


@pytest.mark.parametrize("cut", [0, 1, 499, 500, 1200])
def test_a_stream_goes_on_after_the_last_event_a_page_has(tmp_path, cut):
    fill(tmp_path / "run.db", 1200)
    rest = 1200 - cut
    found = asyncio.run(asyncio.wait_for(collect(tmp_path / "run.db", cut, lambda f: len(f) >= max(rest, 0)), 20))
    assert [e["seq"] for e in found] == list(range(cut + 1, 1201))
    assert all(e["data"] == {"text": f"event {e['seq'] - 1}"} for e in found)
    assert set(found[0] if found else ()) <= {"seq", "ts", "rev", "kind", "data"}


def test_what_is_written_later_arrives(tmp_path):
    path = tmp_path / "run.db"

    async def follow():
        reading = asyncio.create_task(collect(path, 0, lambda f: len(f) >= 6))
        await asyncio.sleep(0.15)
        # The log does not exist before this.
        await asyncio.to_thread(fill, path, 4)
        await asyncio.sleep(0.15)
        await asyncio.to_thread(fill, path, 2, 4)
        return await asyncio.wait_for(reading, 20)

    assert [e["seq"] for e in asyncio.run(follow())] == [1, 2, 3, 4, 5, 6]


def test_a_quiet_stream_says_that_it_is_alive(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PING_SECONDS", 0.1)
    fill(tmp_path / "run.db", 1)

    async def listen():
        ending = asyncio.Event()
        async for text in stream(tmp_path / "run.db", 1, ending):
            if text == ": ping\n\n":
                ending.set()

    asyncio.run(asyncio.wait_for(listen(), 20))


def test_the_end_of_the_server_ends_a_stream(tmp_path):
    fill(tmp_path / "run.db", 3)

    async def end():
        ending = asyncio.Event()
        reading = asyncio.create_task(collect(tmp_path / "run.db", 0, lambda _: False, ending))
        await asyncio.sleep(0.2)
        ending.set()
        return await asyncio.wait_for(reading, 20)

    assert len(asyncio.run(end())) == 3


def test_another_log_in_the_same_place_makes_pages_start_anew(tmp_path):
    path = tmp_path / "run.db"
    fill(path, 10)

    async def replace():
        reading = asyncio.create_task(collect(path, 0, lambda f: any(e["kind"] == "reset" for e in f)))
        await asyncio.sleep(0.2)
        other = tmp_path / "other"
        other.mkdir()
        await asyncio.to_thread(fill, other / "run.db", 20)
        (other / "run.db").replace(path)
        return await asyncio.wait_for(reading, 20)

    assert asyncio.run(replace())[-1]["kind"] == "reset"


def test_a_page_that_knows_more_than_there_is_starts_anew(tmp_path):
    fill(tmp_path / "run.db", 3)
    found = asyncio.run(asyncio.wait_for(collect(tmp_path / "run.db", 9, lambda f: bool(f)), 20))
    assert [(e["kind"], e["seq"]) for e in found] == [("reset", 3)]


def test_a_look_at_an_unchanged_log_says_so(tmp_path):
    path = tmp_path / "run.db"
    tail = Tail(path)
    assert not tail.changed()
    fill(path, 1)
    assert tail.changed()
    assert not tail.changed()
    fill(path, 1, 1)
    assert tail.changed()
    assert not tail.changed()
    assert not tail.replaced
    tail.close()


def test_the_inside_of_a_strategy_stays_inside(tmp_path):
    with SqliteLog(tmp_path / "run.db") as log:
        log.append("checkpoint", {"asked": 7, "strategy": "x" * 1000, "queue": [1, 2]})
    assert page(tmp_path / "run.db", 0)[0]["data"] == {"asked": 7}


def test_two_broken_streams_together_hold_every_event_once(tmp_path):
    """P23, over a real server, while the log grows."""
    run = cell_run(tmp_path / "run")
    before = SqliteLog(run / "run.db", read_only=True).last()

    def write():
        with SqliteLog(run / "run.db") as log:
            for i in range(120):
                log.extend([("log", {"text": str(2 * i)}), ("log", {"text": str(2 * i + 1)})])
                time.sleep(0.005)

    total = before + 240
    with served(run) as (_, printed), logged_in(printed) as client:
        writing = threading.Thread(target=write)
        writing.start()
        sessions: list[list[int]] = []
        while not sessions or sessions[-1][-1] < total:
            last = {"Last-Event-ID": str(sessions[-1][-1])} if sessions else {}
            # The first connections break after some lines, in the middle of a message or not.
            patience = 17 * (1 + len(sessions)) if len(sessions) < 4 else 10**9
            seen = [sessions[-1][-1]] if sessions else [0]
            with client.stream("GET", "/api/stream", headers=last) as answer:
                assert answer.headers["content-type"].startswith("text/event-stream")
                for n, line in enumerate(answer.iter_lines()):
                    if line.startswith("data: "):
                        seen.append(json.loads(line.removeprefix("data: "))["seq"])
                    if n > patience or seen[-1] == total:
                        break
            sessions.append(seen)
        writing.join()
        assert len(sessions) >= 3
        assert [seq for seen in sessions for seq in seen[1:]] == list(range(1, total + 1))
        missed = client.get("/api/events", params={"after": before, "limit": 1000}).json()["events"]
    assert [e["seq"] for e in missed] == list(range(before + 1, total + 1))


def test_a_finished_run_on_a_read_only_medium_is_streamed(tmp_path):
    run = cell_run(tmp_path / "run")
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    for file in copy.iterdir():
        file.chmod(0o444) if file.is_file() else None
    copy.chmod(0o555)
    try:
        last = SqliteLog(copy / "run.db", read_only=True).last()
        found = asyncio.run(asyncio.wait_for(collect(copy / "run.db", 0, lambda f: len(f) >= last), 20))
    finally:
        copy.chmod(0o755)
    assert [e["seq"] for e in found] == list(range(1, last + 1))
