"""What a column's name says, and percentiles of columns as metrics of every search."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ogive._errors import UnknownNameError
from ogive.metrics.base import Constraint, Context, Cost, resolve
from ogive.metrics.evaluate import evaluate
from ogive.metrics.tables import Column, Table, import_table
from ogive.study import Study


@pytest.fixture
def table(shared):
    return import_table(shared / "transnasbench101_micro.csv.gz", "micro", "transnas_micro")


def test_percentiles_of_columns_are_metrics(table, shared):
    frame = pd.read_csv(shared / "transnasbench101_micro.csv.gz").set_index("arch")
    ranks = 100 * frame[["class_scene_val", "jigsaw_val", "normal_val"]].rank(pct=True)
    expected = {
        "percentile:class_scene_val@micro": ranks.class_scene_val,
        "mean_percentile:class_scene_val+jigsaw_val+normal_val@micro": ranks.mean(axis=1),
        "worst_percentile:jigsaw_val+normal_val@micro": ranks[["jigsaw_val", "normal_val"]].max(axis=1),
    }
    genotypes = table.space.sample(200, np.random.default_rng(0))
    found = evaluate(list(expected), table.space, genotypes, Context()).values
    for name, column in expected.items():
        np.testing.assert_allclose(found[name], column[table.space.format(genotypes)], rtol=1e-12)
        metric = resolve(name)
        assert (metric.name, metric.direction, metric.unit, metric.cost) == (name, "max", "%", Cost.TABLE)


def test_a_search_may_use_them_as_objective_and_constraint(table):
    study = Study(
        table.space,
        minimize=["mean_percentile:jigsaw_val+normal_val@micro"],
        where=["percentile:class_scene_val@micro>=98"],
        strategy="random",
        seed=0,
    )
    study.run(20, progress=False)
    scene = table.values("class_scene_val")
    gate = np.sort(scene)[-len(scene) * 2 // 100]
    assert table.lookup("class_scene_val", table.space.parse(study.front.arch.tolist())).min() >= gate


def test_percentiles_are_oriented_and_skip_rows_without_a_value(tmp_path):
    cells = [f"64-41414-0_00_00{d}" for d in "0123"]
    file = tmp_path / "t.csv"
    file.write_text(
        "arch,a,loss\n" + "\n".join(f"{c},{v}" for c, v in zip(cells, ["1,1", "3,2", ",3", "2,4"], strict=True))
    )
    table = Table.read(file, "transnas_micro")
    third = 100 / 3
    np.testing.assert_allclose(table.values("percentile:a"), [third, 100, np.nan, 2 * third])
    assert table.values("percentile:loss").tolist() == [100, 75, 50, 25]
    np.testing.assert_allclose(table.values("worst_percentile:a+loss"), [100, 100, np.nan, 2 * third])
    assert table.optimum("percentile:loss") == 100


def test_a_missing_column_is_named(table):
    for name in ("percentile:jigsaw", "mean_percentile:normal_val+jigsaw", "worst_percentile:jigsaw+normal_val"):
        with pytest.raises(UnknownNameError, match=r"no column 'jigsaw'; did you mean .*jigsaw_val"):
            resolve(f"{name}@micro")
    with pytest.raises(UnknownNameError, match="no column 'percentage:jigsaw_val'"):
        Constraint.parse("percentage:jigsaw_val@micro>=98")
    with pytest.raises(UnknownNameError, match="no column ''"):
        table.column("percentile:")


def test_values_of_the_best_epoch_are_labelled():
    values = np.array([1.0])
    best = ["jigsaw_test_top1_best", "best_val_accuracy", "val_best_accuracy"]
    assert all(Column.guess(n, values).best_epoch and "best epoch" in Column.guess(n, values).note for n in best)
    assert not any(Column.guess(n, values).best_epoch for n in ["jigsaw_val", "bestiary", "asbestos_count"])
    assert Column("val_accuracy", note="of the best epoch").best_epoch
