"""A supernet recipe goes to text and back, and what cannot be is said."""

from __future__ import annotations

import json

import pytest

from ogive._errors import InputError, UnknownNameError
from ogive.training.config import TrainConfig
from ogive.training.supernet_config import SupernetConfig


def test_it_is_read_from_text_and_goes_through_json():
    config = SupernetConfig.parse("sampler=guided:fair=0.6,epochs=20,statistics=batch,anchors=0.25")
    assert (config.sampler, config.epochs, config.statistics, config.anchors) == ("guided:fair=0.6", 20, "batch", 0.25)
    assert SupernetConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert SupernetConfig.parse("") == SupernetConfig()


def test_the_common_part_is_an_ordinary_recipe():
    recipe = SupernetConfig(epochs=7, lr=0.3, schedule="constant", clip_norm=2.0).recipe
    assert recipe == TrainConfig(epochs=7, lr=0.3, schedule="constant", clip_norm=2.0, warmup=0.05)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("epoch=3", UnknownNameError, "unknown supernet option 'epoch'; did you mean 'epochs'"),
        ("compile=true", UnknownNameError, "unknown supernet option 'compile'"),
        ("epochs=0", InputError, "epochs=0 must be a whole number >= 1"),
        ("lr=-1", InputError, "lr=-1 must be a number > 0"),
        ("statistics=runing", UnknownNameError, "did you mean 'running'"),
        ("recalibrate=0", InputError, "recalibrate=0 must be a whole number >= 1"),
        ("anchors=1", InputError, r"anchors=1 must be a number in \[0, 1\)"),
    ],
)
def test_what_cannot_be_is_said(text, error, message):
    with pytest.raises(error, match=message):
        SupernetConfig.parse(text)
