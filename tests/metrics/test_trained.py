"""``accuracy@train`` and friends are real training, fixed by the seed, blind to the test split."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ogive._errors import InputError
from ogive.metrics.base import Context, Cost, resolve
from ogive.metrics.evaluate import evaluate
from ogive.spaces.base import get_space
from ogive.tasks import get_task
from ogive.tasks.digits import Digits
from ogive.training.config import TrainConfig
from ogive.training.trainer import train

NAMES = ["accuracy@train", "loss@train", "seconds@train"]
ARCH = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|none~2|"
SPACE = get_space("nasbench201:C=4,N=1")
QUICK = {"train": TrainConfig(epochs=2)}


def context(**changes):
    return Context(**({"task": get_task("digits"), "options": QUICK} | changes))


def test_registered_with_unit_and_direction():
    found = {n: (m.unit, m.direction, m.cost, m.identity) for n in NAMES for m in [resolve(n)]}
    assert found == {
        "accuracy@train": ("%", "max", Cost.TRAIN, "graph"),
        "loss@train": ("nats", "min", Cost.TRAIN, "graph"),
        "seconds@train": ("s", "min", Cost.TRAIN, "graph"),
    }


def test_values_are_those_of_the_trainer_from_seeded_weights():
    genotypes = SPACE.parse([ARCH])
    torch.manual_seed(99)
    state = torch.get_rng_state()
    found = evaluate(NAMES, SPACE, genotypes, context(seed=4)).values
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(4)
    expected = train(SPACE.build(genotypes[0], get_task("digits")), get_task("digits"), QUICK["train"], seed=4)
    assert found["accuracy@train"][0] == expected.accuracy
    assert found["loss@train"][0] == expected.loss
    assert found["seconds@train"][0] > 0
    other = evaluate(["loss@train"], SPACE, genotypes, context(seed=5)).values
    assert other["loss@train"][0] != expected.loss


def test_the_test_split_is_never_read():
    class Guarded(Digits):
        def split(self, which):
            assert which != "test"
            return super().split(which)

    found = evaluate(["accuracy@train"], SPACE, SPACE.parse([ARCH]), context(task=Guarded()))
    assert not found.failures
    assert 10 < found.values["accuracy@train"][0] <= 100


def test_a_diverging_architecture_is_a_failure_with_a_reason_and_no_score():
    options = {"train": TrainConfig(epochs=5, lr=1e9, diverge_steps=2)}
    found = evaluate(NAMES, SPACE, SPACE.parse([ARCH]), context(options=options))
    assert "diverged" in found.failures[0]
    assert all(np.isnan(found.values[n][0]) for n in NAMES)


def test_isomorphic_cells_are_trained_once():
    twins = SPACE.parse(
        [
            "|skip_connect~0|+|none~0|nor_conv_1x1~1|+|none~0|none~1|skip_connect~2|",
            "|none~0|+|nor_conv_1x1~0|none~1|+|none~0|none~1|skip_connect~2|",
        ]
    )
    cache: dict = {}
    values = evaluate(["loss@train"], SPACE, twins, context(), cache=cache).values["loss@train"]
    assert values[0] == values[1]
    assert len(cache) == 1


def test_wrong_settings_and_no_task_are_one_clear_line():
    with pytest.raises(InputError, match="must be a TrainConfig, not dict"):
        evaluate(NAMES, SPACE, SPACE.parse([ARCH]), context(options={"train": {"epochs": 2}}))
    with pytest.raises(InputError, match="needs a task"):
        evaluate(NAMES, SPACE, SPACE.parse([ARCH]), context(task=None))
