"""Maps of embeddings: projection and figures against scikit-learn and brute force, the page by what it says."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import norm, rankdata
from sklearn.decomposition import PCA

from ogive._errors import InputError
from ogive.methods._embedding_map import embedding_map, neighbour_gap, project, twin_distance
from ogive.predictors.graph_autoencoder import pretrain

SMALL = {"cells": 40, "epochs": 1}


@pytest.fixture(scope="module")
def embedding():
    return pretrain("nasbench201", "masked", **SMALL)


@pytest.mark.parametrize("columns", [2, 5])
def test_projection_is_that_of_scikit_learn_up_to_signs(columns):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, columns)) @ rng.standard_normal((columns, columns)) + 3
    points, shares = project(X)
    known = PCA(2).fit(X)
    theirs = known.transform(X)
    np.testing.assert_allclose(points * np.sign((points * theirs).sum(axis=0)), theirs, atol=1e-9)
    np.testing.assert_allclose(shares, known.explained_variance_ratio_, atol=1e-12)


def test_projection_does_not_turn_with_the_order_of_rows():
    X = np.random.default_rng(1).standard_normal((50, 4))
    np.testing.assert_allclose(project(X[::-1])[0], project(X)[0][::-1], atol=1e-9)


def test_a_single_column_has_no_second_component():
    points, shares = project(np.arange(5.0)[:, None])
    np.testing.assert_allclose(points, np.stack([np.arange(5) - 2, np.zeros(5)], axis=1))
    np.testing.assert_allclose(shares, [1, 0])


def test_gap_is_that_of_brute_force():
    rng = np.random.default_rng(2)
    X, values = rng.standard_normal((300, 3)), rng.standard_normal(300)
    values += 2 * X[:, 0]
    near = cdist(X, X).argsort(axis=1)[:, 1:11]
    scores = norm.ppf((rankdata(values) - 0.5) / 300)
    random = np.abs(scores[:, None] - scores).mean()
    known = np.abs(scores[near] - scores[:, None]).mean() / random
    assert known < 0.8
    assert neighbour_gap(X, values) == pytest.approx(known, rel=0.1)


def test_gap_is_one_where_the_map_says_nothing_and_unknown_where_all_are_equal():
    rng = np.random.default_rng(3)
    X = rng.standard_normal((2000, 4))
    assert neighbour_gap(X, rng.standard_normal(2000)) == pytest.approx(1, abs=0.05)
    assert np.isnan(neighbour_gap(X, np.ones(2000)))


def test_many_rows_on_one_point_are_neighbours_of_one_another():
    X = np.repeat([[0.0], [1.0]], 30, axis=0)
    assert neighbour_gap(X, np.repeat([1.0, 2.0], 30)) == 0


def test_equal_cells_are_as_far_apart_as_they_are():
    rng = np.random.default_rng(4)
    centres = rng.standard_normal((4000, 3))
    kinds = np.repeat(np.arange(4000), 2)
    apart = centres[kinds] + 0.1 * rng.standard_normal((8000, 3))
    # Two draws of variance 0.01 against two of variance 1.01.
    assert twin_distance(apart, kinds) == pytest.approx(np.sqrt(0.01 / 1.01), rel=0.05)
    assert twin_distance(centres[kinds], kinds) == 0
    assert np.isnan(twin_distance(centres, np.arange(4000)))


def test_the_page_shows_each_architecture_with_its_value(embedding, tmp_path):
    genotypes = embedding.space.sample(50, np.random.default_rng(0))
    values = np.arange(50.0)
    values[[7, 9]] = np.nan
    text = embedding_map(embedding, genotypes, values, "a<b", tmp_path / "map.html").read_text(encoding="utf-8")
    archs = embedding.space.format(genotypes)
    drawn = re.findall(r'class="dot (v\d|unknown)" [^>]*><title>([^\n]*)\n([^<]*)</title>', text)
    tenth = {
        i: f"v{int(np.searchsorted(np.nanquantile(values, np.linspace(0.1, 0.9, 9)), i, 'right'))}" for i in range(50)
    }
    assert sorted(drawn) == sorted(
        ("unknown", arch, "a&lt;b –") if i in (7, 9) else (tenth[i], arch, f"a&lt;b {i}")
        for i, arch in enumerate(archs)
    )
    around = text[text.index("Around the highest") :]
    assert around.index(archs[49]) < around.index("</tr>", around.index("<tbody>"))
    assert "a<b" not in text
    assert not re.search(r"(src|href)=|<script", text), "the page loads nothing"


def test_members_of_a_class_are_drawn_together(embedding, tmp_path):
    genotypes = embedding.space.enumerate()
    page = embedding_map(embedding, genotypes, genotypes.sum(axis=1) * 1.0, "sum", tmp_path / "map.html")
    text = page.read_text(encoding="utf-8")
    spots = re.findall(r'class="member c(\d)" cx="([\d.]+)" cy="([\d.]+)"', text)
    assert {colour for colour, _, _ in spots} == set("012345")
    assert len(spots) > 60
    assert len(set(spots)) == 6, "the masked encoder gives equal cells one point"
    assert "<b>6,466</b>" in text


def test_too_few_values_are_refused(embedding, tmp_path):
    genotypes = embedding.space.sample(4, np.random.default_rng(0))
    with pytest.raises(InputError, match="'accuracy' of at least 3 architectures, not 2"):
        embedding_map(embedding, genotypes, np.array([1, 2, np.nan, np.inf]), "accuracy", tmp_path / "map.html")
