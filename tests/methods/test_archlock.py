"""Locks from the real table against pandas, what the search may not know, and runs that are interrupted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ogive._errors import InfeasibleError, InputError
from ogive._registry import load_plugin
from ogive.methods._lock_run import Question, Search
from ogive.methods._lock_yardstick import Yardstick
from ogive.methods.archlock import Aggregate, Gate, LockProblem, legacy, lock, resume
from ogive.metrics.tables import import_table
from ogive.spaces.base import get_space

load_plugin(str(Path(__file__).parents[1] / "study" / "plugin.py"))
TASKS = ("class_object", "class_scene", "room_layout", "jigsaw", "segmentsemantic", "normal", "autoencoder")


@pytest.fixture(scope="module")
def micro(shared, tmp_path_factory):
    """Return the table as pandas sees it, by architecture, and its file with the seven final metrics only."""
    frame = pd.read_csv(shared / "transnasbench101_micro.csv.gz").set_index("arch")
    frame = frame[[f"{t}_val" for t in TASKS]].rename(columns=lambda c: c.removesuffix("_val"))
    path = tmp_path_factory.mktemp("micro") / "micro.csv"
    frame.to_csv(path)
    return frame, path


@pytest.fixture
def table(micro):
    import_table(micro[1], "micro", "transnas_micro")
    return micro[0]


def problem(source="segmentsemantic", targets=("class_scene", "jigsaw"), **more):
    more = {"budget": 40} | more
    return LockProblem.from_table("micro", get_space("transnas_micro"), source, targets, **more)


def test_every_figure_of_a_table_lock_is_what_pandas_says(table):
    found = lock(problem()).to_dict()
    ranks = table.rank(pct=True) * 100
    best = table["segmentsemantic"].idxmax()
    targets = ["class_scene", "jigsaw"]
    passing = ranks.index[ranks["segmentsemantic"] >= 98]
    apt = ranks[targets].mean(axis=1)
    arch = found["arch"]
    assert found["source_percentile"] == pytest.approx(ranks.loc[arch, "segmentsemantic"])
    assert found["source_percentile"] >= 98
    assert found["target_percentiles"] == pytest.approx(ranks.loc[arch, targets].to_dict())
    assert found["apt"] == pytest.approx(apt[arch])
    assert found["source_winner"]["arch"] == best
    assert found["source_winner"]["target_percentiles"]["class_scene"] == pytest.approx(81.81, abs=0.005)
    assert found["reduction"] == pytest.approx(100 * (1 - apt[arch] / apt[best]))
    assert found["null"]["architectures"] == len(passing) == 82
    assert found["feasible_mean"] == pytest.approx(apt[passing].mean())
    assert found["reduction_vs_feasible_mean"] == pytest.approx(100 * (1 - apt[arch] / apt[passing].mean()))
    assert found["oracle"]["apt"] == pytest.approx(apt[passing].min())
    for column, drop in found["raw_drop"].items():
        before, after = table.loc[best, column], table.loc[arch, column]
        assert drop == pytest.approx(100 * (before - after) / abs(before))
        assert found["values"][column] == after
    assert json.loads(json.dumps(found)) == found


def test_the_front_is_the_front_of_what_was_evaluated(table):
    found = lock(problem(targets=["jigsaw"], budget=60))
    e = found.evaluated
    assert len(e.source) == 60
    rows = list(zip(e.source, e.score, strict=True))
    own = {
        (s, t)
        for s, t in rows
        if not any((a >= s and b <= t) and (a > s or b < t) for a, b in rows)
    }  # fmt: skip
    assert {(f["source_percentile"], f["score"]) for f in found.to_dict()["front"]} == own
    assert found.chosen.apt == min(t for s, t in rows if s >= 98)


def test_every_evaluation_counts_and_a_seed_fixes_all(table):
    first, again, other = (lock(problem(seed=s)).to_dict() for s in (0, 0, 1))
    assert first == again
    assert first["front"] != other["front"]
    assert first["evaluations"] == {"segmentsemantic": 40, "class_scene": 40, "jigsaw": 40}
    assert 0 < first["rejected_by_gate"] < 40


def test_unknown_targets_cannot_influence_the_search(micro, tmp_path):
    """Shuffle the target's column: with targets unknown the same architectures are evaluated and the same is chosen."""
    frame, path = micro
    import_table(path, "micro", "transnas_micro")
    shuffled = frame.assign(class_scene=np.random.default_rng(0).permutation(frame["class_scene"].to_numpy()))
    shuffled.to_csv(tmp_path / "s.csv")
    import_table(tmp_path / "s.csv", "shuffled", "transnas_micro")

    def found(name, **more):
        space = get_space("transnas_micro")
        return lock(LockProblem.from_table(name, space, "segmentsemantic", ["class_scene"], budget=45, **more))

    unknown = {"setting": "tu", "auxiliary": ["class_object", "normal"]}
    a, b = found("micro", **unknown), found("shuffled", **unknown)
    assert a.chosen.arch == b.chosen.arch
    assert np.array_equal(a.evaluated.genotypes, b.evaluated.genotypes)
    assert a.evaluations["class_scene@micro"] == 0
    assert a.evaluations["normal@micro"] == 45
    assert a.chosen.targets["class_scene@micro"].value != b.chosen.targets["class_scene@shuffled"].value
    # Known targets do: the same question, asked with them, evaluates other architectures.
    assert not np.array_equal(found("micro").evaluated.genotypes, found("shuffled").evaluated.genotypes)


def test_a_gate_nothing_passes_names_the_best_value_found(table):
    hard = problem(gate=Gate("value", 99.0))
    with pytest.raises(
        InfeasibleError, match=r"segmentsemantic@micro >= 99.* in 40 evaluations; the best value found is"
    ) as e:
        lock(hard)
    arch = str(e.value).partition("(64")[2].partition(")")[0]
    value = float(str(e.value).partition("found is ")[2].partition(" ")[0])
    assert table.loc[f"64{arch}", "segmentsemantic"] == value


def test_lower_is_better_metrics_are_the_same_question(micro, tmp_path):
    """Minus a metric, with the other direction, asks for the same lock: the search takes the same way."""
    frame, path = micro
    import_table(path, "micro", "transnas_micro")
    frame.rename(columns=lambda c: f"{c}_loss").mul(-1).to_csv(tmp_path / "t.csv")
    import_table(tmp_path / "t.csv", "losses", "transnas_micro")
    straight = lock(problem(budget=60))
    targets = ["class_scene_loss", "jigsaw_loss"]
    space = get_space("transnas_micro")
    mirrored = lock(LockProblem.from_table("losses", space, "segmentsemantic_loss", targets, budget=60))
    assert mirrored.bound == -straight.bound
    assert np.array_equal(mirrored.evaluated.genotypes, straight.evaluated.genotypes)
    assert mirrored.chosen.arch == straight.chosen.arch
    assert mirrored.chosen.apt == straight.chosen.apt
    assert mirrored.raw_drop("jigsaw_loss@losses") == pytest.approx(straight.raw_drop("jigsaw@micro"))


# ---------------------------------------------------------------- the published loop


def test_the_published_loop_says_when_it_leaks(table, tmp_path):
    asked = problem(targets=("class_scene",), setting="tu", auxiliary=["jigsaw"], budget=5000)
    honest = legacy(asked).to_dict()
    leaky = legacy(asked, leak=True, out=tmp_path / "r").to_dict()
    assert (honest["leak"], leaky["leak"]) == (False, True)
    assert honest["evaluations"]["class_scene"] == 0
    assert leaky["evaluations"]["class_scene"] == 30
    assert leaky["apt"] < honest["apt"]
    # The gate admits one in fifty, so forty accepted architectures cost many more true evaluations.
    assert honest["evaluations"]["segmentsemantic"] > 300
    assert "leak" in (tmp_path / "r" / "lock.html").read_text()


def test_the_published_loop_needs_a_table():
    asked = LockProblem(get_space("nasbench201"), "rugged", ("skips@test",), budget=20)
    with pytest.raises(InputError, match="complete tables only"):
        legacy(asked)


# ---------------------------------------------------------------- without a table


def sampled(**more):
    options = {"gate": Gate("pct", 75), "budget": 30} | more
    return LockProblem(get_space("nasbench201"), "rugged", ("skips@test", "graph@plain"), **options)


@pytest.fixture(autouse=True, scope="module")
def _more_metrics():
    from ogive.metrics.base import METRICS, metric

    if "graph@plain" not in METRICS:
        metric("graph@plain")(lambda space, genotypes, context: genotypes[:, 0] * 10.0 + genotypes[:, 3])
        # Has a value for every architecture of the sample, and none for what the search likes best.
        metric("odd@plain")(lambda space, genotypes, context: np.where(rugged(genotypes) > 75, np.nan, 1.0))


def test_without_a_table_percentiles_are_of_the_first_random_architectures():
    found = lock(sampled(), reference=12)
    e = found.evaluated
    assert (found.exact, found.reference, len(e.source)) == (False, 12, 30)
    # The first twelve are the sample: their percentiles are their ranks.
    assert sorted(e.source[:12]) == pytest.approx([100 * (k + 1) / 12 for k in range(12)])
    assert found.bound == sorted(found_values(found, 12))[-4]
    assert found.evaluations == {"rugged": 30, "skips@test": 30, "graph@plain": 30}
    assert found.winner.source.value == max(found_values(found, 30))
    assert found.oracle is None
    assert found.to_dict()["percentiles_of"] == {"architectures": 12, "whole_space": False}
    assert any("12 random architectures" in n for n in found.notes)


def rugged(genotypes):
    from ogive.metrics.base import Context, resolve

    return resolve("rugged").provider(("rugged",), get_space("nasbench201"), genotypes, Context())["rugged"]


def found_values(found, n):
    return rugged(found.evaluated.genotypes[:n]).tolist()


def test_a_gate_finer_than_the_sample_is_told():
    found = lock(sampled(gate=Gate("pct", 98)), reference=10)
    assert any("cannot resolve pct:98" in n for n in found.notes)
    assert found.bound == max(found_values(found, 10))


def test_a_target_that_cannot_be_measured_is_told_and_is_no_success():
    asked = LockProblem(
        get_space("nasbench201"), "rugged", ("odd@plain",), setting="tu", auxiliary=("skips@test",), budget=20
    )
    found = lock(asked, reference=8)
    assert np.isnan(found.chosen.apt)
    assert found.reduction is None
    assert any("could not be measured at odd@plain" in n for n in found.notes)


@pytest.mark.parametrize("worse", [0, 3, 20])
def test_intervals_of_a_sample_are_those_of_a_binomial_share(worse):
    """Clopper and Pearson's bounds are quantiles of beta distributions."""
    values = np.arange(20.0)
    space = get_space("nasbench201")
    sample = space.sample(20, np.random.default_rng(0))
    yardstick = Yardstick(sample, lambda m, g: values if len(g) == 20 else np.array([worse - 0.5]), exact=False)
    found = yardstick.standing("rugged", sample[0])
    assert found.percentile == pytest.approx(100 * worse / 20)
    low = stats.beta.ppf(0.025, worse, 21 - worse) if worse else 0.0
    high = stats.beta.ppf(0.975, worse + 1, 20 - worse) if worse < 20 else 1.0
    assert (found.low, found.high) == pytest.approx((100 * low, 100 * high))


def test_unknown_targets_of_a_sample_are_measured_once_after_the_search(tmp_path):
    asked = LockProblem(
        get_space("nasbench201"), "rugged", ("graph@plain",), setting="tu", auxiliary=("skips@test",), budget=20
    )
    found = lock(asked, reference=8, out=tmp_path / "r")
    assert found.evaluations == {"rugged": 20, "graph@plain": 0, "skips@test": 20}
    known = json.loads((tmp_path / "r" / "targets.json").read_text())["graph@plain"]
    # The sample, the lock and the source-only winner.
    assert found.checks == {"graph@plain": len(known)}
    assert {found.chosen.arch, found.winner.arch} <= set(known)
    assert 8 <= len(known) <= 10
    for arch, value in known.items():
        g = asked.space.parse(arch)
        assert value == g[0] * 10.0 + g[3]


@pytest.mark.parametrize("after", [0, 3, 10, 17])
def test_an_interrupted_lock_goes_on_to_the_same_answer(tmp_path, after):
    whole = lock(sampled(), reference=10).to_dict()
    search = Search(Question(sampled(), 10), tmp_path / "r")
    # Ctrl-C during the sample, at its end, and during the search.
    search._spend(min(after, 10), None)
    if after > 10:
        search._set_gate()
        search._spend(after, None)
    gone_on = resume(tmp_path / "r").to_dict()
    again = resume(tmp_path / "r").to_dict()
    assert gone_on == again
    assert gone_on.pop("report") == str(tmp_path / "r" / "lock.html")
    assert gone_on.pop("run") == str(tmp_path / "r")
    assert gone_on == {k: v for k, v in whole.items() if k not in ("run", "report")}
    assert json.loads((tmp_path / "r" / "lock.json").read_text())["arch"] == whole["arch"]
    assert json.loads((tmp_path / "r" / "best" / "arch.json").read_text())["arch"] == whole["arch"]


@pytest.mark.parametrize(("reference", "budget"), [(1, 20), (20, 20), (50, 20)])
def test_a_sample_that_leaves_no_search_is_refused(reference, budget):
    with pytest.raises(InputError, match="reference sample"):
        lock(sampled(budget=budget), reference=reference)


def test_a_sample_beside_a_table_is_refused(table):
    with pytest.raises(InputError, match="no reference sample"):
        lock(problem(), reference=10)


def test_worst_case_lies_between_chance_and_the_best_that_pandas_finds(table):
    targets = ["class_object", "class_scene", "normal"]
    ranks = table.rank(pct=True) * 100
    best = ranks.loc[ranks["autoencoder"] >= 98, targets].max(axis=1).min()
    found = lock(problem("autoencoder", targets, aggregate=Aggregate.parse("worst"), budget=200))
    highest = max(t.percentile for t in found.chosen.targets.values())
    null = ranks.loc[ranks["autoencoder"] >= 98, targets].max(axis=1).mean()
    assert best <= highest < (best + null) / 2, "at least half way from chance to the best there is"
    assert max(t.percentile for t in found.oracle.targets.values()) == pytest.approx(best)


# ---------------------------------------------------------------- certification


@pytest.mark.slow
def test_the_finalists_are_attacked_and_the_verdict_is_told(tmp_path, monkeypatch):
    from ogive.methods.certification import PRESETS, Protocol
    from ogive.training.config import TrainConfig

    hasty = TrainConfig(epochs=1)
    tiny = Protocol(seeds=2, shares=(1.0,), rates=(0.1,), ship=hasty, attack=hasty, steps=2, owned=100, held=50)
    monkeypatch.setitem(PRESETS, "small", tiny)
    space = get_space("nasbench201:C=2,N=1")
    tasks = [f"accuracy@train/digits{v}" for v in ("", ":variant=rotated")]
    asked = LockProblem(space, tasks[0], (tasks[1],), gate=Gate("pct", 50), budget=10)
    found = lock(asked, out=tmp_path / "r", reference=5, certify="small", train={"epochs": 1}, workers=0)
    certificate = found.certificate
    passing = set(space.format_many(found.evaluated.genotypes[found.evaluated.passes]))
    assert certificate.findings[0].arch == found.chosen.arch
    assert {f.arch for f in certificate.findings} <= passing
    assert certificate.unlocked.arch == found.winner.arch
    assert found.to_dict()["certificate"]["findings"][0]["verdict"] in {"locked", "not shown"}
    page = (tmp_path / "r" / "lock.html").read_text()
    assert "<h2>Certificate</h2>" in page
    again = resume(tmp_path / "r")
    assert again.certificate == certificate


def test_a_certificate_needs_tasks():
    with pytest.raises(InputError, match="needs tasks to attack, and 'rugged' is none"):
        lock(sampled(), certify="small")
