"""Architectures followed through random edits, against walks through both drawings; what selections share."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ogive._errors import InputError
from ogive.spaces.template_edit import set_args
from ogive.spaces.template_revision import complement, intersection, translate, union
from tests.spaces.test_template import live_of, random_template
from tests.spaces.test_template_edit import SMALL, random_edit


def network(template, arch):
    """What an architecture computes: its live nodes with their blocks, and its live pairs."""
    nodes, pairs = live_of(template.to_dict(), arch)
    blocks = {node.id: (node.op, tuple(node.args.items())) for node in template.nodes}
    return frozenset((name, blocks[name]) for name in nodes), pairs


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.integers(0, 2**32))
def test_translation_finds_the_same_network_where_there_is_one(seed):
    old, rng = random_template(seed, alike=True), np.random.default_rng(seed)
    new = old
    for step in range(4):
        try:
            new = random_edit(new, rng, f"new{step}_")
        except InputError:
            continue
    assume(new.digest != old.digest)
    assume(new.box <= 3000)
    g = old.enumerate()[:100]
    assume(len(g))
    moved, same = translate(old, new, g)
    # Where single options have edges of their own, dead groups can settle in ways that are not all tried.
    options = {option for group in new.groups for option in group.options}
    alike = not any({edge.source, edge.target} & options for edge in new.edges)
    known = {network(new, arch) for arch in new.format(new.enumerate())} if alike else set()
    for arch, row, equal in zip(old.format(g), new.format(moved), same, strict=True):
        wanted = network(old, arch)
        assert equal == (network(new, row) == wanted)
        assert equal or wanted not in known
    assert new.valid(moved[same]).all()


def test_a_block_with_other_arguments_is_another_network():
    g = SMALL.enumerate()
    moved, same = translate(SMALL, set_args(SMALL, "b_pool", {"kernel": 5}), g)
    assert np.array_equal(moved, g)
    assert same.tolist() == ["b_pool" not in arch for arch in SMALL.format(g)]


def test_nothing_changes_between_equal_revisions():
    g = SMALL.enumerate()
    moved, same = translate(SMALL, SMALL, g)
    assert same.all()
    assert np.array_equal(moved, g)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.integers(0, 2**32), st.booleans())
def test_set_operations(seed, alike):
    template, rng = random_template(seed, alike=alike), np.random.default_rng(seed)
    assume(template.size)
    g = template.sample(int(rng.integers(1, 6)), rng)
    walks = [live_of(template.to_dict(), arch) for arch in template.format(g)]
    options = {option for group in template.groups for option in group.options}
    ends = {group.id: group.options for group in template.groups}
    switches = {
        e.name: {(a, b) for a in ends.get(e.source, [e.source]) for b in ends.get(e.target, [e.target])}
        for e in template.switches
    }
    used = [nodes & options | {name for name, pairs in switches.items() if pairs & on} for nodes, on in walks]

    shared, unused = intersection(template, g), complement(template, g)
    assert set(shared) == set.intersection(*map(set, used))
    assert not set(unused) & set.union(*map(set, used))
    canonical = template.canonical(g)
    assert template.steer(lock=shared, exclude=unused).permits(canonical).all()

    if not set.union(*map(set, used)):
        with pytest.raises(InputError, match="nothing to choose"):
            union(template, g)
        return
    smaller = union(template, g)
    assert {node.id for node in smaller.nodes} == set.union(*(set(nodes) for nodes, _ in walks))
    assert {e.name for e in smaller.switches} == set.union(*map(set, used)) & set(switches)
    assert translate(template, smaller, g)[1].all()


def test_set_operations_by_hand():
    g = SMALL.parse(["a_skip-b_dilated-off", "a_skip-b_dilated+b_pool-off"])
    assert intersection(SMALL, g) == ("a_skip", "b_dilated")
    assert complement(SMALL, g) == ("a_conv3", "a_conv5", "a_separable", "b_residual", "half->classes")
    assert [choice.options for choice in union(SMALL, g).choices] == [
        ("a_skip",),
        ("b_dilated", "b_pool", "b_dilated+b_pool"),
    ]
    with pytest.raises(InputError, match="a set operation needs one architecture at least"):
        union(SMALL, g[:0])
