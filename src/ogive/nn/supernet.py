"""Networks that hold every architecture of a space at once: places where options compete, of which one path runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from ogive._errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Alternatives(nn.Module):
    """One place of a network where options compete; only the active one runs.

    Parameters
    ----------
    options : mapping of str to nn.Module or None
        In the order of option codes. None carries nothing.

    Attributes
    ----------
    table : tuple of nn.Module or None
        Module of every code, shelved or not.
    names : tuple of str
        Name of every code in `options`: ``op_`` and the option.
    options : nn.ModuleDict
        The modules that are not shelved: what `parameters` and the like see.
    shelved : set of int
        Codes that are put away.
    active : int
        Code of the option that runs.
    weights : Tensor, (n_options,), or None
        Of a mixture; None runs the active option alone.
    run : tuple of int, or None
        Codes whose modules a mixture runs; None runs all.
    """

    def __init__(self, options: Mapping[str, nn.Module | None]) -> None:
        super().__init__()
        # The prefix keeps names apart from the methods of a module, such as "half".
        self.names = tuple(f"op_{name}" for name in options)
        self.table = tuple(options.values())
        self.options = nn.ModuleDict()
        self.shelved: set[int] = set()
        self.active = 0
        self.weights: Tensor | None = None
        self.run: tuple[int, ...] | None = None
        self._arrange()

    def forward(self, x: Tensor) -> Tensor | None:
        """Return what the active option makes of `x`, or the mixture; None where nothing is carried.

        A mixture is the sum over the codes in `run` of ``weights[code] * module(x)``. A code that is not in `run`
        adds its bare weight, which carries a gradient and is zero in a hard sample (GDAS; Dong and Yang, CVPR 2019,
        section 3.2). Where no module runs, the sum is a scalar and stands for a constant map.
        """
        if self.weights is not None:
            return self._mixture(x, self.weights)
        module = self.table[self.active]
        return None if module is None else module(x)

    def _mixture(self, x: Tensor, weights: Tensor) -> Tensor | None:
        total: Tensor | None = None
        for code, module in enumerate(self.table):
            runs = self.run is None or code in self.run
            if code in self.shelved or (runs and module is None):
                continue
            term: Tensor = weights[code] * module(x) if runs and module is not None else weights[code]
            total = term if total is None else total + term
        return total

    def active_state(self) -> dict[str, Tensor]:
        """Return the tensors of the active option, under its own names."""
        module = self.table[self.active]
        return {} if module is None else active_state(module)

    def shelve(self, code: int) -> None:
        """Take an option out of the module tree, keeping its weights."""
        self.shelved.add(code)
        self._arrange()

    def unshelve(self, code: int) -> None:
        """Put an option back where it was."""
        self.shelved.discard(code)
        self._arrange()

    def _arrange(self) -> None:
        """List what is not shelved in the order of codes, so that parameters keep their order."""
        self.options.clear()
        for code, (name, module) in enumerate(zip(self.names, self.table, strict=True)):
            if module is not None and code not in self.shelved:
                self.options[name] = module


class SuperNetwork(nn.Module):
    """A network that holds every architecture of a space; `select` makes one of them run.

    A subclass has the modules of the plain network under the same names, with `Alternatives` where options compete,
    and binds each such place to the choice that decides there. It can be mixed into the plain network's class.

    Parameters
    ----------
    *args, **kwargs
        For the plain network's class, where it is mixed in.

    Attributes
    ----------
    mixable : bool
        Whether `mix` works for the choices that are bound to places.
    """

    mixable: ClassVar[bool] = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._places: dict[int, list[Alternatives]] = {}
        self._mixed = False

    def bind(self, choice: int, place: Alternatives) -> None:
        """Let a choice decide at a place."""
        self._places.setdefault(choice, []).append(place)

    def select(self, codes: Sequence[int]) -> None:
        """Make the path of one genotype the active one, and end a mixture.

        Parameters
        ----------
        codes : sequence of int, (n_choices,)
            A valid genotype.
        """
        for choice, places in self._places.items():
            code = codes[choice]
            for place in places:
                if place.active != code:
                    place.active = code
                if self._mixed:
                    place.weights = place.run = None
        self._mixed = False

    def mix(self, weights: Sequence[Tensor | None], run: Sequence[tuple[int, ...] | None] | None = None) -> None:
        """Run weighted sums of options until the next `select`.

        Parameters
        ----------
        weights : sequence of Tensor or None
            One weight an option for each choice; None leaves the choice at its active option.
        run : sequence of tuple of int or None, optional
            Codes whose modules run, for each choice; None runs all. See `Alternatives.forward`.

        Raises
        ------
        InputError
            If the options of a choice with weights cannot be mixed.
        """
        for choice, w in enumerate(weights):
            if w is not None and not (self.mixable and choice in self._places):
                raise InputError(
                    f"the options of choice {choice} cannot be mixed in this supernet; train it by sampling paths"
                )
            for place in self._places.get(choice, ()):
                # A view, as a module would take a parameter for one of its own.
                place.weights, place.run = None if w is None else w[:], None if run is None else run[choice]
        self._mixed = True

    def active_state(self) -> dict[str, Tensor]:
        """Return the tensors of the active path, under the names the plain network's ``state_dict`` has for them.

        They are the supernet's own tensors, or views of them, not copies.
        """
        return _children_state(self)

    # ---------------------------------------------------------------- shelf

    def owned(self, choice: int, code: int) -> list[tuple[str, nn.Module]]:
        """Return the modules only this option uses, shelved or not, with their names in the tree."""
        names = {module: name for name, module in self.named_modules()}
        return [
            (f"{names[place]}.options.{place.names[code]}", module)
            for place in self._places.get(choice, ())
            if (module := place.table[code]) is not None
        ]

    def shelve(self, choice: int, code: int) -> None:
        """Take the option's modules out of the tree; their weights are kept."""
        for place in self._places.get(choice, ()):
            place.shelve(code)

    def unshelve(self, choice: int, code: int) -> None:
        """Put the option's modules back where they were."""
        for place in self._places.get(choice, ()):
            place.unshelve(code)


def active_state(module: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a module's active path; one with an ``active_state`` of its own is asked."""
    own = getattr(module, "active_state", None)
    return own() if own is not None else _children_state(module)


def _children_state(module: nn.Module) -> dict[str, Tensor]:
    state = dict(module.named_parameters(recurse=False)) | dict(module.named_buffers(recurse=False))
    for name, child in module.named_children():
        state |= {f"{name}.{key}": tensor for key, tensor in active_state(child).items()}
    return state
