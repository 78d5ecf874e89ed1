"""Scaled features: fixed by the space, equal for architectures that compute the same."""

from __future__ import annotations

import numpy as np
import pytest

from ogive._errors import InputError, StorageError
from ogive.predictors.features import Features
from ogive.predictors.graph_autoencoder import pretrain
from ogive.spaces.base import get_space
from ogive.strategies.base import get_strategy


@pytest.mark.parametrize("encoding", ["functional", "onehot", "ordinal"])
@pytest.mark.parametrize("name", ["nasbench201", "transnas_micro", "transnas_macro"])
def test_scale_is_common_and_ignores_the_restriction(name, encoding):
    space = get_space(name)
    genotypes = space.sample(500, np.random.default_rng(3))
    features = Features(space, encoding)
    X = features(genotypes)
    assert X.shape == (500, len(features.groups))
    assert X.dtype == np.float64
    for group in np.unique(features.groups):
        assert 0.3 < np.sqrt((X[:, features.groups == group].var(axis=0)).mean()) < 1.5
    choice = space.choices[1]
    locked = space.restrict(lock={choice.name: choice.options[1]})
    np.testing.assert_array_equal(Features(locked, encoding)(genotypes), X)


def test_short_paths_weigh_more_than_long_ones():
    space = get_space("nasbench201")
    one = space.parse(["|nor_conv_3x3~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|"])
    three = space.parse(["|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|nor_conv_3x3~2|"])
    nothing = space.parse(["|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"])
    features = Features(space)
    paths = features.groups == 0
    distance = [np.linalg.norm((features(g) - features(nothing))[:, paths]) for g in (one, three)]
    assert distance[0] == pytest.approx(4 * distance[1])


def test_vectors_of_an_embedding_are_features_and_an_encoding_of_bo(tmp_path):
    space = get_space("nasbench201")
    embedding = pretrain(space, cells=40, epochs=1)
    embedding.save(tmp_path / "learned")
    genotypes = space.sample(300, np.random.default_rng(1))
    X = Features(space, f"embedding:{tmp_path / 'learned'}")(genotypes)
    assert X.shape == (300, 16)
    assert np.abs(np.corrcoef(X.T, embedding.vectors(genotypes).T)[:16, 16:].diagonal()).min() > 1 - 1e-5
    assert 0.8 < X.std(axis=0).min() < X.std(axis=0).max() < 1.2
    strategy = get_strategy(f"bo:initial=4,encoding=embedding:{tmp_path / 'learned'}", space, seed=0)
    for _ in range(6):
        asked = strategy.ask(1)
        strategy.tell(asked, asked.sum(axis=1, keepdims=True).astype(np.float64))


def test_an_embedding_trained_anew_is_read_anew_and_one_of_another_space_is_refused(tmp_path):
    space = get_space("nasbench201")
    genotypes = space.sample(5, np.random.default_rng(1))
    seen = []
    for seed in (0, 1):
        pretrain(space, cells=40, epochs=1, seed=seed).save(tmp_path)
        seen.append(Features(space, f"embedding:{tmp_path}")(genotypes))
    assert np.abs(seen[0] - seen[1]).max() > 0.01
    with pytest.raises(InputError, match="the embedding is of space 'nasbench201', not 'transnas_micro'"):
        Features(get_space("transnas_micro"), f"embedding:{tmp_path}")
    with pytest.raises(StorageError):
        Features(space, f"embedding:{tmp_path / 'nothing'}")
