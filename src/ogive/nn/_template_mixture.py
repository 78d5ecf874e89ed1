"""A drawn template as one differentiable network: every node weighted by the probability that it is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ogive.nn.template import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from numpy.typing import NDArray

_LEAST = 1e-6
"""Probabilities that divide are no smaller, so that a node which is never there adds nothing instead of NaN."""


class SuperNode(NamedTuple):
    """A node with everything that any architecture connects it to.

    Attributes
    ----------
    id, op, args
        As in `Step`.
    entering : frozenset of tuple of int
        Shapes that its block can get, inputs merged.
    arcs : tuple of (int, int)
        Position of each node that it may read, and the choice that switches this on, -1 where nothing does.
    place : (int, int), optional
        The choice it is an option of, and its position among the options.
    """

    id: str
    op: str
    args: Mapping[str, Any]
    entering: frozenset[tuple[int, ...]]
    arcs: tuple[tuple[int, int], ...]
    place: tuple[int, int] | None

    @property
    def merge(self) -> str:
        """How several inputs become one."""
        return Step(self.id, self.op, self.args, ()).merge

    @property
    def widths(self) -> list[int]:
        """Numbers of channels that can enter its block."""
        return sorted({shape[0] for shape in self.entering})


class Mixture:
    """Runs a template with probabilities instead of codes.

    A node gets the inputs it has on average, given that it has any: for a sum, the sum of all inputs, each times the
    probability that it is there, over the probability that one of them is. Choices count as independent, and so do the
    groups that lead into a node. With one-hot probabilities it computes what the chosen architecture computes.

    Parameters
    ----------
    nodes : sequence of SuperNode
        In topological order; each gets inputs of one shape.
    sets : sequence of ndarray of bool, (n_codes, n_options)
        For every group, which options each of its codes has. The choices are the groups, then the optional edges.
    weights : sequence of Tensor, (n_codes,)
        The probability of every code, for each choice.
    run : sequence of collection of int
        Codes that are computed, for each choice. Where the others would enter, their probability is added instead. If
        no path is computed, as in a sample that is no architecture, the logits are zero and carry no gradient.
    n_outputs : int
    """

    def __init__(
        self,
        nodes: Sequence[SuperNode],
        sets: Sequence[NDArray[np.bool_]],
        weights: Sequence[Tensor],
        run: Sequence[Collection[int]],
        n_outputs: int,
    ) -> None:
        self.nodes, self.weights, self.run, self.n_outputs = nodes, weights, run, n_outputs
        self.one = torch.ones((), dtype=weights[0].dtype, device=weights[0].device)
        self.sets = [torch.from_numpy(s).to(self.one) for s in sets]
        held = [w @ s for w, s in zip(weights, self.sets, strict=False)]
        self.there = [self.one if node.place is None else held[node.place[0]][node.place[1]] for node in nodes]
        computed = [np.atleast_1d(s[sorted(r)].any(axis=0)) for s, r in zip(sets, run, strict=False)]
        runs = [node.place is None or bool(computed[node.place[0]][node.place[1]]) for node in nodes]
        for v, node in enumerate(nodes):
            runs[v] &= not node.arcs or any(runs[source] and self._runs(switch) for source, switch in node.arcs)
        needed = [node.op == "output" for node in nodes]
        for v in reversed(range(len(nodes))):
            needed[v] &= runs[v]
            for source, switch in nodes[v].arcs:
                needed[source] |= needed[v] and self._runs(switch)
        self.runs = needed

    def __call__(
        self,
        x: Tensor,
        block: Callable[[str, Tensor], Tensor],
        gates: Callable[[str, Sequence[str]], Tensor],
    ) -> Tensor:
        """Return logits, ``(n, n_outputs)``, the mean of the outputs by the probability that they are there.

        Parameters
        ----------
        x : Tensor, (n, channels, height, width)
        block : callable
            Runs the block of a node on its merged inputs.
        gates : callable
            Returns the gates of a node that reads some others.
        """
        reached: list[Tensor] = []
        values: dict[int, Tensor] = {}
        outputs: list[tuple[Tensor, Tensor]] = []
        for v, node in enumerate(self.nodes):
            shares = [(self.one if e < 0 else self.weights[e][1]) * reached[s] for s, e in node.arcs]
            reached.append(self._reached(node, shares) if node.arcs else self.one)
            if self.runs[v]:
                z = self._merged(node, shares, reached[v], values, gates) if node.arcs else x
                values[v] = block(node.id, z)
                if node.op == "output":
                    outputs.append((reached[v], values[v]))
        if not outputs:
            return x.new_zeros(len(x), self.n_outputs) + 0 * sum(w.sum() for w in self.weights)
        total = sum((p for p, _ in outputs[1:]), start=outputs[0][0])
        logits = [p / total * y for p, y in outputs]
        return sum(logits[1:], start=logits[0])

    def _runs(self, switch: int) -> bool:
        return switch < 0 or 1 in self.run[switch]

    def _reached(self, node: SuperNode, shares: Sequence[Tensor]) -> Tensor:
        """Return the probability that any input enters a node."""
        missed = self.one
        options: dict[int, dict[int, Tensor]] = {}
        for (source, _), share in zip(node.arcs, shares, strict=True):
            place = self.nodes[source].place
            if place is None:
                missed = missed * (1 - share)
            else:
                options.setdefault(place[0], {})[place[1]] = share
        for group, entering in options.items():
            sets = self.sets[group]
            row = torch.stack([entering.get(k, 0 * self.one) for k in range(sets.shape[1])])
            missed = missed * (self.weights[group] @ (1 - sets * row).prod(dim=1))
        return 1 - missed

    def _merged(
        self,
        node: SuperNode,
        shares: Sequence[Tensor],
        reached: Tensor,
        values: Mapping[int, Tensor],
        gates: Callable[[str, Sequence[str]], Tensor],
    ) -> Tensor:
        """Return the mean input of a node that has any."""
        odds = [share * self.there[source] for (source, _), share in zip(node.arcs, shares, strict=True)]
        if node.merge == "gated" and len(odds) > 1:
            sources = [self.nodes[source].id for source, _ in node.arcs]
            odds = [p * w for p, w in zip(odds, torch.softmax(gates(node.id, sources), dim=0), strict=True)]
        terms = [
            p * values[source] if source in values and self._runs(switch) else p
            for (source, switch), p in zip(node.arcs, odds, strict=True)
        ]
        if node.merge == "concat":
            return self._concatenated(node, terms)
        over = reached if node.merge == "sum" else sum(odds[1:], start=odds[0])
        return sum(terms[1:], start=terms[0]) / over.clamp(min=_LEAST)

    def _concatenated(self, node: SuperNode, terms: Sequence[Tensor]) -> Tensor:
        """Return the inputs side by side; options that exclude each other share their place."""
        parts: dict[tuple[int, int], Tensor] = {}
        for (source, _), term in zip(node.arcs, terms, strict=True):
            place = self.nodes[source].place
            alone = place is None or bool(self.sets[place[0]].sum(dim=1).max() > 1)
            key = (-1, source) if alone or place is None else (place[0], -1)
            parts[key] = parts[key] + term if key in parts else term
        return torch.cat(list(parts.values()), dim=1)
