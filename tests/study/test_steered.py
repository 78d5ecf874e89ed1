"""Steering a study that runs: what changes and when, and that a crash changes nothing of it."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from ogive._errors import InputError
from ogive._registry import load_plugin
from ogive.spaces.base import get_space
from ogive.study import MemoryLog, Study
from ogive.study.problem import Status
from tests.study.test_durability import resume_in_child

PLUGIN = str(Path(__file__).with_name("plugin.py"))
load_plugin(PLUGIN)
SMALL = "template:path=" + str(Path(__file__).parents[2] / "examples" / "templates" / "small.yaml")
CELLS = get_space("nasbench201")
EMPTY = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"


def make(maximize="slow@test", space="nasbench201", **more):
    options = {"strategy": "evolution:population=8", "workers": 0, "seed": 1, "plugins": [PLUGIN]}
    return Study(space, "digits", maximize=[maximize], **(options | more))


def codes(study):
    rows = study.results().rows
    return rows.candidate, rows.genotypes, rows.status


class Running:
    """A study that runs in a thread while the test steers it."""

    def __init__(self, study, trials):
        self.study, self.error = study, None
        self.thread = threading.Thread(target=self._run, args=(trials,))

    def _run(self, trials):
        try:
            self.study.run(trials, progress=False)
        except BaseException as error:  # noqa: BLE001 - told to the test at the end
            self.error = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.thread.join(60)
        assert not self.thread.is_alive()
        assert self.error is None, self.error

    def until(self, what):
        deadline = time.monotonic() + 60
        while not what():
            assert time.monotonic() < deadline
            assert self.thread.is_alive() or what()
            time.sleep(0.005)

    def states(self):
        return [e.data["state"] for e in self.study.events(kinds=("run.state",))]


def status(study, reply):
    return next(c for c in study.commands() if c["id"] == reply.id)


# ---------------------------------------------------------------- commands that wait


def test_a_study_that_nobody_runs_takes_its_commands_at_the_next_run(tmp_path):
    make(out=tmp_path / "r")
    reply = Study.open(tmp_path / "r").steer("lock", choice="0->1", option="nor_conv_3x3", note="it must convolve")
    assert (reply.status, reply.rev) == ("accepted", 0)
    study = Study.open(tmp_path / "r")
    assert [c["status"] for c in study.commands()] == ["posted"]
    study.run(12)
    assert (codes(study)[1][:, 0] == 3).all()
    told = status(study, reply)
    assert (told["status"], told["at"], told["rev"], told["note"]) == ("applied", 0, 1, "it must convolve")
    assert told["latency"] >= 0
    history = Study.open(tmp_path / "r").history()
    assert [(h["rev"], h.get("op"), h.get("actor")) for h in history] == [(0, None, None), (1, "lock", "person")]
    assert history[1]["changes"] == ["status of 0->1=nor_conv_3x3: free -> locked"]
    assert {e.rev for e in study.events(kinds=("eval.done",))} == {1}


def test_the_same_id_is_carried_out_once(tmp_path):
    study = make(out=tmp_path / "r")
    first = study.steer("set_budget", trials=7, id="mine")
    again = study.steer("set_budget", trials=7, id="mine")
    other = study.steer("set_budget", trials=9, id="mine")
    assert [r.status for r in (first, again, other)] == ["accepted", "known", "known"]
    study.run()
    assert len(study.trials) == 7
    assert study.steer("set_budget", trials=9, id="mine").status == "known"
    assert [h.get("op") for h in study.history()] == [None, "set_budget"]


def test_a_rejection_says_why_at_once_and_changes_nothing():
    study = make()
    for reply, reason in (
        (study.steer("lock", choice="0->1", option="nope"), "unknown option"),
        (study.steer("explode"), "unknown steering command"),
        (study.steer("evaluate", archs=["|none~0|"]), "architecture string"),
        (study.steer("lock", choice="0->1", option="none", base_rev=3), "no revision 3"),
        (study.steer("undo"), "nothing to undo"),
        (study.send({"op": "pause", "args": []}), "mapping"),
    ):
        assert (reply.status, study.commands()) == ("rejected", [])
        assert reason in reply.reason


def test_the_second_tab_does_not_overwrite_the_first():
    study = make()
    assert study.steer("exclude", choice="0->1", option="none", base_rev=0).status == "accepted"
    reply = study.steer("lock", choice="0->2", option="none", base_rev=0)
    assert (reply.status, "exclude" in reply.reason or "excluded" in reply.reason) == ("rejected", True)


def test_the_engine_looks_again_when_its_turn_comes():
    study = make()
    # Past the first look, as a client would that does not ask before it sends.
    from ogive.study.operations import Command

    study._line.post(Command("undo", id="late"))
    study._line.post(Command("lock", {"choice": "0->1", "option": "none"}, id="stale", base_rev=7))
    study.run(3)
    reasons = {c["id"]: (c["status"], c["reason"]) for c in study.commands()}
    assert reasons["late"][0] == reasons["stale"][0] == "rejected"
    assert "nothing to undo" in reasons["late"][1]
    assert "no revision 7" in reasons["stale"][1]
    assert len(study.trials) == 3


# ---------------------------------------------------------------- start and stop


def test_pause_step_resume_and_stop():
    study = make(strategy="random")
    with Running(study, 5000) as run:
        run.until(lambda: study.results().n_trials > 5)
        study.steer("pause")
        run.until(lambda: run.states()[-1] == "paused")
        at = study.results().n_trials
        time.sleep(0.2)
        assert study.results().n_trials == at
        reply = study.steer("step", n=4)
        run.until(lambda: status(study, reply)["status"] == "applied" and run.states()[-1] == "paused")
        run.until(lambda: study.results().n_trials == at + 4)
        # Editing goes on while the run is paused.
        lock = study.steer("lock", choice="0->1", option="none")
        run.until(lambda: status(study, lock)["status"] == "applied")
        study.steer("resume")
        run.until(lambda: study.results().n_trials > at + 10)
        study.steer("stop")
    assert run.states()[-1] == "stopped"
    assert at + 10 < study.results().n_trials < 5000
    assert "as somebody asked" in study.note
    stopped = study.results().n_trials
    assert study.run(3).results().n_trials == stopped + 3


def test_a_run_that_was_paused_is_paused_when_it_begins_again(tmp_path):
    study = make(out=tmp_path / "r")
    study.run(5)
    study.steer("pause")
    again = Study.open(tmp_path / "r")
    with Running(again, 10) as run:
        run.until(lambda: run.states()[-1] == "paused")
        again.steer("stop")
    with Running(Study.open(tmp_path / "r"), 10) as run:
        run.until(lambda: run.states()[-1] == "paused")
        assert run.study.results().n_trials == 5
        Study.open(tmp_path / "r").steer("resume")
    assert Study.open(tmp_path / "r").results().n_trials == 15


def test_the_budget_ends_the_run_earlier_or_later():
    study = make()
    study.steer("set_budget", trials=12)
    assert len(study.run(50).trials) == 12
    study.steer("set_budget", trials=30)
    assert len(study.run(1).trials) == 30
    study.steer("undo")
    assert len(study.run(5).trials) == 30
    study.steer("undo")
    assert len(study.run(5).trials) == 35


# ---------------------------------------------------------------- where the search goes


@pytest.mark.parametrize(
    ("strategy", "workers"),
    [("random", 0), ("random", 2), ("evolution:population=8", 0), ("nsga2:population=8", 0), ("guided", 0), ("bo", 0)],
)
def test_from_a_lock_on_nothing_else_is_drawn(strategy, workers):
    study = make(strategy=strategy, workers=workers).run(15)
    study.steer("lock", choice="0->1", option="nor_conv_3x3")
    study.steer("exclude", choice="0->2", option=["none", "skip_connect"])
    study.run(15)
    applied = list(study.events(kinds=("command.applied",)))
    dropped = {c for e in applied for c in e.data["dropped"]}
    candidate, genotypes, ends = codes(study)
    before = max(c for e in study.events(kinds=("proposal",)) if e.seq < applied[0].seq for c in [e.data["candidate"]])
    late = (candidate > before) & (ends != Status.DROPPED)
    assert (genotypes[late, 0] == 3).all()
    assert (genotypes[late, 1] > 1).all()
    assert set(candidate[ends == Status.DROPPED].tolist()) == dropped
    assert (genotypes[: before + 1, 0] != 3).any()


def test_queued_proposals_that_break_a_lock_are_never_measured(monkeypatch):
    from ogive.metrics.base import METRICS

    measured, seen = [], METRICS.get("slow@test").provider

    def spy(names, space, genotype, context):
        measured.append(genotype.tolist())
        if len(measured) == 6:
            study.steer("lock", choice="0->1", option="nor_conv_3x3")
        return seen(names, space, genotype, context)

    object.__setattr__(METRICS.get("slow@test"), "provider", spy)
    try:
        study = make(strategy="random", batch=5, window=3)
        study.run(20)
    finally:
        object.__setattr__(METRICS.get("slow@test"), "provider", seen)
    _, genotypes, ends = codes(study)
    gone = ends == Status.DROPPED
    assert gone.sum() >= 3
    assert (genotypes[gone, 0] != 3).all()
    assert not {tuple(g) for g in genotypes[gone].tolist()} & {tuple(g) for g in measured}
    assert all(g[0] == 3 for g in measured[6:])
    assert len(measured) == len(study.trials) == 20


def test_human_candidates_jump_the_queue_and_say_who_asked():
    study = make(strategy="random", batch=4, window=3).run(9)
    archs = [EMPTY, CELLS.format(np.array([4, 4, 4, 4, 4, 4]))]
    study.steer("evaluate", archs=archs, actor="ada")
    study.steer("exclude", choice="0->1", option="none")
    study.run(4)
    assert study.trials["arch"].isin(archs).sum() == 2
    proposals = list(study.events(kinds=("proposal",)))
    assert [e.data.get("origin") for e in proposals[-4:]].count("human") == 2
    applied = next(e for e in study.events(kinds=("command.applied",)) if e.data["op"] == "evaluate")
    assert applied.data["actor"] == "ada"
    order = [c for e in study.events(kinds=("eval.done",)) if e.seq > applied.seq for c in e.data["candidate"]]
    assert [c for c in order if c in applied.data["candidates"]] == applied.data["candidates"]
    assert order.index(applied.data["candidates"][-1]) <= 2


def test_nudges_and_sampler_settings_reach_the_guided_strategy():
    study = make(strategy="guided:T=0.2", batch=8)
    study.steer("nudge", choice="0->1", option="nor_conv_3x3", h=1.0)
    study.steer("set_sampler", T=0.5, uniform=0.0, mutation=0.0)
    study.run(8)
    strategy = study._engine.strategy
    assert (strategy.T, strategy.uniform, strategy.mutation) == (0.5, 0.0, 0.0)
    assert strategy.nudges[0].tolist() == [0, 0, 0, 1.0, 0]
    study.steer("undo")
    study.steer("undo")
    study.run(2)
    strategy = study._engine.strategy
    assert (strategy.T, strategy.uniform, strategy.mutation) == (0.2, 0.12, 0.25)
    assert not strategy.nudges.any()
    kinds = [e.data["origin"] for e in study.events(kinds=("proposal",))]
    assert set(kinds) <= {"uniform", "guided", "mutation"}


def test_a_new_strategy_knows_what_the_old_one_learnt():
    study = make("rugged", strategy="random", batch=10).run(60)
    study.steer("set_sampler", strategy="evolution:population=20")
    study.run(10)
    members, worth = study._engine.strategy.members
    known = dict(zip(map(tuple, codes(study)[1].tolist()), study.results().rows.values[:, 0].tolist(), strict=True))
    assert [known[tuple(m[0].tolist())] for m in members] == worth[:, 0].tolist()


# ---------------------------------------------------------------- another question


def test_another_objective_begins_a_new_epoch_and_measures_again_what_is_not_known():
    study = make("slow@test").run(15)
    first = set(study.trials["arch"])
    study.steer("set_objective", maximize=["graph@test"], minimize=["params"], strategy="nsga2:population=8")
    study.steer("evaluate", archs=sorted(first)[:3])
    study.run(15)
    frame, rows = study.trials, study.results().rows
    assert study.problem.metrics == ("graph@test", "params")
    assert len(frame) == 30
    # What was known of the old ones is computed where that is cheap, and missing where it is dear.
    assert frame["params"].notna().all()
    assert frame["graph@test"].isna().sum() == 15
    assert len(study.front)
    assert study.front["graph@test"].notna().all()
    assert len(rows.genotypes) == len(set(rows.candidate.tolist()))
    study.steer("undo")
    study.run(2)
    assert study.problem.metrics == ("slow@test",)
    assert study.trials["slow@test"].notna().sum() == 17


def test_constraints_are_judged_anew_for_what_is_known():
    study = make("rugged", strategy="random", batch=10).run(60)
    assert study.front["violation"].eq(0).all()
    best = study.best.arch
    study.steer("set_constraint", where=["relus<=20000"])
    study.run(20)
    counts = CELLS.count(study.results().rows.genotypes, study.problem.context.task)["relus"]
    rows = study.results().rows
    np.testing.assert_allclose(rows.violation, np.maximum(counts / 20000 - 1, 0))
    assert (rows.status[60 + 10 :] == Status.REFUSED).any()
    assert study.front["violation"].eq(0).all()
    study.steer("undo")
    study.run(1)
    assert study.best.metrics["rugged"] == study.trials["rugged"].max()
    assert best in set(study.trials["arch"])


def test_a_constraint_on_a_dear_metric_replaces_the_measurements_under_way():
    study = make("slow@test", strategy="random", workers=2, batch=3, window=3).run(7)
    study.steer("set_constraint", where=["graph@test<=50"])
    study.run(8)
    late = study.results().rows.values[7:]
    known = study.results().rows.status[7:] == Status.DONE
    assert np.isfinite(late[known]).all()
    assert (study.front["graph@test"] <= 50).all()


# ---------------------------------------------------------------- drawings


@pytest.mark.parametrize(("maximize", "workers"), [("params", 0), ("accuracy@train", 1)])
def test_a_drawing_is_edited_while_it_is_searched(tmp_path, maximize, workers):
    options = {"strategy": "random", "workers": workers, "batch": 3, "train": {"epochs": 1}}
    study = make(maximize, SMALL, out=tmp_path / "r", **options).run(8)
    old = study.problem.space
    study.steer("add_option", group="first", name="a_new", op="identity")
    study.steer("lock", node="a_new")
    study.run(6)
    revisions = list(study.events(kinds=("template.rev",)))
    assert [e.data["rev"] for e in revisions] == [1]
    assert "a_new" in str(revisions[0].data["template"])
    late = [e for e in study.events(kinds=("eval.done",)) if e.rev == 2]
    assert sum(len(e.data["candidate"]) for e in late) >= 6
    new = study.problem.space
    assert all(new.format(np.array(g)).startswith("a_new") for e in late for g in e.data["genotype"])
    # What was known is the same network in the new drawing, by another code.
    frame = study.trials
    assert len(frame) == 14
    assert old.format(codes(study)[1][:1] * 0)[0] in old.format(old.enumerate())
    study.steer("remove", name="a_conv5")
    study.run(2)
    results = study.results()
    assert results.n_trials == 16
    assert results.elsewhere == sum("a_conv5" in arch for arch in frame["arch"])
    assert not study.trials["arch"].str.contains("a_conv5").any()
    for _ in range(3):
        study.steer("undo")
    study.run(2)
    assert study.problem.space.to_dict() == old.to_dict()
    assert Study.open(tmp_path / "r").trials.equals(study.trials)
    assert set(study.trials["arch"]) >= {a for a in frame["arch"] if "a_new" not in a}


# ---------------------------------------------------------------- anchors, notes, files


def test_anchors_are_trained_beside_the_search(tmp_path):
    study = make("params", "nasbench201:C=2,N=1", out=tmp_path / "r", strategy="random", train={"epochs": 1})
    reply = study.steer("train_alone", arch=EMPTY, seed=3)
    refused = study.steer("export", arch=EMPTY, format="safetensors")
    study.run(5)
    (anchor,) = study.anchors()
    assert (anchor["command"], anchor["arch"], anchor["seed"]) == (reply.id, EMPTY, 3)
    from ogive.training.config import TrainConfig
    from ogive.training.seeding import seeded
    from ogive.training.trainer import train

    problem = study.problem
    with seeded(3):
        model = problem.space.build(problem.space.parse(EMPTY), problem.context.task)
    assert anchor["accuracy"] == train(model, problem.context.task, TrainConfig(epochs=1), seed=3).accuracy
    assert "no trained weights" in status(study, refused)["reason"]
    for kind in ("json", "safetensors"):
        study.steer("export", arch=EMPTY, format=kind)
    study.run(1)
    files = [c["file"] for c in study.commands() if "file" in c]
    assert all((tmp_path / "r" / name).is_file() for name in files)
    assert len(files) == 2
    assert len(study.anchors()) == 1
    assert len(study.trials) == 6


def test_an_anchor_that_was_not_finished_is_trained_by_the_next_run(tmp_path):
    study = make("slow@test", out=tmp_path / "r", train={"epochs": 1}, space="nasbench201:C=2,N=1")
    study.steer("train_alone", arch=EMPTY)
    gone = study.steer("train_alone", arch=CELLS.format(np.array([1, 1, 1, 1, 1, 1])))
    study.steer("cancel", command=gone.id)
    study.steer("stop")
    study.run(5)
    assert [a.get("reason") for a in study.anchors()] == ["cancelled"]
    study = Study.open(tmp_path / "r").run(1)
    assert [a["arch"] for a in study.anchors() if "accuracy" in a] == [EMPTY]


def test_notes_and_checkpoints(tmp_path):
    study = make("rugged", out=tmp_path / "r", batch=5)
    study.steer("pin", target="12")
    study.steer("comment", target=EMPTY, text="does nothing")
    study.run(20)
    study.steer("checkpoint")
    study.run(5)
    again = Study.open(tmp_path / "r")
    assert again.steering.notes["12"]["pinned"]
    assert again.steering.rev == 0
    assert len(list(again.events(kinds=("checkpoint",)))) == 1
    assert again.run(15).trials.equals(make("rugged", batch=5).run(40).trials)


# ---------------------------------------------------------------- nothing depends on clocks, rounds and crashes


def copy_of(study):
    """A study on a copy of the log of another."""
    log = MemoryLog()
    for e in study.events():
        log.extend([(e.kind, e.data)], e.rev)
    config = study.config
    return Study(
        config.space, config.task, maximize=config.maximize, minimize=config.minimize, where=config.where,
        strategy=config.strategy, seed=config.seed, batch=config.batch, window=config.window, workers=0,
        plugins=[PLUGIN], log=log,
    )  # fmt: skip


def story(study):
    rows = study.results().rows
    ends = np.where(rows.status == Status.AWAITED, Status.REPEAT, rows.status)
    return rows.candidate.tolist(), rows.genotypes.tolist(), ends.tolist(), np.nan_to_num(rows.values, nan=-1).tolist()


STEPS = [
    ("lock", {"choice": "0->1", "option": "nor_conv_3x3"}),
    ("exclude", {"choice": "0->2", "option": "none"}),
    ("evaluate", {"archs": [EMPTY]}),
    ("undo", {}),
    ("nudge", {"choice": "0->3", "option": "none", "h": -1.0}),
    ("set_sampler", {"strategy": "guided"}),
    ("set_constraint", {"where": ["relus<=30000"]}),
    ("set_objective", {"maximize": ["graph@test"]}),
    ("set_objective", {"maximize": ["slow@test"]}),
    ("free", {"choice": "0->1"}),
    ("goto", {"to": 0}),
    ("redo", {}),
    ("checkpoint", {}),
]


@pytest.mark.parametrize("seed", [2, 12])
@pytest.mark.parametrize("maximize", ["slow@test", "rugged"])
def test_a_steered_run_is_taken_up_as_if_it_had_gone_on(maximize, seed):
    dice = random.Random(seed)
    study = make(maximize, batch=dice.randint(1, 5), window=dice.randint(1, 4), seed=seed)
    for _ in range(8):
        for op, args in dice.sample(STEPS, dice.randint(0, 3)):
            study.steer(op, **args)
        study.run(dice.randint(1, 12))
        # The engine that did it all, and one that reads the log and does it again.
        again = copy_of(study)
        assert story(again) == story(study)
        assert story(again.run(4)) == story(copy_of(study).run(4))
    expected = story(copy_of(study).run(9))
    assert story(study.run(9)) == expected


def torment(path, kills, workers, trials, seed, longest):
    """Kill a run at random instants, steer it all the while; each resumed run draws what the log has, or fails."""
    dice = random.Random(seed)
    make("slow@test", out=path, trials=trials, workers=workers, batch=2, window=4, seed=seed)
    killed = 0
    for _ in range(kills):
        study = Study.open(path)
        for op, args in dice.sample(STEPS, dice.randint(0, 2)):
            study.steer(op, **args)
        del study
        killed += not resume_in_child(path, dice.uniform(0.0, longest))
    while not resume_in_child(path, 120.0):
        pass
    study = Study.open(path)
    rows = study.results().rows
    assert len(set(rows.candidate.tolist())) == len(rows)
    assert study.results().n_trials == trials
    carried = [c for c in study.commands() if c["status"] == "applied"]
    assert len(carried) == len({c["id"] for c in carried})
    assert [e.data["id"] for e in study.events(kinds=("command.applied",))] == [c["id"] for c in carried]
    assert story(copy_of(study).run(10)) == story(copy_of(study).run(10))
    return killed


def test_kills_of_a_steered_search(tmp_path):
    assert torment(tmp_path / "r", kills=30, workers=0, trials=150, seed=2, longest=0.15) > 10


def test_kills_of_a_steered_search_with_two_workers(tmp_path):
    assert torment(tmp_path / "r", kills=5, workers=2, trials=800, seed=3, longest=1.5) >= 2


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_many_kills_of_a_steered_search(tmp_path, seed):
    assert torment(tmp_path / "r", kills=60, workers=0, trials=600, seed=seed, longest=0.4) > 10


def test_the_same_commands_at_the_same_places_give_the_same_search():
    study = make(strategy="evolution:population=8", batch=3, window=3)
    for trials, op, args in (
        (10, "lock", {"choice": "0->1", "option": "nor_conv_3x3"}),
        (8, "evaluate", {"archs": [EMPTY]}),
        (9, "exclude", {"choice": "0->2", "option": "none"}),
        (7, "undo", {}),
    ):
        study.run(trials)
        study.steer(op, **args)
    study.run(10)
    log = MemoryLog()
    gone = {c for e in study.events(kinds=("command.applied",)) for c in e.data.get("dropped", ())}
    for e in study.events(kinds=("command.applied", "eval.done")):
        keep = [i for i, c in enumerate(e.data.get("candidate", [])) if c in gone]
        if e.kind == "command.applied":
            log.extend([(e.kind, e.data)], e.rev)
        elif keep:
            data = {k: [v[i] for i in keep] for k, v in e.data.items() if isinstance(v, list)}
            data["metrics"] = {k: [v[i] for i in keep] for k, v in e.data["metrics"].items()}
            log.extend([(e.kind, data)], e.rev)
    alone = make(strategy="evolution:population=8", batch=3, window=3, log=log)
    assert story(alone.run(study.results().n_trials)) == story(study)


@pytest.mark.parametrize("number", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_random_commands_while_running(number):
    from tests.study.test_steering import Person

    study = make("params", SMALL, strategy="random", batch=5, repeats="count")
    person, sent = Person(5), 0
    while sent < number:
        for _ in range(10):
            command = person.command(study.steering)
            if command.kind != "control" and command.op != "set_budget":
                sent += study.send(command).status == "accepted"
        if len(study.run(1).problem.space.nodes) > 20:
            study.steer("goto", to=0)
    study.run(1)
    ends = [c["status"] for c in study.commands()]
    assert set(ends) <= {"applied", "rejected"}
    assert ends.count("applied") > 0.9 * number
    state = study.steering
    while state.head.same_as:
        study.steer("undo")
        study.run(1)
        state = study.steering
    assert state.settings.hash == state.revisions[0].settings.hash


def test_a_memory_study_without_a_directory_exports_nothing():
    study = make("rugged")
    reply = study.steer("export", arch=EMPTY)
    study.run(3)
    assert "in memory" in status(study, reply)["reason"]
    with pytest.raises(InputError, match="either out or log"):
        make("rugged", out="never", log=MemoryLog())
