"""Everything a search relies on of a space. Subclass `SpaceSuite`, give `make`, and pytest runs the whole contract.

Examples
--------
>>> class TestMySpace(SpaceSuite):
...     def make(self):
...         return MySpace()
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ogive._errors import ArchStringError, InputError
from ogive.spaces.base import SPACES, Shape, Space, get_space

if TYPE_CHECKING:
    from collections.abc import Callable

    from ogive.spaces.base import Genotypes

_LISTABLE = 200_000
"""Largest box whose architectures the suite lists."""


class SpaceSuite:
    """The contract of a `Space`.

    Attributes
    ----------
    n : int
        Genotypes drawn for each check.
    shapes : tuple of Shape
        Tasks for which a buildable space must build.
    n_built : int
        Networks built for each of them.
    """

    n = 50
    shapes: tuple[Shape, ...] = (Shape((1, 8, 8), 10), Shape((3, 17, 20), 3))
    n_built = 3

    def make(self) -> Space:
        """Return a fresh, unrestricted space."""
        raise NotImplementedError("a subclass of SpaceSuite gives make()")

    # ---------------------------------------------------------------- names and strings

    def test_choices_and_options_are_named_once(self) -> None:
        space = self.make()
        names = [c.name for c in space.choices]
        assert len(names) == len(set(names)) == space.n_choices
        assert all(c.options and len(c.options) == len(set(c.options)) for c in space.choices)

    def test_strings_round_trip(self) -> None:
        space = self.make()
        g = _draw(space, self.n)
        archs = space.format(g)
        assert np.array_equal(space.parse(archs), g)
        assert space.parse(archs).dtype == space.dtype
        assert space.format(g[0]) == archs[0]
        assert np.array_equal(space.parse(archs[0]), g[0])
        assert len(set(archs)) == len(np.unique(g, axis=0))
        assert space.parse([]).shape == (0, space.n_choices)

    def test_string_errors_name_the_position(self) -> None:
        space = self.make()
        arch = space.format(_draw(space, 1)[0])
        # A character no notation uses, put anywhere: nothing before it is to blame, so nothing after it is named.
        for at in range(len(arch) + 1):
            message = _complaint(ArchStringError, space.parse, f"{arch[:at]}\0{arch[at:]}")
            assert "position " in message, message
            named = int(message.split("position ")[1].split(":")[0])
            assert named <= at, f"the error is at {at}, the message names {named}: {message}"

    def test_a_prefix_is_refused_or_means_itself(self) -> None:
        space = self.make()
        arch = space.format(_draw(space, 1)[0])
        for prefix in (arch[:end] for end in range(len(arch))):
            try:
                g = space.parse(prefix)
            except ArchStringError:
                continue
            assert space.format(g) == prefix

    def test_the_spec_gives_the_same_space(self) -> None:
        space = self.make()
        if space.name in SPACES:
            again = get_space(space.spec)
            g = _draw(space, self.n)
            assert again.spec == space.spec
            assert again.format(g) == space.format(g)

    # ---------------------------------------------------------------- genotypes

    def test_foreign_genotypes_are_refused(self) -> None:
        space = self.make()
        g = _draw(space, 2).astype(np.int64)
        assert np.array_equal(space.check(g), g)
        assert np.array_equal(space.check(g[0]), g[:1])
        for bad in (g[:, :-1], g.astype(np.float64), np.where(np.eye(*g.shape) == 1, 10_000, g), -1 - g):
            _complaint(InputError, space.check, bad)

    def test_listing_is_complete_and_in_order(self) -> None:
        space = self.make()
        if space.box > _LISTABLE:
            return
        everything = space.enumerate()
        assert everything.shape == (space.size, space.n_choices)
        assert everything.dtype == space.dtype
        assert space.valid(everything).all()
        assert (np.diff(space.index(everything)) > 0).all()
        whole = space.from_index(np.arange(space.box))
        assert space.valid(whole).sum() == space.size

    def test_index_round_trips(self) -> None:
        space = self.make()
        if space.box < 2**62:
            g = _draw(space, self.n)
            assert np.array_equal(space.from_index(space.index(g)), g)
            assert space.index(g).max() < space.box
            _complaint(InputError, space.from_index, np.array([space.box]))

    def test_keys_are_equal_where_rows_are(self) -> None:
        space = self.make()
        g = np.concatenate([_draw(space, self.n)] * 2)
        assert len(set(space.keys(g))) == len(np.unique(g, axis=0))
        assert space.keys(g[: self.n]) == space.keys(g[self.n :])

    def test_canonical_form_is_a_member_and_stays(self) -> None:
        space = self.make()
        g = _draw(space, self.n)
        canonical = space.canonical(g)
        assert canonical.shape == g.shape
        assert canonical.dtype == space.dtype
        assert space.valid(canonical).all()
        assert np.array_equal(space.canonical(canonical), canonical)
        assert np.array_equal(space.canonical(g[::-1]), canonical[::-1])
        counts, same = space.count(g, self.shapes[0]), space.count(canonical, self.shapes[0])
        if counts is not None and same is not None:
            # What computes the same function has an equally long longest path.
            assert np.array_equal(counts["depth"], same["depth"])

    # ---------------------------------------------------------------- moves

    def test_moves_stay_inside_the_space(self) -> None:
        space = self.make()
        for g in _moves(space, self.n, seed=1):
            assert g.dtype == space.dtype
            assert space.valid(g).all()
            space.check(g)

    def test_moves_depend_on_the_generator_alone(self) -> None:
        space = self.make()
        for a, b in zip(_moves(space, self.n, seed=2), _moves(space, self.n, seed=2), strict=True):
            assert np.array_equal(a, b)
        assert not np.array_equal(_draw(space, self.n, seed=3), _draw(space, self.n, seed=4))

    def test_moves_leave_their_arguments_alone(self) -> None:
        space, rng = self.make(), np.random.default_rng(0)
        a, b = _draw(space, self.n, seed=5), _draw(space, self.n, seed=6)
        before = a.copy(), b.copy()
        space.mutate(a, rng)
        space.crossover(a, b, rng)
        space.canonical(a)
        assert np.array_equal(a, before[0])
        assert np.array_equal(b, before[1])

    def test_mutation_changes_as_many_choices_as_asked(self) -> None:
        space = self.make()
        parents = _draw(space, self.n)
        for changes in (1, 2):
            if changes <= (space.cardinalities > 1).sum():
                children = space.mutate(parents, np.random.default_rng(changes), changes=changes)
                distance = (children != parents).sum(axis=1)
                assert set(distance.tolist()) <= {0, changes}
                assert (distance == changes).any()
        _complaint(InputError, space.mutate, parents, np.random.default_rng(0), 0)

    def test_crossover_takes_every_choice_from_a_parent(self) -> None:
        space = self.make()
        a, b = _draw(space, self.n, seed=7), _draw(space, self.n, seed=8)
        children = space.crossover(a, b, np.random.default_rng(0))
        assert ((children == a) | (children == b)).all()
        assert not np.array_equal(children, a)

    def test_neighbours_are_exactly_one_change_away(self) -> None:
        space = self.make()
        for g in _draw(space, 3):
            found = space.neighbours(g)
            by_hand = [
                np.concatenate([g[:i], [option], g[i + 1 :]])
                for i, choice in enumerate(space.choices)
                for option in range(len(choice.options))
                if option != g[i]
            ]
            expected = np.array(by_hand)[space.valid(np.array(by_hand, dtype=space.dtype))]
            assert np.array_equal(found, expected)

    # ---------------------------------------------------------------- restrictions

    def test_every_move_respects_locks_and_exclusions(self) -> None:
        space = self.make()
        inside = _draw(space, 1)[0]
        first, last = space.choices[0], space.choices[-1]
        unwanted = [o for i, o in enumerate(last.options) if i != inside[-1]][:1]
        narrow = space.restrict(lock={first.name: first.options[inside[0]]}, exclude={last.name: unwanted})
        outsiders = _draw(space, self.n, seed=9)
        moved = [*_moves(narrow, self.n, seed=3), narrow.mutate(outsiders, np.random.default_rng(0)), inside[None]]
        for g in moved:
            assert narrow.permits(g).all()
            assert narrow.valid(g).all()
            assert (g[:, 0] == inside[0]).all()
        if space.box <= _LISTABLE:
            everything = space.enumerate()
            assert np.array_equal(narrow.enumerate(), everything[narrow.permits(everything)])
        assert space.permits(outsiders).all(), "restrict() changed the space it was called on"
        assert narrow.free().permits(outsiders).all()

    def test_impossible_restrictions_are_refused(self) -> None:
        space = self.make()
        choice = space.choices[0]
        for impossible in (
            lambda: space.restrict(exclude={choice.name: choice.options}),
            lambda: space.restrict(lock={"no such choice": "x"}),
            lambda: space.restrict(lock={choice.name: "no such option"}),
            lambda: space.restrict(weights={choice.name: {choice.options[0]: math.nan}}),
            lambda: space.restrict(weights={choice.name: {choice.options[0]: -1.0}}),
        ):
            _complaint(InputError, impossible)

    def test_weights_steer_sampling(self) -> None:
        space = self.make()
        column = int(np.argmax(space.cardinalities))
        choice = space.choices[column]
        if space.box > _LISTABLE or len(choice.options) < 2:
            return
        weights = {o: 1.0 + 2.0 * i for i, o in enumerate(choice.options)}
        steered = space.restrict(weights={choice.name: weights})
        everything = space.enumerate()
        share = np.array(list(weights.values()))[everything[:, column]]
        codes, n = np.arange(len(choice.options)), 4000
        expected = np.array([share[everything[:, column] == c].sum() for c in codes]) / share.sum()
        seen = steered.sample(n, np.random.default_rng(0))[:, column]
        frequency = (seen[:, None] == codes).mean(axis=0)
        # Five standard deviations of a binomial share: a right sampler fails once in a million seeds.
        assert (np.abs(frequency - expected) <= 5 * np.sqrt(expected * (1 - expected) / n)).all()

    # ---------------------------------------------------------------- representations

    def test_encodings_tell_genotypes_apart(self) -> None:
        space = self.make()
        g = np.unique(_draw(space, self.n), axis=0)
        onehot, ordinal = space.encode(g), space.encode(g, "ordinal")
        assert onehot.shape == (len(g), space.cardinalities.sum())
        assert ordinal.shape == g.shape
        assert (onehot.sum(axis=1) == space.n_choices).all()
        assert ((ordinal >= 0) & (ordinal <= 1)).all()
        assert len(np.unique(onehot, axis=0)) == len(np.unique(ordinal, axis=0)) == len(g)
        _complaint(InputError, space.encode, g, "no such encoding")

    def test_graphs_are_acyclic_and_labelled(self) -> None:
        space = self.make()
        g = _draw(space, self.n)
        graphs = space.graph(g)
        n, v = graphs.ops.shape
        last = len(graphs.vocabulary) - 1
        assert graphs.adjacency.shape == (n, v, v)
        assert n == len(g)
        assert (graphs.vocabulary[0], graphs.vocabulary[-1]) == ("input", "output")
        assert len(set(graphs.vocabulary)) == len(graphs.vocabulary)
        assert not np.tril(graphs.adjacency).any()
        assert ((graphs.ops >= -1) & (graphs.ops <= last)).all()
        assert (graphs.ops[:, 0] == 0).all()
        assert ((graphs.ops == last).sum(axis=1) == 1).all()
        padding = graphs.ops == -1
        assert not (graphs.adjacency & (padding[:, :, None] | padding[:, None, :])).any()
        alone = space.graph(g[:1])
        width = alone.ops.shape[1]
        assert alone.vocabulary == graphs.vocabulary
        assert np.array_equal(graphs.ops[0, :width], alone.ops[0])
        assert np.array_equal(graphs.adjacency[0, :width, :width], alone.adjacency[0])

    # ---------------------------------------------------------------- networks

    def test_networks_run_and_cost_what_the_formula_says(self) -> None:
        space = self.make()
        g = _draw(space, self.n_built)
        if not space.buildable:
            _complaint(InputError, space.build, g[0], self.shapes[0])
            return
        import torch

        from ogive.metrics.counts import count_module

        for shape in self.shapes:
            counts = space.count(g, shape)
            # A network a genotype; nothing to vectorise over.
            for i, row in enumerate(g):
                model = space.build(row, shape).eval()
                with torch.no_grad():
                    assert model(torch.zeros(2, *shape.input_shape)).shape == (2, shape.n_outputs)
                measured = count_module(model, shape.input_shape)
                if counts is not None:
                    assert {k: int(v[i]) for k, v in counts.items()} == vars(measured)


def _draw(space: Space, n: int, seed: int = 0) -> Genotypes:
    return space.sample(n, np.random.default_rng(seed))


def _moves(space: Space, n: int, seed: int) -> list[Genotypes]:
    """Apply every random move once."""
    rng = np.random.default_rng(seed)
    a, b = space.sample(n, rng), space.sample(n, rng)
    return [a, b, space.mutate(a, rng), space.mutate(a, rng, changes=2), space.crossover(a, b, rng)]


def _complaint(kind: type[Exception], action: Callable[..., object], *args: object) -> str:
    """Return the one-line message of the error that `action` must raise."""
    try:
        action(*args)
    except kind as error:
        message = str(error)
        assert message, "an error says nothing"
        assert "\n" not in message, f"an error is one line, not: {message!r}"
        return message
    raise AssertionError(f"expected {kind.__name__}, nothing was raised")
