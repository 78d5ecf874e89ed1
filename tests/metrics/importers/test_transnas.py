"""TransNAS-Bench-101 imports to the final and best epochs that its interface would give."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ogive import OgiveError
from ogive.metrics.importers import import_tables
from ogive.metrics.tables import Table, table_names
from tests.metrics.importers import layouts


@pytest.fixture
def pth(tmp_path):
    torch.save(layouts.transnas(), tmp_path / "file")
    return tmp_path / "file"


@pytest.mark.parametrize("zipped", [True, False])
def test_final_and_best_epochs_of_every_task(tmp_path, zipped):
    data = layouts.transnas(epochs=7, seed=3)
    torch.save(data, tmp_path / "file", _use_new_zipfile_serialization=zipped)
    assert [t.name for t in import_tables(tmp_path / "file", "tnb")] == ["tnb_micro", "tnb_macro"]
    for space, archs in layouts.ARCHS.items():
        table = Table.open(f"tnb_{space}")
        assert table.space.name == f"transnas_{space}"
        rows = table.rows(table.space.parse(list(archs)))
        for (row, arch), task in [(ra, t) for ra in zip(rows, archs, strict=True) for t in layouts.TASKS]:
            run = data["data"][space][arch][task]
            for metric, curve in run["metrics"].items():
                column = f"{task}_{metric}".replace("_valid_", "_val_")
                assert table.values(column)[row] == curve[-1]
                if metric.startswith("valid_"):
                    worst_first = np.argmin if metric.endswith("loss") and "neg" not in metric else np.argmax
                    best = int(worst_first(curve))
                    assert table.values(f"{column}_best")[row] == curve[best]
                    test = run["metrics"][metric.replace("valid", "test")][best]
                    assert table.values(f"{column}_best".replace("_val_", "_test_"))[row] == test
            for info, value in run["model_info"].items():
                assert table.values(f"{task}_{info}")[row] == value


def test_units_and_directions(pth):
    t = import_tables(pth, "t")[0]
    expected = {
        "class_scene_val_top1": ("%", "max"),
        "segmentsemantic_test_mIoU_best": ("%", "max"),
        "room_layout_val_neg_loss": ("1", "max"),
        "room_layout_val_loss": ("1", "min"),
        "normal_val_ssim": ("1", "max"),
        "jigsaw_model_params": ("1", "min"),
        "jigsaw_inference_time": ("s", "min"),
        "jigsaw_time_elapsed": ("s", "min"),
    }
    assert {c: (t.column(c).unit, t.column(c).direction) for c in expected} == expected


def test_one_space_can_be_chosen_and_keeps_the_name(pth):
    (t,) = import_tables(pth, "cells", "transnas_micro", minimize=["jigsaw_val_top5"], units={"jigsaw_val_loss": "nat"})
    assert (t.name, table_names()) == ("cells", ["cells"])
    assert Table.open("cells").column("jigsaw_val_top5").direction == "min"
    assert t.column("jigsaw_val_loss").unit == "nat"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r["metrics"].update(valid_top1=[1.0, "2"]), "a str where a number"),
        (lambda r: r["metrics"].update(valid_top1=[torch.tensor(1.0)]), "a ndarray where a number"),
        (lambda r: r.update(metrics=[1]), "another layout"),
        (lambda r: r.pop("metrics"), "no result of '64-1234-basic' on 'jigsaw'"),
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_another_layout_is_one_clear_line(tmp_path, change, message, zipped):
    data = layouts.transnas()
    change(data["data"]["macro"]["64-1234-basic"]["jigsaw"])
    torch.save(data, tmp_path / "x", _use_new_zipfile_serialization=zipped)
    with pytest.raises(OgiveError, match=message) as caught:
        import_tables(tmp_path / "x", "x")
    assert "\n" not in str(caught.value)
    assert table_names() == []
