"""Published spaces drawn as templates: the drawn architecture has the paths of the original."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from ogive._errors import UnknownNameError
from ogive.spaces.base import Choice, Space, get_space
from ogive.spaces.drawing import draw, to_template
from ogive.spaces.template import PROBE, Template

WORDS = {
    "conv_bn_relu(dilation=1,kernel=1,stride=1)": "conv1x1-bn-relu",
    "conv_bn_relu(dilation=1,kernel=3,stride=1)": "conv3x3-bn-relu",
    "relu_conv_bn(kernel=1,stride=1)": "nor_conv_1x1",
    "relu_conv_bn(kernel=3,stride=1)": "nor_conv_3x3",
    "max_pool(kernel=3,stride=1)": "maxpool3x3",
    "avg_pool(kernel=3,stride=1)": "avg_pool_3x3",
    "identity": "skip_connect",
}


def paths(graphs, row):
    """All sequences of operations from input to output with how often they occur; skips are followed."""
    words = [graphs.vocabulary[op] if op >= 0 else None for op in graphs.ops[row]]
    found = [Counter() for _ in words]
    found[0][()] = 1
    for v in range(1, len(words)):
        word = WORDS.get(sorted_arguments(words[v]), words[v])
        for s in np.flatnonzero(graphs.adjacency[row, :, v]):
            for path, times in found[s].items():
                step = () if word in ("output", "skip_connect") else (word,)
                found[v][path + step] += times
        if word == "none":
            found[v] = Counter()
    return found[words.index("output")]


def sorted_arguments(word):
    if word is None or "(" not in word:
        return word
    name, _, arguments = word[:-1].partition("(")
    return f"{name}({','.join(sorted(arguments.split(',')))})"


def without_stem(counter):
    return Counter({path[1:]: times for path, times in counter.items()})


@pytest.mark.parametrize("spec", ["nasbench201", "transnas_micro", "nasbench101"])
def test_a_drawn_cell_has_the_paths_of_the_cell(spec):
    space = get_space(spec)
    template = to_template(space)
    g = space.sample(150, np.random.default_rng(0))
    d = draw(space, g)
    original, drawn = space.graph(g), template.graph(d)
    for row in range(len(g)):
        assert without_stem(paths(drawn, row)) == paths(original, row)
    assert template.box == space.box


@pytest.mark.parametrize("spec", ["darts:C=4", "darts:C=4,none=true"])
def test_a_drawn_darts_cell_has_the_edges_of_the_cell(spec):
    space = get_space(spec)
    template = to_template(space)
    g = space.sample(30, np.random.default_rng(0))
    for row, arch in zip(g, template.format(draw(space, g)), strict=True):
        told = {word for word in arch.split("-") if word != "none"}
        sources, ops = space.cells(row[None])
        expected = {
            f"{cell}.{sources[0, c, j, side]}.{j + 2}.{space.ops[ops[0, c, j, side]]}"
            for c, cell in enumerate(("normal", "reduce"))
            for j in range(4)
            for side in (0, 1)
            if space.ops[ops[0, c, j, side]] != "none"
        }
        assert told == expected


@pytest.mark.parametrize(
    "spec", ["nasbench201:C=4", "transnas_micro:C=4", "transnas_macro:C=4", "nats_sss", "nasbench101:C=8", "darts:C=4"]
)
def test_drawings_are_sound_templates(spec):
    space = get_space(spec)
    template = to_template(space)
    template.shapes(PROBE)
    assert Template.from_dict(template.to_dict()).choices == template.choices
    g = space.sample(20, np.random.default_rng(1))
    d = draw(space, g)
    connected = template.valid(d)
    assert connected.any()
    template.build(d[connected][0], PROBE)
    assert template.dtype == d.dtype


@pytest.mark.parametrize("spec", ["transnas_macro", "nats_sss", "nasbench201"])
def test_drawn_genotypes_keep_their_options(spec):
    space = get_space(spec)
    template = to_template(space)
    assert [c.name for c in template.choices] == [c.name for c in space.choices]
    for ours, drawn in zip(space.choices, template.choices, strict=True):
        assert tuple(option.rpartition(".")[2] for option in drawn.options) == ours.options


def test_what_cannot_be_drawn_says_so():
    class Plain(Space):
        name = "plain"
        choices = (Choice("x", ("a", "b")),)

    with pytest.raises(UnknownNameError, match="drawing of a space 'plain'"):
        to_template(Plain())
    template = to_template(get_space("nasbench201"))
    assert to_template(template) is template
