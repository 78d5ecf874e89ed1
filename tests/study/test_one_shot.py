"""A study that trains its own supernet: the same run however often it is stopped, killed or resumed."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from ogive._errors import InputError, UnknownNameError
from ogive.study import Study
from ogive.study.one_shot import SLICE, Slices, loss_trace, supernet_settings, with_newcomers
from ogive.study.pilot import Pilot
from ogive.training.export import load_weights
from ogive.training.recalibration import examples, score_examples
from ogive.training.supernet_data import val_parts
from tests.study.test_durability import resume_in_child, story

TOY = "template:path=examples/templates/toy.yaml"
TASK = "digits:noise=0.45,test=497"
RECIPE = {"epochs": 4, "lr": 0.05, "refresh": 2}


def ask(out=None, seed=1, trials=32, **more):
    options = {"supernet": RECIPE, "maximize": ["accuracy@supernet"], **more}
    return Study(TOY, TASK, out=out, trials=trials, seed=seed, **options)


@pytest.fixture(scope="module")
def undisturbed():
    return ask().run()


def same(study, other):
    assert story(study) == story(other)
    assert loss_trace(study.events()) == loss_trace(other.events())


def test_the_training_is_spread_over_the_search(undisturbed):
    losses, slices = loss_trace(undisturbed.events()), [e.data for e in undisturbed.events(kinds=(SLICE,))]
    # 900 examples in batches of 64 are 15 steps an epoch; the last batch of 4 is one of them.
    assert len(losses) == 60
    assert np.isfinite(losses).all()
    assert np.mean(losses[-10:]) < np.mean(losses[:10])
    # Four batches of eight, a slice after every second: the warm-up of a fifth and one more.
    assert [s["steps"] for s in slices] == [12, 60]
    before = [e.kind for e in undisturbed.events() if e.kind in ("eval.done", SLICE)]
    assert before == [SLICE, *["eval.done"] * 16, SLICE, *["eval.done"] * 16]
    states = [e.data["state"] for e in undisturbed.events(kinds=("run.state",))]
    assert states == ["searching", "warming", "searching", "training", "searching", "done"]


def test_the_evidence_epoch_changes_with_the_supernet(undisturbed):
    engine = undisturbed._engine
    assert engine is not None
    assert (engine.strategy._epoch, engine.strategy._refreshes) == (1, 1)


def test_exposure_is_logged_with_every_slice(undisturbed):
    last = [e.data["exposure"] for e in undisturbed.events(kinds=(SLICE,))][-1]
    # Each step of the guided sampler trains four paths, each of one option a layer.
    assert [sum(row) for row in last] == [240] * 4


@pytest.mark.parametrize("moments", [[0.2, 0.4, 0.9], [0.05, 0.3, 0.5, 1.2]])
def test_kills_change_neither_losses_nor_candidates(tmp_path, undisturbed, moments):
    path = tmp_path / "run"
    ask(path)
    for moment in moments:
        resume_in_child(path, moment)
    while not resume_in_child(path, 120.0):
        pass
    same(Study.open(path), undisturbed)


def test_two_rounds_in_one_process_are_one(undisturbed):
    study = ask(trials=32)
    study.run(16)
    study.run(16)
    same(study, undisturbed)


def test_a_study_learns_what_a_gradient_method_learnt(tmp_path):
    path = tmp_path / "run"
    study = ask(path, strategy="gdas", trials=12, supernet={"epochs": 2})
    assert study.config.supernet["sampler"] == "gdas"
    study.run(6)
    (slice_,) = study.events(kinds=(SLICE,))
    assert np.shape(slice_.data["logits"]) == (4, 4)
    assert slice_.data["steps"] == 30, "all of the training comes before the first proposal"
    Study.open(path).run(6)
    same(Study.open(path), ask(strategy="gdas", trials=12, supernet={"epochs": 2}).run())


def test_an_excluded_option_is_trained_no_more_and_proposed_no_more(tmp_path):
    study = ask(tmp_path / "run")
    study.run(16)
    before = [e.data["exposure"] for e in study.events(kinds=(SLICE,))][-1]
    assert study.steer("exclude", choice="b", option="b_skip").status == "accepted"
    study.run(16)
    after = [e.data["exposure"] for e in study.events(kinds=(SLICE,))][-1]
    row = [c.name for c in study.problem.space.choices].index("b")
    code = study.problem.space.choices[row].options.index("b_skip")
    assert after[row][code] == before[row][code]
    assert sum(after[row]) > sum(before[row])
    rows = study.results().rows
    assert (rows.genotypes[rows.candidate >= 16, row] != code).all()
    again = Study.open(study.directory.path)
    same(again, study)


def test_another_strategy_searches_the_same_supernet():
    study = ask(strategy="random", trials=8).run()
    assert study.config.supernet["sampler"] == "fair"
    assert study.results().n_trials == 8


def test_a_trained_folder_is_used_as_it_is(tmp_path):
    path = tmp_path / "run"
    ask(path, trials=8).run()
    folder = sorted((path / "checkpoints").iterdir())[-1]
    study = ask(supernet=folder, trials=8, workers=0).run()
    assert study.config.supernet == {"folder": str(folder)}
    assert not list(study.events(kinds=(SLICE,)))


def test_slices_end_where_the_budget_ends():
    slices = Slices(warm=0.25, refresh=3)
    ends = [slices.due(told, 12, 100) for told in range(14)]
    assert ends[0] == (0, 25)
    assert ends[-1] == (3, 100)
    assert [number for number, _ in ends] == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 5
    assert Slices(warm=1.0).due(0, 5, 100) == (0, 100)


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"warm": 0}, InputError, "warm=0 must be a number"),
        ({"refresh": 0.5}, InputError, "refresh=0.5 must be a whole number"),
        ({"epoch": 3}, UnknownNameError, "epochs"),
        ("sampler=uniform", InputError, "learns from sampler 'gdas'"),
    ],
)
def test_wrong_settings_are_named(given, error, says):
    strategy = "gdas" if isinstance(given, str) else None
    with pytest.raises(error, match=says):
        ask(supernet=given, strategy=strategy)


def test_a_newcomer_is_in_half_of_the_paths_until_it_has_caught_up():
    weights = np.array([[0.6, 0.2, 0.1, 0.1], [0.5, 0.5, 0.0, 0.0]])
    allowed = np.array([[True] * 4, [True, True, False, False]])
    exposure = np.array([[100, 80, 90, 44], [10, 10, 0, 0]])
    favoured = with_newcomers(weights, exposure, allowed)
    assert favoured[0, 3] == pytest.approx(favoured[0, :3].sum())
    assert (favoured[0, :3] == weights[0, :3]).all()
    assert (favoured[1] == weights[1]).all()
    exposure[0, 3] = 45  # half the median of its siblings
    assert (with_newcomers(weights, exposure, allowed) == weights).all()


def test_an_option_that_is_drawn_while_the_search_runs_is_trained_and_proposed(tmp_path):
    def draw(study):
        added = study.steer(
            "add_option", group="b", name="b_conv5", op="conv_bn_relu", args={"kernel": 5, "channels": 12}
        )
        assert added.status == "accepted", added.reason

    study = ask(trials=48, train={"epochs": 1}).run(32)
    draw(study)
    study.run(16)
    space = study.problem.space
    row = [c.name for c in space.choices].index("b")
    code = space.choices[row].options.index("b_conv5")
    exposure = np.array([e.data["exposure"] for e in study.events(kinds=(SLICE,))][-1])
    assert exposure[row, code] > 0
    assert (study.results().rows.genotypes[:, row] == code).any()
    second, third = (e.data["candidate"] for e in list(study.events(kinds=(SLICE,)))[1:])
    epochs = study._engine.strategy._stamps[:, 0].tolist()
    assert epochs == [(c >= second) + (c >= third) for c in range(40)], "evidence keeps its epoch in a new drawing"
    assert len(set(epochs)) > 1
    assert (study._engine.strategy._edits[:32, row] == 1).all(), "and counts less for the choice that was changed"
    assert len(loss_trace(study.events())) == 60
    assert study.confirm(seeds=1, baseline=1) is not None, "who is tested has the drawing of today"
    path = tmp_path / "run"
    draw(ask(path, trials=48, train={"epochs": 1}).run(32))
    for _ in range(2):
        Study.open(path).run(8)
    same(Study.open(path), study)


def test_nothing_is_filled_in_without_a_supernet():
    assert supernet_settings(None, None, ["params"], None) is None


def test_what_is_not_running_has_no_supernet():
    with pytest.raises(InputError, match="while the study runs"):
        _ = ask().one_shot.trainer


def test_the_winner_is_the_finalist_that_validates_best_alone(tmp_path):
    study = ask(tmp_path / "run", trials=16, train={"epochs": 2}, workers=0).run()
    by_supernet = study.best
    study.steer("pin", target=str(int(study.results().rows.candidate[0])))
    study.run(1)
    verdict = study.confirm(seeds=2, baseline=3)
    runs = [e.data for e in study.events(kinds=("retrain",))]
    means = {}
    for run in runs:
        if run["role"] == "finalist":
            means.setdefault(tuple(run["genotype"]), []).append(run["validation"])
    assert len(means) >= 4
    assert all(len(v) == 2 for v in means.values())
    assert by_supernet is not None
    assert study.results().rows.genotypes[0].tolist() in [list(g) for g in means], "what is pinned is a finalist"
    best = max(means, key=lambda g: np.mean(means[g]))
    assert tuple(study.best.genotype.tolist()) == best
    assert study.best.metrics["accuracy@train"] == np.mean(means[best])
    tested = [r["test"] for r in runs if r["role"] == "finalist" and tuple(r["genotype"]) == best]
    assert sorted(verdict.chosen.values) == sorted(tested)
    weights = tmp_path / "run" / "best" / "weights.safetensors"
    judges = val_parts(study.problem.context.task, 0.5)[1]
    again = score_examples(
        load_weights(study.best.build(), weights).eval(),
        *examples(study.problem.context.task, "val", judges, torch.device("cpu")),
    )["accuracy"]
    first = [r["validation"] for r in runs if tuple(r["genotype"]) == best and r["seed"] == 1000]
    assert [again] == first, "judged by the part of validation that the supernet's scores have not seen"
    assert Study.open(tmp_path / "run").best.arch == study.best.arch


def locked_at(step, study, stop_at=None):
    """Run a study, lock an option when its supernet has had so many steps, and stop it after some more."""
    original, sent = Pilot.hold, []

    def hold(self, engine, done):
        if done == step and not sent:
            sent.append(study.steer("lock", choice="a", option="a_conv3"))
        self.stopped |= done == stop_at
        return original(self, engine, done)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pilot, "hold", hold)
        return study.run()


@pytest.mark.parametrize("lost", [False, True])
def test_a_lock_within_a_slice_takes_effect_at_once_and_at_the_same_step_when_resumed(tmp_path, lost):
    recipe = {"epochs": 8, "lr": 0.05, "warm": 0.5}
    whole = locked_at(30, ask(trials=16, supernet=recipe))
    (applied,) = [e.data for e in whole.events(kinds=("command.applied",))]
    assert (applied["at"], applied["step"]) == (0, 30)
    first = next(e.data for e in whole.events(kinds=(SLICE,)))
    conv = whole.problem.space.choices[0].options.index("a_conv3")
    # 30 guided steps of four paths are half fair; after the lock all paths have the option.
    assert first["exposure"][0][conv] > 4 * (first["steps"] - 30)
    path = tmp_path / "run"
    stopped = locked_at(30, ask(path, trials=16, supernet=recipe), stop_at=45)
    assert 45 <= len(loss_trace(stopped.events())) < 60
    if lost:
        shutil.rmtree(path / "checkpoints")
    same(Study.open(path).run(), whole)


@pytest.mark.parametrize("trials", [10, 24])
def test_a_snapshot_before_or_after_a_slice_is_resumed_to_the_same_run(tmp_path, trials):
    whole = ask(trials=40).run()
    path = tmp_path / "run"
    study = ask(path, trials=40).run(trials)
    study.steer("checkpoint")
    study.run(12)
    assert list(study.events(kinds=("checkpoint",)))
    same(Study.open(path).run(28 - trials), whole)


def test_what_was_locked_can_be_excluded_within_a_slice():
    study, sent = ask(trials=8, supernet={"epochs": 4, "warm": 1.0}), []
    original = Pilot.hold

    def hold(self, engine, done):
        orders = {10: "lock", 20: "exclude"}
        if done in orders and len(sent) < len(orders):
            sent.append(study.steer(orders[done], choice="a", option="a_conv3").status)
        return original(self, engine, done)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pilot, "hold", hold)
        study.run()
    assert sent == ["accepted", "accepted"]
    assert (study.results().rows.genotypes[:, 0] != 0).all()
