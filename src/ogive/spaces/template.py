"""A space drawn by hand: a graph of blocks with groups of alternatives and optional edges, read from YAML or JSON.

Tyagi, Xie and Mueller, "NAS-Navigator: Visual Steering for Explainable One-Shot Deep Neural Network Synthesis", IEEE
VIS 2022, draws its template networks this way.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ogive._errors import InputError, UnknownNameError
from ogive.spaces._template_files import read_document, write_document
from ogive.spaces._template_live import Liveness
from ogive.spaces._template_parts import read_parts, write_parts
from ogive.spaces._wiring import Wiring
from ogive.spaces.base import SPACES, Choice, Genotypes, Graphs, Shape, Space, TaskShape, image_shape

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray
    from torch import nn

    from ogive.nn.super_template import SuperTemplateNetwork
    from ogive.nn.template import Step
    from ogive.spaces._template_shapes import Passing

    Bools = NDArray[np.bool_]

PROBE = Shape((3, 32, 32), 10)
"""The task whose shapes a template is checked with when it is loaded."""

_MAX_COUNTED = 1_000_000


class Template(Space):
    """The architectures of a drawn graph.

    Every group is a choice among its allowed sets of options, every optional edge a choice between "off" and "on". A
    genotype is an architecture when a path leads from an input to an output. What lies on no such path is dead: it
    is not built, and `canonical` ignores it. See ``docs/spaces.md`` for the file format.

    Parameters
    ----------
    document : mapping
        The drawing as plain data: ``nodes``, ``edges``, and if wanted ``groups``, ``title`` and ``retired``, the ids
        that earlier revisions of the drawing used up.
    path : str, optional
        The file it was read from, for `spec`.

    Raises
    ------
    InputError
        Naming the node, group or edge that is wrong: an unknown block, a bad argument, a cycle, a node on no path,
        alternatives that follow each other, a size limit.
    """

    name = "template"
    reference = "Tyagi et al., NAS-Navigator, IEEE VIS 2022, arXiv 2009.13008"
    buildable = True

    def __init__(self, document: Mapping[str, Any], path: str | None = None) -> None:
        self.title, self.nodes, self.groups, self.edges, self.retired = read_parts(document)
        self.path = path
        self.wiring = Wiring.of(self.nodes, self.groups, self.edges)
        self.switches = [edge for edge in self.edges if edge.optional]
        self.choices = (
            *(Choice(group.id, group.names()) for group in self.groups),
            *(Choice(edge.name, ("off", "on")) for edge in self.switches),
        )
        names = [choice.name for choice in self.choices]
        if not names:
            raise InputError("template: there is nothing to choose; add a group or an optional edge")
        for choice in names:
            if names.count(choice) > 1:
                raise InputError(f"template: a group and an edge are both named '{choice}'; rename the group")

    # ---------------------------------------------------------------- files

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Return the template of a drawing given as plain data; the inverse of `to_dict`."""
        return cls(document)

    def to_dict(self) -> dict[str, Any]:
        """Return the drawing as plain data, which JSON and YAML can hold."""
        return write_parts(self.title, self.nodes, self.groups, self.edges, self.retired)

    @classmethod
    def load(cls, path: str | Path, digest: str = "") -> Self:
        """Read a template from a YAML or JSON file and check its shapes on 3 x 32 x 32 images.

        Parameters
        ----------
        path : str or Path
        digest : str, optional
            What `digest` was when the file was used before; another drawing is refused.

        Raises
        ------
        InputError
            If the file is not a drawing, or not the one that `digest` names.
        DataMissingError
            If there is no such file.
        """
        template = cls(read_document(Path(path)), str(path))
        if digest and digest != template.digest:
            raise InputError(f"template file '{path}' has changed: its digest is {template.digest}, not {digest}")
        template.shapes(PROBE)
        return template

    def save(self, path: str | Path) -> Self:
        """Write the drawing to a ``.yaml`` or ``.json`` file and return it as a template of that file."""
        write_document(Path(path), self.to_dict())
        return type(self)(self.to_dict(), str(path))

    @cached_property
    def digest(self) -> str:
        """A name of the drawing itself, the same for equal drawings in any file."""
        text = json.dumps(self.to_dict(), sort_keys=True, ensure_ascii=False)
        return "sha256-" + hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def spec(self) -> str:
        """The text that gives this space again, and no other drawing.

        Raises
        ------
        InputError
            If the template comes from no file.
        """
        if self.path is None:
            raise InputError("this template is in no file yet; save(path) gives one that can be named")
        return f"{self.name}:path={self.path},digest={self.digest}"

    # ---------------------------------------------------------------- what is alive

    @cached_property
    def _liveness(self) -> Liveness:
        return Liveness(self.wiring, self.groups)

    @cached_property
    def _always_connected(self) -> bool:
        _, certain = self.wiring.slots(self.groups)
        return any(sure for sure, node in zip(certain, self.wiring.nodes, strict=True) if node.op == "output")

    @property
    def _whole_box(self) -> bool:
        return self._always_connected

    @cached_property
    def size(self) -> int:
        """Number of architectures; where some genotypes are none and there are over a million, of all genotypes."""
        if self._always_connected or self.box > _MAX_COUNTED:
            return self.box
        return int(self.valid(self.from_index(np.arange(self.box))).sum())

    def chosen(self, genotypes: Genotypes) -> Bools:
        """Return which nodes of `wiring` are in no group or chosen in theirs, dead or alive."""
        return self._liveness.chosen(genotypes)[0]

    def live(self, genotypes: Genotypes) -> tuple[Bools, Bools]:
        """Return which nodes and which arcs of `wiring` lie on a path from an input to an output."""
        return self._liveness.live(genotypes)

    def valid(self, genotypes: Genotypes) -> Bools:
        """Return which genotypes have a path from an input to an output."""
        return np.asarray(self.live(genotypes)[0].any(axis=1))

    def canonical(self, genotypes: Genotypes) -> Genotypes:
        """Return a genotype with the same live graph whose dead edges are off and dead groups take their first set.

        Genotypes with different live graphs are never merged. Those with the same one are, where the alternatives of
        each group are connected alike; where they are not, two dead groups can settle in different ways.
        """
        return self._liveness.canonical(np.asarray(genotypes, dtype=self.dtype))

    @property
    def part_names(self) -> tuple[tuple[str, str], ...]:
        """Group and node of every alternative, then ``off`` and ``on`` of every optional edge."""
        nodes = [(group.id, option) for group in self.groups for option in group.options]
        return (*nodes, *((edge.name, word) for edge in self.switches for word in ("off", "on")))

    @cached_property
    def part_sets(self) -> tuple[Bools, ...]:
        """For every choice, which alternatives each allowed set holds, ``(options, parts of the choice)``."""
        held = [
            np.array([[i in chosen for i in range(len(group.options))] for chosen in group.subsets()])
            for group in self.groups
        ]
        return (*held, *(np.eye(2, dtype=np.bool_) for _ in self.switches))

    def parts(self, genotypes: Genotypes) -> Bools:
        """Return which alternatives and optional edges are alive, ``(n, n_parts)``; an edge that is dead is off."""
        nodes, arcs = self.live(genotypes)
        members = [nodes[:, members] for members in self._liveness.members]
        on = [arcs[:, self._liveness.switch == j].any(axis=1, keepdims=True) for j in range(len(self.switches))]
        return np.hstack([*members, *(part for edge in on for part in (~edge, edge))])

    def steer(self, *, lock: Iterable[str] = (), exclude: Iterable[str] = ()) -> Self:
        """Return a copy that always has, or never has, some options of groups or optional edges.

        Parameters
        ----------
        lock, exclude : iterable of str
            Ids of nodes in groups, or names ``source->target`` of optional edges.

        Raises
        ------
        UnknownNameError
            If something is neither an option nor an optional edge.
        InputError
            If a group would have no allowed set left.
        """
        ban: dict[str, list[str]] = {}
        edges = {edge.name for edge in self.switches}
        home = {option: group for group in self.groups for option in group.options}
        for names, unwanted in ((lock, False), (exclude, True)):
            for name in names:
                if name in edges:
                    ban.setdefault(name, []).append("on" if unwanted else "off")
                elif name in home:
                    group, at = home[name], home[name].options.index(name)
                    sets = zip(group.subsets(), group.names(), strict=True)
                    ban.setdefault(group.id, []).extend(word for chosen, word in sets if (at in chosen) is unwanted)
                else:
                    raise UnknownNameError.of("option or optional edge of the template", name, [*home, *edges])
        return self.restrict(exclude=ban)

    # ---------------------------------------------------------------- graphs and networks

    @cached_property
    def _kinds(self) -> list[str]:
        """What every node is, without its width and how it merges."""
        hidden = ("channels", "merge")
        kinds = []
        for node in self.wiring.nodes:
            told = [f"{k}={v}" for k, v in node.args.items() if k not in hidden]
            kinds.append(f"{node.op}({','.join(told)})" if told else node.op)
        return kinds

    def graph(self, genotypes: Genotypes) -> Graphs:
        """Return the live nodes in topological order, all inputs as the first vertex and all outputs as the last.

        Raises
        ------
        InputError
            If there are more than 125 kinds of nodes.
        """
        nodes, arcs = self.live(genotypes)
        ends = self._liveness.inputs | self._liveness.outputs
        words = sorted({kind for kind, end in zip(self._kinds, ends, strict=True) if not end})
        if len(words) > np.iinfo(np.int8).max - 2:
            raise InputError(f"template: {len(words)} kinds of nodes are too many for one graph vocabulary")
        inner = np.flatnonzero(~ends)
        place = np.empty(len(ends), dtype=np.intp)
        place[inner] = np.arange(1, len(inner) + 1)
        place[self._liveness.inputs], place[self._liveness.outputs] = 0, len(inner) + 1
        ops = np.zeros((len(nodes), len(inner) + 2), dtype=np.int8)
        codes = np.array([words.index(self._kinds[i]) + 1 for i in inner], dtype=np.int8)
        ops[:, 1:-1] = np.where(nodes[:, inner], codes, -1)
        ops[:, -1] = len(words) + 1
        adjacency = np.zeros((len(nodes), ops.shape[1], ops.shape[1]), dtype=np.bool_)
        for arc, on in zip(self.wiring.arcs, arcs.T, strict=True):
            adjacency[:, place[arc.source], place[arc.target]] |= on
        return Graphs(ops, adjacency, ("input", *words, "output"))

    def shapes(self, task: TaskShape) -> dict[str, set[tuple[int, ...]]]:
        """Return the shapes that the output of every node can have, and check that they agree on every edge.

        Raises
        ------
        InputError
            Naming the node where shapes disagree, or whose block cannot take what may enter it.
        """
        return {name: passing.leaving for name, passing in self._passing(task).items()}

    def _passing(self, task: TaskShape) -> dict[str, Passing]:
        from ogive.spaces._template_shapes import possible_shapes

        return possible_shapes(self.wiring, self.groups, image_shape(self.name, task), task.n_outputs)

    def steps(self, genotype: Genotypes) -> list[Step]:
        """Return the live nodes in topological order, each with the live nodes that it reads.

        Raises
        ------
        InputError
            If the genotype is no architecture.
        """
        from ogive.nn.template import Step

        row = self.check(genotype)
        (alive,), (on,) = self.live(row)
        nodes = self.wiring.nodes
        sources: list[list[str]] = [[] for _ in nodes]
        for arc in (self.wiring.arcs[e] for e in np.flatnonzero(on)):
            sources[arc.target].append(nodes[arc.source].id)
        return [Step(nodes[i].id, nodes[i].op, nodes[i].args, tuple(sources[i])) for i in np.flatnonzero(alive)]

    def build(self, genotype: Genotypes, task: TaskShape) -> nn.Module:
        """Return the live part of the drawing as a network."""
        from ogive.nn.template import TemplateNetwork

        return TemplateNetwork(self.steps(genotype), image_shape(self.name, task), task.n_outputs)

    def supernet(self, task: TaskShape) -> SuperTemplateNetwork:
        """Return the network of the whole drawing, in which a node has one set of weights for each width it can read.

        Raises
        ------
        InputError
            Naming the node where shapes disagree.
        """
        from ogive.nn._template_mixture import SuperNode
        from ogive.nn.super_template import SuperTemplateNetwork

        passing = self._passing(task)
        arcs: list[list[tuple[int, int]]] = [[] for _ in self.wiring.nodes]
        for arc in self.wiring.arcs:
            arcs[arc.target].append((arc.source, arc.switch + len(self.groups) if arc.switch >= 0 else -1))
        places = {option: (g, k) for g, group in enumerate(self.groups) for k, option in enumerate(group.options)}
        nodes = [
            SuperNode(
                node.id, node.op, node.args, frozenset(passing[node.id].entering), tuple(into), places.get(node.id)
            )
            for node, into in zip(self.wiring.nodes, arcs, strict=True)
        ]
        return SuperTemplateNetwork(
            nodes, self.part_sets[: len(self.groups)], len(self.switches), self.steps, task.n_outputs
        )


def _of_spec(path: str = "", digest: str = "") -> Template:
    """Return the template that ``template:path=FILE`` names."""
    if not path:
        raise InputError("space 'template' needs a drawing; write template:path=FILE.yaml")
    return Template.load(path, digest)


SPACES.add("template", _of_spec)
