"""BoTorch: its models against a closed form, its acquisition against exact hypervolume, its search on a real table."""

from __future__ import annotations

import json
import sys

import numpy as np
import pandas as pd
import pytest

from ogive._errors import InputError, MissingDependencyError
from ogive.spaces.base import Shape, get_space
from ogive.strategies import get_strategy
from ogive.strategies.pareto import hypervolume, pareto_mask

torch = pytest.importorskip("torch")
pytest.importorskip("botorch", reason="pip install 'ogive[bo]'")

QUICK = "botorch:samples=8,candidates=60"


@pytest.fixture(scope="module")
def table(shared):
    """Accuracy up and parameters down of every cell, scaled to the extent of the exact front."""
    space = get_space("nasbench201")
    frame = pd.read_csv(shared / "nasbench201.csv.gz")
    genotypes = space.parse(frame["arch"].tolist())
    params = space.count(genotypes, Shape((3, 32, 32), 10))["params"]
    values = np.empty((len(frame), 2))
    values[space.index(genotypes)] = np.stack([frame["cifar10_val_accuracy"], -params], axis=1)
    front = values[pareto_mask(values)]
    return space, (values - front.min(axis=0)) / np.ptp(front, axis=0)


def search(spec, space, values, seed, n, batch=1):
    strategy = get_strategy(spec, space, n_objectives=values.shape[1], seed=seed)
    found = np.empty((0, values.shape[1]))
    while len(found) < n:
        genotypes = strategy.ask(batch)
        strategy.tell(genotypes, values[space.index(genotypes)])
        found = np.concatenate([found, values[space.index(genotypes)]])
    return found


def volume(values, reference=(0.0, 0.0)):
    return hypervolume(values[pareto_mask(values)], np.asarray(reference))


def test_front_of_accuracy_and_parameters_is_ahead_of_random(table):
    space, values = table
    reference = (-0.1, -0.1)
    ours = [volume(search("botorch:samples=4,candidates=30", space, values, seed, 50), reference) for seed in range(2)]
    random = [volume(search("random", space, values, seed, 50), reference) for seed in range(50)]
    assert np.mean(ours) > np.mean(random)


def test_single_objective_in_batches_is_ahead_of_random(table):
    space, values = table
    one = values[:, :1]
    ours = [search(QUICK, space, one, seed, 40, batch=5).max() for seed in range(2)]
    # The median of the best of 40 random cells is the (1 - 0.017) quantile of the table.
    assert min(ours) > np.quantile(one, 0.983)


def told(spec, n_objectives=2, n=20, seed=0, **options):
    space = get_space("nasbench201").restrict(lock={"0->1": "nor_conv_3x3", "0->2": "none"})
    strategy = get_strategy(spec, space, n_objectives=n_objectives, seed=seed, **options)
    genotypes = space.sample(n, np.random.default_rng(1))
    worth = np.stack([(genotypes == k).sum(axis=1, dtype=float) for k in range(2, 2 + n_objectives)], axis=1)
    strategy.tell(genotypes, worth)
    return strategy


def test_leaves_generators_and_threads_alone():
    strategy = told(QUICK)
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    before = torch.random.get_rng_state(), np.random.get_state()[1].tolist(), torch.get_num_threads()  # noqa: NPY002
    strategy.ask(3)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002
    assert torch.get_num_threads() == before[2]
    assert torch.get_default_dtype() == torch.float32


def test_does_not_depend_on_the_global_generator():
    torch.manual_seed(1)
    one = told(QUICK).ask(4)
    torch.manual_seed(2)
    assert one.tolist() == told(QUICK).ask(4).tolist()


def test_restored_in_the_middle_of_several_objectives_it_goes_on_identically():
    one, two = told(QUICK), told(QUICK, n=5, seed=7)
    pending = one.ask(2)
    two.restore(json.loads(json.dumps(one.state())))
    for strategy in (one, two):
        strategy.tell(pending, pending[:, :2].astype(float))
    assert one.ask(3).tolist() == two.ask(3).tolist()


def test_a_batch_holds_different_classes_and_none_that_is_known():
    strategy = told(QUICK)
    known = set(strategy.space.keys(strategy.space.canonical(strategy._history.genotypes)))
    keys = strategy.space.keys(strategy.space.canonical(strategy.ask(6)))
    assert len(set(keys)) == 6
    assert not known & set(keys)


def view_of(strategy):
    _, X = strategy._candidates()
    return X, strategy._view(X)


def test_models_predict_what_the_closed_form_does():
    strategy = told(QUICK, n_objectives=1)
    X, view = view_of(strategy)
    model, noise = view._model, float(view._model.likelihood.noise)
    lengths = [float(k.lengthscale) for k in model.covar_module.kernels]
    groups = strategy._features.groups

    def covariance(A, B):
        K = np.ones((len(A), len(B)))
        for group, length in enumerate(lengths):
            part = groups == group
            r = np.sqrt(5 * ((A[:, None, part] - B[None, :, part]) ** 2).mean(axis=2)) / length
            K *= (1 + r + r**2 / 3) * np.exp(-r)
        return K

    F, y, _ = strategy._lessons()
    mean = float(model.mean_module.constant)
    weights = np.linalg.solve(covariance(F, F) + noise * np.eye(len(F)), y[:, 0] - mean)
    expected = mean + covariance(X[:7], F) @ weights
    np.testing.assert_allclose(model.posterior(view._seen[:7]).mean[:, 0].numpy(), expected, atol=1e-6)


def test_acquisition_is_the_mean_gain_of_exact_hypervolume():
    """Of the same models, over draws of the joint posterior, each with its own front."""
    strategy = told("botorch:samples=128,candidates=1000")
    X, view = view_of(strategy)
    promise = view.promise(np.random.default_rng(0))
    some = np.argsort(-promise)[:: len(X) // 12]
    joint = view._model.posterior(torch.cat([view._told, view._seen[some]]))
    torch.manual_seed(0)
    draws = joint.rsample(torch.Size([1000])).numpy()
    n, worst = len(view._told), view._worst.numpy()
    gains = np.zeros(len(some))
    for draw in draws:
        base = volume(draw[:n], worst)
        gains += [volume(np.vstack([draw[:n], one]), worst) - base for one in draw[n:]]
    gains /= len(draws)
    assert gains.max() > 20 * np.median(gains) > 0
    np.testing.assert_allclose(np.exp(promise[some]), gains, rtol=0.15, atol=0.01)


def test_believing_in_a_candidate_lowers_what_it_promises():
    _, view = view_of(told(QUICK))
    before = view.promise(np.random.default_rng(0))
    best = int(before.argmax())
    view.believe(best)
    assert view.promise(np.random.default_rng(0))[best] < before[best] - 0.1


def test_what_is_screened_out_comes_last():
    _, view = view_of(told("botorch:samples=4,candidates=3"))
    promise = view.promise(np.random.default_rng(0))
    assert set(np.argsort(-promise)[:3]) == set(view._best)
    assert np.isfinite(promise).all()


def test_infeasible_and_failed_architectures_pull_the_search_away():
    space = get_space("nasbench201").restrict(lock={"0->1": "nor_conv_3x3", "0->2": "none"})
    strategy = get_strategy(QUICK, space, n_objectives=2, seed=0)
    genotypes = space.sample(30, np.random.default_rng(0))
    heavy = (genotypes == 3).sum(axis=1) - 2.0
    values = np.where(heavy[:, None] > 0, -np.inf, genotypes[:, 3:5].astype(float))
    strategy.tell(genotypes, values, np.maximum(heavy, 0.0))
    share = ((space.sample(500, np.random.default_rng(1)) == 3).sum(axis=1) > 2).mean()
    assert ((strategy.ask(8) == 3).sum(axis=1) > 2).mean() < share


def test_without_botorch_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "botorch", None)
    with pytest.raises(MissingDependencyError, match=r"strategy 'botorch' needs.*ogive\[bo\]"):
        get_strategy("botorch", get_space("nasbench201"))


@pytest.mark.parametrize("spec", ["botorch:samples=0", "botorch:candidates=1.5", "botorch:siblings=2"])
def test_bad_options(spec):
    with pytest.raises(InputError, match="strategy 'botorch' needs"):
        get_strategy(spec, get_space("nasbench201"))


def test_the_number_of_threads_does_not_change_the_choices():
    space = get_space("nasbench201")

    def draws(threads):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            strategy = get_strategy("botorch:initial=6,samples=4,candidates=30", space, n_objectives=2, seed=1)
            rows = []
            for _ in range(5):
                rows.append(strategy.ask(3))
                counts = space.count(rows[-1], Shape((3, 32, 32), 10))
                strategy.tell(rows[-1], np.stack([counts["relus"], -counts["params"]], axis=1).astype(np.float64))
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(before)
        return np.concatenate(rows)

    np.testing.assert_array_equal(draws(1), draws(2))
