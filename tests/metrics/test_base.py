"""The order of measurement, constraints, the cache and failures, seen through metrics that record their calls."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ogive._errors import DivergedError, InputError, UnknownNameError
from ogive.metrics.base import METRICS, Constraint, Context, Cost, Metric, metric, resolve
from ogive.metrics.evaluate import evaluate
from ogive.spaces.base import get_space
from ogive.tasks.base import get_task

if TYPE_CHECKING:
    from collections.abc import Iterator

SPACE = get_space("nasbench201:C=2,N=1")
CELLS = SPACE.sample(6, np.random.default_rng(0))


class Recorder:
    """Registers metrics for one test; `calls` lists which names were measured together, and on how many rows."""

    def __init__(self) -> None:
        self.calls: list[tuple[tuple[str, ...], int]] = []

    def add(self, values: dict[str, Any], *, costs: dict[str, Cost] | None = None, batched: bool = True, **info: Any):
        """Register quantities of one provider; each is a function of the genotypes, or of one genotype."""

        def provider(names, space, genotypes, context):
            self.calls.append((names, len(genotypes) if batched else 1))
            return {n: values[n](np.asarray(genotypes, dtype=float)) for n in names}

        for name in values:
            info["cost"] = (costs or {}).get(name, info.get("cost", Cost.TABLE))
            METRICS.add(name, Metric(name, provider, batched=batched, **info))


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    before = set(METRICS._items)
    yield Recorder()
    for name in set(METRICS._items) - before:
        del METRICS._items[name]


def first(g):
    return g[..., 0]


def total(g):
    return g.sum(-1)


# -------------------------------------------------------------------- order


def test_cheap_metrics_come_first_and_a_broken_constraint_spares_the_dear(recorder: Recorder) -> None:
    recorder.add({"dear": total}, cost=Cost.TRAIN, batched=False)
    recorder.add({"cheap": first}, cost=Cost.COUNT)
    scores = evaluate(["dear", "cheap"], SPACE, CELLS, Context(), [Constraint.parse("cheap<=1")])
    kept = CELLS[:, 0] <= 1
    assert 0 < kept.sum() < 6
    assert recorder.calls == [(("cheap",), 6), *[(("dear",), 1)] * int(kept.sum())]
    assert scores.rejected.tolist() == (~kept).tolist()
    assert np.array_equal(scores.values["dear"], np.where(kept, CELLS.sum(1), np.nan), equal_nan=True)
    assert np.array_equal(scores.violation, np.where(kept, 0.0, CELLS[:, 0].astype(float) - 1))
    assert not scores.failures


def test_within_a_cost_class_the_constrained_metric_comes_first(recorder: Recorder) -> None:
    recorder.add({"other": total}, cost=Cost.BACKWARD)
    recorder.add({"bounded": first}, cost=Cost.BACKWARD)
    evaluate(["other"], SPACE, CELLS, Context(), [Constraint.parse("bounded<0.5")])
    assert [names for names, _ in recorder.calls] == [("bounded",), ("other",)]
    assert recorder.calls[1][1] == int((CELLS[:, 0] < 0.5).sum())


def test_a_constraint_on_the_dearest_metric_rejects_nothing_but_counts(recorder: Recorder) -> None:
    recorder.add({"only": total})
    scores = evaluate([], SPACE, CELLS, Context(), [Constraint.parse("only<=0")])
    assert not scores.rejected.any()
    assert (scores.violation == CELLS.sum(1)).all()


def test_quantities_of_one_provider_share_one_call_whatever_they_cost(recorder: Recorder) -> None:
    recorder.add({"light": first, "heavy": total}, costs={"light": Cost.FORWARD, "heavy": Cost.BACKWARD})
    evaluate(["light", "heavy"], SPACE, CELLS, Context())
    assert recorder.calls == [(("light", "heavy"), 6)]
    # A bound on the light one makes it worth measuring first.
    evaluate(["heavy"], SPACE, CELLS, Context(), [Constraint.parse("light>=1")])
    assert recorder.calls[1:] == [(("light",), 6), (("heavy",), int((CELLS[:, 0] >= 1).sum()))]


def test_violations_add_up_over_constraints(recorder: Recorder) -> None:
    recorder.add({"a": first, "b": total})
    where = [Constraint.parse("a<=2"), Constraint.parse("b<=4"), Constraint.parse("b>=40")]
    scores = evaluate([], SPACE, CELLS, Context(), where)
    a, b = CELLS[:, 0].astype(float), CELLS.sum(1).astype(float)
    expected = np.maximum(a - 2, 0) / 2 + np.maximum(b - 4, 0) / 4 + np.maximum(40 - b, 0) / 40
    np.testing.assert_allclose(scores.violation, expected)


def test_an_infinite_score_breaks_a_bound_that_it_is_beyond(recorder: Recorder) -> None:
    recorder.add({"score": lambda g: np.where(np.arange(len(g)) == 0, -np.inf, 1.0)})
    recorder.add({"dear": total}, cost=Cost.TRAIN)
    scores = evaluate(["dear"], SPACE, CELLS, Context(), [Constraint.parse("score>=0.5")])
    assert scores.rejected.tolist() == [True] + [False] * 5
    assert scores.violation[0] == math.inf
    assert not scores.violation[1:].any()


def test_an_empty_batch_gives_empty_columns(recorder: Recorder) -> None:
    recorder.add({"a": first})
    scores = evaluate(["a"], SPACE, CELLS[:0], Context(), [Constraint.parse("a<=2")])
    assert scores.values["a"].shape == scores.violation.shape == scores.rejected.shape == (0,)


# -------------------------------------------------------------------- failures


def test_nan_is_a_failure_with_a_reason_and_stops_dearer_measurements(recorder: Recorder) -> None:
    recorder.add({"holey": lambda g: np.where(np.arange(len(g)) == 2, np.nan, 1.0)})
    recorder.add({"dear": total}, cost=Cost.TRAIN, batched=False)
    scores = evaluate(["holey", "dear"], SPACE, CELLS, Context(), [Constraint.parse("holey<=1")])
    assert list(scores.failures) == [2]
    assert "holey" in scores.failures[2]
    assert not scores.violation[2]
    assert math.isnan(scores.values["dear"][2])
    assert len(recorder.calls) == 1 + 5


def test_one_failing_architecture_does_not_stop_the_others(recorder: Recorder) -> None:
    def fragile(g):
        if g[0] == CELLS[1, 0]:
            raise DivergedError("loss is nan at step 3")
        return float(g.sum())

    recorder.add({"fragile": fragile}, cost=Cost.TRAIN, batched=False)
    scores = evaluate(["fragile"], SPACE, CELLS, Context())
    bad = CELLS[:, 0] == CELLS[1, 0]
    assert set(scores.failures) == set(np.flatnonzero(bad).tolist())
    assert set(scores.failures.values()) == {"loss is nan at step 3"}
    np.testing.assert_array_equal(scores.values["fragile"], np.where(bad, np.nan, CELLS.sum(1)))


def test_wrong_input_and_bugs_are_not_swallowed(recorder: Recorder) -> None:
    def wrong(_):
        raise InputError("no such option")

    def bug(_):
        raise ZeroDivisionError

    recorder.add({"wrong": wrong}, batched=False)
    recorder.add({"bug": bug}, batched=False)
    with pytest.raises(InputError, match="no such option"):
        evaluate(["wrong"], SPACE, CELLS, Context())
    with pytest.raises(ZeroDivisionError):
        evaluate(["bug"], SPACE, CELLS, Context())


# -------------------------------------------------------------------- the cache


def isomorphic_pair() -> np.ndarray:
    """Two cells that compute the same function: an edge into a node that nothing leaves differs."""
    cells = SPACE.enumerate()
    canonical = SPACE.canonical(cells)
    row = int(np.flatnonzero((cells != canonical).any(axis=1))[0])
    return np.stack([cells[row], canonical[row]])


@pytest.mark.parametrize(("identity", "calls"), [("graph", 1), ("genotype", 2)])
def test_identity_decides_what_counts_as_the_same(recorder: Recorder, identity: str, calls: int) -> None:
    pair = isomorphic_pair()
    recorder.add({"m": total}, cost=Cost.TRAIN, batched=False, identity=identity)
    scores = evaluate(["m"], SPACE, pair, Context(), cache={})
    assert len(recorder.calls) == calls
    assert (scores.values["m"][0] == scores.values["m"][1]) == (calls == 1)


def test_a_cached_value_is_not_measured_again_and_a_look_up_is_not_cached(recorder: Recorder) -> None:
    recorder.add({"dear": total}, cost=Cost.COUNT)
    recorder.add({"table": first})
    cache: dict = {}
    one = evaluate(["dear", "table"], SPACE, CELLS[:4], Context(), cache=cache)
    two = evaluate(["dear", "table"], SPACE, CELLS, Context(), cache=cache)
    assert recorder.calls.count((("dear",), 4)) == 1
    assert recorder.calls.count((("dear",), 2)) == 1
    assert {name for name, _ in cache} == {"dear"}
    np.testing.assert_array_equal(two.values["dear"], CELLS.sum(1))
    np.testing.assert_array_equal(one.values["dear"], two.values["dear"][:4])


def test_repeated_rows_are_measured_once_and_share_value_and_failure(recorder: Recorder) -> None:
    def fragile(g):
        if (g == CELLS[0]).all():
            raise DivergedError("it diverged")
        return float(g.sum())

    recorder.add({"m": fragile}, cost=Cost.TRAIN, batched=False)
    cache: dict = {}
    scores = evaluate(["m"], SPACE, CELLS[[0, 1, 0, 1]], Context(), cache=cache)
    assert len(recorder.calls) == 2
    assert scores.failures == {0: "it diverged", 2: "it diverged"}
    assert scores.values["m"][[1, 3]].tolist() == [CELLS[1].sum()] * 2
    assert len(cache) == 1  # a failure is not remembered: it may be mended


# -------------------------------------------------------------------- names and constraints


def test_unknown_metrics_and_sources_name_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"'parms'.*'params'"):
        resolve("parms")
    with pytest.raises(UnknownNameError, match=r"'accuracy@trian'.*'train'|'trian'.*'train'"):
        resolve("accuracy@trian")
    with pytest.raises(UnknownNameError, match="'acuracy@train'"):
        resolve("acuracy@train")


def test_one_name_has_one_metric(recorder: Recorder) -> None:
    @metric("twice")
    def twice(space, genotypes, context):
        return first(genotypes)

    with pytest.raises(InputError, match="'twice' is registered twice"):
        metric("twice")(twice)
    scores = evaluate(["twice"], SPACE, CELLS, Context())
    assert scores.values["twice"].tolist() == CELLS[:, 0].tolist()


OPS = ["<=", ">=", "<", ">", "=="]
FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(st.sampled_from(["params", "macs", "accuracy@train"]), st.sampled_from(OPS), FINITE, st.sampled_from(["", " "]))
def test_a_constraint_reads_back_what_is_written(name: str, op: str, bound: float, gap: str) -> None:
    found = Constraint.parse(f"{gap}{name}{gap}{op}{gap}{bound!r}{gap}")
    assert (found.metric, found.op, found.bound) == (name, op, bound)


@given(st.text(max_size=20))
@example("params<=")
@example("<=3")
@example("params=3")
@example("params!=3")
@example("params<=nan")
@example("params<=inf")
@example("params<=1e999")
@example("params<=3 4")
@example("params")
@example("")
def test_anything_else_is_one_clear_line(text: str) -> None:
    with pytest.raises(InputError) as caught:
        Constraint.parse(text)
    assert len(str(caught.value).splitlines()) == 1


def test_a_constraint_on_an_unknown_metric_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"'relu'.*'relus'"):
        Constraint.parse("relu<=3")


@given(st.sampled_from(OPS), FINITE.filter(lambda b: abs(b) < 1e150), st.floats(allow_nan=False, width=32))
def test_violation_is_zero_exactly_where_the_bound_is_met(op: str, bound: float, value: float) -> None:
    found = Constraint("params", op, bound).violation(np.array([value]))
    met = {"<=": value <= bound, ">=": value >= bound, "<": value < bound, ">": value > bound, "==": value == bound}[op]
    assert found.shape == (1,)
    assert found[0] >= 0
    assert (found[0] == 0) == met


@given(st.floats(1, 1e6), st.floats(0, 1e6), st.floats(0, 1e6))
def test_violation_grows_with_the_distance_relative_to_the_bound(bound: float, a: float, b: float) -> None:
    near, far = sorted((a, b))
    c = Constraint("params", "<=", bound)
    v = c.violation(np.array([bound + near, bound + far]))
    assert v[0] <= v[1]
    np.testing.assert_allclose(v, [((bound + near) - bound) / bound, ((bound + far) - bound) / bound])


def test_violation_of_an_unmeasured_value_is_infinite() -> None:
    assert Constraint("params", "<=", 3.0).violation(np.array([np.nan, 3.0])).tolist() == [math.inf, 0.0]


def test_a_metric_on_a_task_of_its_own_is_the_metric_with_that_task() -> None:
    space = get_space("nasbench201:C=4,N=1")
    genotypes = space.sample(3, np.random.default_rng(0))
    mixed = evaluate(["params/cifar100", "params", "macs/cifar100"], space, genotypes, Context(get_task("digits")))
    alone = evaluate(["params", "macs"], space, genotypes, Context(get_task("cifar100")))
    assert mixed.values["params/cifar100"].tolist() == alone.values["params"].tolist()
    assert mixed.values["macs/cifar100"].tolist() == alone.values["macs"].tolist()
    assert (mixed.values["params"] < mixed.values["params/cifar100"]).all(), "ten classes need fewer weights than 100"


def test_a_constraint_may_name_a_task_with_options() -> None:
    assert str(Constraint.parse("accuracy@train/digits >= 90")) == "accuracy@train/digits>=90"
    with pytest.raises(UnknownNameError, match="unknown task 'digit'"):
        Constraint.parse("accuracy@train/digit>=90")
