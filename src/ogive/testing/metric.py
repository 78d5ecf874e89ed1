"""The contract of a metric: subclass `MetricSuite`, say how to make yours, and run pytest on it."""

from __future__ import annotations

import math
import random
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ogive._errors import OgiveError
from ogive.metrics.base import Context, Cost, Metric, resolve
from ogive.metrics.evaluate import Cache, evaluate

if TYPE_CHECKING:
    from ogive.metrics.evaluate import Scores
    from ogive.spaces.base import Genotypes, Space


class MetricSuite:
    """Tests that every metric passes.

    Attributes
    ----------
    n : int
        Architectures measured by each test.
    clocked : bool
        True where the value is a time or another reading that differs from run to run.

    Examples
    --------
    >>> class TestMine(MetricSuite):
    ...     def make(self):
    ...         return "skips", get_space("nasbench201:C=4,N=1"), Context(task=get_task("digits"))
    """

    n: ClassVar[int] = 4
    clocked: bool = False

    def make(self) -> tuple[str, Space, Context]:
        """Return the metric's name, a space whose architectures it can measure, and all else that it needs."""
        raise NotImplementedError("say how to make the metric: def make(self): return 'name', space, Context(...)")

    # ---------------------------------------------------------------- what a reader must know

    def test_is_registered_under_its_name(self) -> None:
        spec, _, _ = self.make()
        assert resolve(spec).name == spec

    def test_says_what_its_values_mean(self) -> None:
        metric = self._metric()
        assert metric.unit
        assert metric.direction in {"max", "min"}
        assert metric.scale in {"linear", "log"}
        assert metric.identity in {"genotype", "graph"}
        assert isinstance(metric.cost, Cost)
        assert metric.needs <= {"task", "data", "weights"}

    def test_baselines_are_other_metrics(self) -> None:
        metric = self._metric()
        assert metric.name not in metric.baseline
        assert [resolve(name).name for name in metric.baseline] == list(metric.baseline)

    # ---------------------------------------------------------------- values

    def test_every_architecture_has_a_value_or_a_reason(self) -> None:
        scores = self._measure(self._draw())
        values = scores.values[self._metric().name]
        assert values.shape == (self.n,)
        assert values.dtype == np.float64
        assert len(scores.failures) < self.n, f"nothing could be measured: {scores.failures}"
        for row, value in enumerate(values.tolist()):
            if row in scores.failures:
                assert scores.failures[row].strip()
            else:
                assert not math.isnan(value)
                assert abs(value) < math.inf or value == self._worst(), f"{value} is neither finite nor the worst"

    def test_same_input_gives_the_same_value(self) -> None:
        if not self.clocked:
            g = self._draw()
            np.testing.assert_array_equal(self._values(g), self._values(g))

    def test_a_batch_equals_its_rows_in_any_order(self) -> None:
        g = self._draw()
        together = self._values(g)
        if not self.clocked:
            alone = np.concatenate([self._values(row[None]) for row in g])
            np.testing.assert_array_equal(together, alone)
        assert self._values(g[:0]).shape == (0,)

    def test_equal_architectures_have_equal_values(self) -> None:
        metric, space, _ = self._made()
        g = self._draw()
        if metric.identity == "graph":
            g = space.canonical(g)
        twice = self._values(np.concatenate([g, g]), cache={})
        if not self.clocked or metric.cost > Cost.TABLE:
            np.testing.assert_array_equal(twice[: self.n], twice[self.n :])

    def test_one_measurement_serves_all_that_count_as_the_same(self) -> None:
        metric, space, _ = self._made()
        g, cache = self._draw(), Cache()
        first = self._values(g, cache)
        size = len(cache)
        again = space.canonical(g) if metric.identity == "graph" else g
        if not self.clocked or metric.cost > Cost.TABLE:
            np.testing.assert_array_equal(self._values(again, cache), first)
        assert len(cache) == size

    # ---------------------------------------------------------------- good manners

    def test_global_random_state_stays_as_it_was(self) -> None:
        before = _random_state()
        self._values(self._draw())
        assert all(a == b for a, b in zip(before, _random_state(), strict=False))

    def test_genotypes_are_only_read(self) -> None:
        g = self._draw()
        kept = g.copy()
        g.setflags(write=False)
        metric, space, context = self._made()
        # Straight to the provider: `evaluate` hands it copies of the rows.
        metric.provider((metric.name,), space, g if metric.batched else g[0], context)
        np.testing.assert_array_equal(g, kept)

    def test_a_missing_task_is_named(self) -> None:
        metric, space, context = self._made()
        if "task" in metric.needs:
            try:
                found = evaluate([metric.name], space, self._draw(), replace(context, task=None)).failures
            except OgiveError as error:
                found = dict.fromkeys(range(self.n), str(error))
            assert all("task" in found.get(row, "") for row in range(self.n))

    # ---------------------------------------------------------------- helpers

    def _made(self) -> tuple[Metric, Space, Context]:
        spec, space, context = self.make()
        return resolve(spec), space, context

    def _metric(self) -> Metric:
        return self._made()[0]

    def _worst(self) -> float:
        return -math.inf if self._metric().direction == "max" else math.inf

    def _draw(self) -> Genotypes:
        return self.make()[1].sample(self.n, np.random.default_rng(0))

    def _measure(self, genotypes: Genotypes, cache: Cache | None = None) -> Scores:
        metric, space, context = self._made()
        return evaluate([metric.name], space, genotypes, context, cache=cache)

    def _values(self, genotypes: Genotypes, cache: Cache | None = None) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return self._measure(genotypes, cache).values[self._metric().name]


def _random_state() -> list[object]:
    """Return the global states of Python's, NumPy's and, once it is imported, PyTorch's generators."""
    states: list[object] = [random.getstate(), repr(np.random.get_state())]  # noqa: NPY002
    if "torch" in sys.modules:
        states.append(sys.modules["torch"].get_rng_state().tolist())
    return states
