"""Edits of templates: random ones against the rules of templates, and each kind against the drawing it should give."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ogive._errors import InputError, UnknownNameError
from ogive.spaces import template_edit as edit
from ogive.spaces.template import PROBE, Template
from ogive.spaces.template_revision import translate
from tests.spaces.test_template import random_template

SMALL = Template.load(Path(__file__).parents[2] / "examples" / "templates" / "small.yaml")


def parts(template):
    return {node.id for node in template.nodes} | {group.id for group in template.groups}


def random_edit(template, rng, name):
    """Try some edit of parts that may or may not allow it; `name` is a new id."""

    def one(items):
        return items[rng.integers(len(items))] if items else "nothing"

    def some(items):
        return [one(items)] if rng.random() < 0.5 else []

    def on():
        return one([e.name for e in template.edges]) if rng.random() < 0.6 else None

    places = sorted(parts(template))
    nodes, groups = [n.id for n in template.nodes], [g.id for g in template.groups]
    edge = one(template.edges)
    op = one(["identity", "relu_conv_bn", "max_pool", "input"])
    options = [{"id": f"{name}{i}", "op": op} for i in range(rng.integers(1, 4))]
    trials = [
        lambda: edit.add_node(template, name, op, sources=some(places), targets=some(places), on=on()),
        lambda: edit.add_option(template, one(groups), name, op, {}, sources=some(places), targets=some(places)),
        lambda: edit.add_group(template, name, options, sources=some(places), targets=some(places), on=on()),
        lambda: edit.duplicate_group(template, one(groups), behind=bool(rng.random() < 0.5)),
        lambda: edit.remove(template, one(places)),
        lambda: edit.connect(template, one(places), one(places), optional=bool(rng.random() < 0.5)),
        lambda: edit.disconnect(template, edge.source, edge.target),
        lambda: edit.set_args(template, one(nodes), {"stride": int(rng.integers(1, 3))}),
        lambda: edit.set_cardinality(template, one(groups), *(int(b) for b in rng.integers(0, 4, size=2))),
    ]
    return one(trials)()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.integers(0, 2**32), st.booleans())
def test_random_edits_keep_the_rules(seed, alike):
    """Each gives a template that a file could hold, or one line of reason; the old one stays; no id comes twice."""
    template, rng = random_template(seed, alike=alike), np.random.default_rng(seed)
    gone: set[str] = set()
    for step in range(12):
        before = template.digest
        try:
            new = random_edit(template, rng, f"new{step}_")
        except InputError as error:
            refused = str(error)
        else:
            refused = ""
        assert template.digest == before
        assert "\n" not in refused
        if refused:
            continue
        new.shapes(PROBE)
        assert Template.from_dict(new.to_dict()).digest == new.digest
        gone |= parts(template) - parts(new)
        assert gone == set(new.retired)
        assert not gone & parts(new)
        template = new


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda t: edit.connect(t, "second", "first"),
            r"cannot connect 'second' to 'first': template: nodes '\w+' -> '\w+' -> 'half' -> '\w+' form a cycle",
        ),
        (
            lambda t: edit.add_option(t, "second", "thin", "conv_bn_relu", {"channels": 8}),
            r"cannot add option 'thin' to group 'second': template node 'classes': shapes disagree",
        ),
        (lambda t: edit.set_args(t, "b_pool", {"stride": 2}), "cannot change node 'b_pool': .*node 'classes': shapes"),
        (lambda t: edit.set_args(t, "b_pool", {"kernal": 3}), "node 'b_pool': max_pool takes no argument 'kernal'"),
        (lambda t: edit.set_args(t, "b_pool", {"op": "identity"}), "node 'b_pool': its id and op stay"),
        (lambda t: edit.remove(t, "half"), "cannot remove 'half': .*'image': no path leads from it"),
        (lambda t: edit.disconnect(t, "stem", "first"), "cannot disconnect 'stem' from 'first': .*no path"),
        (lambda t: edit.add_node(t, "first", "identity"), "id 'first' is taken; 'first_2' is free"),
        (lambda t: edit.add_node(t, 3, "identity"), "an id is a text, not 3"),
        (lambda t: edit.add_group(t, "g", [{"op": "identity"}]), "cannot add group 'g': an option has id and op"),
        (lambda t: edit.connect(t, "stem", "first"), "edge 'stem->first' is drawn already"),
        (lambda t: edit.set_cardinality(t, "second", 2, 4), r"group 'second': cardinality \[2, 4\] does not fit 3"),
    ],
)
def test_refusals_name_what_is_in_the_way(change, reason):
    with pytest.raises(InputError, match=reason):
        change(SMALL)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: edit.remove(t, "nobody"),
        lambda t: edit.disconnect(t, "half", "first"),
        lambda t: edit.set_args(t, "second", {}),
        lambda t: edit.add_option(t, "stem", "x", "identity"),
        lambda t: edit.duplicate_group(t, "third"),
        lambda t: edit.add_node(t, "x", "identity", on="half->stem"),
    ],
)
def test_unknown_parts(change):
    with pytest.raises(UnknownNameError):
        change(SMALL)


def test_a_group_keeps_what_it_needs():
    two = edit.remove(edit.remove(SMALL, "a_conv3"), "a_conv5")
    assert two.groups[0].options == ("a_separable", "a_skip")
    one = edit.remove(two, "a_skip")
    with pytest.raises(InputError, match="cannot remove 'a_separable': group 'first' has 1 options and needs 1"):
        edit.remove(one, "a_separable")
    fewer = edit.remove(edit.remove(SMALL, "b_pool"), "b_dilated")
    assert (fewer.groups[1].low, fewer.groups[1].high) == (1, 1)


def test_ids_are_not_used_again():
    less = edit.remove(SMALL, "a_skip")
    assert less.retired == ("a_skip",)
    with pytest.raises(InputError, match="id 'a_skip' was used before; 'a_skip_2' is free"):
        edit.add_option(less, "first", "a_skip", "identity")
    with pytest.raises(InputError, match="template retired: 'a_skip' is no id that was given up"):
        Template(SMALL.to_dict() | {"retired": ["a_skip"]})
    # Another branch of the history used 'x'; what stands in the drawing is not given up.
    branch = edit.retire(SMALL, ["x", "stem"])
    assert branch.retired == ("x",)
    with pytest.raises(InputError, match="id 'x' was used before"):
        edit.add_option(branch, "first", "x", "identity")


def test_additions():
    node = edit.add_node(SMALL, "more", "residual_block", on="half->classes")
    assert ("half", "more", True) in [(e.source, e.target, e.optional) for e in node.edges]
    assert ("more", "classes", False) in [(e.source, e.target, e.optional) for e in node.edges]
    assert node.size == SMALL.size
    # One more of four ways, and one more set of the six that the second group takes.
    assert edit.add_option(SMALL, "first", "a_pool", "avg_pool").size == SMALL.size * 5 // 4
    group = [{"id": "c_conv", "op": "relu_conv_bn"}, {"id": "c_pool", "op": "max_pool", "kernel": 5}]
    inserted = edit.add_group(SMALL, "third", group, cardinality=(1, 2), on="second->classes")
    assert inserted.size == SMALL.size * 3
    assert inserted.to_dict()["nodes"][-1] == group[-1]


def test_copies_of_a_group():
    beside = edit.duplicate_group(SMALL, "second")
    assert [e.name for e in beside.edges][-2:] == ["half->second_2", "second_2->classes"]
    behind = edit.duplicate_group(SMALL, "first", "again", behind=True)
    names = [e.name for e in behind.edges]
    assert names == [
        "image->stem", "stem->first", "again->half", "half->second", "second->classes", "half->classes", "first->again",
    ]  # fmt: skip
    assert behind.groups[-1].options == ("a_conv3_2", "a_conv5_2", "a_separable_2", "a_skip_2")
    blocks = {n.id: (n.op, n.args) for n in behind.nodes}
    assert all(blocks[name] == blocks[f"{name}_2"] for name in behind.groups[0].options)
    assert edit.duplicate_group(beside, "second").groups[-1].id == "second_3"


def test_an_edge_becomes_optional_and_fixed_again():
    free = edit.connect(SMALL, "second", "classes", optional=True)
    assert [e.name for e in free.switches] == ["second->classes", "half->classes"]
    # Both edges off connects nothing: not an architecture.
    assert free.size == 2 * SMALL.size - 24
    assert edit.connect(free, "second", "classes").digest == SMALL.digest


def test_size_limits():
    options = [{"id": f"o{i}_{j}", "op": "identity"} for i in range(4) for j in range(60)]
    groups = [{"id": f"g{i}", "options": [f"o{i}_{j}" for j in range(60)]} for i in range(4)]
    pairs = [["image", "g0"], ["g3", "out"], *([f"g{a}", f"g{b}"] for a, b in [(0, 1), (1, 2), (2, 3), (0, 2), (1, 3)])]
    ends = [{"id": "image", "op": "input"}, {"id": "out", "op": "output"}]
    wide = Template({"nodes": [*ends, *options], "groups": groups, "edges": pairs})
    with pytest.raises(InputError, match=r"cannot connect 'g0' to 'g3': template: more than 20000 connections"):
        edit.connect(wide, "g0", "g3")
    line = [{"id": f"n{i}", "op": "identity"} for i in range(1998)]
    names = ["image", *(node["id"] for node in line), "out"]
    steps = [[a, b] for a, b in pairwise(names)]
    long = Template({"nodes": [*ends, *line], "edges": [*steps, {"from": "image", "to": "out", "optional": True}]})
    with pytest.raises(InputError, match="cannot add node 'x': template: 2001 nodes are more than 2000"):
        edit.add_node(long, "x", "identity", on="image->n0")


def test_what_is_untouched_keeps_its_architectures():
    g = SMALL.enumerate()
    for new in (
        edit.add_option(SMALL, "first", "a_pool", "avg_pool"),
        edit.set_cardinality(SMALL, "second", 0, 3),
        edit.connect(SMALL, "stem", "half", optional=True),
    ):
        moved, same = translate(SMALL, new, g)
        assert same.all()
        assert [w.split("-")[0] for w in new.format(moved)] == [w.split("-")[0] for w in SMALL.format(g)]
