"""Supernets that are trained: one set of weights for every architecture of a space.

What is initialised depends on the seed and the name of a module alone, so the order in which modules appear does not
matter. An option that is excluded goes to the shelf, with its weights and what the optimizers remember of it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from ogive._errors import InputError, UnknownNameError
from ogive.nn.super_template import SuperTemplateNetwork
from ogive.spaces.base import Shape, Space, get_space
from ogive.spaces.template import Template
from ogive.training.checkpoint import load_tensors, save_tensors
from ogive.training.seeding import derive, seeded
from ogive.training.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from ogive.nn.supernet import SuperNetwork
    from ogive.spaces.base import Genotypes, TaskShape

FILE = "supernet.safetensors"
_NETWORK, _SHELF, _ATTIC = "network.", "shelf.", "attic."


class Supernet:
    """The weights of all architectures of a space, and which of them are in use.

    Parameters
    ----------
    space : Space or str
        Must be buildable.
    task : Task or TaskShape
        Only its shapes are read.
    seed : int
        Fixes the initial weights. The caller's random streams are left as they were.
    device : str

    Attributes
    ----------
    space : Space
        Assigning another restriction of it changes what samplers draw; `apply` also shelves what it rules out.
    network : SuperNetwork
    shelved : ndarray of bool, (n_choices, max options)
        Options whose weights are put away; they cannot be selected.
    exposure : ndarray of int64, (n_choices, max options)
        How many gradients each option has had.

    Raises
    ------
    InputError
        If the space has no supernet, or examples have a shape it cannot take.
    """

    def __init__(
        self, space: Space | str, task: TaskShape, *, seed: int = 0, device: str | torch.device = "cpu"
    ) -> None:
        self.space = get_space(space)
        self.task = Shape(tuple(task.input_shape), task.n_outputs)
        self.seed, self.device = seed, torch.device(device)
        self.network = self._holding(self.space)
        self.shelved = np.zeros_like(self.space.restriction.allowed)
        self.exposure = np.zeros(self.shelved.shape, dtype=np.int64)
        self._shelf = Shelf()
        self._columns = np.arange(self.space.n_choices)

    def _holding(self, space: Space) -> SuperNetwork:
        """Return a freshly initialised network of a space."""
        with seeded(self.seed):
            network = space.supernet(self.task)
        initialise(network, self.seed)
        return network.to(self.device)

    # ---------------------------------------------------------------- paths

    def select(self, genotype: Genotypes) -> None:
        """Make one architecture the active one.

        Parameters
        ----------
        genotype : ndarray of int, (n_choices,)

        Raises
        ------
        InputError
            If it is no architecture of the space, or one of its options is shelved.
        """
        (row,) = self.space.check(genotype)
        away = self.shelved[self._columns, row]
        if away.any():
            choice = self.space.choices[int(np.argmax(away))]
            option = choice.options[row[int(np.argmax(away))]]
            raise InputError(f"option '{option}' of choice '{choice.name}' is excluded from the supernet; restore it")
        self.network.select(row.tolist())

    def forward(self, x: Tensor, genotype: Genotypes) -> Tensor:
        """Return the logits of one architecture, ``(n, n_outputs)``, and leave it active.

        Parameters
        ----------
        x : Tensor, (n, *input_shape)
        genotype : ndarray of int, (n_choices,)

        Raises
        ------
        InputError
            As `select` does.
        """
        self.select(genotype)
        logits: Tensor = self.network(x)
        return logits

    def extract(self, genotype: Genotypes) -> nn.Module:
        """Return one architecture as the plain network ``space.build`` gives, with copies of the weights.

        In eval mode it computes what the supernet computes. The architecture is left active.

        Raises
        ------
        InputError
            As `select` does.
        """
        self.select(genotype)
        with seeded(self.seed):
            plain = self.space.build(genotype, self.task)
        plain.load_state_dict(self.network.active_state())
        return plain.to(self.device)

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Return the trainable tensors that are not shelved, with their names, in an order of their own."""
        return self.network.named_parameters()

    def count(self, genotypes: Genotypes) -> None:
        """Add one gradient for every option of the genotypes, ``(n, n_choices)``, to `exposure`."""
        np.add.at(self.exposure, (self._columns, np.atleast_2d(genotypes)), 1)

    # ---------------------------------------------------------------- shelf

    def attach(self, optimizer: torch.optim.Optimizer) -> None:
        """Name an optimizer of the weights: what it remembers of an option is shelved and restored with it."""
        self._shelf.optimizers.append(optimizer)

    def exclude(self, choice: str, option: str) -> None:
        """Shelve one option and rule it out in `space`.

        Raises
        ------
        UnknownNameError
            If the choice or option does not exist.
        InputError
            If the choice would have no option left.
        """
        self.apply(self.space.restrict(exclude={choice: option}))

    def restore(self, choice: str, option: str) -> None:
        """Take one option back from the shelf, bit for bit, and allow it in `space` with weight 1.

        Raises
        ------
        UnknownNameError
            If the choice or option does not exist.
        """
        row, options = self._options(choice)
        if option not in options:
            raise UnknownNameError.of(f"option of choice '{choice}'", option, options)
        weights = self.space.restriction.weights.copy()
        weights[row, options.index(option)] = 1.0
        self.apply(_weighted(self.space, weights))

    def apply(self, space: Space, *, copies: Mapping[str, str] | None = None) -> None:
        """Go on with another restriction of the space, or with another revision of a template.

        What a restriction rules out is shelved, what it allows is taken back. In a new revision, weights and gates
        that it draws as before stay the same tensors; what it does not draw any more is put away as on the shelf and
        is taken back when a later revision draws it again; what is new is initialised. If anything is wrong with the
        space, nothing has changed.

        Parameters
        ----------
        space : Space
        copies : mapping of str to str, optional
            New nodes of a template that start with the weights of another node, of the same shapes.

        Raises
        ------
        InputError
            If it is neither, or a node to copy has other shapes.
        """
        training = self.network.training
        if isinstance(space, Template) and isinstance(self.space, Template) and space.digest != self.space.digest:
            self._revise(space, copies or {})
        elif space.choices != self.space.choices:
            raise InputError(f"this supernet holds space '{self.space.name}' with other choices; make a new one")
        self._shelve(~space.restriction.allowed & space.free().restriction.allowed)
        self.network.train(training)  # also what comes back from the shelf
        self.space = space

    def _revise(self, space: Template, copies: Mapping[str, str]) -> None:
        """Put the network of another revision into the place of this one's."""
        network, older = self._holding(space), self.network
        assert isinstance(network, SuperTemplateNetwork)
        assert isinstance(older, SuperTemplateNetwork)
        network.adopt(older, copies)
        self._shelve(np.zeros_like(self.shelved))
        before, after = dict(older.named_parameters()), dict(network.named_parameters())
        self._shelf.put({name: p for name, p in before.items() if name not in after})
        self._shelf.take({name: p for name, p in after.items() if name not in before}, list(after.values()))
        self.exposure = _moved(self.exposure, self.space, space)
        self.shelved = np.zeros_like(space.restriction.allowed)
        self._columns = np.arange(space.n_choices)
        self.network = network

    def _shelve(self, wanted: NDArray[np.bool_]) -> None:
        """Shelve exactly these options."""
        for choice, code in np.argwhere(wanted & ~self.shelved).tolist():
            parameters = self._owned(choice, code)
            self.network.shelve(choice, code)
            self._shelf.put(parameters)
        for choice, code in np.argwhere(~wanted & self.shelved).tolist():
            self.network.unshelve(choice, code)
            self._shelf.take(self._owned(choice, code), list(self.network.parameters()))
        self.shelved = wanted

    def _owned(self, choice: int, code: int) -> dict[str, nn.Parameter]:
        return {
            f"{name}.{key}": parameter
            for name, module in self.network.owned(choice, code)
            for key, parameter in module.named_parameters()
        }

    def fork(self, choice: str) -> list[Self]:
        """Return one supernet for each allowed option of a choice, which is locked there.

        Each has copies of the weights and goes on alone (few-shot NAS; Zhao et al., ICML 2021, section 3). What the
        optimizers remember stays here.

        Raises
        ------
        UnknownNameError
            If the choice does not exist.
        """
        row, options = self._options(choice)
        allowed = self.space.restriction.allowed[row]
        forks = []
        for option in (o for o, keep in zip(options, allowed, strict=False) if keep):
            other = type(self)(self.space, self.task, seed=self.seed, device=self.device)
            other.restore_state(*self.state())
            other.apply(self.space.restrict(lock={choice: option}))
            forks.append(other)
        return forks

    def _options(self, choice: str) -> tuple[int, tuple[str, ...]]:
        """Return the row of a choice and its options."""
        rows = {c.name: (i, c.options) for i, c in enumerate(self.space.choices)}
        if choice not in rows:
            raise UnknownNameError.of(f"choice of space '{self.space.name}'", choice, rows)
        return rows[choice]

    # ---------------------------------------------------------------- files

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the weights, shelved or not, and the shelf's optimizer memory by name, and JSON facts."""
        tensors = dict(self.network.state_dict())
        for choice, code in np.argwhere(self.shelved).tolist():
            for name, module in self.network.owned(choice, code):
                tensors |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
        named = {_NETWORK + k: v for k, v in tensors.items()}
        named |= {_SHELF + k: v for k, v in self._shelf.tensors().items()}
        attic: dict[str, Any] = {}
        if isinstance(self.network, SuperTemplateNetwork):
            attic = self.network.attic_recipes()
            named |= {_ATTIC + k: v for k, v in self.network.attic_state().items()}
        return named, self._facts() | {
            "attic": attic,
            "seed": self.seed,
            "weights": self.space.restriction.weights.tolist(),
            "shelved": np.argwhere(self.shelved).tolist(),
            "exposure": self.exposure.tolist(),
        }

    def _facts(self) -> dict[str, Any]:
        """Return what two supernets have in common if the state of one fits the other."""
        space = self.space.to_dict() if isinstance(self.space, Template) else self.space.spec
        return {"space": space, "input_shape": list(self.task.input_shape), "n_outputs": self.task.n_outputs}

    def restore_state(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Go back to a state that `state` returned; other tensors and facts are left alone.

        Raises
        ------
        InputError
            If it is that of a supernet of another space or task.
        """
        for name, value in self._facts().items():
            if facts.get(name) != value:
                raise InputError(f"the saved supernet has {name} {facts.get(name)}, this one {value}; give that one")
        shelved = np.zeros_like(self.shelved)
        shelved[tuple(np.array(facts["shelved"], dtype=np.int64).reshape(-1, 2).T)] = True
        self._shelve(np.zeros_like(shelved))
        self.network.load_state_dict(_under(_NETWORK, tensors))
        if isinstance(self.network, SuperTemplateNetwork):
            self.network.furnish(facts["attic"], _under(_ATTIC, tensors))
        self._shelve(shelved)
        self._shelf.restore({k: v.to(self.device) for k, v in _under(_SHELF, tensors).items()})
        self.space = _weighted(self.space, np.array(facts["weights"]))
        self.exposure = np.array(facts["exposure"], dtype=np.int64)

    def save(self, folder: str | Path) -> Path:
        """Write the state to ``supernet.safetensors`` in a folder, in one durable step.

        Raises
        ------
        StorageError
            If the file cannot be written; an earlier one is then still whole.
        """
        tensors, facts = self.state()
        return save_tensors(Path(folder) / FILE, tensors, facts)

    @classmethod
    def load(cls, folder: str | Path, task: TaskShape | None = None, *, device: str | torch.device = "cpu") -> Self:
        """Return the supernet that `save` wrote, or the one inside a saved training.

        Parameters
        ----------
        folder : str or Path
        task : Task or TaskShape, optional
            Checked against the shapes the supernet was made for.
        device : str

        Raises
        ------
        StorageError
            If the file cannot be read.
        InputError
            If it holds no supernet, or one for other shapes.
        """
        tensors, facts = load_tensors(Path(folder) / FILE)
        if not {"space", "input_shape", "seed"} <= facts.keys():
            raise InputError(f"'{Path(folder) / FILE}' holds no supernet; ogive supernet train makes one")
        text = facts["space"]
        space = get_space(text) if isinstance(text, str) else Template.from_dict(text)
        shape = task or Shape(tuple(facts["input_shape"]), int(facts["n_outputs"]))
        supernet = cls(space, shape, seed=int(facts["seed"]), device=device)
        supernet.restore_state(tensors, facts)
        return supernet


def initialise(network: nn.Module, seed: int, prefix: str = "") -> None:
    """Initialise every layer from the seed and its name; `prefix` stands in front of the names."""
    with seeded(seed):
        for name, module in network.named_modules(prefix=prefix):
            reset = getattr(module, "reset_parameters", None)
            if reset is not None:
                key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
                torch.default_generator.manual_seed(derive(seed, key))
                reset()


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _weighted(space: Space, weights: NDArray[np.float64]) -> Space:
    """Return the space restricted by a table of weights alone."""
    rows = zip(space.choices, weights.tolist(), strict=True)
    return space.free().restrict(weights={c.name: dict(zip(c.options, row, strict=False)) for c, row in rows})


def _moved(exposure: NDArray[np.int64], old: Space, new: Space) -> NDArray[np.int64]:
    """Return the counts of one revision under the choices of another, by name."""
    counts = {
        c.name: dict(zip(c.options, row.tolist(), strict=False)) for c, row in zip(old.choices, exposure, strict=True)
    }
    out = np.zeros(new.restriction.allowed.shape, dtype=np.int64)
    for row, choice in zip(out, new.choices, strict=True):
        row[: len(choice.options)] = [counts.get(choice.name, {}).get(option, 0) for option in choice.options]
    return out
