"""Zero-cost scores of NAS-Bench-201 cells against values that others measured."""

from __future__ import annotations

import json
import math
import zlib
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from ogive.metrics.base import Context
from ogive.metrics.evaluate import evaluate
from ogive.metrics.zero_cost import score_network
from ogive.nn.cells import CellNetwork
from ogive.spaces.base import Shape, get_space
from ogive.tasks.base import get_task

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

SPACE = get_space("nasbench201")
EXACT = ["grad_norm", "snip", "grasp", "fisher", "plain", "jacov", "synflow", "nwot", "epe_nas", "l2_norm"]


def canonical(arch: str) -> CellNetwork:
    """Build a cell with the weights that the reference file prescribes: each layer's own seed is a hash of its name."""
    net = SPACE.build(SPACE.parse(arch), Shape((3, 32, 32), 10))
    assert isinstance(net, CellNetwork)
    keyed: dict[str, nn.Module] = {"stem": net.stem[0], "head": net.head}
    cells = [*net.stage1, *net.stage2, *net.stage3]
    for i, cell in enumerate(cells):
        keyed |= {f"cell{i:02d}.{edge}": op.conv for edge, op in cell.edges.items() if hasattr(op, "conv")}
    for name in ("reduce1", "reduce2"):
        block = getattr(net, name)
        keyed |= {
            f"{name}.conv_a": block.conv_a.conv, f"{name}.conv_b": block.conv_b.conv,
            f"{name}.down": block.downsample[1],
        }  # fmt: skip
    for key, layer in keyed.items():
        g = torch.Generator().manual_seed(zlib.crc32(key.encode()))
        fan_in = layer.weight[0].numel()
        layer.weight.data.copy_(torch.randn(layer.weight.shape, generator=g) * (2 / fan_in) ** 0.5)
        if layer.bias is not None:
            layer.bias.data.zero_()
    return net


def prescribed_batch() -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    return torch.randn(64, 3, 32, 32, generator=g), torch.randint(0, 10, (64,), generator=g)


@pytest.fixture(scope="module")
def reference(shared: Path) -> dict[str, Any]:
    return json.loads((shared / "zero_cost_reference.json").read_text())


@pytest.fixture(scope="module")
def ours(reference: dict[str, Any]) -> dict[str, dict[str, float]]:
    x, y = prescribed_batch()
    return {
        name: score_network(canonical(a["arch_str"]), x, y, [*EXACT, "zen"]) for name, a in reference["archs"].items()
    }


def test_weights_and_batch_are_the_prescribed_ones(reference: dict[str, Any]) -> None:
    mark, (x, y) = reference["canonical_fingerprint"], prescribed_batch()
    assert x.flatten()[:3].tolist() == mark["X_first3"]
    assert y[:10].tolist() == mark["Y_first10"]
    net = canonical(next(iter(reference["archs"].values()))["arch_str"])
    assert net.stem[0].weight.flatten()[:3].tolist() == pytest.approx(mark["stem_w_first3"], rel=1e-6)


@pytest.mark.parametrize("quantity", EXACT)
def test_scores_equal_two_public_implementations(
    reference: dict[str, Any], ours: dict[str, dict[str, float]], quantity: str
) -> None:
    theirs = {name: float(a["canonical_naslib"][quantity]) for name, a in reference["archs"].items()}
    assert len(theirs) == 21
    for name, value in theirs.items():
        if math.isfinite(value):
            assert ours[name][quantity] == pytest.approx(value, rel=1e-5, abs=1e-30), name
        else:
            assert name == "all-none"
            assert ours[name][quantity] == -math.inf  # they: NaN or -inf


def test_zen_ranks_like_the_reference(reference: dict[str, Any], ours: dict[str, dict[str, float]]) -> None:
    names = list(reference["archs"])
    theirs = [float(reference["archs"][n]["canonical_naslib"]["zen"]) for n in names]
    assert spearmanr(pd.Series(theirs).rank(), pd.Series([ours[n]["zen"] for n in names]).rank()).statistic > 0.95


# -------------------------------------------------------------------- published scores of 725 cells

CELLS, BATCH = 200, 32

# Least Spearman coefficient with the published score. One batch and one initialisation make a noisy score of grasp and
# epe_nas (another seed of ours agrees with the first hardly better), and random weights break l2_norm's many ties.
BARS = {
    "synflow": 0.99, "grad_norm": 0.95, "snip": 0.95, "fisher": 0.95, "nwot": 0.95, "l2_norm": 0.93, "jacov": 0.85,
    "epe_nas": 0.75, "grasp": 0.5,
}  # fmt: skip


@pytest.fixture(scope="module")
def ranked(shared: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table and our scores of the same cells, default initialisation, on real CIFAR-10 images."""
    table = pd.read_csv(shared / "nasbench201_zero_cost_cifar10.csv.gz").sample(CELLS, random_state=0)
    task = get_task(f"cifar10:path={shared / 'cifar10_lossless_first4000.npz'}")
    context = Context(task, options={"zero_cost": {"batch_size": BATCH}})
    scores = evaluate(list(BARS), SPACE, SPACE.parse(table["arch"].tolist()), context)
    assert not scores.failures
    return table.reset_index(drop=True), pd.DataFrame(scores.values)


def spearman(a: pd.Series, b: pd.Series) -> float:
    """Ranks -inf below every number; cells without a published score are left out."""
    both = a.notna() & b.notna()
    return float(spearmanr(a[both].rank(), b[both].rank()).statistic)


@pytest.mark.slow
@pytest.mark.parametrize("quantity", list(BARS))
def test_scores_rank_cells_like_the_published_ones(ranked: tuple[pd.DataFrame, pd.DataFrame], quantity: str) -> None:
    table, ours = ranked
    assert spearman(ours[quantity], table[quantity]) >= BARS[quantity]


@pytest.mark.slow
def test_l2_norms_are_the_published_ones_up_to_the_draw_of_weights(ranked: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    table, ours = ranked
    assert (ours["l2_norm"] / table["l2_norm"] - 1).abs().max() < 0.02
    assert spearman(ours["l2_norm"].round(-1), table["l2_norm"].round(-1)) > 0.98


@pytest.mark.slow
@pytest.mark.parametrize("quantity", [q for q in BARS if q != "epe_nas"])
def test_scores_agree_with_accuracy_as_the_published_ones_do(
    ranked: tuple[pd.DataFrame, pd.DataFrame], quantity: str
) -> None:
    table, ours = ranked
    accuracy = table["val_accuracy"]
    assert spearman(ours[quantity], accuracy) == pytest.approx(spearman(table[quantity], accuracy), abs=0.03)


@pytest.mark.slow
def test_epe_nas_on_one_batch_for_all_cells_agrees_with_accuracy_no_worse(
    ranked: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    table, ours = ranked
    accuracy = table["val_accuracy"]
    assert spearman(ours["epe_nas"], accuracy) > spearman(table["epe_nas"], accuracy)
