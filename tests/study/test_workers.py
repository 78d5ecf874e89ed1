"""Worker processes that work, die, hang, print and are replaced."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from ogive._errors import InputError
from ogive._registry import load_plugin
from ogive.study import Study
from ogive.study.workers import Pool

PLUGIN = str(Path(__file__).with_name("plugin.py"))
load_plugin(PLUGIN)


def make(metric, **more):
    return Study("nasbench201", "digits", maximize=[metric], strategy="random", plugins=[PLUGIN], **more)


def test_a_worker_that_dies_fails_its_trial_and_is_replaced(monkeypatch):
    monkeypatch.setenv("OGIVE_TEST_DEADLY", "1")
    study = make("moody@test", workers=2).run(25)
    trials = study.trials
    died = trials["reason"].str.startswith("the worker process died (exit code 7)")
    assert len(trials) == 25
    assert (died == trials["arch"].str.startswith("|avg_pool_3x3~0|")).all()
    assert died.sum() >= 2
    assert trials["arch"].str.startswith("|none~0|").any()
    assert (trials["status"][trials["arch"].str.startswith("|none~0|")] == "done").all()


def test_a_trial_that_takes_too_long_fails():
    study = make("sleepy@test", workers=2, timeout=1.0, seed=1).run(14)
    trials = study.trials
    slow = trials["arch"].str.startswith("|avg_pool_3x3~0|")
    assert slow.any()
    assert (trials["reason"][slow] == "took longer than 1 s").all()
    # The time a worker needs to start does not count.
    assert (trials["status"][~slow] == "done").all()


def test_work_is_spread_and_printing_does_no_harm():
    study = make("pid@test", workers=2).run(12)
    pids = set(study.trials["pid@test"])
    assert os.getpid() not in pids
    assert 1 <= len(pids) <= 2
    assert (study.trials["status"] == "done").all()


def test_what_a_worker_cannot_know_is_an_error_of_the_input():
    study = Study("nasbench201", "digits", maximize=["slow@test"], workers=1)
    with pytest.raises(InputError, match="slow@test"):
        study.run(3)


def test_a_pool_answers_every_job_once_and_can_be_used_again():
    setup = make("slow@test", workers=1).config.to_dict()
    pool = Pool(2, setup)
    space = make("slow@test").problem.space
    genotypes = space.sample(20, np.random.default_rng(0)).tolist()
    for _ in range(2):
        for key, genotype in enumerate(genotypes):
            pool.submit(key, "measure", genotype)
        answers = {}
        while len(answers) < 20:
            for answer in pool.wait():
                assert answer.key not in answers
                answers[answer.key] = answer.result["values"][0]
        expected = [make("slow@test").problem.measure(np.array(g, dtype=space.dtype)).values[0] for g in genotypes]
        assert [answers[k] for k in range(20)] == expected
        pool.close()
