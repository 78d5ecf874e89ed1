"""What an architecture becomes: a network, a part of a supernet, and its exact costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ogive._errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from ogive.nn.supernet import SuperNetwork
    from ogive.spaces._types import Genotypes, TaskShape


class Networks:
    """Networks of a `Space`; a mixin whose defaults are those of a space that only names architectures.

    Attributes
    ----------
    buildable : bool
        Whether `build` works.
    """

    name: ClassVar[str]
    buildable: ClassVar[bool] = False

    def build(self, genotype: Genotypes, task: TaskShape) -> nn.Module:  # noqa: ARG002 - for subclasses
        """Return the network of one genotype for `task`, a plain module with freshly initialised weights.

        Raises
        ------
        InputError
            If the space only names architectures and cannot build them.
        """
        raise InputError(f"space '{self.name}' cannot build networks; it only names architectures")

    def supernet(self, task: TaskShape) -> SuperNetwork:  # noqa: ARG002 - for subclasses
        """Return a network that holds every architecture of the space for `task`, to be trained by sampling paths.

        Raises
        ------
        InputError
            If the space has none.
        """
        raise InputError(f"space '{self.name}' has no supernet; train its architectures one by one")

    def count(
        self,
        genotypes: Genotypes,  # noqa: ARG002 - for subclasses
        task: TaskShape,  # noqa: ARG002 - for subclasses
    ) -> Mapping[str, NDArray[np.int64]] | None:
        """Return exact costs of every genotype in closed form, or None where the space has no formula.

        Returns
        -------
        mapping of str to ndarray of int64, (n,)
            ``params`` (trainable parameters), ``macs`` (multiply-accumulates of convolutions and linear layers for
            one example), ``relus`` (ReLU evaluations for one example), ``depth`` (weighted layers on the longest
            path from input to output, 0 where nothing is connected). Lower is cheaper. They equal what
            `ogive.metrics.counts` measures on the built network.
        """
        return None
