"""Targets are simulated from the owner's task alone, every measurement is counted, and the metric is what it says."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from ogive._errors import InputError
from ogive.methods import _lock_simulated
from ogive.methods._lock_simulated import CHANGES, METRIC, Derived, SimulatedTargets, Simulation, derive_tasks, votes
from ogive.metrics.base import Context, Cost, resolve
from ogive.metrics.evaluate import evaluate
from ogive.spaces.base import get_space
from ogive.tasks import get_task
from ogive.tasks.digits import Digits
from ogive.tasks.embedding import cosine

SPACE = get_space("nasbench201:C=2,N=1")
QUICK = Simulation(tasks=4, architectures=40, labels=("params", "macs"), targets=5, probe_steps=5)


class Guarded(Digits):
    """The owner's task; a search never sees its test split."""

    def split(self, which):
        assert which != "test"
        return super().split(which)


@pytest.fixture(scope="module")
def made():
    return SimulatedTargets(SPACE, Guarded(), QUICK, seed=1)


def test_a_derived_task_has_some_classes_and_changed_images():
    digits, classes = get_task("digits"), (7, 2, 5)
    plain, rotated, inverted, noisy, permuted = (Derived(digits, classes, change, seed=3) for change in CHANGES)
    for which in ("train", "val", "test"):
        whole = digits.split(which)
        rows = np.isin(whole.y, classes)
        x = whole.x[rows].astype(float)
        np.testing.assert_array_equal(plain.split(which).x, x)
        np.testing.assert_array_equal(np.array(classes)[plain.split(which).y], whole.y[rows])
        np.testing.assert_array_equal(rotated.split(which).x[:, 0, 7, 0], x[:, 0, 0, 0])
        np.testing.assert_allclose(inverted.split(which).x + x, 2 * digits.mean[0], atol=1e-5)
        noise = noisy.split(which).x - x
        assert noise.std() == pytest.approx(digits.std[0], rel=0.05)
        assert noise.mean() == pytest.approx(0.0, abs=0.2)
        flat = [s.split(which).x.reshape(len(x), -1) for s in (plain, permuted)]
        np.testing.assert_array_equal(*(np.unique(f.T, axis=0) for f in flat))
        assert not np.array_equal(*flat)
    assert not np.array_equal(noisy.split("val").x[:5] - plain.split("val").x[:5],
                              noisy.split("train").x[:5] - plain.split("train").x[:5])  # fmt: skip
    for task in (plain, rotated, inverted, noisy, permuted):
        x = task.split("train").x
        assert task.n_outputs == 3
        assert np.abs(x.mean() - task.mean[0]) / task.std[0] < 0.1
        assert x.std() / task.std[0] == pytest.approx(1.0, abs=0.1)


def test_images_that_are_not_square_are_turned_too():
    class Wide(Digits):
        input_shape = (1, 4, 8)

        def split(self, which):
            whole = super().split(which)
            return type(whole)(whole.x[:, :, :4], whole.y)

    task = Derived(Wide(), (0, 1), "rotated")
    assert task.split("val").x.shape[1:] == task.input_shape == (1, 8, 4)


def test_derived_tasks_go_through_all_changes_with_half_the_classes():
    tasks = derive_tasks(get_task("digits"), 7, seed=0)
    assert [t.change for t in tasks] == [*CHANGES, *CHANGES[:2]]
    assert all(len(t.classes) == len(set(t.classes)) == 5 for t in tasks)
    assert [t.classes for t in tasks] == [t.classes for t in derive_tasks(get_task("digits"), 7, seed=0)]
    assert len({t.classes for t in tasks}) > 3
    with pytest.raises(InputError, match="at least three classes"):
        derive_tasks(get_task("digits:variant=parity"), 3, seed=0)


def test_every_measurement_is_counted_and_targets_lie_around_the_source(made):
    assert made.evaluations == 5 * 40
    assert made.embeddings.shape == (5, 128)
    assert made.targets.shape == (5, 128)
    assert (made.targets >= 0).all()
    published = SimulatedTargets(SPACE, Guarded(), Simulation(**{**QUICK.__dict__, "cosine": 0.5}), seed=1)
    np.testing.assert_allclose(cosine(published.targets, published.embeddings[:1]), 0.5, atol=1e-9)
    np.testing.assert_array_equal(published.embeddings, made.embeddings)


def test_worth_orders_unseen_architectures_as_the_labels_do(made):
    genotypes = SPACE.sample(200, np.random.default_rng(5))
    size = evaluate(["params"], SPACE, genotypes, Context(get_task("digits"))).values["params"]
    worth = made.worth(genotypes)
    assert worth.shape == (5, 200)
    # Parameters are minimised.
    assert spearmanr(worth.mean(axis=0), -size).statistic > 0.75
    assert spearmanr(made.source_worth(genotypes), -size).statistic > 0.75


def test_comparisons_are_antisymmetric_and_tell_the_source_from_the_targets(made):
    a, b = SPACE.sample(60, np.random.default_rng(6)).reshape(2, 30, -1)
    for task in (f"{METRIC}/digits", "accuracy@train/digits"):
        p = made.win_probability(a, b, task)
        np.testing.assert_allclose(p + made.win_probability(b, a, task), 1.0)
        np.testing.assert_allclose(made.win_probability(a, a, task), 0.5)
    np.testing.assert_array_equal(
        made.win_probability(a, b, "accuracy@train/digits") > 0.5, made.source_worth(a) > made.source_worth(b)
    )


def test_votes_count_the_pairs_won_over_all_metrics():
    genotypes = SPACE.sample(30, np.random.default_rng(7))
    context = Context(get_task("digits"))
    found = evaluate(["params", "depth"], SPACE, genotypes, context).values
    expected = np.mean([rankdata(-found["params"]), rankdata(-found["depth"])], axis=0) * 100 / 30
    np.testing.assert_allclose(votes(("params", "depth"), SPACE, genotypes, context), expected)


def test_the_metric_is_the_mean_worth_on_its_own_task(monkeypatch):
    made = partial(Simulation, **QUICK.__dict__)
    monkeypatch.setattr(_lock_simulated, "Simulation", made)
    genotypes = SPACE.sample(20, np.random.default_rng(8))
    name = f"{METRIC}/digits"
    found = resolve(name)
    assert (found.cost, found.direction, found.task, found.unit) == (Cost.TABLE, "max", "digits", "logits")
    values = evaluate([name], SPACE, genotypes, Context(seed=2)).values[name]
    expected = SimulatedTargets(SPACE, "digits", QUICK, seed=2).worth(genotypes).mean(axis=0)
    np.testing.assert_allclose(values, expected, atol=1e-6)
