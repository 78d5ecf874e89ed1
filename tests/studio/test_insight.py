"""Evidence, trust, pairs and swaps as the page gets them, against counting and against the library."""

from __future__ import annotations

import numpy as np
import pytest

from ogive.metrics.evaluate import evaluate
from ogive.metrics.trust import judge
from ogive.studio.app import Studio
from ogive.studio.engines import Engine
from ogive.studio.guard import Keys
from ogive.studio.reading import Reading
from ogive.study import SqliteLog, Study
from tests.studio.runs import SMALL, Asgi, cell_run, drawn_run

HOST = "127.0.0.1:8123"


def asking(folder):
    """Return a function that asks the studio of a run and returns status and answer."""
    keys = Keys()
    client = Asgi(Studio([Reading(folder, folder.name, Engine(folder))], keys, [HOST], 8123).app, HOST)
    client.cookies.set("ogive-studio-8123", keys.cookie)

    def ask(path: str):
        answer = client.get(f"/api/{path}")
        return answer.status_code, answer.json()

    return ask


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    return cell_run(tmp_path_factory.mktemp("insight") / "cells", 60)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return drawn_run(tmp_path_factory.mktemp("insight") / "drawn", 30, minimize=(), maximize=["macs"])


@pytest.fixture(scope="module")
def shared_weights(tmp_path_factory):
    """A search that trains its supernet for a moment."""
    folder = tmp_path_factory.mktemp("insight") / "oneshot"
    recipe = {"epochs": 1, "warm": 0.5, "batch_size": 256}
    Study(
        f"template:path={SMALL}", "digits", maximize="accuracy@supernet", trials=16, seed=1, supernet=recipe, out=folder
    ).run()
    return folder


def fronts(values):
    """Return the front of each row, higher is better, by peeling."""
    rank, left, k = np.zeros(len(values)), set(range(len(values))), 0
    while left:
        beaten = {i for i in left for j in left if (values[j] >= values[i]).all() and (values[j] > values[i]).any()}
        for i in left - beaten:
            rank[i] = k
        left, k = beaten, k + 1
    return rank


def percentiles(score):
    return np.array([((score < s).sum() + (score == s).sum() / 2) / len(score) for s in score])


@pytest.mark.parametrize("which", ["cells", "drawn"])
def test_evidence_is_that_of_the_fronts(which, request):
    folder = request.getfixturevalue(which)
    study, (status, found) = Study.open(folder), asking(folder)("evidence")
    assert status == 200
    rows = study.results().rows
    rows = rows.take(np.isfinite(rows.values).all(axis=1) & (rows.seconds >= 0) & (rows.status == 2))
    problem = study.problem
    standing = percentiles(-fronts(np.column_stack([problem.worth(rows)])))
    parts = problem.space.parts(rows.genotypes)
    names = {(o["group"], o["id"].removeprefix(f"{o['group']}/")): o for o in found["options"]}
    assert found["evaluated"] == len(rows) > 10
    for i, (choice, option) in enumerate(problem.space.part_names):
        if option == "off":
            continue
        told = names[choice, choice if option == "on" else option]
        r = standing[parts[:, i]]
        assert told["n"] == len(r)
        assert told["fitness"] == pytest.approx((1 + r.sum()) / (2 + len(r)))
        best = [int(np.flatnonzero(rows.candidate == c)[0]) for c in told["best"]]
        assert all(parts[b, i] for b in best)
        assert sorted(standing[best]) == pytest.approx(sorted(r)[-5:])


def test_what_a_lock_or_an_exclusion_removes(drawn):
    _, found = asking(drawn)("evidence")
    study = Study.open(drawn)
    space, rows = study.problem.space, study.results().rows
    every = space.enumerate()
    for told in found["options"]:
        option = told["id"]
        for op, cost in (("exclude", told["exclude"]), ("lock", told["lock"])):
            left = space.steer(**{op: [option]})
            assert cost["removes"] == len(every) - left.permits(every).sum()
            gone = ~left.permits(rows.genotypes) & (rows.status == 2)
            best = rows.values[gone, study.problem.column("macs")].max()
            assert rows.values[rows.candidate == cost["loses"]].max() == pytest.approx(best)


def test_suggestions_follow_their_rule(drawn):
    _, found = asking(drawn)("evidence")
    options = {o["id"]: o for o in found["options"]}
    assert found["suggestions"]
    for s in found["suggestions"]:
        told = options[s["option"]]
        rival = max(o["fitness"] for o in found["options"] if o["group"] == told["group"] and o is not told)
        assert told["n"] >= 3
        assert told["high"] < 0
        assert told["fitness"] <= rival - 0.2
        assert s["removes"] == told["exclude"]["removes"]


def test_coverage_counts_architectures(drawn):
    _, found = asking(drawn)("evidence")
    space, rows = Study.open(drawn).problem.space, Study.open(drawn).results().rows
    known = {g.tobytes() for g in space.canonical(rows.genotypes[rows.status == 2])}
    assert found["coverage"]["evaluated"] == len(known)
    assert found["coverage"]["allowed"] == len({g.tobytes() for g in space.canonical(space.enumerate())})


def test_swaps_of_what_can_be_counted_are_exact(cells):
    ask, study = asking(cells), Study.open(cells)
    space = study.problem.space
    row = ask("state")[1]["best"]
    genotype = space.parse(row["arch"])
    _, found = ask(f"candidate/{row['id']}/neighbours")
    swaps = {(d["group"], d["option"]): d["delta"] for d in found["deltas"] if d["metric"] == "params"}
    assert {d["known"] for d in found["deltas"]} <= {"measured", "computed"}
    own = evaluate(["params"], space, genotype[None], study.problem.context).values["params"][0]
    for j, choice in enumerate(space.choices):
        for code, option in enumerate(choice.options):
            other = genotype.copy()
            other[j] = code
            same = (space.canonical(other[None]) == space.canonical(genotype[None])).all()
            name = (choice.name, f"{choice.name}/{option}")
            assert (name in swaps) == (not same)
            if not same:
                value = evaluate(["params"], space, other[None], study.problem.context).values["params"][0]
                assert swaps[name] == pytest.approx(value - own)


def test_swaps_of_a_supernet_are_scored_with_its_weights(shared_weights):
    from ogive.training.supernet_trainer import SupernetTrainer

    ask, study = asking(shared_weights), Study.open(shared_weights)
    row = ask("state")[1]["best"]
    deltas = ask(f"candidate/{row['id']}/neighbours")[1]["deltas"]
    assert {d["known"] for d in deltas} == {"supernet"}
    folder = sorted((shared_weights / "checkpoints").glob("supernet-*"))[-1]
    score = SupernetTrainer.load(folder, study.problem.context.task).scorer
    space = study.problem.space
    genotype = space.parse(row["arch"])
    swap = next(d for d in deltas if d["group"] == "first")
    other = genotype.copy()
    other[0] = space.choices[0].options.index(swap["option"])
    assert swap["delta"] == pytest.approx(score(other)["accuracy"] - score(genotype)["accuracy"], abs=1e-9)


def test_a_supernet_shows_how_much_its_options_were_trained(shared_weights):
    _, found = asking(shared_weights)("evidence")
    assert sum(o["exposure"] for o in found["options"]) > 0
    assert {b["group"] for b in found["training"]} <= {o["group"] for o in found["options"]}


def test_costs_are_counted(cells):
    ask = asking(cells)
    best = ask("state")[1]["best"]
    assert ask(f"candidate/{best['id']}/costs")[1]["costs"] == pytest.approx(best["metrics"])


def test_what_is_not_there_is_not_found(cells):
    ask = asking(cells)
    for path in ("candidate/99999/neighbours", "candidate/99999/costs", "export/99999?format=json"):
        status, found = ask(path)
        assert status == 404
        assert "99999" in found["error"]


def test_trust_is_judged_by_what_was_trained_alone(tmp_path):
    folder = drawn_run(tmp_path / "run", 30, minimize=(), maximize=["macs"])
    empty = asking(folder)("trust")[1]
    assert empty["tau"] is None
    assert empty["verdict"] == "unknown"
    study = Study.open(folder)
    rows = study.results().rows
    rows = rows.take(rows.status == 2).take(slice(0, 8))
    macs = rows.values[:, study.problem.column("macs")]
    truth = np.array([50.0, 62.0, 55.0, 71.0, 68.0, 60.0, 80.0, 77.0])
    log = SqliteLog(folder / "run.db")
    events = [
        ("trust.anchor", {"command": f"c{i}", "arch": arch, "genotype": g.tolist(), "seed": 0, "accuracy": a})
        for i, (arch, g, a) in enumerate(
            zip(study.problem.space.format_many(rows.genotypes), rows.genotypes, truth, strict=True)
        )
    ]
    log.extend(events, 0)
    log.close()
    found = asking(folder)("trust")[1]
    right = judge(macs, truth)
    assert found["tau"] == pytest.approx(right.tau.value)
    assert (found["low"], found["high"]) == pytest.approx((right.tau.low, right.tau.high))
    assert found["verdict"] == right.wording
    assert [a["alone"] for a in found["anchors"]] == truth.tolist()
    assert f"{100 * right.order.value:.0f} %" in found["sentence"]
    assert found["next"]["id"] not in {a["id"] for a in found["anchors"]}


def test_a_run_without_evaluations_has_answers(tmp_path):
    Study(f"template:path={SMALL}", "digits", maximize="macs", out=tmp_path / "run")
    ask = asking(tmp_path / "run")
    assert ask("evidence")[1]["evaluated"] == 0
    assert ask("pairs")[1] == {"r2": None, "r2_parts": None, "pairs": []}
    assert ask("trust")[1]["next"] is None
