"""Families of the published devices against the sets the specification found by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from ogive._errors import UnknownNameError
from ogive.predictors.families import NEAR_COPY, detect_families, exclude_family, silicon, unit_ranks


def test_families_of_the_published_devices(top):
    families = {frozenset(f) for f in detect_families(top.latencies) if len(f) > 1}
    assert families == {
        frozenset({"nnmeter_adreno630", "nnmeter_adreno640", "eagle_sd855_gpu_int8"}),
        frozenset({"eagle_gtx1080ti", "eagle_i7_7820x"}),
        frozenset({"hwnas_edgetpu", "eagle_edgetpu_int8"}),
        frozenset({"eagle_jetsonnano_fp32", "eagle_jetsonnano_fp16"}),
    }


def test_no_near_copy_is_left_in_a_pool(top):
    for target in top.latencies:
        for device, latency in exclude_family(top.latencies, target).items():
            both = np.isfinite(latency) & np.isfinite(top.latencies[target])
            assert spearmanr(latency[both], top.latencies[target][both]).statistic < NEAR_COPY
            assert silicon(device) != silicon(target)


def test_names_only(top):
    assert "eagle_i7_7820x" in exclude_family(top.latencies, "eagle_gtx1080ti", near=2.0)
    assert "eagle_jetsonnano_fp16" not in exclude_family(top.latencies, "eagle_jetsonnano_fp32", near=2.0)


@pytest.mark.parametrize(
    ("device", "stem"),
    [("2080ti_256", "2080ti"), ("gold_6226", "gold_6226"), ("eagle_sd855_cpu_int8", "sd855_cpu"), ("fpga", "fpga")],
)
def test_silicon(device, stem):
    assert silicon(device) == stem


def test_a_chain_of_near_copies_is_one_family():
    rng = np.random.default_rng(0)
    a = rng.random(2000)
    b = a + 0.045 * rng.normal(size=2000)
    c = b + 0.045 * rng.normal(size=2000)
    assert spearmanr(a, c).statistic < NEAR_COPY < min(spearmanr(a, b).statistic, spearmanr(b, c).statistic)
    assert detect_families({"a": a, "b": b, "c": c, "d": rng.random(2000)}) == [("a", "b", "c"), ("d",)]


def test_devices_that_share_few_architectures_are_no_family():
    a = np.r_[np.arange(1.0, 30.0), np.full(30, np.nan)]
    assert detect_families({"a": a, "b": a.copy()}) == [("a",), ("b",)]


def test_an_unknown_target_is_refused():
    with pytest.raises(UnknownNameError, match="device 'pixel4'"):
        exclude_family({"pixel3": np.ones(3)}, "pixel4")


def test_products_of_unit_ranks_are_rank_correlations():
    table = np.random.default_rng(0).integers(0, 9, (5, 60)).astype(float)
    ranks = unit_ranks(table)
    np.testing.assert_allclose(ranks @ ranks.T, spearmanr(table.T).statistic, atol=1e-12)
    np.testing.assert_array_equal(unit_ranks(np.full(4, 2.0)), np.zeros(4))
