"""Architecture parameters: one row of logits a choice, trained by an Adam of its own and steered by a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ogive.spaces.preference import preference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ogive.spaces.base import Choice, Space

_SPREAD = 1e-3


class Alphas:
    """The logits of all options, in double precision on the CPU.

    Parameters
    ----------
    space : Space
    seed : int
        Of the initial values, which are normal with standard deviation 0.001.
    extra : sequence of int, optional
        Lengths of further rows that are trained alike and not steered, zero at first.
    lr, weight_decay : float
        Of Adam; its betas are 0.5 and 0.999.

    Attributes
    ----------
    rows : list of Parameter, (n_options,) each
    extra : list of Parameter
    """

    def __init__(
        self, space: Space, *, seed: int, extra: Sequence[int] = (), lr: float = 3e-4, weight_decay: float = 1e-3
    ) -> None:
        draw = torch.Generator().manual_seed(seed)
        sizes = space.cardinalities.tolist()
        self.rows = [nn.Parameter(_SPREAD * torch.randn(n, generator=draw, dtype=torch.float64)) for n in sizes]
        self.extra = [nn.Parameter(torch.zeros(n, dtype=torch.float64)) for n in extra]
        self._choices = space.choices
        self._adam = torch.optim.Adam(self.all, lr=lr, betas=(0.5, 0.999), weight_decay=weight_decay)
        self._preference = self._cut(preference(space, np.zeros((len(sizes), max(sizes)))))

    @property
    def all(self) -> list[nn.Parameter]:
        """Everything that is trained."""
        return [*self.rows, *self.extra]

    def steered(self) -> list[Tensor]:
        """Return the logits with what a person prefers, one tensor a choice; -inf where an option is excluded."""
        return [row + more for row, more in zip(self.rows, self._preference, strict=True)]

    def logits(self) -> NDArray[np.float64]:
        """Return the trained logits, not steered, ``(n_choices, max options)``; -inf where there is no option."""
        out = np.full((len(self.rows), max(len(row) for row in self.rows)), -np.inf)
        for line, row in zip(out, self.rows, strict=True):
            line[: len(row)] = row.detach().numpy()
        return out

    def step(self, gradients: Sequence[Tensor]) -> None:
        """Take one step of Adam, with one gradient for each of `all`; a row with one option left does not move."""
        for row, gradient in zip(self.all, gradients, strict=True):
            row.grad = gradient
        for row, more in zip(self.rows, self._preference, strict=True):
            if torch.isfinite(more).sum() < 2:
                row.grad = None
        self._adam.step()

    # ---------------------------------------------------------------- steering

    def steer(self, space: Space, nudges: NDArray[np.float64]) -> None:
        """Take over restriction and nudges; Adam forgets its moments of every row that this changes.

        In another revision of a template rows keep their values by the names of choice and option; a new option starts
        at the mean of its siblings.
        """
        if space.choices != self._choices:
            self._follow(space.choices)
        now = self._cut(preference(space, nudges))
        for row, old, new in zip(self.rows, self._preference, now, strict=True):
            if not torch.equal(old, new):
                self._adam.state.pop(row, None)
        self._preference = now

    def _follow(self, choices: tuple[Choice, ...]) -> None:
        before = dict(zip(self._choices, zip(self.rows, self._preference, strict=True), strict=True))
        named = {choice.name: choice for choice in self._choices}
        kept = [before.get(choice, (self._grown(choice, named.get(choice.name)), torch.empty(0))) for choice in choices]
        self.rows, self._preference = [row for row, _ in kept], [more for _, more in kept]
        self._choices = choices
        self._adam.param_groups[0]["params"] = self.all

    def _grown(self, choice: Choice, old: Choice | None) -> nn.Parameter:
        """Return a row for a choice that was not there, or not with these options."""
        known = dict(zip(old.options, self.rows[self._choices.index(old)].tolist(), strict=True)) if old else {}
        mean = sum(known.values()) / max(len(known), 1)
        return nn.Parameter(torch.tensor([known.get(o, mean) for o in choice.options], dtype=torch.float64))

    def _cut(self, table: NDArray[np.float64]) -> list[Tensor]:
        return [torch.tensor(line[: len(row)]) for line, row in zip(table, self.rows, strict=True)]

    # ---------------------------------------------------------------- interruption

    def state(self) -> dict[str, Any]:
        """Return values and moments as JSON values."""
        memory = [self._adam.state.get(row, {}) for row in self.all]
        return {
            "values": [row.tolist() for row in self.all],
            "moments": [{name: value.tolist() for name, value in entry.items()} for entry in memory],
            "preference": [row.tolist() for row in self._preference],
        }

    def restore(self, space: Space, state: dict[str, Any]) -> None:
        """Take back what `state` gave in the same revision of the space."""
        if space.choices != self._choices:
            self._follow(space.choices)
        self._adam.state.clear()
        for row, values, moments in zip(self.all, state["values"], state["moments"], strict=True):
            row.data = torch.tensor(values, dtype=torch.float64)
            # Adam counts its steps in single precision.
            kinds = {name: torch.float32 if name == "step" else torch.float64 for name in moments}
            if moments:
                self._adam.state[row] = {k: torch.tensor(v, dtype=kinds[k]) for k, v in moments.items()}
        self._preference = [torch.tensor(row, dtype=torch.float64) for row in state["preference"]]
