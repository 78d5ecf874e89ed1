"""Search in an embedding: on vectors we choose, so that it is known what must be found."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from ogive._errors import InputError, OgiveError
from ogive.predictors.graph_autoencoder import Embedding, pretrain
from ogive.spaces.base import get_space
from ogive.strategies import get_strategy
from ogive.strategies._latent import Latent
from ogive.strategies.arch2vec import arch2vec_bo
from ogive.strategies.arch2vec_rl import Arch2VecRL
from ogive.strategies.bayesian import without_failures

SPACE = get_space("nasbench201")


def placed(space=SPACE):
    """An embedding whose vectors say how many edges have each operation, and how far along they are."""
    embedding = Embedding(space, "arch2vec", torch.nn.Identity(), {})
    everything = space.enumerate()
    counts = np.stack([(everything == k).sum(axis=1) for k in range(5)], axis=1)
    along = (everything * np.arange(1, everything.shape[1] + 1)).sum(axis=1, keepdims=True)
    embedding.__dict__["table"] = everything, np.hstack([counts, 0.1 * along]).astype(np.float32)
    return embedding


def worth(genotypes):
    """Convolutions are good, zeros bad."""
    g = SPACE.canonical(genotypes)
    return (g == 3).sum(axis=1) - 1.5 * (g == 0).sum(axis=1) + 0.3 * (g == 2).sum(axis=1)


def run(strategy, steps, batch=1):
    asked = []
    for _ in range(steps):
        g = strategy.ask(batch)
        strategy.tell(g, worth(g)[:, None])
        asked.append(g)
    return np.concatenate(asked)


def test_equals_share_a_point_and_columns_a_scale():
    latent = Latent(SPACE, placed())
    everything = SPACE.enumerate()
    Z = latent(everything)
    np.testing.assert_array_equal(Z, latent(SPACE.canonical(everything)))
    own = latent.embedding.vectors(SPACE.canonical(everything)).astype(np.float64)
    for j in range(Z.shape[1]):
        assert abs(np.corrcoef(Z[:, j], own[:, j])[0, 1]) == pytest.approx(1.0)
    np.testing.assert_array_equal(latent.groups, 0)
    some = SPACE.canonical(everything[::997])
    decoded = latent.decode(latent(some), np.random.default_rng(0))
    np.testing.assert_allclose(latent.embedding.vectors(decoded), latent.embedding.vectors(some), atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [{}, {"target": "raw"}, {"surrogate": "dngo"}, {"surrogate": "dngo", "target": "raw"}, {"surrogate": "botorch"}],
    ids=str,
)
def test_bo_finds_what_chance_does_not(options):
    if options.get("surrogate") == "botorch":
        pytest.importorskip("botorch")
    space = SPACE.restrict(exclude={"0->3": ["none"], "1->2": ["avg_pool_3x3"]})
    asked = run(arch2vec_bo(space, seed=1, embedding=placed(), initial=10, **options), 10, batch=4)
    assert space.permits(asked).all()
    drawn = worth(space.sample(40 * 500, np.random.default_rng(0))).reshape(500, 40).max(axis=1)
    assert worth(asked).max() > np.quantile(drawn, 0.9)


def test_nothing_that_computes_the_same_is_asked_for_twice():
    space = SPACE.restrict(lock={"0->1": "nor_conv_3x3", "0->3": "none"})
    for strategy in (
        arch2vec_bo(space, embedding=placed(), initial=5),
        arch2vec_bo(space, embedding=placed(), initial=5, surrogate="dngo"),
        Arch2VecRL(space, embedding=placed()),
    ):
        asked = run(strategy, 40)
        assert len(set(space.keys(space.canonical(asked)))) == 40


def test_rl_takes_the_nearest_one_left():
    strategy = Arch2VecRL(SPACE, embedding=placed(), seed=3)
    asked = run(strategy, 16)
    latent = strategy._latent
    np.testing.assert_array_equal(latent(asked), latent.embedding.vectors(SPACE.canonical(asked)))
    everything = SPACE.enumerate()
    Z, kinds = latent(everything), SPACE.keys(SPACE.canonical(everything))
    (episode,) = strategy._episodes
    assert len(episode) == 15
    told = SPACE.keys(SPACE.canonical(asked))
    for i, step in enumerate(episode, start=1):
        np.testing.assert_allclose(step.state, latent(asked[i - 1 : i])[0])
        left = np.array([kind not in set(told[:i]) for kind in kinds])
        nearest = ((Z[left] - step.action) ** 2).sum(axis=1).min()
        assert ((latent(asked[i : i + 1])[0] - step.action) ** 2).sum() == pytest.approx(nearest)


@pytest.mark.parametrize("target", ["rank", "raw"])
def test_rl_learns_by_the_policy_gradient(target):
    strategy = Arch2VecRL(SPACE, embedding=placed(), steps=4, target=target, seed=5)
    run(strategy, 5)
    before = {k: v.clone() for k, v in strategy._policy.state_dict().items()}
    episode = []
    for _ in range(4):
        g = strategy.ask(1)
        episode = list(strategy._episodes[-1])
        baseline = strategy._baseline
        policy, moments = strategy._policy, json.dumps(len(strategy._optimiser.state))
        strategy.tell(g, worth(g)[:, None])
    assert moments != "0"
    told, scores = strategy._history.genotypes, worth(strategy._history.genotypes)
    row = {key: i for i, key in enumerate(SPACE.keys(told))}
    mine = np.array([scores[row[step.key]] for step in episode])
    if target == "rank":
        mine = np.array([((scores < v).sum() + 0.5 * (scores == v).sum()) / len(scores) for v in mine])
    # The same gradient from torch's own density.
    policy.load_state_dict(before)
    memory, loss = None, 0.0
    for step, reward in zip(episode, mine, strict=True):
        mean, memory = policy(torch.tensor(step.state, dtype=torch.float32), memory)
        density = torch.distributions.Normal(mean, 1.0).log_prob(torch.tensor(step.action, dtype=torch.float32)).sum()
        loss = loss - (reward - baseline) * density / 4
    gradients = torch.autograd.grad(loss, list(policy.parameters()))
    for gradient, parameter in zip(gradients, policy.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad, rtol=1e-3, atol=1e-5)


def test_rl_goes_where_the_reward_is():
    ends = []
    for seed in range(3):
        asked = run(Arch2VecRL(SPACE, embedding=placed(), seed=seed), 320)
        ends.append(worth(asked[-80:]).mean())
    drawn = worth(SPACE.sample(20_000, np.random.default_rng(0))).mean()
    assert np.mean(ends) > drawn + 0.5


def test_an_embedding_serves_networks_of_every_width():
    assert arch2vec_bo(get_space("nasbench201:C=8,N=1"), embedding=placed()).ask(2).shape == (2, 6)


def test_failures_count_as_the_worst():
    told = without_failures(np.array([1.0, -1e300, 3.0, -2.5e300]))
    assert told.tolist() == [1.0, 1.0, 3.0, 1.0]
    assert without_failures(np.full(2, -1e300)).tolist() == [0.0, 0.0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("embedding")
    pretrain("transnas_micro", "arch2vec", epochs=1, cells=40).save(path)
    return path


class TestFolders:
    @pytest.mark.parametrize("name", ["arch2vec-bo", "arch2vec-rl"])
    def test_a_folder_is_an_option(self, name, folder):
        space = get_space("transnas_micro")
        strategy = get_strategy(f"{name}:embedding={folder}", space, seed=1)
        other = get_strategy(f"{name}:embedding={folder}", space, seed=1)
        assert strategy._latent.embedding is other._latent.embedding
        asked = strategy.ask(3)
        assert space.valid(asked).all()
        np.testing.assert_array_equal(other.ask(3), asked)

    @pytest.mark.parametrize("name", ["arch2vec-bo", "arch2vec-rl"])
    def test_an_embedding_of_another_space_is_refused(self, name, folder):
        with pytest.raises(InputError, match=r"of space 'transnas_micro', not 'nasbench201'.*ogive embed train"):
            get_strategy(f"{name}:embedding={folder}", SPACE)

    def test_a_folder_without_one_is_named(self, tmp_path):
        with pytest.raises(OgiveError, match="nowhere"):
            get_strategy(f"arch2vec-bo:embedding={tmp_path / 'nowhere'}", SPACE)

    def test_a_folder_may_be_a_number(self, folder, tmp_path, monkeypatch):
        (tmp_path / "7").symlink_to(folder)
        monkeypatch.chdir(tmp_path)
        assert get_strategy("arch2vec-rl:embedding=7", get_space("transnas_micro")).ask(1).shape == (1, 6)

    @pytest.mark.parametrize("name", ["arch2vec-bo", "arch2vec-rl"])
    def test_a_space_too_large_to_list(self, name, tmp_path):
        space = get_space("nasbench101")
        pretrain(space, "arch2vec", epochs=1, cells=60).save(tmp_path)
        strategy = get_strategy(f"{name}:embedding={tmp_path}" + ",initial=4" * name.endswith("bo"), space, seed=2)
        asked = []
        for _ in range(9):
            g = strategy.ask(1)
            asked.append(space.check(g))
            strategy.tell(g, g.sum(axis=1, dtype=float)[:, None])
        keys = space.keys(space.canonical(np.concatenate(asked)))
        assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("arch2vec-bo:surrogate=tree", "surrogate=gp or dngo or botorch"),
        ("arch2vec-bo:target=log", "target=rank or target=raw"),
        ("arch2vec-rl:target=log", "target=rank or target=raw"),
        ("arch2vec-rl:decay=1", "decay < 1"),
        ("arch2vec-rl:learning_rate=-1", "0 <= learning_rate"),
        ("arch2vec-rl:steps=0", "steps >= 1"),
        ("arch2vec-bo:depth=3", "unknown option"),
    ],
)
def test_bad_options(spec, message):
    with pytest.raises(OgiveError, match=message):
        get_strategy(spec, SPACE)
