"""The published spaces as templates, for drawing: what is chosen is exact, what repeats a cell is drawn once."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._errors import UnknownNameError
from ogive.spaces.darts import CELLS, DARTS, NODES
from ogive.spaces.nasbench101 import EDGES as PAIRS
from ogive.spaces.nasbench101 import OPS as VERTEX_OPS
from ogive.spaces.nasbench101 import NASBench101
from ogive.spaces.nats_sss import PARTS, WIDTHS, NATSSize
from ogive.spaces.template import Template
from ogive.spaces.transnas import MODULES, TransNASMacro, TransNASMicro

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ogive.spaces.base import Genotypes, Space
    from ogive.spaces.nasbench201 import NASBench201

_BLOCKS: dict[str, dict[str, Any]] = {
    "skip_connect": {"op": "identity"},
    "nor_conv_1x1": {"op": "relu_conv_bn", "kernel": 1},
    "nor_conv_3x3": {"op": "relu_conv_bn"},
    "avg_pool_3x3": {"op": "avg_pool"},
    "max_pool_3x3": {"op": "max_pool"},
    "sep_conv_3x3": {"op": "separable_conv"},
    "sep_conv_5x5": {"op": "separable_conv", "kernel": 5},
    "dil_conv_3x3": {"op": "dilated_conv"},
    "dil_conv_5x5": {"op": "dilated_conv", "kernel": 5},
    "conv3x3-bn-relu": {"op": "conv_bn_relu"},
    "conv1x1-bn-relu": {"op": "conv_bn_relu", "kernel": 1},
    "maxpool3x3": {"op": "max_pool"},
}


def to_template(space: Space) -> Template:
    """Return a template that draws the choices of a space.

    An operation on an edge becomes a group of blocks on that edge, "none" the empty set of it. A skeleton that repeats
    the cell is drawn as one cell between a stem and a classifier, so the template's networks are not the published
    ones. DARTS has a rule that groups cannot say, two inputs a node: its template has more architectures than it has.

    Raises
    ------
    UnknownNameError
        If the space has no drawing.
    """
    if isinstance(space, Template):
        return space
    if space.name not in _DRAWN:
        raise UnknownNameError.of("drawing of a space", space.name, _DRAWN)
    draft = _Draft()
    _DRAWN[space.name](draft, space)
    return Template({"title": space.reference, "nodes": draft.nodes, "groups": draft.groups, "edges": draft.edges})


def draw(space: Space, genotypes: Genotypes) -> Genotypes:
    """Return the same architectures as genotypes of ``to_template(space)``.

    A cell that connects nothing is valid in its space but has no path to draw: `Template.live` is empty there.
    """
    g = np.asarray(genotypes)
    if isinstance(space, NASBench101):
        return np.concatenate([g[:, len(PAIRS) :], g[:, : len(PAIRS)]], axis=1)
    if not isinstance(space, DARTS):
        return g
    sources, ops = space.cells(g)
    first = 0 if space.none else 1
    columns = [
        np.where(sources[:, c, j] == source, ops[:, c, j] + first, 0).max(axis=1)
        for c in range(len(CELLS))
        for j, node in enumerate(NODES)
        for source in range(node)
    ]
    return np.stack(columns, axis=1).astype(g.dtype)


class _Draft:
    """A document in the making."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.groups: list[dict[str, Any]] = []
        self.edges: list[Any] = []

    def node(self, name: str, op: str, **args: Any) -> str:
        self.nodes.append({"id": name, "op": op, **args})
        return name

    def group(self, name: str, stem: str, blocks: Iterable[tuple[str, dict[str, Any]]], low: int = 1) -> str:
        """Add a group of one block at most, or exactly one, whose nodes are called after `stem`."""
        options = [self.node(f"{stem}.{word}", **block) for word, block in blocks]
        self.groups.append({"id": name, "options": options, "cardinality": [low, 1]})
        return name

    def path(self, *names: str) -> None:
        self.edges += [list(pair) for pair in pairwise(names)]


def _edge_cell(draft: _Draft, space: NASBench201 | TransNASMicro) -> None:
    draft.path(draft.node("image", "input"), draft.node("n0", "conv_bn_relu", channels=space.C))
    draft.node("n1", "identity")
    draft.node("n2", "identity")
    draft.node("n3", "output")
    for choice in space.choices:
        s, _, t = choice.name.partition("->")
        blocks = [(op, _BLOCKS[op]) for op in choice.options if op != "none"]
        draft.path(f"n{s}", draft.group(choice.name, f"e{s}{t}", blocks, low=0), f"n{t}")


def _macro(draft: _Draft, space: TransNASMacro) -> None:
    last = draft.node("stem", "conv_bn_relu", channels=space.C, stride=4)
    draft.path(draft.node("image", "input"), last)
    for choice in space.choices:
        blocks: list[tuple[str, dict[str, Any]]] = []
        for word in choice.options:
            factor, stride = MODULES.get(word, (1, 1))
            block = {"op": "residual_block", "channels": f"x{factor}", "stride": stride}
            blocks.append((word, {"op": "identity"} if word == "end" else block))
        draft.path(last, draft.group(choice.name, choice.name, blocks))
        last = choice.name
    draft.path(last, draft.node("classes", "output"))


def _sizes(draft: _Draft, _: NATSSize) -> None:
    last = draft.node("image", "input")
    for i, part in enumerate(PARTS):
        blocks = [(w, {"op": "conv_bn_relu", "channels": int(w), "stride": 1 + i % 2}) for w in WIDTHS]
        draft.path(last, draft.group(part, part, blocks))
        last = part
    draft.path(last, draft.node("classes", "output"))


def _vertex_cell(draft: _Draft, space: NASBench101) -> None:
    draft.path(draft.node("image", "input"), draft.node("v0", "conv_bn_relu", channels=space.C))
    names = {0: "v0", 6: draft.node("v6", "output", merge="concat")}
    for v in range(1, 6):
        blocks = [(op.partition("-")[0], _BLOCKS[op]) for op in VERTEX_OPS]
        names[v] = draft.group(f"op{v}", f"v{v}", blocks)
    draft.edges += [{"from": names[s], "to": names[t], "optional": True} for s, t in PAIRS]


def _two_input_cells(draft: _Draft, space: DARTS) -> None:
    last = draft.node("stem", "conv_bn_relu", channels=3 * space.C)
    draft.path(draft.node("image", "input"), last)
    for cell in CELLS:
        for i in (0, 1):
            draft.path(last, draft.node(f"{cell}.{i}", "relu_conv_bn", kernel=1, channels=space.C))
        for node in NODES:
            draft.node(f"{cell}.{node}", "identity")
            for source in range(node):
                blocks = [(op, _strided(op, cell, source)) for op in space.ops if op != "none"]
                group = draft.group(f"{cell}.{source}->{node}", f"{cell}.{source}.{node}", blocks, low=0)
                draft.path(f"{cell}.{source}", group, f"{cell}.{node}")
        last = draft.node(f"{cell}.out", "identity", merge="concat")
        for node in NODES:
            draft.path(f"{cell}.{node}", last)
    draft.path(last, draft.node("classes", "output"))


def _strided(op: str, cell: str, source: int) -> dict[str, Any]:
    """Return the block of a DARTS operation; what reads an input of a reduction cell halves the resolution."""
    if cell == "normal" or source > 1:
        return _BLOCKS[op]
    return {**({"op": "factorized_reduction"} if op == "skip_connect" else _BLOCKS[op]), "stride": 2}


_DRAWN: dict[str, Callable[[_Draft, Any], None]] = {
    "darts": _two_input_cells,
    "nasbench101": _vertex_cell,
    "nasbench201": _edge_cell,
    "nats_sss": _sizes,
    "transnas_macro": _macro,
    "transnas_micro": _edge_cell,
}
