"""Percentiles against pandas and SciPy, thresholds and aggregates against their definitions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import percentileofscore

from ogive._errors import InputError
from ogive.metrics.percentile import Aggregate, Reference, percentiles, raw_drop, reduction

few = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=30)  # many ties
directions = st.sampled_from(["max", "min"])


@given(few, directions)
def test_percentiles_are_the_ranks_of_pandas(values, direction):
    expected = 100 * pd.Series(values).rank(pct=True, ascending=direction == "max")
    np.testing.assert_allclose(percentiles(np.array(values), direction), expected, rtol=1e-12)


@given(few, st.lists(st.floats(-6, 6), min_size=1, max_size=10), directions)
def test_values_outside_the_reference_get_the_share_that_is_worse(values, others, direction):
    sign = 1 if direction == "max" else -1
    expected = [percentileofscore(sign * np.array(values), sign * v, kind="rank") for v in others]
    np.testing.assert_allclose(
        Reference(np.array(values), direction).percentile(np.array(others)), expected, rtol=1e-12
    )


@given(few, st.floats(0, 100, exclude_min=True), directions)
def test_threshold_is_the_worst_value_that_reaches_the_percentile(values, percentile, direction):
    v = np.array(values)
    worst, best = (min, max) if direction == "max" else (max, min)
    reaching = v[percentiles(v, direction) >= percentile]
    expected = worst(reaching) if reaching.size else best(v)
    assert Reference(v, direction).threshold(percentile) == expected


def test_what_has_no_percentile_is_refused():
    for bad in ([], [1.0, np.nan]):
        with pytest.raises(InputError):
            Reference(np.array(bad))
    reference = Reference(np.arange(3.0))
    with pytest.raises(InputError, match="NaN"):
        reference.percentile(np.array([np.nan]))
    for percentile in (0, 100.1, -3, np.nan):
        with pytest.raises(InputError, match="above 0 and at most 100"):
            reference.threshold(percentile)


def test_reduction_and_raw_drop():
    """The published 50 % is relative and of a percentile (A7); the raw values behind it fell by 3.6 %."""
    assert reduction(81.81, 40.48) == pytest.approx(50.5, abs=0.05)
    assert raw_drop(53.46, 51.5) == pytest.approx(3.67, abs=0.01)
    assert raw_drop(-0.6010, -0.6318) == pytest.approx(5.12, abs=0.01)
    assert raw_drop(2.0, 3.0, "min") == 50.0
    assert reduction(40.0, 50.0) == -25.0
    for undefined in (lambda: reduction(0.0, 1.0), lambda: raw_drop(0.0, 1.0), lambda: raw_drop(1.0, np.nan)):
        with pytest.raises(InputError):
            undefined()


@given(st.lists(st.floats(0, 100), min_size=1, max_size=8), st.floats(0.01, 1))
def test_cvar_is_the_minimum_of_rockafellar_and_uryasev(row, alpha):
    p = np.array(row)
    # t + E[max(p - t, 0)] / alpha is piecewise linear in t, so its minimum lies at one of the values.
    expected = min(t + np.maximum(p - t, 0).mean() / alpha for t in row)
    assert Aggregate("cvar", alpha)(p) == pytest.approx(expected, abs=1e-9)


def test_aggregates_of_a_batch():
    p = np.array([[10.0, 40.0, 20.0, 30.0], [90.0, 0.0, 0.0, 0.0]])
    found = {text: Aggregate.parse(text)(p).tolist() for text in ("mean", "worst", "cvar:1", "cvar:0.1", "cvar:0.375")}
    assert found["mean"] == found["cvar:1"] == [25.0, 22.5]
    assert found["worst"] == found["cvar:0.1"] == [40.0, 90.0]
    assert found["cvar:0.375"] == pytest.approx([(40 + 0.5 * 30) / 1.5, 60.0])
    assert Aggregate("mean")(np.zeros((3, 2, 4))).shape == (3, 2)


@pytest.mark.parametrize("text", ["mean", "worst", "cvar:0.25"])
def test_an_aggregate_is_written_as_it_is_read(text):
    assert str(Aggregate.parse(text)) == text


@pytest.mark.parametrize("text", ["median", "", "cvar", "cvar:0", "cvar:1.5", "cvar:x", "mean:1", "cvar:nan"])
def test_an_unknown_aggregate_is_refused(text):
    with pytest.raises(InputError, match="write mean, worst or cvar:ALPHA"):
        Aggregate.parse(text)
