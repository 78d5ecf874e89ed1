"""Every built-in strategy and the example plug-in pass the shipped suite; the suite catches bad strategies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ogive._registry import load_plugin
from ogive.strategies import STRATEGIES, Strategy, get_strategy
from ogive.testing.strategy import StrategySuite

PLUGIN = Path(__file__).parents[2] / "examples" / "plugins" / "strategy.py"
BUILT_IN = [
    "arch2vec-bo", "arch2vec-rl", "bananas", "bo", "botorch", "darts", "enas", "evolution", "gdas", "guided", "gumbel",
    "local", "lock", "nsga2", "optuna", "pc-darts", "pymoo", "random", "reinforce",
]  # fmt: skip
QUICK = {
    "bananas": "bananas:steps=30",
    "botorch": "botorch:initial=6,samples=2,candidates=10",
    "lock": "lock:initial=6",
    "optuna": "optuna:NSGAIISampler",
    "pymoo": "pymoo:NSGA2,pop_size=20",
}
"""Options that keep the suite short; the defaults run with `-m slow`."""


class TestBuiltIn(StrategySuite):
    @pytest.fixture(autouse=True, params=BUILT_IN)
    def _name(self, request):
        self.spec = QUICK.get(request.param, request.param)

    def make(self, space, **options):
        return get_strategy(self.spec, space, **options)


@pytest.mark.slow
class TestDefaults(TestBuiltIn):
    @pytest.fixture(autouse=True, params=QUICK)
    def _name(self, request):
        self.spec = request.param


class TestBuiltInWithOptions(TestBuiltIn):
    @pytest.fixture(
        autouse=True, params=["evolution:population=4,sample=9", "nsga2:population=6,crossover=0.5,mutation=0.5"]
    )
    def _name(self, request):
        self.spec = request.param


class TestPlugin(StrategySuite):
    def make(self, space, **options):
        load_plugin(str(PLUGIN))
        return get_strategy("annealing", space, **options)


def test_every_built_in_strategy_is_tested_here():
    assert sorted(STRATEGIES._builtin) == BUILT_IN


def test_plugin_is_short():
    assert len(PLUGIN.read_text().splitlines()) <= 40


class _Good(Strategy):
    """Draws at random and remembers how many."""

    name = "suite-check"
    multi_objective = True

    def __init__(self, space, **options):
        super().__init__(space, **options)
        self.count = 0
        self.start = space

    def ask(self, n):
        self.count += n
        return self.space.sample(n, self.rng)

    def tell(self, genotypes, values, violation=None):
        pass

    def _state(self):
        return {"count": self.count}

    def _restore(self, state):
        self.count = state["count"]


class _Unsteered(_Good):
    def ask(self, n):
        return self.start.sample(n, self.rng)


class _Moody(_Good):
    def ask(self, n):
        return self.space.sample(n, np.random.default_rng())


class _Forgetful(_Good):
    def ask(self, n):
        self.count += n
        return np.roll(self.space.enumerate(), self.count, axis=0)[:n]

    def _restore(self, state):
        pass


class _Clinging(_Good):
    last = np.zeros((1, 4), dtype=np.uint8)

    def ask(self, n):
        return np.repeat(self.last[:1], n, axis=0) if self.count else super().ask(n)

    def tell(self, genotypes, values, violation=None):
        self.last, self.count = genotypes, 1


class _Narrow(_Good):
    def ask(self, n):
        return np.repeat(self.space.enumerate()[:1], n, axis=0)


class _Short(_Good):
    def ask(self, n):
        return super().ask(max(1, n - 1))


class _Brittle(_Good):
    def tell(self, genotypes, values, violation=None):
        if not np.isfinite(values).all():
            raise RuntimeError("cannot")


class _Overreaching(_Good):
    multi_objective = False

    def __init__(self, space, n_objectives=1, seed=0):
        super().__init__(space, seed=seed)


STRATEGIES.add("suite-check", _Good)


def suite_of(kind):
    class Suite(StrategySuite):
        budget = 600

        def make(self, space, **options):
            return kind(space, **options)

    return Suite()


def test_the_suite_passes_a_good_strategy():
    suite = suite_of(_Good)
    for name in dir(suite):
        if name.startswith("test_"):
            getattr(suite, name)()


@pytest.mark.parametrize(
    ("kind", "test"),
    [
        (_Unsteered, "test_stays_inside_a_restriction_also_when_it_changes"),
        (_Moody, "test_same_seed_and_answers_give_the_same_proposals"),
        (_Forgetful, "test_restored_from_json_it_goes_on_identically"),
        (_Clinging, "test_keeps_no_hold_of_the_callers_arrays"),
        (_Narrow, "test_finds_the_best_of_a_small_space"),
        (_Short, "test_proposes_valid_architectures_in_any_number"),
        (_Brittle, "test_survives_failures_and_broken_constraints"),
        (_Overreaching, "test_handles_several_objectives_or_says_that_it_cannot"),
    ],
)
def test_the_suite_catches_a_bad_strategy(kind, test):
    with pytest.raises((AssertionError, RuntimeError)):
        getattr(suite_of(kind), test)()
