"""Places of a drawing: layers forward, nothing on top of anything, options inside their group, places kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ogive import space
from ogive.spaces.template import Template
from ogive.studio.graph import drawing, parts, shown_parts
from ogive.studio.layout import layout
from tests.studio.runs import SMALL

SPACES = ["nasbench201", "fbnet", f"template:path={SMALL}", f"template:path={SMALL.with_name('branches.yaml')}"]


def boxes(drawn, places):
    """Return the boxes that must not touch: groups, and nodes in none."""
    free = [places["nodes"][n["id"]] for n in drawn["nodes"] if n["group"] is None]
    return [*free, *places["groups"].values()]


def overlap(a, b):
    return (
        a["x"] < b["x"] + b["w"] and b["x"] < a["x"] + a["w"] and a["y"] < b["y"] + b["h"] and b["y"] < a["y"] + a["h"]
    )


def check(drawn, places):
    every = boxes(drawn, places)
    assert not [(a, b) for i, a in enumerate(every) for b in every[:i] if overlap(a, b)]
    for box in [*places["nodes"].values(), *places["groups"].values()]:
        assert 0 <= box["x"] <= box["x"] + box["w"] <= places["width"]
        assert box["y"] + box["h"] <= places["height"]
    for group in drawn["groups"]:
        outer = places["groups"][group["id"]]
        for inner in (places["nodes"][option] for option in group["options"]):
            assert outer["x"] < inner["x"] < inner["x"] + inner["w"] < outer["x"] + outer["w"]
            assert outer["y"] < inner["y"] < inner["y"] + inner["h"] <= outer["y"] + outer["h"]
    for edge in drawn["edges"]:
        x = [point[0] for point in places["edges"][edge["id"]]]
        assert x == sorted(x), "edges run from left to right"
        assert len(set(x)) == len(x)


@pytest.mark.parametrize("name", SPACES)
def test_nothing_overlaps_and_edges_run_forwards(name):
    drawn = drawing(space(name), None)
    places = layout(drawn)
    check(drawn, places)
    assert layout(drawn) == places, "the same drawing, the same places"


@pytest.mark.parametrize("name", SPACES)
def test_an_unchanged_drawing_stays_where_it_was(name):
    drawn = drawing(space(name), None)
    places = layout(drawn)
    assert layout(drawn, places) == places


def test_what_did_not_change_stays_when_a_node_comes():
    document = Template.load(SMALL).to_dict()
    before = layout(drawing(Template(document), None))
    document["nodes"].append({"id": "a_pool", "op": "avg_pool"})
    document["groups"][0]["options"].append("a_pool")
    drawn = drawing(Template(document), None)
    after = layout(drawn, before)
    check(drawn, after)
    for name, box in before["nodes"].items():
        if name not in document["groups"][0]["options"]:
            assert after["nodes"][name] == box


def test_crossings_are_untangled():
    nodes = [{"id": name, "group": None} for name in ("s", "a", "b", "c", "x", "y", "z", "t")]
    pairs = ["sa", "sb", "sc", "az", "by", "cx", "xt", "yt", "zt"]
    edges = [{"id": f"{p[0]}->{p[1]}", "source": p[0], "target": p[1]} for p in pairs]
    places = layout({"nodes": nodes, "groups": [], "edges": edges})["nodes"]
    assert [places[n]["y"] for n in "abc"] == sorted(places[n]["y"] for n in "abc")
    # Drawn in the order x, y, z the three edges would cross; each goes to the partner of its place.
    assert [places[n]["y"] for n in "zyx"] == sorted(places[n]["y"] for n in "zyx")


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 12), st.data())
def test_any_graph_gets_places(n, data):
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    chosen = data.draw(st.lists(st.sampled_from(pairs), unique=True, max_size=25))
    size = data.draw(st.integers(0, n))
    groups = [{"id": "g", "options": [str(i) for i in range(size)]}] if size > 1 else []
    home = {str(i): "g" for i in range(size)} if groups else {}
    chosen = [(i, j) for i, j in chosen if not (str(i) in home and str(j) in home)]
    # A path out of the group and back would be a cycle of blocks, which no drawing that is read has.
    chosen = [(i, j) for i, j in chosen if str(j) not in home]
    drawn = {
        "nodes": [{"id": str(i), "group": home.get(str(i))} for i in range(n)],
        "groups": groups,
        "edges": [{"id": f"{i}->{j}", "source": str(i), "target": str(j)} for i, j in chosen],
    }
    places = layout(drawn)
    check(drawn, places)
    fewer = drawn | {"edges": drawn["edges"][: len(chosen) // 2]}
    check(fewer, layout(fewer, places))


@pytest.mark.parametrize("name", SPACES)
def test_parts_say_what_a_candidate_has(name):
    s = space(name)
    genotypes = s.sample(50, np.random.default_rng(0))
    found, names = parts(s, genotypes), shown_parts(s)[0]
    assert found.shape == (50, len(names))
    ids = {n["id"] for n in drawing(s, None)["nodes"]} | {e["id"] for e in drawing(s, None)["edges"]}
    assert set(names) <= ids
    for row, arch in zip(found, s.format_many(genotypes), strict=True):
        used = [n for n, on in zip(names, row, strict=True) if on]
        if name == "nasbench201":
            words = [part.partition("~")[0] for part in arch.replace("+", "").split("|") if part]
            assert [u.partition("/")[2] for u in used] == words
        elif "small" in name:
            first, second, shortcut = arch.split("-")
            assert used == [first, *second.split("+"), *(["half->classes"] if shortcut == "on" else [])]
