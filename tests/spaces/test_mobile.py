"""The mobile spaces against published sizes, published latency tables, and the networks they build."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from ogive._errors import ArchStringError, InputError
from ogive.metrics.counts import count_module
from ogive.spaces.base import Shape, get_space
from ogive.spaces.mobile import RESOLUTIONS
from tests.spaces.damage import EDITS, check_damaged

IMAGENET = Shape((3, 224, 224), 1000)
ALL = ["fbnet:head=1504", "fbnet:cifar=true", "mobilenetv2", "mobilenetv3:width=1.2", "ofa", "proxylessnas"]
ELASTIC = ["mobilenetv2", "mobilenetv3", "ofa"]


def elastic(space, depths, kernels, expansions, *resolution):
    """Return the batch of one network, its slots given stage by stage."""
    cells = ["-".join(map(str, cell)) for cell in (depths, kernels, expansions, *([resolution] if resolution else []))]
    return space.from_table([cells])


def drawn(space, n, seed=0):
    return space.sample(n, np.random.default_rng(seed))


# ---------------------------------------------------------------- published sizes


def test_mobilenetv2_is_in_its_space():
    space = get_space("mobilenetv2")
    counts = space.count(elastic(space, [2, 3, 4, 3, 3], [3] * 21, [6] * 21), IMAGENET)
    # The model zoo of torchvision gives 3,504,872 parameters and 0.30 G multiply-adds; 53 layers by the paper's table.
    assert (counts["params"], counts["macs"], counts["depth"]) == (3_504_872, 300_774_272, 53)


@pytest.mark.parametrize(
    ("depths", "kernels", "expansions", "side", "params", "macs"),
    [
        # note8_lat@22ms and note8_lat@31ms among the specialised networks of Once-for-All: 4.3 M, 67 M; 4.6 M, 101 M.
        (
            [2, 2, 2, 2, 2],
            [3, 3, 3, 3, 5, 5, 3, 3, 7, 3, 3, 3, 5, 3, 3, 3, 3, 7, 3, 3],
            [3, 3, 3, 3, 3, 3, 3, 3, 4, 3, 3, 3, 3, 4, 3, 3, 6, 6, 3, 6],
            140,
            4.3,
            67,
        ),
        (
            [2, 2, 3, 3, 4],
            [5, 3, 3, 3, 5, 5, 3, 3, 3, 3, 5, 3, 3, 5, 7, 3, 3, 3, 5, 5],
            [3, 3, 3, 3, 4, 3, 3, 3, 4, 4, 4, 4, 4, 3, 4, 3, 6, 3, 3, 3],
            152,
            4.6,
            101,
        ),
    ],
)
def test_specialised_networks_of_once_for_all(depths, kernels, expansions, side, params, macs):
    space = get_space("ofa")
    counts = space.count(elastic(space, depths, kernels, expansions, side), IMAGENET)
    assert round(counts["params"][0] / 1e6, 1) == params
    assert round(counts["macs"][0] / 1e6) == macs


def test_proxylessnas_mobile():
    space = get_space("proxylessnas")
    stages = [
        "k5_e3-k3_e3-skip-skip",
        "k7_e3-k3_e3-k5_e3-k5_e3",
        "k7_e6-k5_e3-k5_e3-k5_e3",
        "k5_e6-k5_e3-k5_e3-k5_e3",
        "k7_e6-k7_e6-k7_e3-k7_e3",
        "k7_e6",
    ]
    counts = space.count(space.parse(["-".join(stages)]), IMAGENET)
    # The authors publish 320 M multiply-adds; model zoos count 4,080,512 parameters.
    assert counts["params"] == 4_080_512
    assert round(counts["macs"][0] / 1e6) == 320


@pytest.mark.parametrize(
    ("spec", "halves", "params", "macs"),
    [
        (
            # FBNet-A, table 4 of the paper: 4.3 M and 249 M.
            "fbnet:head=1504",
            [
                "skip-k3_e3-k3_e1-skip-skip-k5_e6-k3_e3-k5_e1-k3_e3-k5_e6-k5_e3-k5_e1_g2-k5_e6",
                "k3_e6-k5_e1_g2-k5_e3-k3_e1_g2-k5_e6-k5_e6-k5_e3-k5_e6-k5_e6",
            ],
            4.3,
            249,
        ),
        (
            # FBNet-C as the authors released it, 5,572,200 parameters in model zoos; the paper has 5.5 M and 375 M.
            "fbnet",
            [
                "k3_e1-k3_e6-skip-k3_e1-k3_e1-k5_e6-k5_e3-k5_e6-k3_e6-k5_e6-k5_e3-k5_e6-k5_e6",
                "k5_e6-k5_e6-k5_e6-k5_e3-k5_e6-k5_e6-k5_e6-k5_e6-k3_e6",
            ],
            5.5722,
            384,
        ),
    ],
)
def test_published_fbnets(spec, halves, params, macs):
    space = get_space(spec)
    counts = space.count(space.parse(["-".join(halves)]), IMAGENET)
    digits = len(str(params).partition(".")[2])
    assert round(counts["params"][0] / 1e6, digits) == params
    assert counts["macs"][0] // 10**6 == macs


# ---------------------------------------------------------------- networks


@pytest.mark.parametrize("spec", ALL[1:])
@settings(max_examples=3, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 3), st.integers(5, 90), st.integers(5, 90))
def test_closed_form_is_what_the_networks_do(spec, seed, c, h, w):
    import torch

    space, shape = get_space(spec), Shape((c, h, w), 7)
    genotypes = drawn(space, 2, seed)
    counts = space.count(genotypes, shape)
    for i, genotype in enumerate(genotypes):
        with torch.device("meta"):
            model = space.build(genotype, shape)
        assert vars(count_module(model, shape.input_shape)) == {k: int(v[i]) for k, v in counts.items()}


@pytest.mark.parametrize("spec", ALL)
def test_a_genotype_and_its_canonical_form_build_the_same_network(spec):
    import torch

    space = get_space(spec)
    genotypes = drawn(space, 8)
    canonical = space.canonical(genotypes)
    assert (canonical != genotypes).any()
    for one, other in zip(genotypes, canonical, strict=True):
        with torch.device("meta"):
            assert str(space.build(one, IMAGENET)) == str(space.build(other, IMAGENET))


def test_a_stage_of_once_for_all_has_7371_forms():
    space = get_space("mobilenetv3")
    free = [space.choices.index(c) for c in space.choices if c.name.endswith(("depth1", "1.1", "1.2", "1.3", "1.4"))]
    codes = np.array(list(itertools.product(range(3), repeat=9)))
    genotypes = np.zeros((len(codes), space.n_choices), dtype=space.dtype)
    genotypes[:, free] = codes
    canonical = space.canonical(genotypes)
    # Nine blocks in each of two, three or four slots.
    assert len(np.unique(canonical, axis=0)) == 9**2 + 9**3 + 9**4 == 7371
    assert len(np.unique(space.encode(genotypes, "blocks"), axis=0)) == 7371


def test_moved_empty_slots_cost_the_same_on_a_real_simulator(shared):
    """Eyeriss times of 5,000 FBNets are exact sums over slots, and equal slots of a stage have equal times."""
    frame = pd.read_csv(shared / "fbnet_device_latency_help.csv.gz", dtype={"ops": str})
    space = get_space("fbnet:cifar=true")
    codes = np.array([[int(op) for op in ops.split("-")] for ops in frame["ops"]])
    X = np.hstack([space.encode(codes, "blocks"), np.ones((len(codes), 1))])
    weights, *_ = np.linalg.lstsq(X, frame["eyeriss"], rcond=None)
    assert np.abs(X @ weights - frame["eyeriss"]).max() < 1e-5
    times = weights[:-1].reshape(22, 9)
    times = times - times[:, 8:]
    for first in (2, 6, 10, 14, 18):
        assert np.abs(times[first : first + 3] - times[first]).max() < 1e-5


@pytest.mark.parametrize(("spec", "eyeriss", "fpga"), [("fbnet:cifar=true", 0.966, 0.980), ("fbnet", 0.925, 0.898)])
def test_the_published_fbnet_table_is_of_the_variant_for_small_images(shared, spec, eyeriss, fpga):
    frame = pd.read_csv(shared / "fbnet_device_latency_help.csv.gz", dtype={"ops": str})
    codes = np.array([[int(op) for op in ops.split("-")] for ops in frame["ops"]])
    macs = get_space(spec).count(codes, Shape((3, 32, 32), 100))["macs"]
    assert spearmanr(macs, frame["eyeriss"])[0] == pytest.approx(eyeriss, abs=5e-4)
    assert spearmanr(macs, frame["fpga"])[0] == pytest.approx(fpga, abs=5e-4)


# ---------------------------------------------------------------- resolution


def test_images_of_the_chosen_resolution_are_not_resized():
    from torch import nn

    space = get_space("ofa")
    (genotype,) = elastic(space, [2] * 5, [3] * 20, [3] * 20, 128)
    assert isinstance(space.build(genotype, Shape((3, 128, 128), 5)).resize, nn.Identity)
    resize = space.build(genotype, Shape((3, 128, 96), 5)).resize
    assert isinstance(resize, nn.Upsample)
    assert resize.size == (128, 128)


def test_resolution_decides_the_cost_whatever_the_images():
    space, fixed = get_space("ofa"), get_space("mobilenetv3")
    genotypes = drawn(space, 40)
    sides = space.resolution(genotypes)
    assert set(sides.tolist()) <= set(range(128, 225, 4)) == set(RESOLUTIONS)
    counts = space.count(genotypes, Shape((3, 32, 32), 10))
    for genotype, side, macs in zip(genotypes, sides, counts["macs"], strict=True):
        assert fixed.count(genotype[None, :-1], Shape((3, side, side), 10))["macs"] == macs
    with pytest.raises(InputError, match="leaves the resolution to the task"):
        fixed.resolution(genotypes[:, :-1])


# ---------------------------------------------------------------- encodings


@pytest.mark.parametrize(
    ("spec", "width"), [("fbnet", 198), ("proxylessnas", 147), ("mobilenetv3", 200), ("ofa", 225), ("mobilenetv2", 210)]
)
def test_block_encodings_are_as_wide_as_specified(spec, width):
    space = get_space(spec)
    genotypes = drawn(space, 30)
    blocks = space.encode(genotypes, "blocks")
    assert blocks.shape == (30, width)
    assert (blocks.sum(axis=1) == len(space.skeleton.slots) + bool(space.resolutions)).all()
    assert np.array_equal(blocks, space.encode(space.canonical(genotypes), "blocks")) or spec in (
        "fbnet",
        "proxylessnas",
    )
    if not space.resolutions:
        assert np.array_equal(space.encode(genotypes, "scaled_blocks"), blocks)
    with pytest.raises(InputError, match="scaled_blocks"):
        space.encode(genotypes, "block")


def test_scaled_blocks_grow_with_the_image():
    space = get_space("ofa")
    genotypes = drawn(space, 30)
    blocks, scaled = space.encode(genotypes, "blocks"), space.encode(genotypes, "scaled_blocks")
    share = (space.resolution(genotypes) / 224)[:, None] ** 2
    assert np.allclose(scaled[:, :200], blocks[:, :200] * share)
    assert np.array_equal(scaled[:, 200:], blocks[:, 200:])


def test_scaled_blocks_fit_real_devices_better(shared):
    """On a GPU kept busy by large batches, least squares on half of the table orders the other half."""
    space = get_space("ofa")
    frame = pd.read_csv(shared / "ofa_device_latency_help.csv.gz", dtype={"resolution": str})
    genotypes = space.from_table(frame[list(space.table_columns)].to_numpy().tolist())
    srcc = {}
    for kind in ("blocks", "scaled_blocks"):
        X = np.hstack([space.encode(genotypes, kind), np.ones((len(genotypes), 1))])
        weights, *_ = np.linalg.lstsq(X[:2500], frame["v100_64"][:2500], rcond=None)
        srcc[kind] = spearmanr(X[2500:] @ weights, frame["v100_64"][2500:])[0]
    assert srcc["blocks"] == pytest.approx(0.994, abs=1e-3)
    assert srcc["scaled_blocks"] == pytest.approx(0.9995, abs=3e-4)


@pytest.mark.parametrize(("spec", "width"), [("mobilenetv2", 43), ("ofa", 41), ("proxylessnas", 37), ("fbnet", 50)])
def test_stages_count_their_blocks(spec, width):
    space = get_space(spec)
    genotypes = drawn(space, 30)
    found = space.encode(genotypes, "stages")
    assert found.shape == (30, width)
    assert np.allclose(found, space.encode(space.canonical(genotypes), "stages"))
    graphs = space.graph(genotypes)
    words = np.array(graphs.vocabulary)[graphs.ops][:, -1 - len(space.skeleton.slots) : -1]
    shapes = [(slot.c_in, slot.c_out) for slot in space.skeleton.slots]
    ends = [i for i, (c_in, c_out) in enumerate(shapes) if i and c_in != c_out] + [len(shapes)]
    per_stage = np.split(words, ends[:-1], axis=1)
    area = (space.resolution(genotypes) / 224) ** 2 if space.resolutions else np.ones(30)
    columns = found[:, : -1 - len(per_stage) if space.resolutions else -1].reshape(30, len(per_stage), -1)
    for stage, block in enumerate(per_stage):
        blocks, fives = (np.char.startswith(block, prefix).sum(axis=1) for prefix in ("mbconv", "mbconv_5x5"))
        sixes = np.char.endswith(block, "_e6").sum(axis=1)
        assert np.allclose(columns[:, stage, 0], blocks * area)
        assert np.allclose(columns[:, stage, 2], fives * area)
        assert np.allclose(columns[:, stage, -1], sixes * area)
        if space.resolutions:
            assert np.array_equal(found[:, 35 + stage], blocks)
    assert np.allclose(found[:, -1], space.count(genotypes, IMAGENET)["macs"] / 1e9)


def test_graphs_show_the_blocks_in_use():
    space = get_space("ofa")
    genotypes = drawn(space, 20)
    graphs = space.graph(genotypes)
    words = np.array(graphs.vocabulary)[graphs.ops]
    assert [int(w.removeprefix("resize_")) for w in words[:, 1]] == space.resolution(genotypes).tolist()
    depths = np.array([2, 3, 4])[genotypes[:, :5]].sum(axis=1)
    assert ((words[:, 2:-1] != "skip").sum(axis=1) == depths).all()
    assert np.array_equal(space.graph(space.canonical(genotypes)).ops, graphs.ops)
    fbnet = get_space("fbnet")
    empty = fbnet.graph(np.full((1, 22), 8))
    # The first slot of six of seven stages changes the shape and is then a convolution.
    assert np.array(empty.vocabulary)[empty.ops[0]].tolist().count("conv_1x1") == 6


# ---------------------------------------------------------------- tables and strings


def test_published_tables_round_trip(shared):
    space = get_space("ofa")
    frame = pd.read_csv(shared / "ofa_device_latency_help.csv.gz", dtype=str)
    rows = frame[list(space.table_columns)].to_numpy().tolist()
    genotypes = space.from_table(rows)
    assert len(np.unique(genotypes, axis=0)) == len(rows) == 5000
    assert np.array_equal(space.from_table(space.to_table(genotypes)), genotypes)
    for row, read in zip(rows[:200], space.to_table(genotypes[:200]), strict=True):
        assert (row[0], row[3]) == (read[0], read[3])
        for given_, known in ((row[1].split("-"), read[1].split("-")), (row[2].split("-"), read[2].split("-"))):
            for stage, depth in enumerate(map(int, row[0].split("-"))):
                used = slice(4 * stage, 4 * stage + depth)
                assert given_[used] == known[used]
                assert set(known[4 * stage + depth : 4 * stage + 4]) <= {"3"}


def test_table_rows_that_do_not_fit_are_refused():
    space = get_space("mobilenetv3")
    (row,) = space.to_table(drawn(space, 1))
    assert len(space.from_table([row])) == 1
    for bad in (row[:2], [*row, "160"], [row[0], row[1], row[2] + "-3"], ["1-2-2-2-2", *row[1:]]):
        with pytest.raises(InputError):
            space.from_table([bad])


@pytest.mark.parametrize(
    ("spec", "arch", "position", "what"),
    [
        ("mobilenetv3", "", 0, "expected 'd'"),
        ("mobilenetv3", "d2-3-5", 5, "the depth3 (2, 3, 4)"),
        ("mobilenetv3", "d2-3-4-4-4-2", 10, "expected '_k' and the kernel1.1"),
        ("ofa", "d2-2-2-2-2_k" + "-".join("3" * 20) + "_e" + "-".join("3" * 20) + "_r130", 94, "the resolution (128,"),
        ("mobilenetv3", "d2-2-2-2-2_k" + "-".join("3" * 20) + "_e" + "-".join("3" * 20) + "_r128", 92, "the end"),
        ("proxylessnas", "k3_e3-skip-" + "-".join(["k3_e3"] * 18) + "-skip", 119, "'block21' (k3_e3"),
        ("fbnet", "k3_e1_g4", 0, "'block1' (k3_e1"),
    ],
)
def test_malformed_strings(spec, arch, position, what):
    with pytest.raises(ArchStringError) as error:
        get_space(spec).parse(arch)
    assert f"position {position}:" in str(error.value)
    assert what in str(error.value)


@pytest.mark.parametrize("spec", ELASTIC)
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), EDITS)
def test_damaged_strings(spec, seed, edits):
    space = get_space(spec)
    check_damaged(space, space.format(drawn(space, 1, seed))[0], edits)


@pytest.mark.parametrize(
    "spec",
    [
        "mobilenetv2:width=0", "mobilenetv3:width=true", "ofa:width=wide", "proxylessnas:width=nan", "fbnet:cifar=1",
        "fbnet:head=0", "fbnet:head=true", "fbnet:head=1.5", "ofa:depth=4",
    ],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(spec):
    with pytest.raises(InputError, match=spec.partition("=")[0].partition(":")[2]):
        get_space(spec)


@pytest.mark.parametrize(
    "spec", ["ofa:width=1.2", "fbnet:cifar=true,head=99", "fbnet:head=1504", "fbnet", "mobilenetv2"]
)
def test_specs_say_what_differs_from_the_default(spec):
    assert get_space(spec).spec == spec
    assert get_space("mobilenetv3:width=1").spec == "mobilenetv3"
    assert get_space("fbnet:cifar=true,head=1504").spec == "fbnet:cifar=true"
