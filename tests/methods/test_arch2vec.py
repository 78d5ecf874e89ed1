"""arch2vec put together: training goes on after a kill, search keeps the names it was given."""

from __future__ import annotations

import numpy as np
import pytest

from ogive._errors import InputError
from ogive.methods.arch2vec import _with, quality, search, train
from ogive.metrics.tables import Column, Table
from ogive.predictors.graph_autoencoder import Embedding, pretrain
from ogive.spaces.base import get_space
from ogive.study.bench import choices
from ogive.testing.strategy import score


class Killed(Exception):
    pass


def test_interrupted_training_ends_as_if_it_had_not_been(tmp_path):
    def kill(done):
        if done.epoch == 2:
            raise Killed

    options = {"epochs": 3, "cells": 70, "seed": 4}
    with pytest.raises(Killed):
        train("transnas_micro", tmp_path / "a", progress=kill, **options)
    seen = []
    resumed = train("transnas_micro", tmp_path / "a", progress=lambda p: seen.append(p.epoch), **options)
    whole = train("transnas_micro", tmp_path / "b", **options)
    assert 1 not in seen
    np.testing.assert_array_equal(resumed.table[1], whole.table[1])
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["embedding.safetensors"]
    held = Embedding.load(tmp_path / "a")
    assert held.facts["reconstruction"] == whole.facts["reconstruction"]
    assert held.facts["reconstruction"]["n"] == 7
    assert 0 <= held.facts["generation"]["strict"] <= held.facts["generation"]["validity"] <= 1


def test_graphs_that_cannot_be_read_back_are_not_judged(tmp_path):
    space = get_space("nats_sss")
    held = train(space, tmp_path, epochs=1, cells=40)
    assert set(quality(held, 40, 0)) == {"reconstruction"}


def test_search_gives_the_folder_to_whom_it_belongs(tmp_path):
    assert _with("arch2vec-bo", tmp_path) == f"arch2vec-bo:embedding={tmp_path}"
    assert _with("arch2vec-rl:steps=4", "d") == "arch2vec-rl:steps=4,embedding=d"
    assert _with("arch2vec-bo:embedding=e", "d") == "arch2vec-bo:embedding=e"
    assert _with("bo", "d") == "bo"
    assert _with("arch2vec-bo", None) == "arch2vec-bo"
    with pytest.raises(InputError, match="comma"):
        _with("arch2vec-bo", "a,b")


def test_rows_keep_the_names_that_were_asked_for(tmp_path):
    train("transnas_micro", tmp_path, epochs=1, cells=40)
    space = get_space("transnas_micro")
    everything = space.enumerate()
    table = Table("t", space, everything, [Column("val", "%")], score(space, everything, 1).T)
    rows = search(table, "val", "val", tmp_path, strategies=["arch2vec-rl", "random"], budgets=[5, 20], seeds=8)
    assert [(r.strategy, r.budget) for r in rows] == [(s, b) for s in ("arch2vec-rl", "random") for b in (5, 20)]
    assert {name for r in rows for name in r.distinguishable} <= {"arch2vec-rl", "random"}


SETS = ("cifar10", "cifar100", "imagenet16_120")


@pytest.mark.slow
def test_search_reaches_the_figures_of_the_specification(shared, tmp_path):
    """Check P5: 30 seeds, 50 evaluations; validation chooses, the seed-averaged test accuracy reports."""
    table = Table.read(shared / "nasbench201.csv.gz", "nasbench201")
    pretrain("nasbench201", "arch2vec").save(tmp_path)
    specs = {
        "default": "bo",
        "evolution": "evolution:population=10,sample=5",
        "local": "local",
        "rank": f"arch2vec-bo:embedding={tmp_path}",
        "raw": f"arch2vec-bo:target=raw,embedding={tmp_path}",
    }
    val, test = ({name: [] for name in specs} for _ in range(2))
    for data in SETS:
        for name, spec in specs.items():
            (rows,) = choices(table, f"{data}_val_accuracy", spec, [50], 30, seed=7000)
            val[name].append(table.values(f"{data}_val_accuracy")[rows].mean())
            test[name].append(table.values(f"{data}_test_accuracy")[rows].mean())
    assert (np.array(val["default"]) >= [91.23, 72.95, 46.85]).all()
    assert (np.array(test["default"]) >= [94.10, 72.95, 46.30]).all()
    for weaker in ("evolution", "local"):
        assert (np.array(val["default"]) > val[weaker]).all()
        assert (np.array(val["rank"]) > val[weaker]).all()
    for rival in ("rank", "raw"):
        assert (np.array(val["default"]) > val[rival]).all()
