"""The operations every space inherits, against brute force, closed forms and chi-square tests."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ogive._errors import ArchStringError, InfeasibleError, InputError, UnknownNameError
from ogive.spaces.base import Choice, Shape, Space, get_space, image_shape

ALPHA = 1e-4
"""A right sampler fails one of these tests once in ten thousand seeds, and the seeds are fixed."""


class Box(Space):
    """A box of any cardinalities, with an optional rule: the codes add up to a multiple of `divisor`."""

    name = "box"

    def __init__(self, cardinalities, divisor=1):
        self.choices = tuple(Choice(f"c{i}", tuple(f"o{k}" for k in range(n))) for i, n in enumerate(cardinalities))
        self.divisor = divisor

    def valid(self, genotypes):
        return np.asarray(genotypes).astype(int).sum(axis=1) % self.divisor == 0


class Nowhere(Box):
    def valid(self, genotypes):
        return np.zeros(len(genotypes), dtype=bool)


def rng(seed=0):
    return np.random.default_rng(seed)


def chi_square_p(rows, expected):
    """P-value of the observed rows under a mapping of row to probability; an impossible row gives 0."""
    seen = dict.fromkeys(expected, 0)
    for row in map(tuple, rows.tolist()):
        if row not in seen:
            return 0.0
        seen[row] += 1
    return stats.chisquare(list(seen.values()), [p * len(rows) for p in expected.values()]).pvalue


boxes = st.builds(
    Box,
    st.lists(st.integers(1, 5), min_size=1, max_size=5),
    st.integers(1, 3),
)


@st.composite
def restricted(draw):
    """A box, and a restriction of it that leaves every choice at least one option."""
    space = draw(boxes)
    kept = [draw(st.sets(st.sampled_from(c.options), min_size=1)) for c in space.choices]
    exclude = {c.name: [o for o in c.options if o not in k] for c, k in zip(space.choices, kept, strict=True)}
    weights = {c.name: {o: draw(st.floats(0.01, 100)) for o in c.options} for c in space.choices if draw(st.booleans())}
    return space, space.restrict(exclude=exclude, weights=weights), kept


@given(restricted(), st.integers(0, 2**32), st.integers(1, 3))
@settings(max_examples=150, deadline=None)
def test_moves_give_valid_rows_inside_any_restriction(case, seed, changes):
    space, narrow, kept = case
    inside = [[c.options.index(o) for o in sorted(k)] for c, k in zip(space.choices, kept, strict=True)]
    by_hand = sorted(p for p in itertools.product(*inside) if sum(p) % space.divisor == 0)
    assert [tuple(r) for r in narrow.enumerate().tolist()] == by_hand
    if not by_hand:
        with pytest.raises(InfeasibleError, match="lock or exclude less"):
            narrow.sample(3, rng(seed))
        return
    anywhere = space.sample(7, rng(seed))
    for rows in (
        narrow.sample(7, rng(seed)),
        narrow.mutate(anywhere, rng(seed), changes),
        narrow.crossover(anywhere, anywhere[::-1], rng(seed)),
        narrow.neighbours(anywhere[0]),
    ):
        assert {tuple(r) for r in rows.tolist()} <= set(by_hand)
    g = np.array(by_hand[0], dtype=space.dtype)
    near = [p for p in by_hand if sum(a != b for a, b in zip(p, g, strict=True)) == 1]
    assert sorted(map(tuple, narrow.neighbours(g).tolist())) == near


@given(boxes, st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_index_strings_and_encodings_round_trip(space, seed):
    everything = np.array(list(itertools.product(*(range(n) for n in space.cardinalities))), dtype=space.dtype)
    assert np.array_equal(space.index(everything), np.arange(space.box))
    assert np.array_equal(space.from_index(np.arange(space.box)), everything)
    ruled = everything[space.valid(everything)]
    assert np.array_equal(space.parse(space.format(ruled)), ruled)
    starts = np.cumsum([0, *space.cardinalities[:-1]])
    decoded = [
        space.encode(ruled)[:, a : a + n].argmax(axis=1) for a, n in zip(starts, space.cardinalities, strict=True)
    ]
    assert np.array_equal(np.array(decoded).T.reshape(ruled.shape), ruled)


@given(st.text(alphabet="o0123-~|+_ \0", max_size=12))
@settings(max_examples=300, deadline=None)
@pytest.mark.parametrize("spec", ["nasbench201", "transnas_micro", "transnas_macro"])
def test_no_text_breaks_a_parser(spec, text):
    with pytest.raises(ArchStringError, match=r"position \d+: "):
        get_space(spec).parse(text)


def test_samples_are_uniform_over_the_valid_genotypes():
    space = Box((3, 2, 4), divisor=2)
    valid = [p for p in itertools.product(range(3), range(2), range(4)) if sum(p) % 2 == 0]
    assert chi_square_p(space.sample(20_000, rng()), dict.fromkeys(valid, 1 / len(valid))) > ALPHA


def test_architectures_that_hardly_any_draw_meets_are_still_found():
    space = Box((4, 4), divisor=3).restrict(weights={"c0": {"o0": 1e-9, "o3": 2e-9}, "c1": {"o1": 1e-9, "o2": 0.0}})
    space = space.restrict(exclude={"c0": ["o2"]})
    # Left are 00 and 03, 30 and 33; a draw meets one with chance 1e-9, and then with these shares.
    expected = {(0, 0): 1 / 6, (0, 3): 1 / 6, (3, 0): 1 / 3, (3, 3): 1 / 3}
    assert chi_square_p(space.sample(3000, rng()), expected) > ALPHA


@pytest.mark.parametrize("exclude", [{}, {"c2": ["o1"]}])
def test_weights_are_the_shares_of_the_samples(exclude):
    space = Box((3, 2, 4)).restrict(weights={"c0": {"o0": 5.0, "o2": 0.5}, "c2": {"o3": 3.0}}, exclude=exclude)
    shares = [np.array([5, 1, 0.5]), np.array([1, 1]), np.array([1, 0 if exclude else 1, 1, 3])]
    expected = {}
    for p in itertools.product(range(3), range(2), range(4)):
        share = np.prod([w[i] / w.sum() for w, i in zip(shares, p, strict=True)])
        if share:
            expected[p] = share
    assert chi_square_p(space.sample(20_000, rng()), expected) > ALPHA


def test_mutation_is_uniform_over_choices_then_options():
    # Choice c1 has one option and never changes; each of the others is picked half of the time.
    space = Box((3, 1, 5))
    parent = np.array([1, 0, 3])
    children = space.mutate(np.tile(parent, (20_000, 1)), rng())
    expected = {(i, 0, 3): 1 / 4 for i in (0, 2)} | {(1, 0, k): 1 / 8 for k in (0, 1, 2, 4)}
    assert chi_square_p(children, expected) > ALPHA


def test_mutation_of_two_choices_picks_every_pair_alike():
    space = Box((2, 2, 2, 2))
    children = space.mutate(np.zeros((20_000, 4), dtype=int), rng(), changes=2)
    pairs = [tuple(int(i in p) for i in range(4)) for p in itertools.combinations(range(4), 2)]
    assert chi_square_p(children, dict.fromkeys(pairs, 1 / 6)) > ALPHA


def test_mutation_follows_weights_among_the_other_options():
    space = Box((4, 1)).restrict(weights={"c0": {"o0": 8.0, "o1": 1.0, "o2": 2.0, "o3": 1.0}})
    children = space.mutate(np.tile([0, 0], (20_000, 1)), rng())
    assert chi_square_p(children, {(1, 0): 0.25, (2, 0): 0.5, (3, 0): 0.25}) > ALPHA


def test_mutation_is_uniform_over_the_valid_children():
    space = Box((3, 3), divisor=2)
    children = space.mutate(np.tile([1, 1], (10_000, 1)), rng(), changes=2)
    assert chi_square_p(children, dict.fromkeys([(0, 0), (0, 2), (2, 0), (2, 2)], 1 / 4)) > ALPHA


def test_a_parent_without_valid_children_is_returned_unchanged():
    # Every single change breaks the parity that the rule asks for.
    space = Box((2, 2, 2), divisor=2)
    parents = space.sample(5, rng())
    assert np.array_equal(space.mutate(parents, rng()), parents)


def test_a_fully_locked_space_has_one_member_and_no_moves():
    space = Box((3, 2)).restrict(lock={"c0": "o2", "c1": "o0"})
    only = np.array([[2, 0]])
    assert np.array_equal(space.enumerate(), only)
    assert np.array_equal(space.mutate(only, rng()), only)
    assert np.array_equal(space.crossover(only, only, rng()), only)
    assert space.neighbours(only[0]).shape == (0, 2)


def test_asking_for_more_changes_than_choices_changes_them_all():
    space = Box((2, 1, 2))
    assert np.array_equal(space.mutate(np.array([[0, 0, 1]]), rng(), changes=9), [[1, 0, 0]])


def test_moves_want_a_batch():
    with pytest.raises(InputError, match=r"batch of shape \(n, 2\), not \(2,\)"):
        Box((3, 3)).mutate(np.array([0, 1]), rng())


def test_crossover_takes_each_choice_from_either_parent_with_equal_chance():
    space = Box((2, 2, 2))
    a, b = np.zeros((20_000, 3), dtype=int), np.ones((20_000, 3), dtype=int)
    expected = dict.fromkeys(itertools.product((0, 1), repeat=3), 1 / 8)
    assert chi_square_p(space.crossover(a, b, rng()), expected) > ALPHA


def test_restrictions_add_up_and_never_give_back():
    space = Box((4, 2))
    narrow = space.restrict(exclude={"c0": "o0"}).restrict(exclude={"c0": ["o1"]}, weights={"c0": {"o0": 9, "o1": 9}})
    assert narrow.enumerate()[:, 0].tolist() == [2, 2, 3, 3]
    once = space.restrict(exclude={"c0": ["o0"]}, weights={"c0": {"o0": 9.0}})
    assert 0 not in once.sample(200, rng())[:, 0]
    with pytest.raises(InputError, match="choice 'c0' has no option left"):
        narrow.restrict(lock={"c0": "o0"})


def test_extreme_weights_neither_break_nor_leak():
    space = Box((3, 2)).restrict(weights={"c0": {"o0": 1e-300, "o1": 1e300, "o2": 0.0}})
    rows = space.sample(500, rng())
    assert set(rows[:, 0]) == {1}
    assert set(space.mutate(rows, rng())[:, 0]) <= {0, 1}


def test_equal_weights_are_no_weights():
    plain, weighted = Box((3, 2)), Box((3, 2)).restrict(weights={"c0": {"o0": 2, "o1": 2, "o2": 2}})
    assert np.array_equal(plain.sample(50, rng()), weighted.sample(50, rng()))


def test_a_space_with_many_locked_choices_can_still_be_listed():
    space = Box([2] * 80).restrict(lock={f"c{i}": "o1" for i in range(70)})
    assert len(space.enumerate()) == 2**10


def test_limits_are_clear_lines():
    with pytest.raises(InputError, match="too many to list"):
        Box([10] * 8).enumerate()
    with pytest.raises(InputError, match="too large to number"):
        Box([2] * 80).index(np.zeros((1, 80), dtype=int))
    with pytest.raises(InputError, match="numbered 0 to 5"):
        Box((2, 3)).from_index(np.array([-1]))
    with pytest.raises(InfeasibleError):
        Nowhere((2, 2)).sample(1, rng())
    with pytest.raises(UnknownNameError, match="did you mean 'c1'"):
        Box((2, 2)).restrict(lock={"c11": "o0"})


def test_a_missing_arch_string_is_named_by_its_row():
    with pytest.raises(InputError, match="architecture string 1 is nan, not text"):
        Box((2, 2)).parse(["o0-o1", float("nan")])
    with pytest.raises(ArchStringError, match=r"position 3: expected an option of 'c1' \(o0, o1\) and then the end"):
        Box((2, 2)).parse("o0-o2")
    with pytest.raises(ArchStringError, match="no architecture of space 'box'"):
        Box((2, 2), divisor=2).parse(["o0-o0", "o0-o1"])


def test_wide_choices_use_a_wider_integer():
    space = Box((300, 2))
    assert space.dtype == np.int16
    assert space.sample(5000, rng())[:, 0].max() > 255
    assert Box((256, 2)).dtype == np.uint8
    assert Box((256, 2)).sample(5000, rng())[:, 0].max() == 255


def test_image_shape_wants_three_axes():
    assert image_shape("s", Shape((3, 8, 9), 2)) == (3, 8, 9)
    with pytest.raises(InputError, match=r"space 's' needs .* have shape \(990,\)"):
        image_shape("s", Shape((990,), 2))


def test_get_space_names_wrong_options():
    with pytest.raises(UnknownNameError, match="nasbench201"):
        get_space("nasbench210")
    with pytest.raises(InputError, match="nasbench201:K=3"):
        get_space("nasbench201:K=3")
    space = get_space("nasbench201")
    assert get_space(space) is space


def test_searching_does_not_import_torch():
    program = """
import json, sys
import numpy as np
from ogive.spaces import SPACES, Shape, get_space
for name in sorted(set(SPACES) - {"template"}):
    space = get_space(name)
    g = space.sample(10, np.random.default_rng(0))
    space.mutate(g, np.random.default_rng(0)); space.canonical(g); space.graph(g); space.count(g, Shape((3, 8, 8), 2))
print(json.dumps("torch" in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) is False
