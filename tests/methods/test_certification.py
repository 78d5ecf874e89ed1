"""Certification: intervals that hold what they promise, attackers who choose fairly, verdicts that follow."""

from __future__ import annotations

import base64
import json
import math
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from scipy import stats

from ogive._errors import InputError, OgiveError, StorageError
from ogive.methods._certificate import SourceGate, difference, estimate
from ogive.methods._certification_plan import SCRATCH, SHIP, Plan
from ogive.methods._certification_run import Store
from ogive.methods.certification import PRESETS, Protocol, certify, judge
from ogive.training.config import TrainConfig
from ogive.training.transfer import ATTACKS

SPACE = "nasbench201:C=4,N=1"
CELL = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|none~2|"
OTHER = "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
TARGET = "digits:variant=inverted"
TINY = Protocol(
    seeds=2,
    shares=(0.5, 1.0),
    rates=(0.05,),
    ship=TrainConfig(epochs=1),
    attack=TrainConfig(epochs=1),
    steps=1,
    owned=100,
    held=40,
    size="source",
)


def tiny(**options):
    defaults = {"public": ["resnet8:width=2"], "protocol": TINY, "workers": 0, "show": False}
    return certify([CELL, OTHER], SPACE, "digits", [TARGET], **(defaults | options))


# -------------------------------------------------------------------- intervals


def test_an_interval_over_seeds_alone_is_students():
    """Every example alike within a seed, and so many that their part vanishes."""
    shares = np.array([0.91, 0.93, 0.96, 0.90])
    right = np.random.default_rng(0).random((4, 1)) < 0  # (4, 1) of False, repeated below
    right = np.repeat(right, 40_000, axis=1)
    for row, share in zip(right, shares, strict=True):
        row[np.random.default_rng(1).permutation(40_000)[: round(share * 40_000)]] = True
    found = estimate(right)
    low, high = stats.ttest_1samp(100 * shares, 0).confidence_interval(0.95)
    assert found.values == pytest.approx(100 * shares)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.1)


def test_an_interval_over_examples_alone_is_the_binomial_one():
    """Seeds that agree on every example leave the examples' chance, Wald's interval."""
    right = np.tile(np.arange(500) < 400, (3, 1))
    half = 1.96 * 100 * math.sqrt(0.8 * 0.2 / 500)
    found = estimate(right)
    assert found.mean == 80
    assert (found.low, found.high) == pytest.approx((80 - half, 80 + half), abs=0.02)


def test_intervals_hold_the_truth_as_often_as_they_promise():
    """Networks whose skill varies with the seed and examples that vary in difficulty; both are drawn anew each time."""
    rng = np.random.default_rng(5)
    seeds, easy, skills = 0.4, 1.5, (1.0, 1.3)
    normal = stats.norm.ppf((np.arange(10_000) + 0.5) / 10_000) * math.hypot(seeds, easy)
    truth = [100 * (1 / (1 + np.exp(-(skill + normal)))).mean() for skill in skills]
    held = np.zeros(2)
    for _ in range(400):
        examples = rng.normal(0, easy, 300)
        chance = [1 / (1 + np.exp(-(rng.normal(skill, seeds, (3, 1)) + examples))) for skill in skills]
        one, other = (rng.random(p.shape) < p for p in chance)
        for i, (found, wanted) in enumerate([(estimate(one), truth[0]), (difference(other, one), truth[1] - truth[0])]):
            held[i] += found.low <= wanted <= found.high
    assert (held / 400 >= 0.94).all()
    assert (held / 400 <= 0.995).all()


def test_networks_that_err_alike_differ_by_nothing_but_one_example():
    right = np.random.default_rng(0).random((3, 400)) < 0.7
    found = difference(right, right)
    assert found.mean == 0
    assert found.high == pytest.approx(1.966 * 0.25, abs=0.001)


def test_one_seed_has_no_interval_and_nothing_has_no_mean():
    one = estimate(np.ones((1, 10), dtype=bool))
    assert one.mean == 100
    assert math.isnan(one.high)
    assert math.isnan(estimate(None).mean)
    assert math.isnan(difference(np.ones((2, 3), dtype=bool), None).low)


# -------------------------------------------------------------------- the verdict

N_TEST = 2000


def made(validation, accuracy, seed):
    """Return the log entry of a training with these accuracies in percent."""
    right = np.random.default_rng(seed).permutation(N_TEST) < accuracy / 100 * N_TEST
    packed = base64.b64encode(np.packbits(right).tobytes()).decode()
    return {"validation": validation, "test": accuracy, "seconds": 1.0, "n_test": N_TEST, "right": packed}


def plan_of(archs=("a",), unlocked="u", **protocol):
    settings = {"seeds": 3, "shares": (0.1, 1.0), "rates": (0.01, 0.1)} | protocol
    return Plan("space", tuple(archs), "source", ("t1", "t2"), unlocked, ("p",), Protocol(**settings), 0, "cpu")


def world(plan, **accuracy):
    """Return results with an accuracy for each kind of training, 60 % where nothing is said."""
    numbers = count()
    level = {SHIP: 95.0, **accuracy}
    return {t: made(50.0, level.get(t.kind.replace("-", "_"), 60.0), next(numbers)) for t in plan.trainings()}


def verdict(plan, results, gate="within:2", limit=5.0):
    return judge(plan, results, SourceGate.parse(gate), limit).findings[0]


def test_a_network_worth_no_more_than_a_public_one_is_locked():
    plan = plan_of()
    found = verdict(plan, world(plan))
    assert found.verdict == "locked"
    assert [(c.target, c.share) for c in found.contests] == [("t1", 0.1), ("t1", 1.0), ("t2", 0.1), ("t2", 1.0)]
    assert all(c.advantage.mean == pytest.approx(0, abs=0.1) for c in found.contests)


@pytest.mark.parametrize("kind", ATTACKS)
def test_one_attack_that_gains_on_one_target_with_one_share_is_enough(kind):
    plan = plan_of()
    results = world(plan)
    for training in results:
        if training[:1] == ("a",) and training.kind == kind and (training.task, training.share) == ("t2", 0.1):
            results[training] = made(70.0, 70.0, training.seed)
    found = verdict(plan, results)
    assert found.verdict == "not shown"
    assert len(found.doubts) == 1
    assert found.doubts[0].startswith("on t2 with 10% of its data")
    assert verdict(plan, results, limit=20.0).locked
    (hit,) = (c for c in found.contests if (c.target, c.share) == ("t2", 0.1))
    assert hit.advantage.mean == pytest.approx(10, abs=0.1)
    assert hit.denied.mean == pytest.approx(-10, abs=0.1)


def test_the_attacker_chooses_by_validation_and_is_judged_by_test():
    plan = plan_of()
    results = world(plan)
    for training in results:
        if training.kind == "probe":
            # The high rate is best on test, the low one on validation.
            results[training] = made(80.0, 50.0, training.seed) if training.rate == 0.01 else made(10.0, 90.0, 1)
    found = verdict(plan, results)
    assert [c.attacks["probe"].mean for c in found.contests] == [50.0] * 4
    assert [c.best.mean for c in found.contests] == [50.0] * 4


@pytest.mark.parametrize(
    ("gate", "locked"), [("value:94", True), ("value:95", False), ("within:2", True), ("within:0.2", False)]
)
def test_the_gate_looks_at_the_lower_end_of_the_source_accuracy(gate, locked):
    plan = plan_of()
    found = verdict(plan, world(plan), gate)
    assert found.locked == locked
    assert found.source.mean == 95
    assert locked or "source accuracy" in found.doubts[0]


def test_what_diverged_counts_for_nothing():
    plan = plan_of()
    results = world(plan)
    fine = {t: r for t, r in results.items() if t.rate != 0.1 or t.kind == SHIP}
    assert verdict(plan, fine | {t: {"reason": "diverged"} for t in results if t not in fine}).locked
    nothing = {t: {"reason": "diverged"} if t.network == "a" else r for t, r in results.items()}
    found = verdict(plan, nothing)
    assert not found.locked
    assert len(found.doubts) == 5
    assert math.isnan(found.source.mean)


def test_the_agreement_is_spearmans_over_the_architectures():
    plan = plan_of(archs="abcd")
    results = world(plan)
    scratch, attacked = {"a": 50, "b": 60, "c": 70, "d": 80}, {"a": 60, "b": 50, "c": 90, "d": 70}
    for t in results:
        if t.network in scratch and t.kind != SHIP:
            results[t] = made(50.0, (scratch if t.kind == SCRATCH else attacked)[t.network], 0)
    found = judge(plan, results, SourceGate.parse("within:2"), 5.0)
    wanted = stats.spearmanr(list(scratch.values()), list(attacked.values())).statistic
    assert found.agreement == {"t1": pytest.approx(wanted), "t2": pytest.approx(wanted)}


@pytest.mark.parametrize("text", ["2%", "98", "pct:98", "within:", "value:nan", "value:120", "within:-1"])
def test_a_gate_that_says_too_little_is_refused(text):
    with pytest.raises(InputError, match="value:95"):
        SourceGate.parse(text)


# -------------------------------------------------------------------- real trainings


def test_a_certification_trains_all_that_was_planned_and_keeps_it(tmp_path):
    found = tiny(out=tmp_path / "run")
    # Three networks shipped; on each of two shares three attacks on three networks and three from scratch; two seeds.
    assert found.trainings == 2 * (3 + 2 * (3 * 3 + 3))
    log = [json.loads(line) for line in (tmp_path / "run" / "trainings.jsonl").read_text().splitlines()]
    assert len(log) == found.trainings
    assert {row["kind"] for row in log} == {SHIP, SCRATCH, *ATTACKS}
    for row in log:
        assert row["test"] == pytest.approx(
            100 * np.unpackbits(np.frombuffer(base64.b64decode(row["right"]), np.uint8)).sum() / 400
        )
    assert json.loads((tmp_path / "run" / "certificate.json").read_text()) == found.to_dict()
    assert [f.arch for f in found.findings] == [CELL, OTHER]
    assert found.unlocked.arch == "resnet8:width=2"
    assert len(found.findings[0].contests) == 2


def test_an_interrupted_run_goes_on_to_the_same_certificate(tmp_path, monkeypatch):
    whole = tiny(out=tmp_path / "whole")
    calls = count()

    class Interrupted(Exception):
        pass

    append = Store.append

    def failing(self, training, found):
        if next(calls) == 17:
            raise Interrupted
        append(self, training, found)

    with monkeypatch.context() as patched:
        patched.setattr(Store, "append", failing)
        with pytest.raises(Interrupted):
            tiny(out=tmp_path / "cut")
    log = tmp_path / "cut" / "trainings.jsonl"
    assert len(log.read_text().splitlines()) == 17
    with log.open("a") as file:
        file.write('{"network": "half a li')
    assert tiny(out=tmp_path / "cut") == whole
    assert sorted(map(_without_time, log.read_text().splitlines())) == sorted(
        map(_without_time, (tmp_path / "whole" / "trainings.jsonl").read_text().splitlines())
    )


def _without_time(line):
    return json.dumps({k: v for k, v in json.loads(line).items() if k != "seconds"})


def test_workers_change_no_number():
    options = {"protocol": replace(TINY, shares=(1.0,))}
    assert tiny(workers=2, **options) == tiny(**options)


def test_another_question_does_not_go_on_in_the_same_folder(tmp_path):
    tiny(out=tmp_path, protocol=replace(TINY, shares=(1.0,)))
    with pytest.raises(InputError, match="begun with seed 0, not 1"):
        tiny(out=tmp_path, protocol=replace(TINY, shares=(1.0,)), seed=1)
    (tmp_path / "trainings.jsonl").write_text("nonsense\n")
    with pytest.raises(StorageError, match="damaged"):
        tiny(out=tmp_path, protocol=replace(TINY, shares=(1.0,)))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "thesis.tex").touch()
    with pytest.raises(InputError, match="is not empty"):
        tiny(out=tmp_path / "elsewhere")


def test_a_network_that_diverges_on_the_source_is_not_attacked(tmp_path):
    wild = replace(TINY, ship=TrainConfig(epochs=1, lr=1e12), shares=(1.0,))
    found = tiny(protocol=wild, out=tmp_path)
    kinds = [json.loads(line)["kind"] for line in (tmp_path / "trainings.jsonl").read_text().splitlines()]
    assert set(kinds) == {SHIP, SCRATCH}
    assert [f.verdict for f in found.findings] == ["not shown", "not shown"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": TARGET}, "the source and a target"),
        ({"targets": []}, "no targets"),
        ({"archs": []}, "no architectures"),
        ({"targets": ["digit"]}, "did you mean 'digits'"),
        ({"targets": [TARGET, "mnist:path=nowhere"]}, "nowhere"),
        ({"archs": ["|nor_conv_9x9~0|"]}, "position"),
        ({"public": []}, "no public architecture"),
        ({"public": ["resnet8:depth=2"]}, "did you mean|known"),
        ({"public": ["resnet8:width=0"]}, "width"),
        ({"workers": -1}, "workers"),
        ({"protocol": "tiny"}, "preset"),
        ({"gate": "2%"}, "gate"),
    ],
)
def test_what_cannot_be_certified_is_refused_before_anything_is_trained(options, message, tmp_path):
    asked = {"archs": [CELL], "space": SPACE, "source": "digits", "targets": [TARGET], "workers": 0} | options
    with pytest.raises(OgiveError, match=message):
        certify(**asked, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_protocols_round_trip_and_are_checked():
    for protocol in (*PRESETS.values(), TINY):
        assert Protocol.from_dict(json.loads(json.dumps(protocol.to_dict()))) == protocol
    for wrong in ({"seeds": 1}, {"shares": ()}, {"shares": (0.0,)}, {"rates": (-1.0,)}, {"size": "huge"}):
        with pytest.raises(InputError):
            replace(TINY, **wrong)


def test_images_are_as_large_as_the_protocol_says(tmp_path):
    from ogive.methods._certification_jobs import Bench
    from ogive.tasks.base import TASKS

    assert "cifar10" in TASKS
    bench = Bench(SPACE, "cifar10", replace(TINY, side=16), tmp_path)
    assert bench.shape == (3, 16, 16)
    small = Bench(SPACE, "digits", replace(TINY, size="target", side=6), tmp_path)
    assert small.shape == (1, 6, 6)
    assert small.holding(TARGET, 1.0, 0).input_shape == (1, 6, 6)


@pytest.mark.slow
def test_the_small_preset_on_the_digits(tmp_path):
    """A19: five cells, two seeds; source, scratch, fine-tune and probe with intervals, and a verdict each."""
    from ogive.spaces.base import get_space

    space = get_space("nasbench201:C=8,N=1")
    archs = space.format(space.sample(5, np.random.default_rng(0)))
    protocol = replace(PRESETS["small"], seeds=2, rates=(0.1, 0.3))
    found = certify(archs, space.spec, "digits", ["digits:variant=noisy"], protocol=protocol, workers=2, out=tmp_path)
    assert len(found.findings) == 5
    for finding in found.findings:
        assert len(finding.source.values) == 2
        assert finding.verdict in {"locked", "not shown"}
        for contest in finding.contests:
            for e in (*contest.attacks.values(), contest.public, contest.advantage, contest.unlocked):
                assert e.low <= e.mean <= e.high
    # Digits with noise are close to digits: what was learnt helps where examples are few.
    few = [c for f in (*found.findings, found.unlocked) for c in f.contests if c.share == 0.1]
    assert np.mean([c.advantage.mean for c in few]) > 0
