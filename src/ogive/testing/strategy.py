"""The contract of a strategy: subclass `StrategySuite`, say how to make yours, and run pytest on it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ogive._errors import InputError
from ogive.spaces.base import Choice, Genotypes, Space
from ogive.strategies.base import STRATEGIES, Floats, Strategy

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Box(Space):
    """A small space: four choices of three options, 81 architectures written as digits."""

    name = "suite-box"
    choices = tuple(Choice(f"c{i}", ("a", "b", "c")) for i in range(4))

    def parse_many(self, archs: list[str]) -> Genotypes:
        """Read digits."""
        return np.array([[int(d) for d in a] for a in archs], dtype=self.dtype).reshape(-1, self.n_choices)

    def format_many(self, genotypes: Genotypes) -> list[str]:
        """Write digits."""
        return ["".join(map(str, row)) for row in np.asarray(genotypes).tolist()]


class Ruled(Box):
    """A small space with a validity rule: the first two choices differ, 54 architectures."""

    name = "suite-ruled"

    def valid(self, genotypes: Genotypes) -> NDArray[np.bool_]:
        """Return whether the first two choices differ."""
        g = np.asarray(genotypes)
        return np.asarray(g[:, 0] != g[:, 1])


def score(space: Space, genotypes: Genotypes, n: int) -> Floats:
    """Return n objectives of each architecture, a trend plus noise fixed by the architecture, ``(m, n)``."""
    # Of the whole box at once, so that an architecture has the same score to the last bit in every batch.
    box = space.from_index(np.arange(space.box)).astype(np.float64)
    trend = box @ np.random.default_rng(6).normal(0, 1, (space.n_choices, n))
    return np.asarray((trend + np.random.default_rng(5).normal(0, 0.4, trend.shape))[space.index(genotypes)])


class StrategySuite:
    """Tests that every strategy passes.

    Attributes
    ----------
    budget : int
        Evaluations after which the best of 81 architectures must have been proposed.

    Examples
    --------
    >>> class TestMine(StrategySuite):
    ...     def make(self, space, **options):
    ...         return MyStrategy(space, **options)
    """

    budget: ClassVar[int] = 3000

    def make(self, space: Space, **options: Any) -> Strategy:
        """Return a new strategy under test; the options are `n_objectives`, `seed` and, in lock-step, `lanes`."""
        raise NotImplementedError("say how to make it: def make(self, space, **options): return Mine(space, **options)")

    # ---------------------------------------------------------------- proposals

    def test_is_registered(self) -> None:
        strategy = self.make(Box())
        assert strategy.name in STRATEGIES, f"add STRATEGIES.add('{strategy.name}', {type(strategy).__name__})"

    def test_proposes_valid_architectures_in_any_number(self) -> None:
        for space in (Box(), Ruled()):
            strategy = self.make(space, seed=1)
            for n in (1, 7, 1, 40, 2) * 3:
                tell(strategy, ask(strategy, n))

    def test_stays_inside_a_restriction_also_when_it_changes(self) -> None:
        for space in (Box(), Ruled()):
            strategy = self.make(space, seed=2)
            late = ask(strategy, 5)
            locked = space.restrict(lock={"c2": "b"})
            for steered in (
                locked,
                locked.restrict(exclude={"c0": ["a"]}),
                space.free(),
                space.restrict(lock={"c0": "c"}),
            ):
                strategy.space = steered
                tell(strategy, late)
                late = ask(strategy, 5)
                for n in (1, 1, 30, 4):
                    tell(strategy, ask(strategy, n))

    def test_a_space_of_one_architecture_is_no_trap(self) -> None:
        space = Box().restrict(lock={"c0": "a", "c1": "b", "c2": "c", "c3": "a"})
        strategy = self.make(space, seed=3)
        for n in (1, 5, 60, 1):
            tell(strategy, ask(strategy, n))

    # ---------------------------------------------------------------- state

    def test_same_seed_and_answers_give_the_same_proposals(self) -> None:
        assert run(self.make(Box(), seed=4), 30) == run(self.make(Box(), seed=4), 30)

    def test_restored_from_json_it_goes_on_identically(self) -> None:
        for space in (Box(), Ruled().restrict(exclude={"c3": ["b"]})):
            for steps in (0, 1, 13, 60):
                strategy = self.make(space, seed=5)
                run(strategy, steps)
                pending = ask(strategy, 3)
                text = json.dumps(strategy.state())
                other = self.make(space, seed=99)
                run(other, 8)
                other.restore(json.loads(text))
                for s in (strategy, other):
                    tell(s, pending)
                assert run(strategy, 40) == run(other, 40), f"restored after {steps} steps, it goes another way"

    def test_asking_for_the_state_changes_nothing(self) -> None:
        one, two = self.make(Box(), seed=6), self.make(Box(), seed=6)
        for _ in range(20):
            one.state()
            assert run(one, 1) == run(two, 1)

    def test_keeps_no_hold_of_the_callers_arrays(self) -> None:
        one, two = self.make(Box(), seed=7), self.make(Box(), seed=7)
        for _ in range(25):
            g, h = ask(one, 4), ask(two, 4)
            assert g.tolist() == h.tolist()
            values = score(one.space, g, 1)
            tell(two, h)
            one.tell(g, values)
            g[:], values[:] = 0, np.inf

    # ---------------------------------------------------------------- answers

    def test_takes_answers_late_out_of_order_and_in_any_batch(self) -> None:
        strategy = self.make(Box(), seed=8)
        rng = np.random.default_rng(8)
        waiting = ask(strategy, 20)
        for _ in range(30):
            order = rng.permutation(len(waiting))
            n = int(rng.integers(0, len(waiting) + 1))
            tell(strategy, waiting[order[:n]])
            waiting = np.concatenate([waiting[order[n:]], ask(strategy, n)])

    def test_takes_answers_it_did_not_ask_for(self) -> None:
        strategy = self.make(Box(), seed=9)
        rng = np.random.default_rng(9)
        for n in (1, 100, 3):
            tell(strategy, strategy.space.sample(n, rng))
            tell(strategy, ask(strategy, 5))

    def test_survives_failures_and_broken_constraints(self) -> None:
        strategy = self.make(Box(), seed=10)
        rng = np.random.default_rng(10)
        for step in range(60):
            g = ask(strategy, 3)
            values, violation = score(strategy.space, g, 1), rng.integers(0, 3, 3).astype(np.float64)
            values[rng.random(3) < 0.5] = -np.inf
            if step < 20:
                values[:], violation[:] = -np.inf, np.inf
            strategy.tell(g, values, violation)

    def test_finds_the_best_of_a_small_space(self) -> None:
        for space in (Box(), Ruled()):
            everything = space.enumerate()
            best = float(score(space, everything, 1).max())
            strategy = self.make(space, seed=11)
            found = -np.inf
            for _ in range(self.budget):
                g = ask(strategy, 1)
                tell(strategy, g)
                found = max(found, float(score(space, g, 1)[0, 0]))
                if found == best:
                    break
            assert found == best, f"best {best:.3f} not proposed in {self.budget} evaluations, only {found:.3f}"

    # ---------------------------------------------------------------- objectives and lanes

    def test_handles_several_objectives_or_says_that_it_cannot(self) -> None:
        if not type(self.make(Box())).multi_objective:
            try:
                self.make(Box(), n_objectives=2)
            except InputError:
                return
            raise AssertionError("with more objectives than it can handle, the constructor raises InputError")
        for m in (2, 3):
            strategy = self.make(Box(), n_objectives=m, seed=12)
            for n in (1, 30, 120, 5):
                tell(strategy, ask(strategy, n))

    def test_lanes_advance_in_lock_step_or_are_refused(self) -> None:
        if not type(self.make(Box())).lockstep:
            return
        space = Ruled()
        strategy, other = (self.make(space, seed=13, lanes=4) for _ in range(2))
        for n in (1, 3, 1, 20, 1):
            tell(strategy, ask(strategy, n))
        other.restore(json.loads(json.dumps(strategy.state())))
        assert run(strategy, 20) == run(other, 20)


def ask(strategy: Strategy, n: int) -> Genotypes:
    """Ask for n proposals and check all that is promised about them."""
    g = strategy.ask(n)
    assert g.shape == (n * strategy.lanes, strategy.space.n_choices), f"ask({n}) returned shape {g.shape}"
    strategy.space.check(g)
    assert strategy.space.permits(g).all(), "a proposal lies outside the restriction"
    return g


def tell(strategy: Strategy, genotypes: Genotypes) -> None:
    """Tell the scores of some architectures."""
    strategy.tell(genotypes, score(strategy.space, genotypes, strategy.n_objectives))


def run(strategy: Strategy, steps: int) -> list[list[int]]:
    """Ask and tell one at a time and return what was proposed."""
    out: list[list[int]] = []
    for _ in range(steps):
        g = ask(strategy, 1)
        tell(strategy, g)
        out += g.tolist()
    return out
