"""Templates against walks through the drawing by hand, and every way a drawing can be wrong."""

from __future__ import annotations

import copy
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from ogive._errors import DataMissingError, InputError, StorageError, UnknownNameError
from ogive.metrics.counts import count_module
from ogive.spaces.base import Shape, get_space
from ogive.spaces.template import PROBE, Template
from ogive.testing.space import SpaceSuite

TEMPLATES = Path(__file__).parents[2] / "examples" / "templates"
SMALL = yaml.safe_load((TEMPLATES / "small.yaml").read_text())


def changed(**parts):
    """The small example with some parts appended or replaced."""
    document = copy.deepcopy(SMALL)
    for key, value in parts.items():
        document[key] = value(document[key])
    return document


# -------------------------------------------------------------------- independent definitions


def parts_of(document, arch):
    """What is chosen, read off the arch string: ids of nodes, pairs of connected nodes."""
    groups = document.get("groups", [])
    options = {g["id"]: g["options"] for g in groups}
    words = arch.split("-")
    grouped = {o for g in groups for o in g["options"]}
    chosen = {n["id"] for n in document["nodes"]} - grouped
    for word in words[: len(groups)]:
        chosen |= set(word.split("+")) - {"none"}
    pairs, switches = set(), iter(words[len(groups) :])
    for edge in document["edges"]:
        s, t, on = (*edge, "on") if isinstance(edge, list) else (edge["from"], edge["to"], next(switches))
        if on == "on":
            pairs |= {(a, b) for a in options.get(s, [s]) for b in options.get(t, [t]) if {a, b} <= chosen}
    return chosen, pairs


def live_of(document, arch):
    """The nodes and pairs on a path from an input to an output, by walking."""
    chosen, pairs = parts_of(document, arch)
    ops = {n["id"]: n["op"] for n in document["nodes"]}
    ahead = {n for n in chosen if ops[n] == "input"}
    behind = {n for n in chosen if ops[n] == "output"}
    for _ in chosen:
        ahead |= {t for s, t in pairs if s in ahead}
        behind |= {s for s, t in pairs if t in behind}
    alive = ahead & behind
    return frozenset(alive), frozenset((s, t) for s, t in pairs if s in alive and t in alive)


def random_document(seed, *, alike):
    """A connected drawing; with `alike`, edges join whole groups, otherwise also single options."""
    rng = np.random.default_rng(seed)
    nodes, groups, places = [{"id": "image", "op": "input"}], [], [["image"]]
    ops = ["identity", "relu_conv_bn", "max_pool"]
    for i in range(int(rng.integers(2, 5))):
        k = int(rng.integers(1, 4))
        names = [f"p{i}o{j}" for j in range(k)]
        nodes += [{"id": name, "op": ops[rng.integers(3)]} for name in names]
        if k > 1:
            low = int(rng.integers(0, 2))
            groups.append(
                {"id": f"g{i}", "options": names, "cardinality": [low, int(rng.integers(max(low, 1), k + 1))]}
            )
            places.append([f"g{i}"] if alike else [f"g{i}", *names])
        else:
            places.append(names)
    nodes.append({"id": "classes", "op": "output"})
    places.append(["classes"])
    edges, last = [], len(places) - 1
    joined = {(int(rng.integers(0, b)), b) for b in range(1, last + 1)}
    joined |= {(a, int(rng.integers(a + 1, last + 1))) for a in range(last)}
    for a, b in sorted(joined):
        s, t = (place[0] if rng.random() < 0.7 else place[rng.integers(len(place))] for place in (places[a], places[b]))
        edges.append({"from": s, "to": t, "optional": True} if rng.random() < 0.4 else [s, t])
    return {"nodes": nodes, "groups": groups, "edges": edges}


def random_template(seed, *, alike):
    document, reason = random_document(seed, alike=alike), ""
    try:
        template = Template(document)
    except InputError as error:
        reason = str(error)
    # Edges to single options can leave another one unconnected, and nothing may be left to choose.
    assert not reason or "no path" in reason or "nothing to choose" in reason
    assume(not reason)
    assume(template.box <= 3000)
    return template


# -------------------------------------------------------------------- what is alive


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.integers(0, 2**32), st.booleans())
def test_live_parts_are_those_of_a_walk(seed, alike):
    template = random_template(seed, alike=alike)
    document = template.to_dict()
    g = template.from_index(np.arange(template.box))
    nodes, arcs = template.live(g)
    names = [node.id for node in template.wiring.nodes]
    pairs = [(names[arc.source], names[arc.target]) for arc in template.wiring.arcs]
    for row in range(0, len(g), 1 + len(g) // 200):
        alive, on = live_of(document, template.format(g[row]))
        assert {n for n, there in zip(names, nodes[row], strict=True) if there} == alive
        assert {p for p, there in zip(pairs, arcs[row], strict=True) if there} == on
        assert template.valid(g[row : row + 1])[0] == bool(alive)
    assert template.size == template.valid(g).sum()


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.integers(0, 2**32), st.booleans())
def test_canonical_keeps_the_live_graph_and_merges_what_has_the_same(seed, alike):
    template = random_template(seed, alike=alike)
    document = template.to_dict()
    g = template.enumerate()[:400]
    assume(len(g))
    canonical = template.canonical(g)
    assert np.array_equal(template.canonical(canonical), canonical)
    assert template.valid(canonical).all()
    live = [live_of(document, arch) for arch in template.format(g)]
    assert live == [live_of(document, arch) for arch in template.format(canonical)]
    if alike:
        assert len(np.unique(canonical, axis=0)) == len(set(live))


def test_dead_parts_do_not_matter():
    template = Template(
        {
            "nodes": [
                {"id": "image", "op": "input"},
                *({"id": name, "op": "identity"} for name in ("a", "b", "c", "d", "e")),
                {"id": "classes", "op": "output"},
            ],
            "groups": [{"id": "x", "options": ["a", "b"]}, {"id": "y", "options": ["c", "d"]}],
            "edges": [
                ["image", "x"],
                {"from": "x", "to": "y", "optional": True},
                ["y", "classes"],
                ["image", "e"],
                ["e", "classes"],
            ],
        }
    )
    g = template.parse(["a-c-off", "a-d-off", "b-c-off", "b-d-off", "b-d-on"])
    assert template.format(template.canonical(g)) == ["a-c-off"] * 4 + ["b-d-on"]


# -------------------------------------------------------------------- shapes and networks


def watch(model):
    """Shapes that the nodes of a network make when it runs."""
    seen = {}
    for step, module in zip(model.steps, model.blocks, strict=True):
        module.register_forward_hook(lambda _m, _i, out, name=step.id: seen.update({name: tuple(out.shape[1:])}))
    return seen


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.integers(0, 2**32))
def test_a_checked_drawing_builds_every_architecture(seed):
    """Random widths, strides and merges: when the symbolic pass accepts, all networks run with a shape it foresaw."""
    rng = np.random.default_rng(seed)
    document = random_document(seed, alike=True)
    for node in document["nodes"][1:]:
        if node["op"] == "relu_conv_bn":
            node |= {"channels": ["x1", "x2", 4, 6][rng.integers(4)]}
        if node["op"] != "input" and rng.random() < 0.5:
            node |= {"merge": "concat"}
        if node["op"] == "max_pool" and rng.random() < 0.2:
            node |= {"stride": 2}
    reason = ""
    try:
        template = Template(document)
        foreseen = template.shapes(Shape((4, 8, 8), 3))
    except InputError as error:
        reason = str(error)
    assert not reason or "shapes disagree" in reason or "nothing to choose" in reason
    assume(not reason)
    for row in template.sample(5, rng) if template.size else []:
        model = template.build(row, Shape((4, 8, 8), 3)).eval()
        seen = watch(model)
        with torch.no_grad():
            assert model(torch.zeros(2, 4, 8, 8)).shape == (2, 3)
        assert seen
        assert all(shape in foreseen[name] for name, shape in seen.items())


def test_a_network_computes_what_is_drawn():
    """Against the same blocks called by hand: a sum, a concatenation, two outputs averaged."""
    template = Template(
        {
            "nodes": [
                {"id": "image", "op": "input"},
                {"id": "a", "op": "conv_bn_relu", "channels": 3},
                {"id": "b", "op": "max_pool", "stride": 1},
                {"id": "sum", "op": "avg_pool", "kernel": 2, "stride": 2},
                {"id": "both", "op": "identity", "merge": "concat"},
                {"id": "one", "op": "output"},
                {"id": "two", "op": "output"},
            ],
            "groups": [{"id": "g", "options": ["a", "b"], "cardinality": [1, 2]}],
            "edges": [["image", "g"], ["g", "sum"], ["g", "both"], ["sum", "one"], ["both", "two"]],
        }
    )
    model = template.build(template.parse("a+b"), Shape((3, 6, 6), 4)).eval()
    step = {s.id: module for s, module in zip(model.steps, model.blocks, strict=True)}
    x = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        a, b = step["a"](x), torch.nn.functional.max_pool2d(x, 3, 1, 1)
        one = step["one"][2](torch.nn.functional.avg_pool2d(a + b, 2).mean(dim=(2, 3)))
        two = step["two"][2](torch.cat([a, b], dim=1).mean(dim=(2, 3)))
        assert torch.allclose(model(x), (one + two) / 2, atol=1e-6)
        alone = template.build(template.parse("b"), Shape((3, 6, 6), 4))
    assert {s.id for s in alone.steps} == {"image", "b", "sum", "both", "one", "two"}
    assert sum(p.numel() for p in alone.parameters()) == 2 * (3 * 4 + 4)


def test_costs_come_from_counting_the_network():
    space = get_space(f"template:path={TEMPLATES / 'small.yaml'}")
    assert space.count(space.enumerate()[:1], PROBE) is None
    counts = count_module(space.build(space.parse("a_skip-b_pool-off"), PROBE), PROBE.input_shape)
    assert counts.params == 27 * 16 + 32 + 16 * 32 * 9 + 64 + 330
    assert counts.depth == 3


def chain(*blocks):
    """Nodes of a line of blocks from the image to the classes."""
    inner = [{"id": f"n{i}", "op": op, **args} for i, (op, args) in enumerate(blocks)]
    return [{"id": "image", "op": "input"}, *inner, {"id": "classes", "op": "output"}]


CHAIN = {"edges": [["image", "n0"], {"from": "n0", "to": "n1", "optional": True}, ["n1", "classes"]]}


def test_shape_errors_name_the_node():
    def fails(document, *words):
        with pytest.raises(InputError) as error:
            Template(document).shapes(PROBE)
        for word in words:
            assert word in str(error.value)

    wide = changed(nodes=lambda nodes: [n | {"channels": 8} if n["id"] == "a_conv5" else n for n in nodes])
    assert Template(wide).shapes(PROBE)["half"] == {(32, 16, 16)}
    fails(
        changed(nodes=lambda nodes: [n | {"stride": 2} if n["id"] == "b_pool" else n for n in nodes]),
        "node 'classes'",
        "(32, 16, 16)",
        "(32, 8, 8)",
        "'b_pool'",
    )
    small = Template({"nodes": chain(("identity", {}), ("avg_pool", {"kernel": 14})), **CHAIN})
    with pytest.raises(InputError, match=r"node 'n1': avg_pool cannot take an input of shape \(3, 1, 1\)"):
        small.shapes(Shape((3, 1, 1), 2))
    fails({"nodes": chain(*[("relu_conv_bn", {"channels": "x99"})] * 2), **CHAIN}, "node 'n1': 29403 channels")
    widths = [{"id": f"w{i}", "op": "relu_conv_bn", "channels": 2**i} for i in range(9)]
    fails(
        {
            "nodes": [*widths, {"id": "image", "op": "input"}, {"id": "classes", "op": "output", "merge": "concat"}],
            "edges": [
                *(["image", w["id"]] for w in widths),
                *({"from": w["id"], "to": "classes", "optional": True} for w in widths),
            ],
        },
        "node 'classes': more than 256 different shapes can enter it",
    )


# -------------------------------------------------------------------- drawings that are wrong

WRONG = {
    "unknown op": (
        changed(nodes=lambda n: [*n, {"id": "x", "op": "conv_bn_rely"}]),
        "template node 'x': unknown op 'conv_bn_rely' (did you mean 'conv_bn_relu'",
    ),
    "unknown argument": (
        changed(nodes=lambda n: [*n, {"id": "x", "op": "max_pool", "kernal": 3}]),
        "node 'x': max_pool takes no argument 'kernal' (did you mean 'kernel'?)",
    ),
    "even kernel": (
        changed(nodes=lambda n: [*n, {"id": "x", "op": "conv_bn_relu", "kernel": 4}]),
        "node 'x': kernel is an odd whole number from 1 to 15, not 4",
    ),
    "true is no number": (
        changed(nodes=lambda n: [*n, {"id": "x", "op": "conv_bn_relu", "stride": True}]),
        "node 'x': stride is a whole number from 1 to 4, not True",
    ),
    "width": (
        changed(nodes=lambda n: [*n, {"id": "x", "op": "conv_bn_relu", "channels": "2x"}]),
        "node 'x': channels is a whole number from 1 to 4096, or a factor as 'x2', not '2x'",
    ),
    "merge": (
        changed(nodes=lambda n: [*n, {"id": "x", "op": "identity", "merge": "mix"}]),
        "node 'x': merge is one of sum, mean, concat, gated, not 'mix'",
    ),
    "id twice": (changed(nodes=lambda n: [*n, n[1]]), "id 'stem' is used twice"),
    "id like a group": (changed(groups=lambda g: [*g, {"id": "stem", "options": []}]), "id 'stem' is used twice"),
    "id with a dash": (changed(nodes=lambda n: [*n, {"id": "a-b", "op": "identity"}]), "nodes[11]: id 'a-b'"),
    "no id": (changed(nodes=lambda n: [*n, {"op": "identity"}]), "nodes[11]: 'id' is missing"),
    "no node": (changed(nodes=lambda n: [*n, "x"]), "nodes[11]: expected a mapping"),
    "nodes are a list": (changed(nodes=lambda n: {}), "nodes is a list"),
    "unknown entry": ({**SMALL, "edgs": []}, "unknown entry 'edgs' (did you mean 'edges'"),
    "no document": ([], "expected a mapping"),
    "option": (
        changed(groups=lambda g: [*g, {"id": "x", "options": ["stemm"]}]),
        "group 'x': option 'stemm' is no node (did you mean 'stem'?)",
    ),
    "option twice": (
        changed(groups=lambda g: [*g, {"id": "x", "options": ["a_skip"]}]),
        "node 'a_skip' is already an option of group 'first'",
    ),
    "input competes": (
        changed(groups=lambda g: [*g, {"id": "x", "options": ["image"]}]),
        "node 'image' is an input, which cannot compete",
    ),
    "cardinality": (
        changed(groups=lambda g: [{**g[0], "cardinality": [2, 5]}, g[1]]),
        "group 'first': cardinality [2, 5] does not fit 4 options",
    ),
    "cardinality of zero": (
        changed(groups=lambda g: [{**g[0], "cardinality": [0, 0]}, g[1]]),
        "group 'first': cardinality [0, 0]",
    ),
    "edge to nowhere": (changed(edges=lambda e: [*e, ["stem", "secnd"]]), "edges[6]: 'secnd' is no node or group"),
    "edge of three": (changed(edges=lambda e: [*e, ["stem", "half", "classes"]]), "edges[6]: an edge is [from, to]"),
    "edge twice": (changed(edges=lambda e: [*e, ["first", "half"]]), "'a_conv3' and 'half' are connected twice"),
    "optional": (
        changed(edges=lambda e: [*e, {"from": "stem", "to": "half", "optional": "yes"}]),
        "edges[6]: optional is true or false, not 'yes'",
    ),
    "cycle": (changed(edges=lambda e: [*e, ["half", "stem"]]), "cycle"),
    "into the input": (changed(edges=lambda e: [*e, ["half", "image"]]), "node 'image': an input takes no edge"),
    "out of the output": (
        changed(edges=lambda e: [*e, ["classes", "half"]]),
        "node 'classes': an output gives no edge",
    ),
    "dead end": (
        changed(nodes=lambda n: [*n, {"id": "x", "op": "identity"}], edges=lambda e: [*e, ["stem", "x"]]),
        "node 'x': no path leads from it to an output",
    ),
    "unreached": (
        changed(nodes=lambda n: [*n, {"id": "x", "op": "identity"}], edges=lambda e: [*e, ["x", "half"]]),
        "node 'x': no path from an input reaches it",
    ),
    "no output": (changed(nodes=lambda n: n[:-1], edges=lambda e: e[:4]), "there is no output"),
    "one behind the other": (
        changed(edges=lambda e: [*e, ["a_conv3", "a_conv5"]]),
        "group 'first': a path goes through both 'a_conv3' and 'a_conv5'",
    ),
    "nothing to choose": (
        {"nodes": [SMALL["nodes"][0], SMALL["nodes"][-1]], "edges": [["image", "classes"]]},
        "there is nothing to choose",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_drawings(name):
    document, message = WRONG[name]
    with pytest.raises(InputError) as error:
        Template(document)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


JUNK = st.sampled_from(
    [None, True, -1, 2.5, "", "stem", "x1", [], ["stem"], [1, 2], {}, {"id": "stem"}, [["image", []]]]
)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_damage_to_a_drawing_raises_anything_but_an_input_error(data):
    document = copy.deepcopy(SMALL)
    for _ in range(data.draw(st.integers(1, 3))):
        spot = document
        while isinstance(spot, dict | list) and spot:
            keys = sorted(spot) if isinstance(spot, dict) else range(len(spot))
            key = data.draw(st.sampled_from(list(keys)))
            if not isinstance(spot[key], dict | list) or not spot[key] or data.draw(st.booleans()):
                spot[key] = copy.deepcopy(data.draw(JUNK))
                break
            spot = spot[key]
    reason = "fine"
    try:
        Template(document).shapes(PROBE)
    except InputError as error:
        reason = str(error)
    assert reason
    assert "\n" not in reason


def test_a_cycle_is_named_in_its_direction():
    with pytest.raises(
        InputError, match=r"nodes 'half' -> '(a_conv5|a_conv3|a_separable|a_skip)' -> 'half' form a cycle"
    ):
        Template(changed(edges=lambda e: [*e, ["half", "first"]]))


def test_size_limits():
    ends = [{"id": "image", "op": "input"}, {"id": "classes", "op": "output"}]
    many = [{"id": f"n{i}", "op": "identity"} for i in range(1999)]
    with pytest.raises(InputError, match="2001 nodes are more than 2000"):
        Template({"nodes": ends + many, "edges": []})
    few = {"nodes": ends + many[:61], "edges": [["image", "g"], ["g", "classes"]]}
    names = [n["id"] for n in many]
    for group, what in (
        ({"options": names[:61]}, "61 options in 61 allowed sets"),
        ({"options": names[:12], "cardinality": [0, 12]}, "12 options in 4096 allowed sets"),
    ):
        with pytest.raises(InputError, match=what):
            Template({**few, "groups": [{"id": "g", **group}]})
    rows = [names[50 * i : 50 * (i + 1)] for i in range(10)]
    with pytest.raises(InputError, match="more than 20000 connections"):
        Template(
            {
                "nodes": ends + many[:500],
                "groups": [{"id": f"g{i}", "options": row} for i, row in enumerate(rows)],
                "edges": [[f"g{i}", f"g{i + 1}"] for i in range(9)],
            }
        )
    edges = [list(pair) for pair in pairwise(["image", *names[:1998], "classes"])]
    large = Template({"nodes": ends + many[:1998], "edges": [*edges, {"from": "image", "to": "n5", "optional": True}]})
    assert large.size == 2
    assert large.live(large.enumerate())[0].all()


# -------------------------------------------------------------------- files and steering


class TestManyEnds(SpaceSuite):
    """Two inputs, two outputs, dead ends, an optional edge into a group: the whole contract."""

    @pytest.fixture(autouse=True)
    def _file(self, tmp_path):
        self.template = Template(
            {
                "nodes": [
                    {"id": "one", "op": "input"},
                    {"id": "two", "op": "input"},
                    *({"id": name, "op": "relu_conv_bn"} for name in "abcd"),
                    {"id": "left", "op": "output"},
                    {"id": "right", "op": "output", "merge": "concat"},
                ],
                "groups": [
                    {"id": "g", "options": ["a", "b"], "cardinality": [0, 2]},
                    {"id": "h", "options": ["c", "d"]},
                ],
                "edges": [
                    ["one", "g"],
                    {"from": "g", "to": "h", "optional": True},
                    {"from": "two", "to": "d", "optional": True},
                    ["c", "left"],
                    ["h", "right"],
                    ["b", "right"],
                ],
            }
        ).save(tmp_path / "ends.json")

    def make(self):
        return self.template


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.integers(0, 2**32), st.sampled_from(["yaml", "json"]))
def test_drawings_survive_files(tmp_path_factory, seed, suffix):
    template = random_template(seed, alike=False)
    path = tmp_path_factory.mktemp("t") / f"drawing.{suffix}"
    saved = template.save(path)
    again = get_space(saved.spec)
    assert again.to_dict() == template.to_dict() == json.loads(json.dumps(template.to_dict()))
    assert again.spec == saved.spec
    assert again.choices == template.choices


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nodes: [a\nedges: []", "line 2, column"),
        ("nodes: &n [{id: a, op: input}]\nedges: *n", "line 2, column 8: aliases are not read"),
        ("nodes: !!python/object/apply:os.system [exit]", "line 1"),
        ("[" * 5000, "neither YAML nor JSON"),
        ("- 1", "expected a mapping"),
    ],
)
def test_broken_files(tmp_path, text, message):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        get_space(f"template:path={path}")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_are_not_there_or_changed(tmp_path):
    with pytest.raises(DataMissingError, match="there is no template file"):
        Template.load(tmp_path / "none.yaml")
    with pytest.raises(StorageError, match="cannot be written"):
        Template(SMALL).save(tmp_path / "no" / "folder.yaml")
    saved = Template(SMALL).save(tmp_path / "small.yaml")
    spec = saved.spec
    assert get_space(spec).spec == spec
    Template(changed(edges=lambda e: e[:-1])).save(tmp_path / "small.yaml")
    with pytest.raises(InputError, match="has changed: its digest is sha256-"):
        get_space(spec)
    with pytest.raises(InputError, match="write template:path=FILE"):
        get_space("template")
    with pytest.raises(InputError, match="save"):
        _ = Template(SMALL).spec
    (tmp_path / "big.yaml").write_bytes(b" " * 5_000_001)
    with pytest.raises(InputError, match="larger than 5000000 bytes"):
        Template.load(tmp_path / "big.yaml")


def test_steering_locks_and_excludes_nodes_and_edges():
    template = Template(SMALL)
    steered = template.steer(lock=["b_pool", "half->classes"], exclude=["a_skip", "b_dilated"])
    archs = steered.format(steered.enumerate())
    assert sorted(archs) == sorted(
        f"{a}-{b}-on" for a in ("a_conv3", "a_conv5", "a_separable") for b in ("b_pool", "b_residual+b_pool")
    )
    with pytest.raises(InputError, match="choice 'second' has no option left"):
        template.steer(exclude=["b_pool", "b_dilated", "b_residual"])
    with pytest.raises(UnknownNameError, match="'a_conv3'"):
        template.steer(lock=["a_conv4"])


def test_an_output_classifies_the_squares_of_its_grid():
    toy = Template.load(Path(__file__).parents[2] / "examples" / "templates" / "toy.yaml")
    network = toy.build(toy.parse("a_skip-b_skip-c_pool-d_skip"), Shape((1, 8, 8), 10)).eval()
    assert toy.size == 256
    x = torch.randn(2, 1, 8, 8)
    _, stem, *_, classes = network.blocks
    seen = F.avg_pool2d(F.max_pool2d(stem(x), 2), 3, stride=1, padding=1, count_include_pad=False)
    torch.testing.assert_close(network(x), seen.flatten(1) @ classes[-1].weight.T + classes[-1].bias)
