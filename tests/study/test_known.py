"""Evidence about any study, read from its log."""

from __future__ import annotations

import json

import numpy as np
from scipy.stats import rankdata
from typer.testing import CliRunner

from ogive.cli.main import app
from ogive.study import Study
from ogive.study.known import Known
from ogive.study.one_shot import SLICE
from tests.study.test_one_shot import ask


def test_rewards_are_percentiles_within_an_epoch():
    study = ask(trials=32).run()
    known = Known.of(study)
    second = [e.data["candidate"] for e in study.events(kinds=(SLICE,))][1]
    assert known.epoch.tolist() == [int(c >= second) for c in known.rows.candidate]
    for epoch in (0, 1):
        values = known.rows.values[known.epoch == epoch, 0]
        assert np.allclose(known.standing[known.epoch == epoch], (rankdata(values) - 0.5) / len(values))
    evidence = known.evidence(study.problem.space)
    last = np.array([e.data["exposure"] for e in study.events(kinds=(SLICE,))][-1])
    assert evidence.exposure.tolist() == last.ravel().tolist(), "four choices of four options, a part each"
    assert evidence.n.sum() == 4 * 32


def test_a_study_of_counts_has_evidence_too_and_the_command_prints_it(tmp_path):
    path = tmp_path / "run"
    Study("nasbench201", "digits", minimize=["params"], maximize=["depth"], out=path, trials=60, seed=3).run()
    shown = CliRunner().invoke(app, ["steer", str(path), "--evidence"])
    assert shown.exit_code == 0
    assert "suggestion: exclude" in shown.stdout
    document = json.loads(CliRunner().invoke(app, ["steer", str(path), "--evidence", "--json"]).stdout)
    options = {(o["choice"], o["option"]): o for o in document["options"]}
    assert len(options) == 30
    assert document["evaluations"] == 60
    known = Known.of(Study.open(path))
    conv = known.rows.genotypes[:, 0] == 3
    assert options["0->1", "nor_conv_3x3"]["n"] == conv.sum()
    assert options["0->1", "nor_conv_3x3"]["fitness"] == (1 + known.standing[conv].sum()) / (2 + conv.sum())


def test_a_study_that_has_measured_nothing_knows_nothing():
    study = ask()
    evidence = Known.of(study).evidence(study.problem.space)
    assert evidence.n.tolist() == [0] * 16
    assert Known.of(study).suggestions(study.problem.space) == []
