"""Noise floors, ranks and critical differences against published figures, SciPy and brute force."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import friedmanchisquare, norm, studentized_range

from ogive.metrics.tables import Column, Table
from ogive.spaces.nasbench201 import NASBench201
from ogive.study.bench_stats import critical_difference, noise_floor, rank_strategies
from ogive.testing.strategy import Box


@pytest.mark.parametrize(("column", "expected"), [("cifar100", 0.44), ("ninapro", 1.63), ("darcy", 0.0199)])
def test_noise_floors_are_those_measured_independently(shared, column, expected):
    space = NASBench201()
    data = np.load(shared / "nb360_nb201_tables.npz", allow_pickle=False)
    values = data[f"acc_{column}"].astype(float)
    table = Table("nb360", space, space.from_index(space.official()), [Column(column)], values[None])
    assert float(f"{noise_floor(table, column):.3g}") == pytest.approx(expected, abs=0.0051 if expected > 0.1 else 1e-9)
    # The file's own list of representatives gives the same groups.
    groups = [values[data["rep"] == r] for r in np.unique(data["rep"])]
    several = [g for g in groups if len(g) > 1]
    assert len(several) == 1350
    pooled = sum(((g - g.mean()) ** 2).sum() for g in several) / sum(len(g) - 1 for g in several)
    assert noise_floor(table, column) == pytest.approx(np.sqrt(pooled))


def test_noise_floor_leaves_out_holes_and_knows_when_there_is_none():
    space = NASBench201()
    everything = space.enumerate()
    same = space.index(space.canonical(everything))
    first, second, third = np.flatnonzero(same == np.bincount(same).argmax())[:3]
    rows = [first, second, third, int(np.flatnonzero(np.bincount(same, minlength=len(same))[same] == 1)[0])]
    table = Table("few", space, everything[rows], [Column("v")], np.array([[1.0, 3.0, np.nan, 99.0]]))
    assert noise_floor(table, "v") == pytest.approx(np.sqrt(2))
    alone = Table("two", space, everything[rows[2:]], [Column("v")], np.array([[1.0, 3.0]]))
    assert noise_floor(alone, "v") is None
    box = Box()
    assert noise_floor(Table("box", box, box.enumerate(), [Column("v")], np.arange(81.0)[None]), "v") is None


def test_critical_differences_are_the_published_ones():
    # Demsar 2006, table 5(a), two-tailed Nemenyi test at 0.05, and the example of section 3.2.
    published = {2: 1.960, 3: 2.343, 4: 2.569, 5: 2.728, 6: 2.850, 7: 2.949, 8: 3.031, 9: 3.102, 10: 3.164}
    for k, q in published.items():
        assert critical_difference(k, 14) == pytest.approx(q * np.sqrt(k * (k + 1) / (6 * 14)), abs=1e-3)
        exact = studentized_range.isf(0.05, k, 1e7) / np.sqrt(2) * np.sqrt(k * (k + 1) / (6 * 30))
        assert critical_difference(k, 30) == pytest.approx(exact, rel=1e-4)
    assert round(critical_difference(4, 14), 2) == 1.25


@given(st.integers(0, 10_000), st.integers(3, 6), st.integers(3, 30), st.sampled_from([2, 5, 1000]))
def test_friedman_is_scipys(seed, k, n, levels):
    values = np.random.default_rng(seed).integers(levels, size=(n, k)).astype(float)
    ranking = rank_strategies(values, [f"s{i}" for i in range(k)], 7)
    if (values == values[:, :1]).all():
        assert (ranking.statistic, ranking.p) == (0.0, 1.0)
        return
    expected = friedmanchisquare(*values.T)
    assert ranking.statistic == pytest.approx(expected.statistic, abs=1e-9)
    assert ranking.p == pytest.approx(expected.pvalue, abs=1e-9)
    assert ranking.blocks == n
    # Average ranks by counting who is better and who is level.
    better = (values[:, None, :] < values[:, :, None]).sum(axis=2)
    level = (values[:, None, :] == values[:, :, None]).sum(axis=2)
    assert list(ranking.average.values()) == pytest.approx((better + (level + 1) / 2).mean(axis=0))


@given(st.integers(0, 10_000), st.integers(2, 7), st.integers(2, 12))
def test_groups_and_holm_by_brute_force(seed, k, n):
    rng = np.random.default_rng(seed)
    ranking = rank_strategies(rng.normal(size=(n, k)) + rng.normal(size=k), [f"s{i}" for i in range(k)], 7)
    average = ranking.average
    alike = [
        set(names)
        for size in range(2, k + 1)
        for names in combinations(average, size)
        if max(average[a] for a in names) - min(average[a] for a in names) < ranking.cd
    ]
    maximal = [g for g in alike if not any(g < other for other in alike)]
    assert sorted(map(sorted, ranking.groups)) == sorted(map(sorted, maximal))
    for group in ranking.groups:
        assert [average[s] for s in group] == sorted(average[s] for s in group)
    # Holm: the m-th smallest probability times the number left, never below the one before.
    error = np.sqrt(k * (k + 1) / (6 * n))
    single = {(a, b): 2 * norm.sf(abs(average[a] - average[b]) / error) for a, b in combinations(average, 2)}
    expected, before = {}, 0.0
    for m, pair in enumerate(sorted(single, key=single.get)):
        before = max(before, min(1.0, single[pair] * (len(single) - m)))
        expected[pair] = before
    assert {(a, b): p for a, b, p in ranking.holm} == pytest.approx(expected)
