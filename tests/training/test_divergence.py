"""Runs are stopped when they should be, and only then."""

from __future__ import annotations

import json
import math

import pytest

from ogive._errors import DivergedError
from ogive.training.config import TrainConfig
from ogive.training.divergence import Watch

CONFIG = TrainConfig(diverge_factor=3.0, diverge_steps=4)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_stops_at_its_step(bad):
    with pytest.raises(DivergedError, match="at step 3: the loss is"):
        Watch(CONFIG, 10).see([1.0, 2.0, bad, 1.0])


def test_high_losses_stop_only_when_they_last():
    high, fine = 3 * math.log(10) + 1, 2.0
    watch = Watch(CONFIG, 10)
    watch.see([2.0, high, high, high, fine, high, high, high])
    with pytest.raises(
        DivergedError, match=r"at step 9: the loss stayed above 3 times its first value 2\.3 for 4 steps"
    ):
        watch.see([high])


def test_a_lucky_first_loss_counts_as_guessing_and_a_high_one_as_itself():
    lucky, high = Watch(CONFIG, 10), Watch(CONFIG, 10)
    lucky.see([0.01] + [2.0] * 50)
    high.see([100.0] + [250.0] * 50)


def test_state_goes_on_through_json():
    whole, first = Watch(CONFIG, 10), Watch(CONFIG, 10)
    losses = [2.0, 50.0, 50.0, 50.0]
    whole.see(losses)
    first.see(losses)
    second = Watch(CONFIG, 10)
    second.restore(json.loads(json.dumps(first.state())))
    assert second.state() == whole.state()
    with pytest.raises(DivergedError, match="at step 5"):
        second.see([50.0])
