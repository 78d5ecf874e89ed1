"""A lock problem says what it means, or one line says what is wrong with it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogive._errors import InputError, UnknownNameError
from ogive.methods._lock_problem import Gate, LockProblem, table_of
from ogive.metrics.percentile import Reference
from ogive.metrics.tables import import_table
from ogive.spaces import get_space

SOURCE, OTHERS = "class_scene_val", ("class_object_val", "jigsaw_val", "normal_val")


def problem(table, **changes):
    return LockProblem.from_table("micro", **({"space": table.space, "source": SOURCE, "targets": OTHERS} | changes))


# -------------------------------------------------------------------- the gate


@given(st.sampled_from(["pct", "value"]), st.floats(0.001, 100))
def test_a_gate_is_written_as_it_is_read(kind, level):
    assert Gate.parse(str(Gate.parse(f"{kind}:{level!r}"))) == Gate.parse(f"{kind}:{level:.10g}")


@pytest.mark.parametrize("text", ["98", "2%", "2 %", "0.02", "98.5"])
def test_a_bare_number_is_refused_with_the_reason(text):
    with pytest.raises(InputError, match=r"does not say of what: a raw share .* write pct:98 .* or value:54.3"):
        Gate.parse(text)


@pytest.mark.parametrize(
    "text", ["", "pct", "pct:", "pct:x", "value:nan", "value:inf", "top:2", "pct:0", "pct:101", "%"]
)
def test_another_gate_is_refused(text):
    with pytest.raises(InputError, match="write pct:98 "):
        Gate.parse(text)


def test_a_gate_becomes_a_bound():
    values = np.arange(100.0)
    assert Gate.parse("pct:98").bound(Reference(values)) == 97.0
    assert Gate.parse("pct:98").bound(Reference(values, "min")) == 2.0
    assert Gate.parse("value:-0.63").bound(Reference(values)) == -0.63


@pytest.mark.parametrize(("column", "bound", "drop"), [
    ("class_object_val", 44.312, 2.79), ("class_scene_val", 54.329, 1.11), ("room_layout_val", -0.6318, 5.12),
    ("jigsaw_val", 94.432, 0.99), ("segmentsemantic_val", 94.497, 0.12), ("normal_val", 0.5645, 3.89),
    ("autoencoder_val", 0.5477, 5.11),
])  # fmt: skip
def test_raw_values_behind_the_gate_are_those_of_the_specification(micro, column, bound, drop):
    from ogive.metrics.percentile import raw_drop

    found = Gate("pct", 98).bound(Reference(micro.values(column)))
    assert found == pytest.approx(bound, rel=1e-4)
    assert raw_drop(micro.optimum(column), found) == pytest.approx(drop, abs=0.006)


@pytest.mark.parametrize(("column", "admitted"), [("segmentsemantic_val", 3550), ("normal_val", 3)])
def test_two_per_cent_of_the_raw_metric_admits_nearly_all_or_nearly_none(micro, column, admitted):
    assert (micro.values(column) >= 0.98 * micro.optimum(column)).sum() == admitted


# -------------------------------------------------------------------- the whole


def test_what_a_search_may_read(micro):
    known = problem(micro)
    assert known.source == "class_scene_val@micro"
    assert known.searched == known.targets == tuple(f"{c}@micro" for c in OTHERS)
    unknown = problem(micro, setting="tu", auxiliary=["autoencoder_val"])
    assert unknown.searched == ("autoencoder_val@micro",)
    assert unknown.targets == known.targets
    assert table_of(known.source) is not None
    assert table_of("params") is None


@pytest.mark.parametrize(("changes", "message"), [
    ({"targets": [SOURCE]}, "both source and target"),
    ({"targets": ["jigsaw_val", "jigsaw_val"]}, "both target and target"),
    ({"setting": "tu", "auxiliary": ["jigsaw_val"]}, "both target and auxiliary"),
    ({"setting": "tu", "auxiliary": [SOURCE]}, "both source and auxiliary"),
    ({"setting": "tu"}, "needs auxiliary tasks"),
    ({"auxiliary": ["autoencoder_val"]}, "belong to --setting tu"),
    ({"setting": "ka"}, "write tk .* or tu"),
    ({"targets": []}, "at least one target"),
    ({"budget": 9}, "at least 10 evaluations, not 9"),
    ({"budget": 99.5}, "at least 10 evaluations, not 99.5"),
    ({"space": get_space("nasbench201")}, "is of space 'transnas_micro', not of 'nasbench201'"),
])  # fmt: skip
def test_contradictions_are_refused(micro, changes, message):
    with pytest.raises(InputError, match=message):
        problem(micro, **changes)


def test_unknown_metrics_are_named(micro):
    with pytest.raises(UnknownNameError, match=r"did you mean .*jigsaw_val"):
        problem(micro, targets=["jigsaw"])
    with pytest.raises(UnknownNameError, match="did you mean 'micro'"):
        LockProblem.from_table("mikro", micro.space, SOURCE, OTHERS)


def test_best_epoch_and_last_epoch_are_not_mixed(shared, tmp_path):
    """A3: the best epoch is never worse than the last, and not by the same amount for every architecture."""
    import pandas as pd

    frame = pd.read_csv(shared / "transnasbench101_micro.csv.gz")[["arch", SOURCE, *OTHERS]]
    frame = frame.assign(jigsaw_val_best=frame.jigsaw_val + 1, normal_val_best=frame.normal_val + 0.1)
    frame.to_csv(tmp_path / "t.csv", index=False)
    space = import_table(tmp_path / "t.csv", "mixed", "transnas_micro").space
    with pytest.raises(InputError, match=r"'jigsaw_val_best@mixed' is of each training's best epoch and 'class_scene"):
        LockProblem.from_table("mixed", space, SOURCE, ["jigsaw_val_best"])
    LockProblem.from_table("mixed", space, "normal_val_best", ["jigsaw_val_best"])


def test_a_source_may_be_trained_for():
    digits = LockProblem(get_space("nasbench201:C=4,N=1"), "accuracy@train/digits", ("accuracy@train/cifar10",))
    assert digits.searched == ("accuracy@train/cifar10",)
    assert (str(digits.gate), str(digits.aggregate), digits.budget) == ("pct:98", "mean", 300)
