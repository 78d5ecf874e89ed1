"""Every registered space, and the example plug-in, passes the conformance suite; broken spaces do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ogive._registry import load_plugin
from ogive.spaces.base import SPACES, Choice, Space, get_space
from ogive.testing.space import SpaceSuite

TEMPLATES = Path(__file__).parents[2] / "examples" / "templates"
BUILTIN = [
    "darts:C=4,layers=3",
    "darts:C=2,layers=4,none=true",
    "fbnet",
    "fbnet:cifar=true,head=64",
    "mobilenetv2:width=0.35",
    "mobilenetv3:width=0.5",
    "nasbench101:C=8,N=1",
    "nasbench201",
    "nasbench201:C=4,N=1",
    "nats_sss",
    "ofa:width=1.2",
    "proxylessnas",
    f"template:path={TEMPLATES / 'branches.yaml'}",
    f"template:path={TEMPLATES / 'small.yaml'}",
    "transnas_micro",
    "transnas_micro:C=8",
    "transnas_macro",
]
PLUGIN = Path(__file__).parents[2] / "examples" / "plugins" / "space.py"


def test_the_list_of_specs_covers_the_registry() -> None:
    load_plugin(str(PLUGIN))
    assert {spec.partition(":")[0] for spec in BUILTIN} == set(SPACES._builtin)


@pytest.mark.parametrize("spec", BUILTIN, scope="class")
class TestBuiltin(SpaceSuite):
    @pytest.fixture(autouse=True)
    def _spec(self, spec: str) -> None:
        self.spec = spec

    def make(self) -> Space:
        return get_space(self.spec)


class TestPlugin(SpaceSuite):
    def make(self) -> Space:
        load_plugin(str(PLUGIN))
        return get_space("mlp")


def test_the_plugin_is_at_most_forty_lines() -> None:
    assert len(PLUGIN.read_text().splitlines()) <= 40


class Plain(Space):
    """Only names and choices: every default at once, with a box too large to list or number."""

    name = "plain"
    choices = tuple(Choice(f"c{i}", ("a", "b-c", "b", "d")[: 2 + i % 3]) for i in range(70))


class TestDefaults(SpaceSuite):
    def make(self) -> Space:
        return Plain()


class Small(Space):
    name = "small"
    choices = (Choice("x", ("0", "1", "2")), Choice("y", ("0", "1", "2")), Choice("z", ("0", "1")))


class OutsideItsRule(Small):
    def valid(self, genotypes):
        return genotypes.sum(axis=1) <= 3

    def _redraw(self, out, draw):
        return np.empty(0, dtype=np.intp)


class WrongSize(OutsideItsRule):
    _redraw = Space._redraw


class ForgetsWeights(Small):
    def sample(self, n, rng):
        return Small().sample(n, rng)


class RestlessCanonical(Small):
    def canonical(self, genotypes):
        return ((genotypes + np.array([1, 0, 0])) % [3, 3, 2]).astype(self.dtype)


class VagueErrors(Small):
    def parse_many(self, archs):
        try:
            return super().parse_many(archs)
        except ValueError:
            raise SPACES_ERROR("cannot read that") from None


def SPACES_ERROR(text):
    from ogive._errors import ArchStringError

    return ArchStringError(text)


class Cyclic(Small):
    def graph(self, genotypes):
        graphs = super().graph(genotypes)
        graphs.adjacency[:, 2, 1] = True
        return graphs


class LazyMutation(Small):
    def mutate(self, genotypes, rng, changes=1):
        return super().mutate(genotypes, rng, 1)


class MutatesInPlace(Small):
    def mutate(self, genotypes, rng, changes=1):
        genotypes[:] = super().mutate(genotypes, rng, changes)
        return genotypes


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (OutsideItsRule, "test_moves_stay_inside_the_space"),
        (WrongSize, "test_listing_is_complete_and_in_order"),
        (ForgetsWeights, "test_weights_steer_sampling"),
        (ForgetsWeights, "test_every_move_respects_locks_and_exclusions"),
        (RestlessCanonical, "test_canonical_form_is_a_member_and_stays"),
        (VagueErrors, "test_string_errors_name_the_position"),
        (Cyclic, "test_graphs_are_acyclic_and_labelled"),
        (LazyMutation, "test_mutation_changes_as_many_choices_as_asked"),
        (MutatesInPlace, "test_moves_leave_their_arguments_alone"),
    ],
)
def test_the_suite_catches_a_broken_space(broken: type[Space], test: str) -> None:
    class Suite(SpaceSuite):
        def make(self) -> Space:
            return broken()

    with pytest.raises(AssertionError):
        getattr(Suite(), test)()


def test_the_small_space_itself_passes() -> None:
    class Suite(SpaceSuite):
        def make(self) -> Space:
            return Small()

    for name in dir(Suite):
        if name.startswith("test_"):
            getattr(Suite(), name)()
