"""Recipes round-trip, and what is wrong with one is named."""

from __future__ import annotations

import json

import pytest

from ogive._errors import InputError, UnknownNameError
from ogive.training.config import TrainConfig


def test_round_trip_through_json_and_text():
    config = TrainConfig(epochs=3, lr=0.25, optimizer="adamw", compile=True)
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert TrainConfig.parse("epochs=3,lr=0.25,optimizer=adamw,compile=true") == config
    assert TrainConfig.parse("") == TrainConfig()


def test_unknown_options_name_the_nearest():
    with pytest.raises(UnknownNameError, match="unknown training option 'epoch'; did you mean 'epochs'"):
        TrainConfig.from_dict({"epoch": 3})
    with pytest.raises(UnknownNameError, match="unknown training option schedule 'cosin'; did you mean 'cosine'"):
        TrainConfig(schedule="cosin")
    with pytest.raises(InputError, match="has no value"):
        TrainConfig.parse("epochs")


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"epochs": 1.5},
        {"epochs": True},
        {"batch_size": 1},
        {"lr": 0},
        {"lr": float("nan")},
        {"lr": "fast"},
        {"momentum": 1.0},
        {"weight_decay": -1e-4},
        {"warmup": -0.1},
        {"label_smoothing": 1.0},
        {"clip_norm": float("inf")},
        {"validate_every": 0},
        {"diverge_factor": 0},
        {"diverge_steps": 0},
        {"compile": "yes"},
        {"augment": "flip"},
        {"precision": "int8"},
        {"optimizer": "lion"},
    ],
)
def test_values_out_of_range_are_named(wrong):
    (name,) = wrong
    with pytest.raises(InputError, match=f"training option {name}"):
        TrainConfig(**wrong)
