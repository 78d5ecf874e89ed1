"""The supernet of a drawn template: every node's block once for each width it can read, of which one graph runs."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ogive._errors import InputError, UnknownNameError
from ogive.nn._template_mixture import Mixture
from ogive.nn.supernet import SuperNetwork, active_state
from ogive.nn.template import block, merge, merged_shape, output_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from ogive.nn._template_mixture import SuperNode
    from ogive.nn.template import Step

    Recipe = tuple[str, dict[str, Any], int]
    """What makes a block again: its name in the catalogue, its arguments, the channels that enter it."""


class Gate(nn.Module):
    """The learned weight of one connection, before the softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def reset_parameters(self) -> None:
        """Start level with all other connections."""
        nn.init.zeros_(self.weight)


class SuperTemplateNetwork(SuperNetwork):
    """Runs the live nodes of one architecture, or the mixture of all.

    Weights belong to a node's id, its block and the number of channels that enter it, a gate to a connection. The node
    of an option is shelved when every code that has the option is.

    Parameters
    ----------
    nodes : sequence of SuperNode
        In topological order.
    sets : sequence of ndarray of bool, (n_codes, n_options)
        For every group, which options each of its codes has. The choices are the groups, then the optional edges.
    n_switches : int
        Number of optional edges.
    steps : callable
        Gives the live nodes of a genotype.
    n_outputs : int

    Attributes
    ----------
    parts : dict of str to nn.Module
        Every block and gate, shelved or not, by the name of what decides its weights.
    attic : dict of str to nn.Module
        The same of earlier revisions of the drawing, where this one has no place for them.
    """

    def __init__(
        self,
        nodes: Sequence[SuperNode],
        sets: Sequence[NDArray[np.bool_]],
        n_switches: int,
        steps: Callable[[Any], list[Step]],
        n_outputs: int,
    ) -> None:
        super().__init__()
        self.nodes, self.sets, self.n_outputs = tuple(nodes), tuple(sets), n_outputs
        self._sizes = [len(s) for s in sets] + [2] * n_switches
        self._plan = lru_cache(maxsize=4096)(lambda codes: tuple(steps(codes)))
        self._codes: tuple[int, ...] = ()
        self._steps: tuple[Step, ...] = ()
        self._mixture: Mixture | None = None
        self._excluded: set[tuple[int, int]] = set()
        # A dash stands for the dot of an id, which the name of a module cannot have and an id has no dash.
        self._names = {
            node.id: {c: f"{node.id.replace('.', '-')}|{_told(node)}|{c}" for c in node.widths} for node in nodes
        }
        self._gate_names = {
            (self.nodes[source].id, node.id): f"{self.nodes[source].id}>{node.id}".replace(".", "-")
            for node in nodes
            if node.merge == "gated" and len(node.arcs) > 1
            for source, _ in node.arcs
        }
        self._recipes: dict[str, Recipe] = {
            name: (node.op, dict(node.args), c) for node in nodes for c, name in self._names[node.id].items()
        } | dict.fromkeys(self._gate_names.values(), ("gate", {}, 0))
        self.parts = {name: self._made(recipe) for name, recipe in self._recipes.items()}
        self.attic: dict[str, nn.Module] = {}
        self.blocks = nn.ModuleDict()
        self._arrange()

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, ``(n, n_outputs)``, of what `select` or `mix` asked for last.

        Raises
        ------
        InputError
            If nothing was asked for yet.
        """
        if self._mixture is not None:
            return self._mixture(x, self._block, self._gates)
        if not self._steps:
            raise InputError("no architecture of the supernet is active; select one before running it")
        values: dict[str, Tensor] = {}
        logits: list[Tensor] = []
        for step in self._steps:
            read = [values[source] for source in step.sources] or [x]
            gates = self._gates(step.id, step.sources) if step.gated else None
            values[step.id] = y = self._block(step.id, merge(step.merge, read, gates))
            if step.op == "output":
                logits.append(y)
        return torch.stack(logits).mean(dim=0) if len(logits) > 1 else logits[0]

    def _block(self, node: str, x: Tensor) -> Tensor:
        y: Tensor = self.parts[self._names[node][x.shape[1]]](x)
        return y

    def _gates(self, node: str, sources: Sequence[str]) -> Tensor:
        """Return the gates of what a node reads, ``(n_sources,)``."""
        return torch.stack([self.parts[self._gate_names[source, node]].get_parameter("weight") for source in sources])

    # ---------------------------------------------------------------- what runs

    def select(self, codes: Sequence[int]) -> None:
        """Make the live graph of one genotype the active one, and end a mixture."""
        self._codes = tuple(codes)
        self._steps = self._plan(self._codes)
        self._mixture = None

    def mix(self, weights: Sequence[Tensor | None], run: Sequence[tuple[int, ...] | None] | None = None) -> None:
        """Run the mixture of all graphs until the next `select`; see `Mixture`.

        Parameters
        ----------
        weights : sequence of Tensor or None
            The probability of every code, for each choice; None leaves the choice at its active code.
        run : sequence of tuple of int or None, optional
            Codes whose nodes run, for each choice; None runs all. The others add their bare weight where they would
            enter, as in `Alternatives`.

        Raises
        ------
        InputError
            Naming the node that different architectures give different shapes: its inputs have no weighted sum.
        """
        for node in self.nodes:
            if len(node.entering) > 1:
                raise InputError(
                    f"the options of this template cannot be mixed: node '{node.id}' gets different shapes from them; "
                    "train it by sampling paths"
                )
        like = next(self.parameters())
        filled: list[Tensor] = []
        running: list[set[int]] = []
        for choice, (size, w) in enumerate(zip(self._sizes, weights, strict=True)):
            asked = None if run is None else run[choice]
            codes = set(range(size) if asked is None else asked) if w is not None else {self._codes[choice]}
            running.append(codes - {code for c, code in self._excluded if c == choice})
            filled.append(torch.eye(size).to(like)[self._codes[choice]] if w is None else w)
        self._mixture = Mixture(self.nodes, self.sets, filled, running, self.n_outputs)

    def active_state(self) -> dict[str, Tensor]:
        """Return the tensors of the active graph, under the names the plain network's ``state_dict`` has for them."""
        state: dict[str, Tensor] = {}
        for i, (step, name) in enumerate(zip(self._steps, self._active_names(), strict=True)):
            state |= {f"blocks.{i}.{key}": tensor for key, tensor in active_state(self.parts[name]).items()}
            if step.gated:
                state[f"gates.{i}"] = self._gates(step.id, step.sources)
        return state

    def _active_names(self) -> list[str]:
        """Return the names of the blocks that run, found from shapes as the plain network does."""
        (start,) = next(node.entering for node in self.nodes if node.op == "input")
        shapes: dict[str, tuple[int, ...]] = {}
        names = []
        for step in self._steps:
            read = [(source, shapes[source]) for source in step.sources]
            shape = merged_shape(step.id, step.merge, read) if read else start
            names.append(self._names[step.id][shape[0]])
            shapes[step.id] = output_shape(step.id, step.op, step.args, shape, self.n_outputs)
        return names

    # ---------------------------------------------------------------- shelf

    def owned(self, choice: int, code: int) -> list[tuple[str, nn.Module]]:
        """Return the modules that only this code would use, all excluded codes aside, with their names in the tree."""
        excluded = self._excluded | {(choice, code)}
        return [
            (f"blocks.{name}", self.parts[name])
            for node in self.nodes
            if node.place is not None and node.place[0] == choice and self.sets[choice][code, node.place[1]]
            if self._away(node, excluded)
            for name in self._names[node.id].values()
        ]

    def shelve(self, choice: int, code: int) -> None:
        """Exclude a code; the blocks that no other code uses leave the tree and keep their weights."""
        self._excluded.add((choice, code))
        self._arrange()

    def unshelve(self, choice: int, code: int) -> None:
        """Allow a code again; its blocks are back where they were."""
        self._excluded.discard((choice, code))
        self._arrange()

    def _away(self, node: SuperNode, excluded: set[tuple[int, int]]) -> bool:
        if node.place is None:
            return False
        choice, option = node.place
        return {(choice, int(code)) for code in np.flatnonzero(self.sets[choice][:, option])} <= excluded

    def _arrange(self) -> None:
        """List what is not shelved in the order of the drawing, so that parameters keep their order."""
        away = {
            name for node in self.nodes if self._away(node, self._excluded) for name in self._names[node.id].values()
        }
        self.blocks.clear()
        self.blocks.update({name: module for name, module in self.parts.items() if name not in away})

    # ---------------------------------------------------------------- revisions

    def adopt(self, older: SuperTemplateNetwork, copies: Mapping[str, str]) -> None:
        """Take over the blocks and gates of an earlier revision; what has no place here goes to the attic.

        Parameters
        ----------
        older : SuperTemplateNetwork
        copies : mapping of str to str
            Ids of new nodes, and of the older nodes whose weights they start with.

        Raises
        ------
        InputError
            If a node is not new, there is no older one of that id, or their blocks have weights of different shapes.
        """
        known = older.attic | older.parts
        for node, sibling in copies.items():
            if node not in self._names:
                raise UnknownNameError.of("node of the template", node, self._names)
            for c, name in self._names[node].items():
                source = known.get(older._names.get(sibling, {}).get(c, ""))
                state = source.state_dict() if source is not None else {}
                if name in known or not _fits(self.parts[name], state):
                    raise InputError(
                        f"node '{node}' cannot start as a copy of '{sibling}'; give a new node of its shapes"
                    )
                self.parts[name].load_state_dict(state)
        self.parts = {name: known.get(name, module) for name, module in self.parts.items()}
        self.attic = {name: module for name, module in known.items() if name not in self.parts}
        self._recipes |= {name: older._recipes[name] for name in self.attic}
        self.train(older.training)
        self._arrange()

    def attic_recipes(self) -> dict[str, Recipe]:
        """Return how the attic's blocks are made, as plain data."""
        return {name: self._recipes[name] for name in self.attic}

    def attic_state(self) -> dict[str, Tensor]:
        """Return the attic's tensors."""
        return {f"{name}.{k}": v for name, module in self.attic.items() for k, v in module.state_dict().items()}

    def furnish(self, recipes: Mapping[str, Recipe], state: Mapping[str, Tensor]) -> None:
        """Fill the attic with blocks of these recipes and tensors."""
        self._recipes |= recipes
        self.attic = {name: self._made(recipe) for name, recipe in recipes.items()}
        for name, module in self.attic.items():
            module.to(next(self.parameters()).device)
            module.load_state_dict({k: state[f"{name}.{k}"] for k in module.state_dict()})

    def _made(self, recipe: Recipe) -> nn.Module:
        op, args, width = recipe
        return Gate() if op == "gate" else block(op, args, width, self.n_outputs)


def _fits(module: nn.Module, state: Mapping[str, Tensor]) -> bool:
    return {k: v.shape for k, v in module.state_dict().items()} == {k: v.shape for k, v in state.items()}


def _told(node: SuperNode) -> str:
    """Return the block with the arguments that decide what its weights are for."""
    told = ",".join(f"{key}={value}" for key, value in node.args.items() if key != "merge")
    return f"{node.op}({told})"
