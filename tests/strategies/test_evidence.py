"""Evidence is what its formulas say, in numbers worked out by hand or by a loop."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from ogive._errors import InfeasibleError, InputError
from ogive.spaces.base import get_space
from ogive.spaces.template import Template
from ogive.strategies.evidence import assemble, fitness, gather, rewards, suggestions
from ogive.testing.strategy import Box, Ruled

BRANCHES = Path(__file__).parents[2] / "examples" / "templates" / "branches.yaml"


def evaluations(n=60, seed=0):
    """Random architectures of the box, worth 1 for option a of the first choice plus noise."""
    space, rng = Box(), np.random.default_rng(seed)
    g = space.sample(n, rng)
    return space, g, (g[:, 0] == 0) + rng.normal(0, 0.3, n)


def test_rewards_are_mid_rank_percentiles_of_each_epoch():
    values = np.array([5.0, -np.inf, 7.0, 7.0, 1000.0, 999.0, 3.0])
    np.testing.assert_allclose(rewards(values[:4]), [0.375, 0.125, 0.75, 0.75])
    np.testing.assert_allclose(
        rewards(values, np.array([0, 0, 0, 0, 4, 4, 9])), [0.375, 0.125, 0.75, 0.75, 0.75, 0.25, 0.5]
    )
    with pytest.raises(InputError, match="NaN"):
        rewards(np.array([1.0, np.nan]))


def test_fitness_starts_at_a_half_and_counts_weights():
    parts = np.array([[1, 0, 0], [1, 1, 0]], dtype=bool)
    found = fitness(parts, np.array([0.75, 0.25]), np.array([[1.0], [0.5]]))
    np.testing.assert_allclose(found, [(1 + 0.75 + 0.125) / 3.5, (1 + 0.125) / 2.5, 0.5])


def test_contrast_and_interval_are_those_of_a_loop_over_parts_and_resamples():
    space, g, values = evaluations()
    weights = np.random.default_rng(1).random(len(g))
    found = gather(space, g, values, weights=weights, seed=3)
    reward, parts = rewards(values), space.parts(g)
    counts = np.random.Generator(np.random.PCG64(3)).multinomial(60, np.full(60, 1 / 60), size=200)

    def contrast(i, times):
        w, choice = weights * times, i // 3
        has = g[:, choice] == i % 3
        return np.average(reward[has], weights=w[has]) - np.average(reward[~has], weights=w[~has])

    for i in range(12):
        assert found.n[i] == parts[:, i].sum()
        assert found.contrast[i] == pytest.approx(contrast(i, np.ones(60)))
        low, high = np.quantile([contrast(i, c) for c in counts], [0.05, 0.95])
        assert (found.low[i], found.high[i]) == pytest.approx((low, high))


def test_the_interval_of_a_contrast_covers_it_about_as_often_as_it_says():
    """Truth: without noise in the draw, the mean over all architectures of the box."""
    space = Box()
    everything = space.enumerate()
    worth = everything @ np.array([3.0, 2.0, 1.0, 0.5]) + np.random.default_rng(0).normal(0, 1, 81)
    all_rewards = rewards(worth)
    truth = np.array([all_rewards[p].mean() - all_rewards[~p].mean() for p in space.parts(everything).T])
    covered = []
    for seed in range(60):
        at = np.random.default_rng(seed).integers(0, 81, 150)
        found = gather(space, everything[at], worth[at], seed=seed)
        covered.append((found.low <= truth) & (truth <= found.high))
    assert 0.84 <= np.mean(covered) <= 0.95


def test_what_is_not_known_is_none_in_records():
    space = Box()
    records = gather(space, space.parse(["0000"])[:0], np.empty(0)).to_dict()
    assert records[0] == {
        "choice": "c0", "option": "a", "n": 0, "fitness": 0.5, "contrast": None, "low": None, "high": None
    }  # fmt: skip
    exposed = gather(
        space, space.parse(["0000", "0000"]), np.array([1.0, 2.0]), exposure=np.arange(12).reshape(4, 3)
    ).to_dict()
    assert [r["exposure"] for r in exposed] == list(range(12))
    assert [r["contrast"] for r in exposed] == [None] * 12
    json.dumps(exposed, allow_nan=False)


def test_an_option_is_suggested_only_where_all_conditions_hold():
    space, g, values = evaluations()
    found = suggestions(space, gather(space, g, -values), g, -values)
    assert [(s.choice, s.option) for s in found] == [("c0", "a")]
    (told,) = found
    assert told.high < 0
    assert told.fitness <= told.sibling_fitness - 0.2
    assert (told.removes, told.share) == (27, 1 / 3)
    assert told.best == max(np.flatnonzero(g[:, 0] == 0), key=lambda i: -values[i])
    locked = space.restrict(lock={"c0": "a"})
    assert suggestions(locked, gather(space, g, -values), g, -values) == []
    few = np.concatenate([np.flatnonzero(g[:, 0] == 0)[:2], np.flatnonzero(g[:, 0] != 0)])
    found = suggestions(space, gather(space, g[few], -values[few]), g[few], -values[few])
    assert ("c0", "a") not in [(s.choice, s.option) for s in found]
    noise = np.random.default_rng(5).normal(size=60)
    assert suggestions(space, gather(space, g, noise), g, noise) == []


def test_removed_genotypes_are_those_that_excluding_takes_away_also_of_sets():
    space = Template.load(BRANCHES)
    g = space.canonical(space.enumerate())
    values = -space.parts(g)[:, 0].astype(float) + 0.01 * np.arange(len(g)) / len(g)
    (told, *_) = suggestions(space, gather(space, g, values), g, values)
    assert (told.choice, told.option) == ("branch", "deep")
    assert told.removes == len(space.enumerate()) - len(space.steer(exclude=["deep"]).enumerate())


def test_assembled_is_the_fittest_option_of_every_choice_that_is_allowed():
    space = Box()
    g = space.enumerate()
    order = np.array([[2, 0, 1], [0, 1, 2], [1, 2, 0], [0, 2, 1]])
    values = order[np.arange(4), g].sum(axis=1).astype(float)
    evidence = gather(space, g, values)
    assert space.format(assemble(space, evidence)[0]) == "0211"
    assert space.format(assemble(space.restrict(exclude={"c1": ["c"]}), evidence)[0]) == "0111"
    ruled = Ruled()
    same = np.array([[k, k, 0, 0] for k in range(3)])
    with pytest.raises(InfeasibleError):
        assemble(ruled, gather(ruled, same, np.arange(3.0)))


def test_parts_of_a_plain_space_are_its_options():
    space = get_space("nasbench201")
    g = space.sample(50, np.random.default_rng(0))
    np.testing.assert_array_equal(space.parts(g), space.encode(g))
    assert space.part_names[7] == (space.choices[1].name, space.choices[1].options[2])


def test_parts_of_a_drawing_are_live_nodes_and_edges():
    space = Template.load(BRANCHES)
    assert space.part_names == (
        ("branch", "deep"), ("branch", "wide"), ("branch", "pooled"), ("stem->all", "off"), ("stem->all", "on")
    )  # fmt: skip
    archs = ["deep+wide-off", "pooled-on"]
    np.testing.assert_array_equal(space.parts(space.parse(archs)), [[1, 1, 0, 1, 0], [0, 0, 1, 0, 1]])
    sets = [set(name.split("+")) for name in space.choices[0].options]
    members = ["deep", "wide", "pooled"]
    np.testing.assert_array_equal(space.part_sets[0], [[m in s for m in members] for s in sets])
    assert space.part_choices.tolist() == [0, 0, 0, 1, 1]
    codes = space.enumerate()
    by_option = np.zeros((2, 7), dtype=np.int64)
    np.add.at(by_option, (np.arange(2), codes), 1)
    held = [sum(m in space.choices[0].options[k].split("+") for k, _ in codes.tolist()) for m in members]
    np.testing.assert_array_equal(space.by_part(by_option), [*held, 7, 7])


def test_a_dead_alternative_is_no_part():
    nodes = [
        {"id": "image", "op": "input"},
        *({"id": name, "op": "identity"} for name in ("a", "b", "x", "y")),
        {"id": "classes", "op": "output"},
    ]
    space = Template(
        {
            "nodes": nodes,
            "groups": [{"id": "g", "options": ["a", "b"]}, {"id": "h", "options": ["x", "y"]}],
            "edges": [
                ["image", "g"],
                ["g", "classes"],
                ["image", "h"],
                {"from": "h", "to": "classes", "optional": True},
            ],
        }
    )
    g = space.enumerate()
    found = {tuple(row) for row in space.parts(g).tolist()}
    assert found == {(a, not a, x and on, not x and on, not on, on) for a, x, on in product((False, True), repeat=3)}
