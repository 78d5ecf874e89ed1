"""REINFORCE against PyTorch's autograd and Adam."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ogive._errors import InputError
from ogive.spaces.base import get_space
from ogive.strategies import get_strategy


def test_one_step_is_that_of_autograd_and_adam():
    space = get_space("nasbench201")
    strategy = get_strategy("reinforce:entropy=0.3,learning_rate=0.05", space, seed=0)
    logits = torch.zeros(6, 5, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=0.05)
    rng = np.random.default_rng(0)
    told = np.empty((0, 1))
    baseline = 0.5
    for _ in range(5):
        g = space.sample(4, rng)
        values = rng.normal(size=(4, 1))
        told = np.concatenate([told, values])
        reward = np.array([((told < v).sum() + 0.5 * (told == v).sum()) / len(told) for v in values[:, 0]])
        strategy.tell(g, values)
        log_p = torch.log_softmax(logits, dim=1)
        chosen = log_p[torch.arange(6), torch.as_tensor(g.astype(np.int64))].sum(dim=1)
        gain = (torch.as_tensor(reward - baseline) * chosen).mean() - 0.3 * (log_p.exp() * log_p).sum()
        optimiser.zero_grad()
        (-gain).backward()
        optimiser.step()
        baseline = 0.9**4 * baseline + (1 - 0.9**4) * reward.mean()
        np.testing.assert_allclose(strategy.policy(), logits.softmax(dim=1).detach().numpy(), rtol=1e-6)


def test_learns_what_is_rewarded():
    space = get_space("nasbench201")
    strategy = get_strategy("reinforce", space, seed=1)
    for _ in range(150):
        g = strategy.ask(4)
        strategy.tell(g, (g == 3).sum(axis=1, dtype=float)[:, None])
    assert strategy.policy()[:, 3].mean() > 0.6


def test_policy_stays_inside_the_restriction_and_follows_its_weights():
    space = get_space("nasbench201").restrict(exclude={"0->1": ["none"]}, weights={"0->2": {"none": 3.0}})
    policy = get_strategy("reinforce", space).policy()
    np.testing.assert_allclose(policy[0], [0, 0.25, 0.25, 0.25, 0.25])
    np.testing.assert_allclose(policy[1], np.array([3, 1, 1, 1, 1]) / 7)
    drawn = get_strategy("reinforce", space, seed=0).ask(20_000)
    np.testing.assert_allclose((drawn[:, 1] == 0).mean(), 3 / 7, atol=0.02)


def test_bad_options():
    with pytest.raises(InputError, match="decay"):
        get_strategy("reinforce:decay=1.0", get_space("nasbench201"))
    with pytest.raises(InputError, match="learning_rate"):
        get_strategy("reinforce:learning_rate=-1", get_space("nasbench201"))
