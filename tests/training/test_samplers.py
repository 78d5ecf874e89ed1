"""Fair sampling is fair to the last update, uniform sampling uniform by a chi-square test, guided what it is told."""

from __future__ import annotations

import json
from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, chisquare

from ogive._errors import InputError, UnknownNameError
from ogive.spaces.base import Choice, Space, get_space
from ogive.training.samplers import SAMPLERS, get_sampler

NB201 = get_space("nasbench201:C=4,N=1")


class Uneven(Space):
    """Choices of two, five and three options."""

    name = "uneven"
    choices = tuple(Choice(name, tuple("12345"[:n])) for name, n in (("x", 2), ("y", 5), ("z", 3)))


class Ruled(Uneven):
    """The same without the combinations of equal codes in x and z."""

    name = "ruled"

    def valid(self, genotypes):
        return np.asarray(genotypes)[:, 0] != np.asarray(genotypes)[:, 2]


def counts(space, paths):
    """Draws of every option of every choice, by plain counting."""
    return [np.bincount(paths[:, c], minlength=len(choice.options)).tolist() for c, choice in enumerate(space.choices)]


def draw(sampler, steps):
    return np.concatenate([sampler.paths(step) for step in steps])


# -------------------------------------------------------------------- fair


def test_a_fair_step_uses_every_option_once():
    sampler = get_sampler("fair", NB201, seed=3)
    for step in range(20):
        paths = sampler.paths(step)
        assert paths.shape == (5, 6)
        assert counts(NB201, paths) == [[1] * 5] * 6
    orders = {tuple(sampler.paths(step)[:, 0]) for step in range(20)}
    assert len(orders) > 10
    assert not np.array_equal(sampler.paths(0)[:, 0], sampler.paths(0)[:, 1])


@given(seed=st.integers(0, 99), first=st.integers(0, 1000), data=st.data())
@settings(max_examples=60, deadline=None)
def test_options_of_a_choice_never_differ_by_more_than_one_and_are_equal_after_a_cycle(seed, first, data):
    """Also with unequal choices, under any restriction, from any step on."""
    space = Uneven()
    keep = [data.draw(st.sets(st.sampled_from(c.options), min_size=1)) for c in space.choices]
    space = space.restrict(exclude={c.name: set(c.options) - k for c, k in zip(space.choices, keep, strict=True)})
    sampler = get_sampler("fair", space, seed=seed)
    widest = max(map(len, keep))
    cycle = next(n for n in count(1) if all(n * widest % len(k) == 0 for k in keep))
    for steps in (1, 2, 3, cycle):
        paths = draw(sampler, range(first, first + steps))
        assert len(paths) == steps * widest
        assert space.permits(paths).all()
        for choice, kept, found in zip(space.choices, keep, counts(space, paths), strict=True):
            used = [n for option, n in zip(choice.options, found, strict=True) if option in kept]
            assert max(used) - min(used) <= (0 if steps == cycle else 1)
            assert sum(used) == len(paths)


def test_with_a_rule_fair_paths_are_valid_and_still_equal_where_the_rule_allows_it():
    space = Ruled()
    sampler = get_sampler("fair", space, seed=1)
    paths = draw(sampler, range(60))
    assert space.valid(paths).all()
    assert counts(space, paths) == [[150, 150], [60] * 5, [100] * 3]


def test_where_a_rule_forbids_fairness_paths_are_valid_all_the_same():
    """In NAS-Bench-101 two complementary graphs have 21 edges between them, and 9 each are allowed."""
    space = get_space("nasbench101")
    paths = draw(get_sampler("fair", space), range(10))
    assert len(paths) == 30
    assert space.valid(paths).all()


# -------------------------------------------------------------------- uniform


@pytest.mark.parametrize(
    "space",
    [
        NB201,
        NB201.restrict(lock={"0->1": "none"}, exclude={"2->3": ["none", "avg_pool_3x3"]}),
        Uneven(),
        Uneven().restrict(exclude={"y": ["3"]}),
    ],
    ids=["cell", "cell, restricted", "uneven", "uneven, restricted"],
)
def test_uniform_draws_each_allowed_option_equally_often(space):
    """P27: chi-square over 20,000 draws, all choices together, and no option outside the restriction."""
    paths = draw(get_sampler("uniform:paths=10", space, seed=5), range(2000))
    statistic, freedom = 0.0, 0
    for row, found in zip(space.restriction.allowed, counts(space, paths), strict=True):
        allowed = row[: len(found)]
        assert not np.array(found)[~allowed].any()
        statistic += chisquare(np.array(found)[allowed]).statistic
        freedom += int(allowed.sum()) - 1
    assert chi2.sf(statistic, freedom) > 0.001


def test_a_step_of_a_single_path_is_a_function_of_seed_and_step():
    one, two = get_sampler("uniform", NB201, seed=2), get_sampler("uniform", NB201, seed=2)
    assert one.paths(0).shape == (1, 6)
    np.testing.assert_array_equal(draw(one, range(50)), draw(two, reversed(range(50)))[::-1])
    assert not np.array_equal(draw(one, range(50)), draw(get_sampler("uniform", NB201, seed=3), range(50)))


# -------------------------------------------------------------------- guided


@pytest.mark.parametrize("share", [0.5, 0.75, 1.0])
def test_guided_draws_from_the_weights_and_keeps_its_fair_share(share):
    sampler = get_sampler(f"guided:fair={share}", Uneven(), seed=4)
    sampler.weights = np.array([[1, 3, 0, 0, 0], [0, 0, 0, 1, 0], [1, 1, 2, 0, 0]], dtype=float)
    every = [sampler.paths(step) for step in range(4000)]
    assert {len(paths) for paths in every} == {5}
    # Only a fair step uses all five options of y.
    fair = np.array([len(set(paths[:, 1])) == 5 for paths in every])
    assert fair.sum() == share * 4000
    x, y, z = counts(Uneven(), np.concatenate([p for p, f in zip(every, fair, strict=True) if f]))
    assert max(x) == min(x)
    assert max(y) == min(y)
    assert max(z) - min(z) <= 1
    if share < 1:
        x, y, z = counts(Uneven(), np.concatenate([p for p, f in zip(every, fair, strict=True) if not f]))
        n = sum(x)
        assert chisquare(x, np.array([1, 3]) * n / 4).pvalue > 0.001
        assert y == [0, 0, 0, n, 0]
        assert chisquare(z, np.array([1, 1, 2]) * n / 4).pvalue > 0.001


def test_guided_never_leaves_the_restriction_and_takes_its_weights_back():
    space = Uneven().restrict(exclude={"y": ["4"]})
    sampler = get_sampler("guided", space, seed=4)
    before = draw(sampler, range(20))
    sampler.weights = np.ones((3, 5)) * [1, 1, 1, 9, 9]
    assert not (draw(sampler, range(200))[:, 1] == 3).any()
    other = get_sampler("guided", space, seed=4)
    np.testing.assert_array_equal(draw(other, range(20)), before)
    other.restore(json.loads(json.dumps(sampler.state())))
    np.testing.assert_array_equal(draw(other, range(50)), draw(sampler, range(50)))
    other.restore(json.loads(json.dumps(get_sampler("guided", space).state())))
    np.testing.assert_array_equal(draw(other, range(20)), before)


# -------------------------------------------------------------------- by name


@pytest.mark.parametrize("name", SAMPLERS.builtin)
def test_a_new_restriction_is_honoured_from_the_next_step_on(name):
    sampler = get_sampler("progressive:steps=30" if name == "progressive" else name, Uneven(), seed=0)
    draw(sampler, range(5))
    sampler.space = Uneven().restrict(lock={"x": "2"}, exclude={"y": ["1", "5"]})
    assert sampler.space.permits(draw(sampler, range(5, 40))).all()


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("fare", UnknownNameError, "did you mean 'fair'"),
        ("uniform:path=2", UnknownNameError, "unknown option of sampler 'uniform' 'path'; did you mean 'paths'"),
        ("fair:paths=2", UnknownNameError, "unknown option of sampler 'fair'"),
        ("uniform:paths=0", InputError, "needs a whole number paths >= 1, not 0"),
        ("guided:fair=0.4", InputError, r"needs a number fair in \[0.5, 1\], not 0.4"),
        ("guided:fair=true", InputError, r"needs a number fair in \[0.5, 1\], not True"),
    ],
)
def test_what_cannot_be_is_said(spec, error, message):
    with pytest.raises(error, match=message):
        get_sampler(spec, NB201)
