"""Every method on the toy: what it proposes first, ranked again inside the supernet, against the table of 256 networks.

The bar is that the median true rank over 5 seeds is within the best 15 %. GDAS misses it (docs/supernet.md) and is held
to the best quarter. Recipes and the number of proposals were chosen on seeds 0 to 4; these are others.
"""

from __future__ import annotations

import numpy as np
import pytest

from ogive.strategies import get_strategy
from ogive.tasks.base import get_task
from ogive.training.supernet import Supernet
from ogive.training.supernet_config import SupernetConfig
from ogive.training.supernet_trainer import SupernetTrainer
from tests.toy import TASK, toy

FIRST = 20
RECIPES = {
    "darts": ("darts", 40, 0.15),
    "pc-darts": ("pc-darts", 40, 0.15),
    "gdas": ("gdas:lr=0.003,run=all", 100, 0.25),
    "enas": ("enas:updates=5,samples=10,warmup=0.6", 100, 0.15),
}
"""Sampler, epochs, and the share of the networks that the median rank must be within."""


def train(name, space, seed, epochs):
    config = SupernetConfig(sampler=RECIPES[name][0], epochs=epochs, lr=0.03, anchors=0.0)
    trainer = SupernetTrainer(Supernet(space, get_task(TASK), seed=seed), get_task(TASK), config, seed=seed)
    losses = trainer.run()
    assert np.isfinite(losses).all()
    strategy = get_strategy(name, space, seed=seed)
    strategy.learn(trainer.sampler.logits())
    return trainer, strategy


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_the_best_of_the_first_proposals_is_a_good_network(name):
    space, table = toy()
    rank = table["accuracy"].rank(ascending=False, method="min").to_numpy()
    _, epochs, share = RECIPES[name]
    ranks = []
    for seed in range(10, 15):
        trainer, strategy = train(name, space, seed, epochs)
        first = strategy.ask(FIRST)
        scores = [trainer.scorer(row)["accuracy"] for row in first]
        ranks.append(rank[space.index(first)[int(np.argmax(scores))]])
    assert np.median(ranks) <= share * 256, ranks


@pytest.mark.parametrize("name", RECIPES)
def test_locks_hold_while_training_and_in_what_is_proposed(name):
    space, _ = toy()
    locked = space.restrict(lock={"a": "a_pool"}, exclude={"d": ["d_skip", "d_conv3"]})
    trainer, strategy = train(name, locked, seed=0, epochs=2)
    unused = ~locked.restriction.allowed
    assert (trainer.supernet.exposure[unused] == 0).all()
    assert (trainer.sampler.distribution()[unused] == 0).all()
    proposed = strategy.ask(32)
    assert locked.permits(proposed).all()
    assert len(set(space.keys(proposed))) == 32
