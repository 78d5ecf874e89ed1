"""Scaled features: fixed by the space, equal for architectures that compute the same."""

from __future__ import annotations

import numpy as np
import pytest

from ogive.predictors.features import Features
from ogive.spaces.base import get_space


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
