"""The comparator against its definition, against pairs of known probability, and against real tasks left out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import expit
from scipy.stats import rankdata, spearmanr

from ogive._errors import InputError, UnknownNameError
from ogive.predictors.base import rank_gaussian
from ogive.predictors.calibration import pair_calibration
from ogive.predictors.comparator import Comparator, Judge
from ogive.predictors.features import Features
from ogive.predictors.gaussian_process import GaussianProcess
from ogive.spaces.base import get_space

NO_TASK = np.empty(0)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def luce(X, weights, rng):
    """Scores whose pairs are won with logistic probability: differences of Gumbel noise are logistic."""
    return X @ weights + rng.gumbel(size=len(X))


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    X, tasks = rng.normal(size=(120, 5)), np.abs(rng.normal(size=(3, 40)))
    scores = np.stack([luce(X, w, rng) for w in rng.normal(size=(3, 5))])
    return Comparator(members=4, steps=60).fit_tasks(X, tasks, scores), rng.normal(size=(40, 5)), tasks[1]


def test_is_antisymmetric_and_even_with_itself(fitted):
    model, X, task = fitted
    a, b = X[:20], X[20:]
    forth, sure = model.win_probability(a, b, task)
    back, sure_back = model.win_probability(b, a, task)
    np.testing.assert_allclose(forth + back, 1.0, atol=1e-12)
    np.testing.assert_array_equal(sure, sure_back)
    np.testing.assert_allclose(model.win_probability(a, a, task)[0], 0.5, atol=1e-9)
    assert 0.0 < forth.min() < 0.5 < forth.max() < 1.0
    np.testing.assert_array_equal(sure, np.maximum(forth, back) >= 0.75)
    assert 0 < sure.sum() < len(sure)


def test_a_batch_answers_as_single_questions_do(fitted):
    model, X, task = fitted
    together = model.win_probability(X[:20], X[20:], task)[0]
    alone = [model.win_probability(X[i : i + 1], X[20 + i : 21 + i], task)[0][0] for i in range(20)]
    np.testing.assert_allclose(together, alone, atol=1e-9)


@pytest.mark.parametrize("n", [10, 17, 30])
def test_ranks_are_those_of_won_comparisons_in_any_order(fitted, n):
    model, X, task = fitted
    X = X[:n]
    i, j = np.divmod(np.arange(n * n), n)
    wins = (model.win_probability(X[i], X[j], task)[0].reshape(n, n) > 0.5 + 1e-6).sum(axis=1)
    np.testing.assert_array_equal(model.ranks(X, task), rankdata(-wins) - 1)
    shuffled = np.random.default_rng(n).permutation(n)
    np.testing.assert_array_equal(model.ranks(X[shuffled], task), model.ranks(X, task)[shuffled])


def test_equal_architectures_share_their_rank(fitted):
    model, X, task = fitted
    np.testing.assert_array_equal(model.ranks(X[[3, 3, 3]], task), [1.0, 1.0, 1.0])


def test_probabilities_are_those_that_pairs_are_won_with():
    rng = np.random.default_rng(3)
    X, new, weights = rng.normal(size=(400, 4)), rng.normal(size=(20_000, 4)), np.array([1.5, -1.0, 0.5, 0.0])
    model = Comparator().fit(X, luce(X, weights, rng))
    a, b = new[::2], new[1::2]
    p, sure = model.win_probability(a, b)
    true = expit((a - b) @ weights)
    assert np.abs(p - true).mean() < 0.06
    report = pair_calibration(p, rng.random(len(p)) < true, sure)
    assert report.calibration_error < 0.03
    # Nobody can be right more often than the likelier winner wins.
    best = np.maximum(true, 1 - true).mean()
    assert best - 0.03 < report.accuracy < best + 0.01
    assert report.sure_accuracy > report.accuracy


def test_pure_noise_leaves_it_unsure():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(100, 6))
    model = Comparator().fit(X, rng.normal(size=100))
    _, sure = model.win_probability(*rng.normal(size=(2, 2000, 6)))
    assert sure.mean() < 0.05
    assert model.temperature > 5


def test_tasks_are_told_apart_and_a_new_one_is_read_by_what_it_resembles():
    rng = np.random.default_rng(2)
    X, new = rng.normal(size=(200, 3)), rng.normal(size=(300, 3))
    tasks = np.array([[1.0, 0.0, 0.2], [0.0, 1.0, 0.2]])
    model = Comparator().fit_tasks(X, tasks, np.stack([X[:, 0], -X[:, 0]]))
    up, down = (model.worth(new, task)[0] for task in tasks)
    assert spearmanr(up, new[:, 0]).statistic > 0.95
    assert spearmanr(down, new[:, 0]).statistic < -0.95
    like_first, _ = model.worth(new, np.array([2.0, 0.3, 0.4]))
    assert spearmanr(like_first, new[:, 0]).statistic > 0.9


def test_only_the_direction_of_an_embedding_counts(fitted):
    model, X, task = fitted
    np.testing.assert_allclose(model.worth(X, task)[0], model.worth(X, 7.0 * task)[0], atol=1e-9)


def test_confidence_on_a_new_task_is_that_of_tasks_held_out():
    # Every task has a direction of its own, of which its embedding tells nothing: what is learned of one is not known
    # of the next, and only tasks that were held out show it.
    rng = np.random.default_rng(4)
    X, new = rng.normal(size=(200, 6)), rng.normal(size=(400, 6))
    weights = np.eye(6)[0] + 0.6 * rng.normal(size=(40, 6))
    tasks = np.abs(rng.normal(size=(40, 30)))
    a, b = new[::2], new[1::2]
    found = {}
    for holdout in ("tasks", "architectures"):
        model = Comparator(holdout=holdout).fit_tasks(X, tasks[:8], weights[:8] @ X.T)
        answers = [
            (*model.win_probability(a, b, e), (a - b) @ w > 0) for w, e in zip(weights[8:], tasks[8:], strict=True)
        ]
        p, sure, won = map(np.concatenate, zip(*answers, strict=True))
        found[holdout] = pair_calibration(p, won, sure)
    assert found["tasks"].accuracy > 0.6
    assert found["tasks"].calibration_error < 0.1
    assert found["architectures"].calibration_error > 2 * found["tasks"].calibration_error


def test_worth_is_in_logits_with_the_fitted_mean_as_zero():
    rng = np.random.default_rng(5)
    X = rng.normal(size=(100, 4))
    model = Comparator().fit(X, luce(X, np.array([2.0, 0, 0, 0]), rng))
    worth, spread = model.worth(X)
    assert worth.mean() == pytest.approx(0.0, abs=1e-9)
    assert (spread > 0).all()
    p, _ = model.win_probability(X[:50], X[50:])
    np.testing.assert_allclose(p, expit(worth[:50] - worth[50:]), atol=1e-9)


def test_judge_answers_by_genotype_and_calls_the_unsure_a_tie():
    space = get_space("transnas_micro")
    features = Features(space)
    rng = np.random.default_rng(0)
    cells = space.sample(80, rng)
    scores = (cells == 3).sum(axis=1) + 0.1 * rng.normal(size=80)
    model = Comparator(members=4, steps=60).fit_tasks(features(cells), np.eye(1), scores[None])
    judge = Judge(model, features, {"jigsaw_val@micro": np.ones(1)})
    p = judge.win_probability(cells[:40], cells[40:], "jigsaw_val@micro")
    raw, sure = model.win_probability(features(cells[:40]), features(cells[40:]), np.ones(1))
    np.testing.assert_array_equal(p, np.where(sure, raw, 0.5))
    assert 0 < sure.sum() < 40
    with pytest.raises(UnknownNameError, match="jigsaw"):
        judge.win_probability(cells[:1], cells[:1], "jigsaw_val@macro")


def test_a_few_labels_and_other_tasks_beat_a_few_labels_alone(shared):
    frame = pd.read_csv(shared / "transnasbench101_micro.csv.gz")
    space = get_space("transnas_micro")
    features = Features(space)
    X = features(space.parse(frame["arch"].tolist()))
    scores = np.stack([frame[c].to_numpy() for c in frame if c.endswith("_val")])
    order = np.random.default_rng(0).permutation(len(X))
    train, few, test = order[:300], order[:10], order[300:2300]
    groups, tasks, rhos = features.groups.tolist(), np.eye(7), []
    for left_out in range(7):
        own = rank_gaussian(scores[left_out, few])
        alone, _ = GaussianProcess(groups=groups).fit(X[few], own).predict(X[test])
        known = np.where(np.arange(7)[:, None] == left_out, np.nan, scores[:, train])
        known[left_out, :10] = scores[left_out, few]
        both, _ = Comparator(members=4, steps=100).fit_tasks(X[train], tasks, known).worth(X[test], tasks[left_out])
        rhos.append([spearmanr(w, scores[left_out, test]).statistic for w in (alone, both)])
    alone, both = np.mean(rhos, axis=0)
    assert both > alone + 0.03
    assert both > 0.75


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"members": 1}, "folds <= members"),
        ({"folds": 1}, "folds <= members"),
        ({"holdout": "pairs"}, "architectures or tasks"),
        ({"confidence": 0.5}, "above 0.5"),
    ],
)
def test_impossible_settings(options, message):
    with pytest.raises(InputError, match=message):
        Comparator(**options)


def test_input_that_does_not_fit():
    X = np.random.default_rng(0).normal(size=(20, 2))
    model = Comparator(members=2, folds=2, steps=1)
    with pytest.raises(InputError, match="at least 4"):
        model.fit(X[:3], X[:3, 0])
    with pytest.raises(InputError, match="scores"):
        model.fit_tasks(X, np.eye(2), X[:, 0][None])
    with pytest.raises(InputError, match="only scores may be NaN"):
        model.fit_tasks(X, np.array([[np.nan]]), X[:, 0][None])
    with pytest.raises(InputError, match="at least two"):
        Comparator(members=2, folds=2, steps=1, holdout="tasks").fit_tasks(X, np.eye(1), X[:, 0][None])
    with pytest.raises(InputError, match="calibrate"):
        model.fit_tasks(X, np.eye(1), np.zeros((1, 20)))
    with pytest.raises(InputError, match="learn from"):
        model.fit_tasks(X, np.eye(1), np.where(np.arange(20) < 1, 1.0, np.nan)[None])
    model.fit_tasks(X, np.eye(2), X.T)
    with pytest.raises(InputError, match="length 2"):
        model.worth(X)
    with pytest.raises(InputError, match="worth or ranks"):
        model.predict(X)
