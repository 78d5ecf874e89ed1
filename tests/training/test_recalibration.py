"""Statistics of an architecture's own, estimated as written down; the supernet is only read."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ogive._errors import DivergedError
from ogive.spaces.base import get_space
from ogive.training.data import Batches
from ogive.training.recalibration import Scorer, recalibrate, score
from ogive.training.supernet import Supernet
from ogive.training.supernet_config import SupernetConfig
from ogive.training.supernet_data import Stream, val_parts
from ogive.training.supernet_trainer import SupernetTrainer

SPACE = get_space("nasbench201:C=2,N=1")
PATH = SPACE.parse("|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|")
CPU = torch.device("cpu")


@pytest.fixture
def trained(blobs):
    run = SupernetTrainer(Supernet(SPACE, blobs), blobs, SupernetConfig(epochs=2, batch_size=20, sampler="fair"))
    run.run()
    return run.supernet


def digest(supernet):
    data = [f"{k}".encode() + v.numpy().tobytes() for k, v in supernet.network.state_dict().items()]
    return hashlib.sha256(b"".join(data)).hexdigest(), supernet.network.training


@pytest.mark.parametrize("statistics", ["recalibrated", "running", "batch"])
@pytest.mark.parametrize("training", [True, False])
def test_the_supernet_stays_as_it_was(statistics, training, trained, blobs):
    """P29, first half: hashes of all buffers and weights."""
    trained.network.train(training)
    before = digest(trained)
    scorer = Scorer(trained, blobs, statistics=statistics, batch_size=20)
    for genotype in SPACE.sample(5, np.random.default_rng(0)):
        scorer(genotype)
    assert digest(trained) == before


def test_statistics_are_the_means_over_the_batches(trained, blobs):
    """The stem's by hand: mean of batch means, mean of unbiased batch variances; in both forms of the scorer."""
    scorer = Scorer(trained, blobs, recalibrate=3, batch_size=20)
    stream = Stream(Batches(blobs, "train", CPU), 20, seed=0)
    plain = trained.extract(PATH)
    conv, norm = plain.stem[0], plain.stem[1]
    with torch.no_grad():
        seen = [conv(stream[i][0]) for i in range(3)]
    mean = torch.stack([s.mean(dim=(0, 2, 3)) for s in seen]).mean(dim=0)
    var = torch.stack([s.var(dim=(0, 2, 3)) for s in seen]).mean(dim=0)
    found = scorer.prepared(PATH).stem[1]
    torch.testing.assert_close(found.running_mean, mean)
    torch.testing.assert_close(found.running_var, var)
    assert not torch.allclose(norm.running_mean, mean)
    assert (found.momentum, found.training) == (norm.momentum, False)


def by_hand(logits, y):
    return {
        "accuracy": 100.0 * (logits.argmax(1) == y).float().mean().item(),
        "loss": F.cross_entropy(logits, y).item(),
    }


def test_running_and_batch_statistics_are_what_they_say(trained, blobs):
    batches = Batches(blobs, "val", CPU)
    x, y = batches.normalised(batches.x), batches.y
    with torch.no_grad():
        trained.network.eval()
        expected = by_hand(trained.forward(x, PATH), y)
        assert score(trained, PATH, blobs, mode="running") == pytest.approx(expected, rel=1e-5)
        # No dropout in this network: training mode is nothing but batch statistics.
        expected = by_hand(trained.extract(PATH).train()(x), y)
        assert score(trained, PATH, blobs, mode="batch") == pytest.approx(expected, rel=1e-5)


def test_rows_and_split_decide_on_what_is_scored(trained, blobs):
    rows = np.array([1, 5, 6, 30])
    whole, part = score(trained, PATH, blobs), score(trained, PATH, blobs, rows=rows)
    batches = Batches(blobs, "val", CPU)
    model = Scorer(trained, blobs).prepared(PATH)
    with torch.no_grad():
        logits = model(batches.normalised(batches.x))
    assert whole == pytest.approx(by_hand(logits, batches.y), rel=1e-5)
    assert part == pytest.approx(by_hand(logits[rows], batches.y[rows]), rel=1e-5)
    assert "test" not in blobs.asked
    score(trained, PATH, blobs, which="test")
    assert "test" in blobs.asked


def test_the_scorer_of_a_recipe_reads_the_search_part(trained, blobs):
    scorer = Scorer.of(trained, blobs, SupernetConfig(anchors=0.25, recalibrate=4, batch_size=10, statistics="batch"))
    np.testing.assert_array_equal(scorer.rows, val_parts(blobs, 0.25)[0])
    assert (scorer.recalibrate, scorer.batch_size, scorer.statistics) == (4, 10, "batch")


def test_a_score_is_kept_until_it_is_forgotten(trained, blobs):
    scorer = Scorer(trained, blobs)
    first = scorer(PATH)
    with torch.no_grad():
        trained.network.head.weight.mul_(2)
    assert scorer(PATH) == first
    scorer.forget()
    assert scorer(PATH)["loss"] != first["loss"]
    assert scorer(PATH) is not scorer(PATH)


def test_a_network_without_batch_normalisation_is_not_run():
    class Fails(nn.Sequential):
        def forward(self, x):
            raise AssertionError("run")

    recalibrate(Fails(nn.LayerNorm(3), nn.GroupNorm(1, 3), nn.BatchNorm1d(3, track_running_stats=False)), [None])


def test_a_loss_that_is_no_number_is_no_score(trained, blobs):
    with torch.no_grad():
        trained.network.head.weight[0, 0] = float("inf")
    with pytest.raises(DivergedError, match="the loss inside the supernet is nan"):
        score(trained, PATH, blobs)
