"""A space of one's own: ogive measure 64-0-relu --space mlp --plugin examples/plugins/space.py."""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING

from ogive.spaces import SPACES, Choice, Space

if TYPE_CHECKING:
    from torch import nn

    from ogive.spaces import Genotypes, TaskShape


class MLP(Space):
    """Multilayer perceptrons of two hidden layers, the second of which may be left out."""

    name = "mlp"
    buildable = True
    choices = (
        Choice("width1", ("16", "32", "64")),
        Choice("width2", ("0", "16", "32", "64")),
        Choice("activation", ("relu", "gelu")),
    )

    def build(self, genotype: Genotypes, task: TaskShape) -> nn.Module:
        from torch import nn

        (row,) = self.check(genotype)
        width1, width2, activation = (c.options[code] for c, code in zip(self.choices, row, strict=True))
        sizes = [prod(task.input_shape), *(int(w) for w in (width1, width2) if w != "0")]
        layers: list[nn.Module] = [nn.Flatten()]
        for n_in, n_out in pairwise(sizes):
            layers += [nn.Linear(n_in, n_out), nn.ReLU() if activation == "relu" else nn.GELU()]
        return nn.Sequential(*layers, nn.Linear(sizes[-1], task.n_outputs))


SPACES.add("mlp", MLP)
