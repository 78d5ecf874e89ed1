"""Latency from block times against a sum that is read off the built network, layer by layer."""

from __future__ import annotations

import gzip
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

from ogive._errors import InputError
from ogive.spaces.base import Shape, get_space
from ogive.spaces.mobile import LookupTable

NOTE10 = "ofa_note10_block_lut.csv.gz"


@pytest.fixture(scope="module")
def wide():
    return get_space("ofa:width=1.2").restrict(exclude={"resolution": [str(r) for r in range(128, 160, 4)]})


def read_off(frame, model, side):
    """Add up the table's rows, found by shapes that hooks see while the network runs."""
    import torch
    from torch import nn

    from ogive.nn.mobile import InvertedResidual

    total, at = 0.0, frame[frame["resolution"] == side]

    def seen(module, inputs, output):
        nonlocal total
        (_, c, h, w), (_, c2, h2, w2) = inputs[0].shape, output.shape
        rows = at[(at["input"] == f"{h}x{w}x{c}") & (at["output"] == f"{h2}x{w2}x{c2}")]
        if isinstance(module, InvertedResidual):
            kinds = [type(m) for m in module.modules()]
            (depthwise,) = [m for m in module.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
            want = {
                "expand": depthwise.in_channels,
                "kernel": depthwise.kernel_size[0],
                "stride": depthwise.stride[0],
                "idskip": int(module.shortcut),
                "se": int(nn.AdaptiveAvgPool2d in kinds),
                "hs": int(nn.Hardswish in kinds),
            }
            for column, value in want.items():
                rows = rows[rows[column] == value]
        (time,) = rows["mean_ms"]
        total += time

    for part in (model.stem, *model.blocks, model.last, model.pool, model.mix):
        part.register_forward_hook(seen)
    with torch.no_grad():
        model(torch.zeros(1, 3, side, side))
    return total + at.loc[at["block"] == "Logits", "mean_ms"].item()


def test_latency_is_the_sum_over_the_layers_of_the_network(shared, wide):
    frame, table = pd.read_csv(shared / NOTE10), LookupTable.read(shared / NOTE10)
    genotypes = wide.sample(4, np.random.default_rng(0))
    sides = wide.resolution(genotypes).tolist()
    expected = [
        read_off(frame, wide.build(g, Shape((3, side, side), 1000)).eval(), side)
        for g, side in zip(genotypes, sides, strict=True)
    ]
    assert table.latency(wide, genotypes) == pytest.approx(expected, rel=1e-12)
    fixed = get_space("mobilenetv3:width=1.2")
    for genotype, side, time in zip(genotypes, sides, expected, strict=True):
        assert table.latency(fixed, genotype[None, :-1], side) == pytest.approx(time, rel=1e-12)


class Noting(Mapping):
    """A mapping that notes what is asked for."""

    def __init__(self, times):
        self.times, self.asked = times, set()

    def __getitem__(self, key):
        self.asked.add(key)
        return self.times[key]

    def __iter__(self):
        return iter(self.times)

    def __len__(self):
        return len(self.times)


def test_the_space_asks_for_every_entry_of_the_published_table(shared, wide):
    """The 96 entries of each resolution pin widths, strides, activations and squeeze-and-excitation."""
    published = LookupTable.read(shared / NOTE10).times
    assert sorted(published) == list(range(160, 225, 4))
    noting = {side: Noting(times) for side, times in published.items()}
    LookupTable(noting).latency(wide, wide.sample(20_000, np.random.default_rng(0)))
    assert all(noting[side].asked == set(published[side]) and len(published[side]) == 96 for side in published)


def test_at_one_resolution_latency_is_linear_in_the_blocks(shared, wide):
    table = LookupTable.read(shared / NOTE10)
    space = wide.restrict(lock={"resolution": "192"})
    genotypes = space.sample(1000, np.random.default_rng(1))
    X, y = space.encode(genotypes, "blocks").astype(np.float64), table.latency(space, genotypes)
    weights, *_ = np.linalg.lstsq(X, y, rcond=None)
    assert np.allclose(X @ weights, y)


def test_block_times_grow_with_the_area_of_the_image(shared):
    frame = pd.read_csv(shared / NOTE10)
    blocks = frame[frame["block"] == "expanded_conv"].copy()
    for column in ("input", "output"):
        blocks[column] = blocks[column].str.split("x").str[2]
    which = ["input", "output", "expand", "kernel", "stride", "idskip", "se", "hs"]
    small, large = (blocks[blocks["resolution"] == side].set_index(which)["mean_ms"] for side in (160, 224))
    ratio = (small / large).to_numpy()
    assert len(ratio) == 91
    assert np.median(ratio) == pytest.approx(0.505, abs=5e-4)
    assert np.quantile(ratio, [0.05, 0.95]) == pytest.approx([0.475, 0.639], abs=2e-3)


# ---------------------------------------------------------------- what does not fit


def test_what_the_table_lacks_is_named(shared, wide):
    table = LookupTable.read(shared / NOTE10)
    genotypes = wide.sample(3, np.random.default_rng(0))
    with pytest.raises(InputError, match=r"no time of 'Conv-input:.*is the width another one"):
        table.latency(get_space("ofa"), genotypes)
    small = genotypes.copy()
    small[1, -1] = 0
    with pytest.raises(InputError, match="no times at resolution 128; it has"):
        table.latency(wide.free(), small)
    with pytest.raises(InputError, match="resolution=224 does not fit"):
        table.latency(wide, genotypes, 224)
    with pytest.raises(InputError, match="resolution=None does not fit"):
        table.latency(get_space("mobilenetv3:width=1.2"), genotypes[:, :-1])


def test_a_table_of_part_of_the_space_serves_that_part(shared, wide):
    times = LookupTable.read(shared / NOTE10).times
    small = LookupTable({160: {k: t for k, t in times[160].items() if "kernel:7" not in k}})
    kernels = {c.name: ["7"] for c in wide.choices if c.name.startswith("kernel")}
    narrow = wide.restrict(lock={"resolution": "160"}, exclude=kernels)
    genotypes = narrow.sample(20, np.random.default_rng(0))
    assert np.array_equal(small.latency(narrow, genotypes), LookupTable(times).latency(narrow, genotypes))
    with pytest.raises(InputError, match="kernel:7"):
        small.latency(wide, wide.restrict(lock={"resolution": "160"}).sample(20, np.random.default_rng(0)))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("resolution,key\n160,a\n", "no column 'mean_ms'"),
        ("", "no column 'resolution'"),
        ("resolution,key,mean_ms\n160,a,1\n160,b,-1\n", "row 2: time -1.0 is not positive"),
        ("resolution,key,mean_ms\n160,a,nan\n", "row 1: time nan"),
        ("resolution,key,mean_ms\n160,a,fast\n", "row 1: .*fast"),
        ("resolution,key,mean_ms\n160,a\n", "row 1"),
        ("resolution,key,mean_ms\n160,a,1\n160,a,2\n", "row 2: 'a' is there twice"),
    ],
)
def test_broken_files_are_refused(tmp_path, text, what):
    file = tmp_path / "times.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=what):
        LookupTable.read(file)


def test_files_that_are_no_tables_are_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        LookupTable.read(tmp_path / "nothing.csv")
    broken = tmp_path / "broken.csv.gz"
    broken.write_bytes(gzip.compress(b"resolution,key,mean_ms\n" * 99)[:30])
    plain = tmp_path / "plain.csv.gz"
    plain.write_text("resolution,key,mean_ms\n")
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00")
    for file in (broken, plain, binary):
        with pytest.raises(InputError, match=file.name):
            LookupTable.read(file)
