"""What the page is told of a run, against what the library itself says of it."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pytest

from ogive._errors import InputError, UnknownNameError
from ogive.studio.engines import Engine
from ogive.studio.reading import Reading
from ogive.study import SqliteLog, Study
from tests.studio.runs import cell_run, drawn_run


def read(folder, **options):
    reading = Reading(folder, folder.name, Engine(folder), **options)
    reading.update()
    return reading


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reading") / "cells"
    return cell_run(folder, 60, minimize=["macs"], maximize=["params"], where=["relus<=20000"])


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return drawn_run(tmp_path_factory.mktemp("reading") / "drawn")


def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


@pytest.mark.parametrize("which", ["cells", "drawn"])
def test_candidates_are_those_of_the_study(which, request):
    folder = request.getfixturevalue(which)
    study, found = Study.open(folder), read(folder).candidates()
    trials = study.trials
    done = [i for i, s in enumerate(found["status"]) if s == "done"]
    assert [found["arch"][i] for i in done] == trials["arch"].tolist()
    for metric in study.problem.metrics:
        assert np.array([found["metrics"][metric][i] for i in done]) == pytest.approx(trials[metric].to_numpy())
    assert [found["feasible"][i] for i in done] == (trials["violation"] == 0).tolist()
    lengths = {len(found[c]) for c in ("ids", "arch", "parts", "origin", "rev", "status", "seconds", "ts", "tags")}
    assert lengths == {len(found["ids"])}
    assert len(set(found["ids"])) == len(found["ids"])
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("which", ["cells", "drawn"])
def test_the_best_is_that_of_the_study(which, request):
    folder = request.getfixturevalue(which)
    study, reading = Study.open(folder), read(folder)
    best = reading.state()["best"]
    assert best["arch"] == study.best.arch
    assert best["metrics"] == pytest.approx(study.best.metrics)
    assert reading.candidate(best["id"])["arch"] == best["arch"]


def test_the_best_so_far_is_that_of_the_study(cells):
    history = Study.open(cells).results().history()
    series = read(cells).series()["best"]
    rises = [i for i in range(len(history)) if math.isfinite(history[i]) and (i == 0 or history[i] != history[i - 1])]
    # Candidates of one event come at the same moment: among them the order of their numbers counts.
    assert [(s["n"], s["value"]) for s in series] == [(i + 1, pytest.approx(history[i])) for i in rises]


def test_what_is_asked_for_after_an_event_is_what_changed(cells):
    reading = read(cells)
    every = reading.candidates()
    last = max(e.seq for e in reading.study.events(kinds=["eval.done"]))
    for after in (0, 5, last - 1, last, every["seq"]):
        found = reading.candidates(after)
        seen = {c for e in reading.study.events(after, ["eval.done"]) for c in e.data["candidate"]}
        assert set(found["ids"]) == seen & set(every["ids"])
        assert found["part_names"] == every["part_names"]
    assert not reading.candidates(every["seq"])["ids"]


def test_reading_bit_by_bit_gives_the_same(cells, tmp_path):
    whole = list(SqliteLog(cells / "run.db", read_only=True).read())
    copy = copied(cells, tmp_path)
    (copy / "run.db").unlink()
    for leftover in copy.glob("run.db-*"):
        leftover.unlink()
    reading = read(copy)
    assert reading.state()["state"] == "stopped"
    assert reading.candidates()["ids"] == []
    with SqliteLog(copy / "run.db") as log:
        for event in whole:
            log.append(event.kind, event.data, event.rev)
            reading.update()
    found, wanted = reading.candidates(), read(cells).candidates()
    for name in ("ids", "arch", "parts", "status", "metrics", "feasible", "part_names"):
        assert found[name] == wanted[name]
    assert reading.state()["best"] == read(cells).state()["best"]


def test_a_candidate_that_is_being_measured_becomes_a_measured_one(drawn, tmp_path):
    copy = copied(drawn, tmp_path)
    reading = read(copy)
    before = len(reading.candidates()["ids"])
    problem = reading.problem
    genotype = problem.space.sample(1, np.random.default_rng(0))[0].tolist()
    with SqliteLog(copy / "run.db") as log:
        log.append("proposal", {"candidate": 900, "genotype": genotype, "origin": "human"})
        reading.update()
        pending = reading.candidates()
        assert (pending["ids"][-1], pending["status"][-1], pending["origin"][-1]) == (900, "pending", "human")
        assert pending["metrics"]["params"][-1] is None
        done = {"candidate": [900], "genotype": [genotype], "status": ["failed"], "violation": [0.0], "seconds": [1.5]}
        done |= {"metrics": {m: [None] for m in problem.metrics}, "reason": {"900": "it broke"}}
        log.append("eval.failed", done)
    reading.update()
    row = reading.candidate(900)
    assert (row["status"], row["seconds"], row["reason"], row["feasible"]) == ("failed", 1.5, "it broke", False)
    assert len(reading.candidates()["ids"]) == before + 1
    with pytest.raises(UnknownNameError, match="901"):
        reading.candidate(901)


def test_state_says_what_was_asked(cells, drawn):
    state = read(cells, read_only=True).state()
    assert state["run"] | {"kind": "space", "one_shot": False, "seed": 1, "space": "nasbench201"} == state["run"]
    assert [(o["name"], o["direction"]) for o in state["objectives"]] == [("params", "max"), ("macs", "min")]
    assert state["constraints"] == [{"text": "relus<=20000", "metric": "relus", "op": "<=", "bound": 20000.0}]
    assert (state["state"], state["read_only"], state["error"]) == ("done", True, None)
    assert state["budget"]["trials"] == state["budget"]["done"] == 60
    assert read(drawn).state()["run"]["kind"] == "template"
    assert read(drawn).template()["editable"]
    assert not read(drawn, read_only=True).template()["editable"]
    assert not read(cells).template()["editable"]


def test_a_run_whose_process_died_is_stopped(cells, tmp_path):
    copy = copied(cells, tmp_path)
    with SqliteLog(copy / "run.db") as log:
        log.append("run.state", {"state": "searching"})
    reading = read(copy)
    assert reading.state()["state"] == "stopped"
    with reading.directory.lock():
        reading._looked = float("-inf")
        assert reading.state()["state"] == "searching"


def test_why_a_run_failed_is_said(cells, tmp_path):
    copy = copied(cells, tmp_path)
    with SqliteLog(copy / "run.db") as log:
        log.append("run.state", {"state": "failed", "note": "the disk is full"})
    state = read(copy).state()
    assert (state["state"], state["error"]) == ("failed", "the disk is full")
    assert state["best"] is not None, "what was found is still there"


def test_the_time_of_a_run_is_that_in_which_it_worked(cells, tmp_path, monkeypatch):
    copy = copied(cells, tmp_path)
    before = read(copy).state()["budget"]["seconds"]
    import ogive.study.events as module

    now = module.time.time()
    with SqliteLog(copy / "run.db") as log:
        for after, state in ((1000, "searching"), (1010, "paused"), (1500, "searching"), (1507, "done")):
            monkeypatch.setattr(module.time, "time", lambda after=after: now + after)
            log.append("run.state", {"state": state})
    assert read(copy).state()["budget"]["seconds"] == pytest.approx(before + 17)


def test_another_run_in_the_same_place_is_read_anew(cells, tmp_path):
    copy = copied(cells, tmp_path)
    reading = read(copy)
    shutil.rmtree(copy)
    cell_run(copy, 7, seed=5)
    assert not reading.update()
    assert reading.candidates()["status"].count("done") == 7


def test_no_run_no_reading(tmp_path):
    with pytest.raises(InputError, match="no run"):
        read(tmp_path)


def test_a_revision_that_is_not_there(cells):
    with pytest.raises(UnknownNameError, match="revision 3"):
        read(cells).template(3)


def test_an_engine_that_breaks_says_why_and_leaves_what_it_found(tmp_path, monkeypatch):
    """P18, without a browser."""
    from ogive.strategies.random import Random

    whole = Random.ask
    asked = []

    def ask(self, n):
        asked.append(n)
        if len(asked) > 3:
            raise RuntimeError("out of\nluck")
        return whole(self, n)

    monkeypatch.setattr(Random, "ask", ask)
    with pytest.raises(RuntimeError):
        cell_run(tmp_path / "run", 1000, strategy="random", batch=5)
    state = read(tmp_path / "run").state()
    assert (state["state"], state["error"]) == ("failed", "RuntimeError: out of luck")
    assert state["best"] is not None


@pytest.mark.parametrize("live", [True, False])
def test_candidates_are_judged_by_the_present_question(tmp_path, live):
    """Steering twice: what was fit is not, and what was not is; whoever reads along or comes later sees the same."""
    folder = drawn_run(tmp_path / "run", 12)
    reading = read(folder)
    for where in (["macs<=200000"], ["relus<=6000", "macs<=400000"]):
        study = Study.open(folder)
        assert study.steer("set_constraint", where=where).status == "accepted"
        study.run(4)
        if live:
            before = reading.seq
            reading.update()
            assert len(reading.candidates(before)["ids"]) == len(reading.candidates()["ids"]), "every row is sent anew"
    if not live:
        reading = read(folder)
    study = Study.open(folder)
    rows = study.results().rows
    fit = dict(zip(rows.candidate.tolist(), (rows.violation == 0).tolist(), strict=True))
    found = reading.candidates()
    assert found["feasible"] == [fit[c] and s == "done" for c, s in zip(found["ids"], found["status"], strict=True)]
    assert 0 < sum(found["feasible"]) < len(found["ids"])
    relus = dict(zip(rows.candidate.tolist(), rows.values[:, study.problem.column("relus")].tolist(), strict=True))
    assert found["metrics"]["relus"] == [relus[c] for c in found["ids"]]
    state = reading.state()
    assert [c["text"] for c in state["constraints"]] == ["relus<=6000", "macs<=400000"]
    assert state["best"]["arch"] == study.results().best().arch
    revisions = reading.history()["revisions"]
    assert [r["op"] for r in revisions] == ["start", "set_constraint", "set_constraint"]


def test_places_do_not_depend_on_what_was_asked_before(tmp_path):
    folder = drawn_run(tmp_path / "run", 5)
    study = Study.open(folder)
    study.send({"op": "add_option", "args": {"group": "first", "name": "a_pool", "op": "avg_pool"}})
    study.run(2)
    one, other = read(folder), read(folder)
    late = other.layout(1)
    assert [one.layout(0), one.layout(1)] == [other.layout(0), late]
    kept = {n: box for n, box in one.layout(0)["nodes"].items() if not n.startswith("a_")}
    assert all(late["nodes"][n] == box for n, box in kept.items())
