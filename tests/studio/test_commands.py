"""Commands from a page: one application each, refused with a reason, carried out also where nobody works on the run."""

from __future__ import annotations

import json
import signal
import subprocess
import time
import uuid
from pathlib import Path

import pytest

from ogive._errors import InputError
from ogive.spaces.template import Template
from ogive.studio.commands import MAX_BYTES, MAX_DEPTH, command, read_json, validate
from ogive.studio.engines import Engine
from ogive.studio.reading import Reading
from ogive.study import Study
from tests.studio.runs import SMALL, cell_run, drawn_run, logged_in, served

STAGE1 = ("conv3", "conv1", "separable", "dilated", "residual", "skip")


class Page:
    """What a page does: ask for the state, send commands, wait."""

    def __init__(self, client) -> None:
        self.client = client
        self.csrf = self.state()["csrf"]

    def state(self):
        return self.client.get("/api/state").json()

    def events(self, *kinds):
        found = self.client.get("/api/events", params={"limit": 5000}).json()["events"]
        return [e for e in found if e["kind"] in kinds]

    def send(self, op, args=None, uid=None, base_rev=None):
        body = {"id": uid or str(uuid.uuid4()), "op": op, "args": args or {}, "base_rev": base_rev}
        return self.client.post("/api/commands", json=body, headers={"X-CSRF-Token": self.csrf})

    def until(self, what, seconds=60):
        """Wait until `what` is true of the state; return that."""
        end = time.monotonic() + seconds
        while not what(state := self.state()):
            assert time.monotonic() < end, f"still {state['state']}, {state['budget']}"
            time.sleep(0.05)
        return state


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A demo that is searching, and a page of it."""
    folder = tmp_path_factory.mktemp("demo") / "run"
    with served(folder, "--demo", "--seed", "7") as (_, printed), logged_in(printed) as client:
        page = Page(client)
        page.until(lambda s: s["budget"]["done"] >= 4)
        yield page


def test_one_id_is_one_application(demo):
    """P24: the same command sent several times is applied once."""
    name = str(uuid.uuid4())
    answers = [demo.send("exclude", {"node": ["s3_blur"]}, uid=name) for _ in range(3)]
    assert [a.status_code for a in answers] == [202, 202, 202]
    state = demo.until(lambda s: s["statuses"].get("s3_blur") == "excluded")
    assert state["rev"] == 1
    assert demo.send("exclude", {"node": ["s3_blur"]}, uid=name).status_code == 202
    time.sleep(0.3)
    assert [e["data"]["id"] for e in demo.events("command.applied")].count(name) == 1
    assert demo.state()["rev"] == 1


def test_what_was_excluded_is_not_proposed_again(demo):
    assert demo.state()["statuses"] == {"s3_blur": "excluded"}
    applied = demo.events("command.applied")[0]["seq"]
    done = demo.state()["budget"]["done"]
    demo.until(lambda s: s["budget"]["done"] >= done + 6)
    found = demo.client.get("/api/candidates").json()
    blur = found["part_names"].index("s3_blur")
    with_it = {c for c, used in zip(found["ids"], found["parts"], strict=True) if blur in used}
    later = [e["data"]["candidate"] for e in demo.events("proposal") if e["seq"] > applied]
    assert later
    assert not set(later) & with_it


def test_an_edit_of_an_old_revision_is_refused_with_the_difference(demo):
    rev = demo.state()["rev"]
    answer = demo.send("lock", {"node": ["s1_conv3"]}, base_rev=rev - 1)
    assert answer.status_code == 409
    found = answer.json()
    assert (found["status"], found["rev"]) == ("rejected", rev)
    assert any("s3_blur" in line for line in found["diff"])
    assert demo.state()["rev"] == rev


@pytest.mark.parametrize(
    ("op", "args", "told"),
    [
        ("exclude", {"node": ["nosuch"]}, "nosuch"),
        ("exclude", {"node": [f"s1_{o}" for o in STAGE1]}, "stage1"),
        ("connect", {"source": "stage4", "target": "stage1"}, "cycle"),
        ("set_args", {"name": "s1_conv3", "args": {"stride": 2}}, "s1_"),
        ("fly", {}, "fly"),
        ("nudge", {"node": ["s1_conv3"], "h": 7}, "h is"),
    ],
)
def test_what_cannot_be_is_refused_by_name(demo, op, args, told):
    rev = demo.state()["rev"]
    answer = demo.send(op, args)
    assert answer.status_code == 409
    assert told in answer.json()["reason"]
    assert demo.state()["rev"] == rev


def test_history_names_who_did_what(demo):
    revisions = demo.client.get("/api/history").json()["revisions"]
    assert (revisions[-1]["actor"], revisions[-1]["op"], revisions[-1]["undone"]) == ("you", "exclude", False)
    assert "s3_blur" in revisions[-1]["text"]
    assert "5,184 → 4,320" in revisions[-1]["effect"]
    demo.send("undo")
    demo.until(lambda s: s["rev"] == 2)
    revisions = demo.client.get("/api/history").json()["revisions"]
    assert [r["undone"] for r in revisions] == [False, True, False]
    assert demo.state()["statuses"] == {}


def test_a_new_option_is_drawn_as_new(demo):
    rev, before = demo.state()["rev"], demo.client.get("/api/layout").json()
    added = {"group": "stage3", "name": "s3_max", "op": "max_pool"}
    assert demo.send("add_option", added, base_rev=rev).status_code == 202
    demo.until(lambda s: s["rev"] == rev + 1)
    nodes = {n["id"]: n for n in demo.client.get("/api/template").json()["nodes"]}
    assert [name for name, node in nodes.items() if node["new"]] == ["s3_max"]
    after = demo.client.get("/api/layout").json()
    assert set(after["nodes"]) == {*before["nodes"], "s3_max"}
    assert all(after["nodes"][n] == before["nodes"][n] for n in nodes if not n.startswith("s3_"))
    assert "s3_max" not in {n["id"] for n in demo.client.get(f"/api/template?rev={rev}").json()["nodes"]}


def test_a_pause_holds_and_ends(demo):
    assert demo.send("pause").status_code == 202
    demo.until(lambda s: s["state"] == "paused")
    done = demo.state()["budget"]["done"]
    time.sleep(1.0)
    assert demo.state()["budget"]["done"] == done
    assert demo.events("checkpoint")
    assert demo.send("resume").status_code == 202
    demo.until(lambda s: s["budget"]["done"] > done)


def test_a_note_on_a_candidate_reaches_pages_that_have_it_already(demo):
    found = demo.client.get("/api/candidates").json()
    first = found["ids"][0]
    assert demo.send("pin", {"target": str(first)}).status_code == 202
    assert demo.send("tag", {"target": str(first), "tag": "keep"}).status_code == 202
    end = time.monotonic() + 60
    while True:
        news = demo.client.get("/api/candidates", params={"after": found["seq"]}).json()
        told = dict(zip(news["ids"], zip(news["pinned"], news["tags"], strict=True), strict=True))
        if told.get(first) == (True, ["keep"]):
            break
        assert time.monotonic() < end, told.get(first)
        time.sleep(0.1)
    row = demo.client.get(f"/api/candidate/{first}").json()
    assert (row["pinned"], row["tags"]) == (True, ["keep"])


def test_a_request_that_is_no_command_is_refused(demo):
    for body in (b"", b"{", b"[]", b'"pause"', b'{"op":"pause","args":{"x":NaN}}', b"[" * 40 + b"]" * 40):
        headers = {"X-CSRF-Token": demo.csrf, "content-type": "application/json"}
        answer = demo.client.post("/api/commands", content=body, headers=headers)
        assert answer.status_code == 400, body
        assert answer.json()["error"]
    large = b'{"op":"comment","args":{"text":"' + b"x" * MAX_BYTES + b'"}}'
    assert demo.client.post("/api/commands", content=large, headers=headers).status_code == 400
    assert demo.state()["state"] in ("searching", "training")


# -------------------------------------------------------------------- runs that nobody works on


def children(pid):
    """Return the ids of a process's children, and theirs."""
    out = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in out.splitlines()]
    found = [p for p, parent in pairs if parent == pid]
    return found + [c for p in found for c in children(p)]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("keep", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_ctrl_c_ends_the_search_too(tmp_path, keep):
    """P25: with an open stream all is over soon; what was found is safe and goes on later."""
    folder = tmp_path / "run"
    words = [folder, "--demo", *(["--keep"] if keep else [])]
    with served(*words) as (process, printed), logged_in(printed) as client:
        Page(client).until(lambda s: s["budget"]["done"] >= 2)
        family = children(process.pid)
        assert family
        with client.stream("GET", "/api/stream") as answer:
            next(answer.iter_lines())
            process.send_signal(signal.SIGINT)
            # Five seconds on a machine with nothing else to do; what is held up never ends.
            assert process.wait(20) == 0
        if keep:
            assert any(map(alive, family))
            for pid in family:
                if alive(pid):
                    subprocess.run(["kill", str(pid)], check=False)
        end = time.monotonic() + 10
        while any(map(alive, family)) and time.monotonic() < end:
            time.sleep(0.05)
        assert not any(map(alive, family))
    study = Study.open(folder)
    done = study.results().n_trials
    assert done >= 2
    study.steer("set_budget", trials=done + 3)
    assert study.run().results().n_trials == done + 3


def test_a_killed_studio_leaves_no_search_and_is_taken_up_where_it_was(tmp_path):
    """P11, without a browser: the page's cookie is good for the next server, and no row is lost or doubled."""
    with served(tmp_path / "run", "--demo") as (process, printed), logged_in(printed) as client:
        Page(client).until(lambda s: s["budget"]["done"] >= 3)
        family = children(process.pid)
        assert family
        process.kill()
        end = time.monotonic() + 30
        while any(map(alive, family)) and time.monotonic() < end:
            time.sleep(0.05)
        assert not any(map(alive, family))
        before = Study.open(tmp_path / "run").trials["arch"].tolist()
        with served(tmp_path / "run", "--demo", "--port", printed["port"]):
            page = Page(client)
            page.until(lambda s: s["budget"]["done"] > len(before))
            found = client.get("/api/candidates").json()
        assert len(set(found["ids"])) == len(found["ids"])
        done = [a for a, s in zip(found["arch"], found["status"], strict=True) if s == "done"]
        assert done[: len(before)] == before
        assert len(set(done)) == len(done)


def test_a_stopped_run_is_taken_up_paused_for_an_edit_and_goes_on_when_told(tmp_path):
    folder = tmp_path / "run"
    # As a demo is that has not begun.
    from ogive.studio.demo import new_demo

    new_demo(folder, 3)
    with served(folder) as (_, printed), logged_in(printed) as client:
        page = Page(client)
        assert page.state()["state"] == "stopped"
        refused = page.send("pause")
        assert (refused.status_code, refused.json()["reason"]) == (409, "nothing is running")
        assert page.send("exclude", {"node": ["s3_blur"]}).status_code == 202
        state = page.until(lambda s: s["rev"] == 1 and s["state"] == "paused")
        assert state["statuses"] == {"s3_blur": "excluded"}
        assert state["budget"]["done"] == 0
        assert page.send("resume").status_code == 202
        page.until(lambda s: s["budget"]["done"] >= 2)


@pytest.fixture
def finished(tmp_path):
    return cell_run(tmp_path / "cells")


def test_a_finished_run_cannot_go_on_without_a_larger_budget(finished):
    reading = Reading(finished, "run", Engine(finished))
    reading.update()
    status, answer = command(reading, {"op": "resume"})
    assert (status, "set_budget" in answer["reason"]) == (409, True)


def test_read_only_refuses_everything(finished):
    reading = Reading(finished, "run", Engine(finished), read_only=True)
    reading.update()
    before = (finished / "run.db").read_bytes()
    for op in ("pause", "resume", "exclude", "comment", "undo"):
        assert command(reading, {"op": op})[0] == 403
    assert (finished / "run.db").read_bytes() == before


class Recorder(Engine):
    """Says that somebody works on the run, and starts nothing."""

    running = True


def test_options_of_a_space_without_a_drawing_are_named_as_the_page_names_them(finished):
    reading = Reading(finished, "run", Recorder(finished))
    reading.update()
    assert command(reading, {"op": "exclude", "args": {"node": ["0->1/none", "0->1/avg_pool_3x3"]}})[0] == 202
    sent = reading.study.commands()[-1]
    assert sent["args"] == {"choice": "0->1", "option": ["none", "avg_pool_3x3"]}
    assert sent["actor"] == "you"
    for wrong in (["0->1/none", "0->2/none"], ["nosuch"], [], [3]):
        with pytest.raises(InputError, match="one choice"):
            command(reading, {"op": "lock", "args": {"node": wrong}})


def test_a_page_cannot_choose_who_it_is(finished):
    reading = Reading(finished, "run", Recorder(finished))
    reading.update()
    command(reading, {"op": "comment", "args": {"target": "0", "text": "<b>"}, "actor": "engine", "other": 1})
    assert reading.study.commands()[-1]["actor"] == "you"


def test_depth_and_numbers_are_bounded():
    assert read_json(json.dumps({"a": [1, 2.5, None, "x"]}).encode()) == {"a": [1, 2.5, None, "x"]}
    deepest = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert read_json(deepest)
    for wrong in (b"[" + deepest + b"]", b"Infinity", b"-Infinity", b"NaN", b"\xff", b"[" * 100_000):
        with pytest.raises(InputError):
            read_json(wrong)


def test_a_drawing_is_judged_without_changing_anything(tmp_path):
    reading = Reading(drawn_run(tmp_path / "run"), "run", Engine(tmp_path / "run"))
    reading.update()
    document = Template.load(SMALL).to_dict()
    assert validate(reading, document)["architectures"] == 4 * 6 * 2
    document["edges"].append(["second", "first"])
    assert "cycle" in validate(reading, document)["reason"]
    for wrong in ({}, [], {"nodes": 1, "edges": []}, {"nodes": [{"id": "<img>", "op": "input"}], "edges": []}):
        assert not validate(reading, wrong)["valid"]
    assert reading.rev == 0
