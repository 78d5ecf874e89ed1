"""How supernets of the toy space rank its 256 networks, against the stored table of the same networks trained alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau

from ogive.tasks.base import get_task
from ogive.training.recalibration import Scorer
from ogive.training.supernet import Supernet
from ogive.training.supernet_config import SupernetConfig
from ogive.training.supernet_trainer import SupernetTrainer
from tests.toy import TASK, toy

RECIPES = {
    "uniform": "sampler=uniform,epochs=40,lr=0.05,batch_size=32,anchors=0",
    "fair": "sampler=fair,epochs=10,lr=0.05,batch_size=32,anchors=0",
}


@pytest.fixture(scope="module")
def runs():
    """Losses of all networks with running and with recalibrated statistics, by sampler and seed."""
    space, table = toy()
    task, found = get_task(TASK), {}
    for name, recipe in RECIPES.items():
        for seed in range(3):
            trainer = SupernetTrainer(Supernet(space, task, seed=seed), task, SupernetConfig.parse(recipe), seed=seed)
            trainer.run()
            scorers = [Scorer(trainer.supernet, task, statistics=s) for s in ("running", "recalibrated")]
            genotypes = space.from_index(table.index.to_numpy())
            found[name, seed] = np.array([[scorer(g)["loss"] for g in genotypes] for scorer in scorers])
    return found


@pytest.mark.slow
def test_recalibrated_losses_rank_the_networks(runs):
    truth = toy()[1]["accuracy"].to_numpy()
    rank = (-truth).argsort().argsort()
    for _, recalibrated in runs.values():
        assert kendalltau(truth, -recalibrated).statistic >= 0.55
        top = np.argsort(recalibrated)[:10]
        assert rank[top].min() < 0.12 * len(truth)


@pytest.mark.slow
def test_recalibration_helps_the_ranking_in_five_of_six_runs(runs):
    """Of the seeds 0 to 2. It is no rule: of the twenty runs in docs/guided.md it helps thirteen."""
    truth = toy()[1]["accuracy"].to_numpy()
    gains = [
        kendalltau(truth, -recalibrated).statistic - kendalltau(truth, -running).statistic
        for running, recalibrated in runs.values()
    ]
    assert sum(gain > 0 for gain in gains) >= 5
    assert min(gains) >= -0.02


@pytest.mark.slow
def test_the_stored_table_is_what_its_script_gives(tmp_path):
    """Trained again, networks come out as stored, up to what another processor's arithmetic makes of it."""
    script = Path(__file__).parents[2] / "benchmarks" / "toy_table.py"
    out = tmp_path / "toy.csv"
    subprocess.run(
        [sys.executable, script, "--out", out, "--limit", "12", "--seeds", "1", "--workers", "1"], check=True
    )
    again, stored = pd.read_csv(out).set_index("arch"), toy()[1].set_index("arch")
    columns = ["val_accuracy_seed0", "test_accuracy_seed0"]
    difference = (again[columns] - stored.loc[again.index, columns]).mean(axis=1).abs()
    assert len(difference) == 12
    assert difference.mean() < 2.0
