"""Anchors come from the supernet's ranking and are trained alone; what was trained is not trained again."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ogive._errors import InputError
from ogive.methods.supernet_trust import examine
from ogive.metrics.trust import judge
from ogive.spaces.base import get_space
from ogive.tasks import get_task
from ogive.training.config import TrainConfig
from ogive.training.data import Batches
from ogive.training.seeding import seeded
from ogive.training.supernet import Supernet
from ogive.training.supernet_config import SupernetConfig
from ogive.training.supernet_data import val_parts
from ogive.training.supernet_trainer import SupernetTrainer
from ogive.training.trainer import train

SPACE = get_space("nasbench201:C=2,N=1")
TASK = get_task("digits")
RECIPE = TrainConfig(epochs=1, batch_size=256)
PINNED = "|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|"


@pytest.fixture(scope="module")
def trainer():
    return SupernetTrainer(Supernet(SPACE, TASK), TASK, SupernetConfig(epochs=1, recalibrate=2, anchors=0.25))


def test_the_verdict_is_that_of_the_anchors_trained_by_hand(trainer):
    found, verdict = examine(trainer, RECIPE, anchors=6, repeated=2, candidates=10, pinned=[PINNED], seed=3)
    assert len({a.arch for a in found}) == 6
    assert [len(a.accuracy) for a in found] == [2, 1, 1, 1, 1, 2]
    (pinned,) = [a for a in found if a.arch == PINNED]
    assert pinned.loss == trainer.scorer(SPACE.parse(PINNED))["loss"]
    rows = val_parts(TASK, 0.25)[1]
    batches = Batches(TASK, "val", trainer.device)
    for run, accuracy in enumerate(found[0].accuracy):
        with seeded(3 + run):
            model = SPACE.build(SPACE.parse(found[0].arch), TASK)
        train(model, TASK, RECIPE, seed=3 + run)
        right = model.eval()(batches.normalised(batches.x[rows])).argmax(dim=1) == batches.y[rows]
        assert accuracy == pytest.approx(100 * right.double().mean().item())
    truth = np.array([[*a.accuracy, np.nan][:2] for a in found])
    assert verdict == judge(np.array([-a.loss for a in found]), truth, seed=3)


def test_what_is_known_is_not_trained_again(trainer):
    known, done = {}, []
    options = {"anchors": 3, "repeated": 1, "candidates": 5, "seed": 1}
    first = examine(trainer, RECIPE, known=known, progress=lambda: done.append(0), **options)
    assert len(done) == len(known) == 4
    assert examine(trainer, RECIPE, known=known, progress=lambda: done.append(0), **options) == first
    assert len(done) == 4


def test_a_supernet_that_keeps_nothing_back_cannot_be_judged(trainer):
    config = dataclasses.replace(trainer.config, anchors=0.0)
    with pytest.raises(InputError, match="trained with anchors=0: no part of validation is left"):
        examine(SupernetTrainer(trainer.supernet, TASK, config), RECIPE)
