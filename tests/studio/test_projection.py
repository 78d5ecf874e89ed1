"""Places on the map, against closed forms and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import subspace_angles
from scipy.spatial import procrustes
from scipy.spatial.distance import cdist, pdist, squareform

from ogive import space
from ogive._errors import UnknownNameError
from ogive.studio.engines import Engine
from ogive.studio.graph import parts, shown_parts
from ogive.studio.projection import Principal, Scaled, jaccard, projected, projection
from ogive.studio.reading import Reading
from tests.studio.runs import SMALL, cell_run


@pytest.fixture(scope="module")
def reading(tmp_path_factory):
    folder = cell_run(tmp_path_factory.mktemp("projection") / "cells", 40)
    found = Reading(folder, "cells", Engine(folder))
    found.update()
    return found


def random_sets(n, width, seed=0, share=0.3):
    return np.random.default_rng(seed).random((n, width)) < share


def test_distinct_variances_give_the_principal_components():
    rng = np.random.default_rng(3)
    design = rng.random((2000, 9)) < np.array([0.5, 0.2, 0.08, 0.05, 0.04, 0.03, 0.02, 0.02, 0.01])
    found = Principal.of(design, [f"part {i}" for i in range(9)])
    centred = design - design.mean(axis=0)
    _, singular, right = np.linalg.svd(centred, full_matrices=False)
    assert subspace_angles(found.axes, right[:2].T).max() < 1e-9
    assert found.axes.T @ found.axes == pytest.approx(np.eye(2), abs=1e-12)
    assert found.share == pytest.approx((singular**2 / (singular**2).sum())[:2])
    assert found.place(design) == pytest.approx(centred @ found.axes)


def test_equal_groups_share_the_variance_equally():
    """Six choices of five options each: 24 directions with a 24th of the variance, 1/5 each, and six with none."""
    cells = space("nasbench201")
    found = projection(cells, "pca").axes
    assert found.share == pytest.approx([1 / 24, 1 / 24], rel=0.1)
    every = parts(cells, cells.from_index(np.arange(cells.size)))
    assert found.place(every).var(axis=0) == pytest.approx([1 / 5, 1 / 5], rel=0.1)
    # No direction loads on the sum of a choice's options, which never varies.
    assert found.axes.reshape(6, 5, 2).sum(axis=1) == pytest.approx(np.zeros((6, 2)), abs=1e-9)
    assert len(np.unique(found.place(every).round(5), axis=0)) == cells.size


def test_jaccard_is_that_of_scipy():
    a, b = random_sets(40, 12, 1), random_sets(30, 12, 2)
    a[0] = b[0] = False
    assert jaccard(a, b)[1:, 1:] == pytest.approx(cdist(a, b, "jaccard")[1:, 1:])
    assert jaccard(a, b)[0, 0] == 0


def test_landmarks_lie_where_classical_scaling_puts_them():
    rows = np.unique(random_sets(60, 10), axis=0)
    found = Scaled.of(rows)
    distances = squareform(pdist(rows, "jaccard"))
    centring = np.eye(len(rows)) - 1 / len(rows)
    values, vectors = np.linalg.eigh(-0.5 * centring @ distances**2 @ centring)
    wanted = vectors[:, [-1, -2]] * np.sqrt(values[[-1, -2]])
    assert procrustes(wanted, found.place(rows))[2] < 1e-20
    assert found.place(rows).std(axis=0) == pytest.approx(wanted.std(axis=0))
    assert found.share == pytest.approx(values[[-1, -2]] / values[values > 0].sum())


def test_distances_that_lie_in_a_plane_come_back():
    """Sets that grow one by one have Jaccard distances 1 - i/j; three of them always fit into a plane exactly."""
    chain = np.tril(np.ones((3, 3), dtype=bool))
    assert pdist(Scaled.of(chain).place(chain)) == pytest.approx(pdist(chain, "jaccard"))


@pytest.mark.parametrize("rows", [np.ones((1, 4), dtype=bool), np.eye(2, dtype=bool)])
def test_too_few_landmarks_leave_an_axis_flat(rows):
    places = Scaled.of(rows).place(rows)
    assert places.shape == (len(rows), 2)
    assert places[:, 1] == pytest.approx(0)
    assert np.ptp(places[:, 0]) == pytest.approx(len(rows) - 1)


@pytest.mark.parametrize("kind", ["pca", "mds"])
def test_a_lock_moves_no_candidate(kind):
    drawn = space(f"template:path={SMALL}")
    group = drawn.groups[0]
    locked = drawn.restrict(lock={group.id: group.options[0]})
    genotypes = drawn.sample(50, np.random.default_rng(5))
    before, after = projection(drawn, kind), projection(locked, kind)
    assert before.basis == after.basis
    rows = parts(drawn, genotypes)
    assert before.axes.place(rows).tolist() == after.axes.place(rows).tolist()


def test_axes_turn_little_where_an_option_is_added():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (20000, 8))
    names = [f"{group}/{option}" for group in range(8) for option in range(5)]
    wide = np.eye(5, dtype=bool)[codes]
    wide[:, 0] = np.eye(5, dtype=bool)[rng.integers(0, 5, 20000)]
    small = [i for i, name in enumerate(names) if not name.endswith("/4")]
    before = Principal.of(np.eye(4, dtype=bool)[codes].reshape(20000, -1), [names[i] for i in small])
    after = Principal.of(wide.reshape(20000, -1), names)
    assert np.abs((before.axes * after.axes[small]).sum(axis=0)) == pytest.approx([1, 1], abs=0.05)


@pytest.mark.parametrize("kind", ["pca", "mds"])
def test_candidates_are_placed_by_the_parts_they_have(reading, kind):
    whole = projected(reading, kind)
    columns = reading.candidates()
    assert whole["ids"] == columns["ids"]
    names = shown_parts(reading.problem.space)[0]
    rows = np.array([[n in {columns["part_names"][i] for i in used} for n in names] for used in columns["parts"]])
    places = projection(reading.problem.space, kind).axes.place(rows)
    found = np.array([whole["x"], whole["y"]]).T
    assert found == pytest.approx(places, abs=1e-5)
    last = projected(reading, kind, after=whole["seq"] // 2)
    assert 0 < len(last["ids"]) < len(whole["ids"])
    at = [whole["ids"].index(i) for i in last["ids"]]
    assert last["x"] == [whole["x"][i] for i in at]
    assert last["basis"] == whole["basis"]
    assert projected(reading, kind, after=whole["seq"])["ids"] == []


def test_another_kind_is_refused(reading):
    with pytest.raises(UnknownNameError, match="mds, pca"):
        projected(reading, "tsne")
