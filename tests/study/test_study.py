"""What a study promises: the same candidates always, exact budgets, constraints that spare work, honest failures."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings

import ogive
from ogive._errors import DataMissingError, InfeasibleError, InputError, RunLockedError, StorageError, UnknownNameError
from ogive._registry import load_plugin
from ogive.metrics.base import METRICS, Context, _own_task
from ogive.metrics.evaluate import evaluate
from ogive.spaces.base import get_space
from ogive.strategies import STRATEGIES
from ogive.strategies.base import Strategy
from ogive.study import SqliteLog, Study
from ogive.study.problem import Status
from ogive.tasks import _files, _stored, get_task
from ogive.training.config import TrainConfig

PLUGIN = str(Path(__file__).with_name("plugin.py"))
load_plugin(PLUGIN)


def make(maximize=("rugged",), minimize=("params",), **more):
    return Study("nasbench201", "digits", maximize=maximize, minimize=minimize, **more)


def draws(study):
    rows = study.results().rows
    return rows.genotypes.tolist()


# ---------------------------------------------------------------- determinism


@pytest.mark.parametrize("strategy", ["random", "nsga2:population=8"])
def test_workers_do_not_change_the_candidates(strategy):
    def ask(workers):
        return make(("slow@test",), where=["relus<=20000"], strategy=strategy, workers=workers, plugins=[PLUGIN])

    alone, together = ask(0).run(60), ask(3).run(60)
    assert draws(alone) == draws(together)
    drop = ["seconds"]
    assert alone.trials.drop(columns=drop).equals(together.trials.drop(columns=drop))


@settings(max_examples=12, deadline=None)
@given(
    parts=st.lists(st.integers(1, 40), min_size=2, max_size=5),
    maximize=st.sampled_from(["rugged", "moody@test"]),
    batch=st.integers(1, 9),
    window=st.integers(1, 4),
    reopen=st.booleans(),
)
def test_any_division_into_rounds_gives_the_same_trials(tmp_path_factory, parts, maximize, batch, window, reopen):
    options = {"where": ["relus<=20000"], "batch": batch, "window": window, "workers": 0, "seed": 3}
    whole = make((maximize,), strategy="nsga2:population=10", **options).run(sum(parts))
    out = tmp_path_factory.mktemp("run") / "r"
    study = make((maximize,), strategy="nsga2:population=10", out=out, **options)
    for part in parts:
        study.run(part)
        if reopen:
            study = Study.open(out)
    assert study.results().n_trials == sum(parts)
    drop = ["seconds"]
    assert study.trials.drop(columns=drop).equals(whole.trials.drop(columns=drop))
    assert study.front.equals(whole.front)


def test_a_snapshot_resumes_as_a_replay_from_the_beginning_would(tmp_path):
    whole = make(strategy="nsga2:population=20", repeats="count").run(9000)
    study = make(strategy="nsga2:population=20", repeats="count", out=tmp_path / "r").run(4000)
    kinds = [e.kind for e in study.events(kinds=("checkpoint",))]
    assert len(kinds) >= 1
    assert Study.open(tmp_path / "r").run(5000).trials.equals(whole.trials)


def test_the_seed_decides(tmp_path):
    assert draws(make(seed=1).run(30)) == draws(make(seed=1).run(30)) != draws(make(seed=2).run(30))


def test_an_edited_configuration_is_noticed(tmp_path):
    make(seed=1, out=tmp_path / "r").run(30)
    config = tmp_path / "r" / "config.yaml"
    config.write_text(config.read_text().replace("seed: 1\n", "seed: 2\n"))
    with pytest.raises(InputError, match=r"candidate 0 of the log is \|.*config\.yaml was edited"):
        Study.open(tmp_path / "r").run(30)


# ---------------------------------------------------------------- budgets and rounds


@pytest.mark.parametrize(("maximize", "workers"), [("rugged", 0), ("slow@test", 0), ("slow@test", 2)])
def test_exactly_as_many_trials_as_asked_for(maximize, workers):
    study = make((maximize,), workers=workers, plugins=[PLUGIN], where=["relus<=20000"])
    assert [len(study.run(n).trials) for n in (1, 7, 50)] == [1, 8, 58]


def test_a_round_without_a_number_completes_the_planned_one(tmp_path):
    study = make(out=tmp_path / "r", trials=25)
    assert len(study.run().trials) == 25
    assert len(study.run().trials) == 25
    assert len(study.run(5).trials) == 30
    assert len(Study.open(tmp_path / "r").run().trials) == 30


# ---------------------------------------------------------------- constraints


def test_a_candidate_that_breaks_a_cheap_constraint_is_never_measured():
    measured = []
    original = METRICS.get("slow@test").provider

    def spy(names, space, genotype, context):
        measured.append(genotype.tolist())
        return original(names, space, genotype, context)

    object.__setattr__(METRICS.get("slow@test"), "provider", spy)
    try:
        study = make(("slow@test",), where=["relus<=20000", "skips@test<=2"], workers=0).run(30)
    finally:
        object.__setattr__(METRICS.get("slow@test"), "provider", original)
    rows = study.results().rows
    space, task = ogive.space("nasbench201"), ogive.task("digits")
    relus = space.count(rows.genotypes, task)["relus"]
    allowed = (relus <= 20000) & ((rows.genotypes == 1).sum(axis=1) <= 2)
    assert ((rows.status == Status.REFUSED) == ~allowed).all()
    assert (~allowed).sum() > 0
    assert sorted(measured) == sorted(rows.genotypes[rows.status == Status.DONE].tolist())
    assert len(measured) == len(study.trials) == 30


def test_a_constraint_on_a_dear_metric_costs_a_trial_and_keeps_it_off_the_front():
    study = make(("slow@test",), where=["slow@test<=50"], workers=0).run(60)
    assert len(study.trials) == 60
    assert (study.trials["violation"] > 0).sum() > 5
    assert (study.front["slow@test"] <= 50).all()
    assert study.best.metrics["slow@test"] <= 50


@pytest.mark.parametrize("workers", [0, 2])
def test_without_screening_every_candidate_is_measured_and_counts(workers):
    where = ["relus<=20000", "slow@test<=50"]
    study = make(
        ("graph@test", "slow@test"), where=where, screen=False, workers=workers, plugins=[PLUGIN], strategy="random"
    ).run(150)
    rows, column = study.results().rows, study.problem.column
    assert set(study.results().counts()) <= {"done", "repeat", "awaited"}
    assert np.isfinite(rows.values).all()
    relus, slow = rows.values[:, column("relus")], rows.values[:, column("slow@test")]
    excess = np.maximum(relus / 20000 - 1, 0) + np.maximum(slow / 50 - 1, 0)
    np.testing.assert_allclose(rows.violation, excess, rtol=1e-12)
    assert ((rows.violation == 0) == ((relus <= 20000) & (slow <= 50))).all()
    assert (study.front["violation"] == 0).all()
    assert study.config.from_dict(study.config.to_dict()).screen is False


def test_without_screening_isomorphic_architectures_keep_their_own_violation():
    study = make(("graph@test",), where=["relus<=20000", "graph@test<=40"], screen=False, strategy="random", workers=0)
    rows, column = study.run(400).results().rows, study.problem.column
    relus, graph = rows.values[:, column("relus")], rows.values[:, column("graph@test")]
    assert np.isin(rows.status, (Status.REPEAT, Status.AWAITED)).sum() > 20
    excess = np.maximum(relus / 20000 - 1, 0) + np.maximum(graph / 40 - 1, 0)
    np.testing.assert_allclose(rows.violation, excess, rtol=1e-12)


def test_a_search_that_measures_in_vain_stops_sooner():
    study = make(("graph@test",), where=["slow@test<=-1"], max_draws=400, workers=0, window=1)
    with pytest.raises(InfeasibleError, match=r"slow@test<=-1 \(best value seen"):
        study.run(10)
    assert len(study.results().rows) == 20


def test_an_infinite_violation_is_logged_and_read_back(tmp_path):
    study = make(("graph@test",), where=["infinite@test<=0"], workers=0, out=tmp_path / "run", plugins=[PLUGIN]).run(30)
    rows, again = study.results().rows, Study.open(tmp_path / "run").results().rows
    assert np.isinf(rows.violation).any()
    np.testing.assert_array_equal(rows.violation, again.violation)
    assert not np.isinf(rows.values).any()


@pytest.mark.parametrize("maximize", ["rugged", "slow@test"])
def test_an_impossible_constraint_stops_and_names_the_best_value_seen(maximize):
    study = make((maximize,), where=["relus<=10", "params<=100"], max_draws=300, workers=0, batch=1)
    with pytest.raises(InfeasibleError) as caught:
        study.run(10)
    rows = study.results().rows
    assert len(rows) == 300
    counts = ogive.space("nasbench201").count(rows.genotypes, ogive.task("digits"))
    text = str(caught.value)
    assert f"relus<=10 (best value seen {counts['relus'].min()})" in text
    assert "params<=100" in text
    assert "\n" not in text
    assert [e.data["state"] for e in study.events() if e.kind == "run.state"] == ["searching", "failed"]


def test_an_exhausted_space_ends_the_search_with_a_note():
    locked = {f"{s}->{t}": "skip_connect" for s, t in ((0, 1), (0, 2), (1, 2), (0, 3))}
    space = ogive.space("nasbench201").restrict(lock=locked)
    study = Study(space, "digits", maximize=["rugged"], strategy="random", max_draws=500).run(1000)
    assert len(study.trials) == len(set(study.trials["arch"])) == 25
    assert "stopped after 25 trials" in study.note


def test_restrictions_survive_the_run_directory(tmp_path):
    space = ogive.space("nasbench201").restrict(lock={"0->1": "nor_conv_3x3"}, weights={"0->2": {"none": 0.5}})
    Study(space, "digits", maximize=["rugged"], out=tmp_path / "r", seed=4).run(20)
    again = Study.open(tmp_path / "r")
    assert np.array_equal(again.problem.space.restriction.weights, space.restriction.weights)
    assert again.run(20).trials["arch"].str.startswith("|nor_conv_3x3~0|").all()


# ---------------------------------------------------------------- repeats


def test_repeats_are_free_or_count():
    free = make(strategy="random", batch=100).run(3000)
    archs = free.trials["arch"]
    assert archs.nunique() == 3000
    assert free.results().counts()["repeat"] > 100
    count = make(strategy="random", batch=100, repeats="count").run(3000)
    assert count.trials["arch"].nunique() < 3000
    assert set(count.results().counts()) == {"done"}


def test_isomorphic_architectures_are_measured_once_but_keep_their_own_cost():
    study = make(("graph@test",), strategy="random", workers=0).run(600)
    rows, space = study.results().rows, ogive.space("nasbench201")
    own = rows.status == Status.DONE
    keys = np.array([k.hex() for k in space.keys(space.canonical(rows.genotypes))])
    assert len(set(keys[own])) == own.sum() == 600
    free = np.isin(rows.status, (Status.REPEAT, Status.AWAITED))
    assert free.sum() > 20
    value = dict(zip(keys[own], rows.values[own, study.problem.column("graph@test")], strict=True))
    assert [value[k] for k in keys[free]] == rows.values[free, study.problem.column("graph@test")].tolist()
    params = space.count(rows.genotypes, ogive.task("digits"))["params"]
    assert np.array_equal(rows.values[:, study.problem.column("params")], params)


# ---------------------------------------------------------------- failures


@pytest.mark.parametrize("workers", [0, 2])
def test_failed_trials_do_not_stop_the_run_and_never_win(workers):
    study = make(("moody@test",), strategy="random", workers=workers, plugins=[PLUGIN]).run(60)
    trials = study.trials
    first = trials["arch"].str.extract(r"^\|(\w+)~0")[0]
    failed = trials["status"] == "failed"
    assert len(trials) == 60
    assert (failed == first.isin(["skip_connect", "nor_conv_1x1", "nor_conv_3x3"])).all()
    reasons = {"skip_connect": "the loss is infinite", "nor_conv_1x1": "RuntimeError: a bug in a plug-in"}
    for op, reason in reasons.items():
        assert set(trials["reason"][first == op]) == {reason}
    assert trials["reason"][first == "nor_conv_3x3"].str.contains("not a number").all()
    assert not study.front["arch"].isin(trials["arch"][failed]).any()
    assert trials.loc[failed, "moody@test"].isna().all()


def test_infinite_values_fail():
    study = make((), ("infinite@test",), strategy="random", workers=0).run(40)
    trials = study.trials
    infinite = trials["arch"].str.startswith("|none~0|")
    assert infinite.sum() > 2
    assert ((trials["status"] == "failed") == infinite).all()
    assert np.isfinite(study.best.metrics["infinite@test"])


def test_strategies_are_told_minus_infinity_for_failures_and_violations_for_refusals():
    told = []

    class Spy(STRATEGIES.get("random")):
        def tell(self, genotypes, values, violation=None):
            told.append((genotypes.copy(), values.copy(), violation.copy()))
            super().tell(genotypes, values, violation)

    STRATEGIES.add("spy", Spy)
    study = make(("moody@test",), strategy="spy", workers=0, where=["relus<=20000"]).run(50)
    del STRATEGIES._items["spy"]
    rows = study.results().rows
    genotypes = np.concatenate([g for g, _, _ in told])
    values = np.concatenate([v for _, v, _ in told])
    violation = np.concatenate([v for _, _, v in told])
    assert not np.isnan(values).any()
    relus = ogive.space("nasbench201").count(genotypes, ogive.task("digits"))["relus"]
    assert np.allclose(violation, np.maximum(relus - 20000, 0) / 20000)
    bad = np.isin(genotypes[:, 0], (1, 2, 3)) | (relus > 20000)
    assert np.array_equal(np.isneginf(values[:, 0]), bad)
    # Minimised metrics come with their sign turned.
    params = ogive.space("nasbench201").count(genotypes, ogive.task("digits"))["params"]
    assert np.array_equal(values[~bad, 1], -params[~bad])
    assert len(rows) >= len(genotypes)


# ---------------------------------------------------------------- results


def test_front_and_best_by_brute_force():
    study = make(where=["relus<=20000"]).run(300)
    trials = study.trials
    expected = [
        a
        for a, q, p in zip(trials["arch"], trials["rugged"], trials["params"], strict=True)
        if not (
            (trials["rugged"] >= q) & (trials["params"] <= p) & ((trials["rugged"] > q) | (trials["params"] < p))
        ).any()
    ]
    assert sorted(study.front["arch"]) == sorted(expected)
    assert study.front["rugged"].is_monotonic_decreasing
    assert study.best.arch == trials.loc[trials["rugged"].idxmax(), "arch"]
    history = study.results().history()
    assert np.array_equal(history, trials["rugged"].cummax())


def test_best_builds_a_network():
    import torch

    model = make().run(5).best.build()
    assert model(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_an_empty_study_has_no_best(tmp_path):
    study = make(out=tmp_path / "r")
    assert study.best is None
    assert len(study.trials) == len(study.front) == 0
    assert study.trials.columns[0] == "arch"
    assert study.verdict is None


def test_run_directory(tmp_path):
    study = make(out=tmp_path / "r", command="ogive search --out r").run(20)
    found = {p.relative_to(tmp_path / "r").as_posix() for p in (tmp_path / "r").rglob("*") if p.is_file()}
    wanted = {"config.yaml", "run.db", "report.html", "front.csv", "best/arch.json"}
    assert wanted <= found
    # A reader may leave SQLite's empty companions of the log behind.
    assert all(name.startswith((".lock", "run.db")) for name in found - wanted)
    front = pd.read_csv(tmp_path / "r" / "front.csv")
    assert front["arch"].tolist() == study.front["arch"].tolist()
    assert np.allclose(front["rugged"], study.front["rugged"], rtol=1e-15)


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"maximize": ["accurracy@train"]}, UnknownNameError, "did you mean 'accuracy@train'"),
        ({"maximize": ["params"], "minimize": ["params"]}, InputError, "both maximised and minimised"),
        ({"maximize": [], "minimize": []}, InputError, "nothing to search for"),
        ({"where": ["flops<=3"]}, UnknownNameError, "flops"),
        ({"where": ["relus<<3"]}, InputError, "relus<<3"),
        ({"strategy": "nsga3"}, UnknownNameError, "did you mean 'nsga2'"),
        ({"strategy": "evolution"}, InputError, "one objective"),
        ({"trials": 0}, InputError, "trials is a whole number of at least 1, not 0"),
        ({"workers": -1}, InputError, "workers"),
        ({"batch": 0}, InputError, "batch"),
        ({"seed": -1}, InputError, "seed"),
        ({"repeats": "fre"}, UnknownNameError, "did you mean 'free'"),
        ({"timeout": 0.0}, InputError, "timeout"),
        ({"train": {"epoch": 3}}, InputError, "epoch"),
        ({"plugins": ["no_such_module"]}, InputError, "no_such_module"),
    ],
)
def test_bad_input_is_one_line(options, error, text, tmp_path):
    with pytest.raises(error, match=re.escape(text)) as caught:
        make(**{"out": tmp_path / "r", **options})
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "r").exists()


def test_running_no_trials_is_refused():
    with pytest.raises(InputError, match=r"at least 1, not 0"):
        make().run(0)


def test_an_occupied_directory_is_left_alone(tmp_path):
    make(out=tmp_path / "r").run(5)
    before = {p: p.read_bytes() for p in (tmp_path / "r").iterdir() if p.is_file()}
    with pytest.raises(InputError, match="ogive resume"):
        make(out=tmp_path / "r")
    assert {p: p.read_bytes() for p in (tmp_path / "r").iterdir() if p.is_file()} == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match=r"thesis\.tex"):
        make(out=tmp_path / "other")


def test_open_says_what_is_wrong(tmp_path):
    with pytest.raises(InputError, match="no run"):
        Study.open(tmp_path / "none")
    make(out=tmp_path / "r")
    with pytest.raises(InputError, match=r"runs in .*: r"):
        Study.open(tmp_path / "q")
    config = tmp_path / "r" / "config.yaml"
    text = config.read_text()
    for bad, message in [("space: [", "YAML"), ("- 1", "no settings"), (text + "sede: 3\n", "did you mean 'seed'")]:
        config.write_text(bad)
        with pytest.raises(InputError, match=message) as caught:
            Study.open(tmp_path / "r")
        assert "config.yaml" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_one_writer_within_a_process_too(tmp_path):
    study = make(out=tmp_path / "r")
    with study.directory.lock(), pytest.raises(RunLockedError, match="is being written by process"):
        Study.open(tmp_path / "r").run(3)
    assert len(study.run(3).trials) == 3


def test_a_full_disk_stops_the_search_and_loses_nothing(tmp_path, monkeypatch):
    study = make(out=tmp_path / "r", batch=10).run(20)
    original = SqliteLog.__init__

    def cramped(self, path, *, read_only=False):
        original(self, path, read_only=read_only)
        if not read_only:
            pages = self._connection.execute("PRAGMA page_count").fetchone()[0]
            self._connection.execute(f"PRAGMA max_page_count={pages + 2}")

    with monkeypatch.context() as patch:
        patch.setattr(SqliteLog, "__init__", cramped)
        with pytest.raises(StorageError, match="the disk is full"):
            study.run(500)
    kept = len(Study.open(tmp_path / "r").trials)
    assert 20 <= kept < 520
    whole = make(batch=10).run(520)
    assert Study.open(tmp_path / "r").run(520 - kept).trials.equals(whole.trials)


def test_a_strategy_that_breaks_the_rules_is_our_problem_not_silent():
    class Stuck(Strategy):
        name = "stuck"

        def ask(self, n):
            return np.zeros((n, self.space.n_choices), dtype=self.space.dtype)

        def tell(self, genotypes, values, violation=None):
            return None

        def _state(self):
            return {}

        def _restore(self, state):
            return None

    STRATEGIES.add("stuck", Stuck)
    study = make(("rugged",), (), strategy="stuck", max_draws=200).run(10)
    del STRATEGIES._items["stuck"]
    assert len(study.trials) == 1
    assert "stopped after 1 trials" in study.note


def test_a_search_on_counts_imports_neither_torch_nor_pandas():
    code = (
        "import sys; from ogive.study import Study\n"
        "Study('nasbench201', 'digits', maximize=['params'], minimize=['macs']).run(200)\n"
        "print(sorted({'torch', 'pandas', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---------------------------------------------------------------- metrics with a task of their own


def write_mnist(folder, n=120):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8), np.arange(n) % 10
    folder.mkdir()
    np.savez(folder / "mnist.npz", x_train=x, y_train=y, x_test=x[:20], y_test=y[:20])


def test_each_objective_may_be_trained_on_a_task_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("OGIVE_DATA", str(tmp_path))
    write_mnist(tmp_path / "mnist")
    names = ["accuracy@train/digits:variant=parity", "loss@train/mnist", "params"]
    study = Study(
        "nasbench201:C=2,N=1", maximize=names[:1], minimize=names[1:], train={"epochs": 1}, workers=0, seed=3
    ).run(2)
    assert study.config.task == "digits:variant=parity"
    arch = study.trials.arch[0]
    space = get_space("nasbench201:C=2,N=1")
    for name, task in ((names[0], "digits:variant=parity"), (names[1], "mnist"), (names[2], "digits:variant=parity")):
        context = Context(get_task(task), seed=3, options={"train": TrainConfig(epochs=1)})
        alone = name.partition("/")[0]
        expected = evaluate([alone], space, space.parse([arch]), context).values[alone][0]
        assert study.trials[name][0] == expected
    assert study.best.build()(torch.zeros(2, 1, 8, 8)).shape == (2, 2)


def test_files_of_a_task_of_its_own_are_missed_before_the_run_and_read_once(tmp_path, monkeypatch):
    monkeypatch.setenv("OGIVE_DATA", str(tmp_path))
    study = Study(
        "nasbench201:C=2,N=1",
        "digits",
        maximize=["accuracy@train"],
        where=["loss@train/mnist<=99"],
        train={"epochs": 1},
        workers=0,
    )
    with pytest.raises(DataMissingError, match=str(tmp_path / "mnist")):
        study.run(2)
    assert len(study.trials) == 0
    write_mnist(tmp_path / "mnist")
    _own_task.cache_clear()
    reads = []
    monkeypatch.setattr(_stored, "read_npz", lambda name, path: reads.append(name) or _files.read_npz(name, path))
    assert len(study.run(2).trials) == 2
    assert reads == ["mnist"]


@pytest.mark.parametrize(("strategy", "batch"), [("random", 50), ("bo:initial=5", 1), ("optuna:TPESampler", 1)])
def test_cheap_metrics_are_asked_for_in_batches_that_suit_the_strategy(strategy, batch):
    assert make(("rugged",), (), strategy=strategy).config.batch == batch
    assert make(("rugged",), (), strategy=strategy, batch=7).config.batch == 7
    assert make(("slow@test",), (), strategy=strategy, workers=0).config.batch == 1
