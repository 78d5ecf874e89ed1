"""The plain data the spaces exchange: choices, genotypes, graphs, the shapes of a task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ogive._errors import InputError

Genotypes = NDArray[np.integer[Any]]
"""Integer array, ``(n, n_choices)`` for a batch, ``(n_choices,)`` for one architecture."""


class TaskShape(Protocol):
    """What a network needs to know of a task: no data, only shapes."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example without the batch axis, ``(C, H, W)`` for images."""

    @property
    def n_outputs(self) -> int:
        """Number of outputs of the head, the classes of a classification task."""


@dataclass(frozen=True)
class Shape:
    """A task reduced to its shapes, for counting and building without data."""

    input_shape: tuple[int, ...]
    n_outputs: int


def image_shape(space: str, task: TaskShape) -> tuple[int, int, int]:
    """Return the ``(channels, height, width)`` of a task's examples, or say that a space builds networks for images.

    Raises
    ------
    InputError
        If the examples have another number of axes.
    """
    if len(task.input_shape) != 3:
        raise InputError(
            f"space '{space}' needs examples of shape (channels, height, width); the task's have shape "
            f"{tuple(task.input_shape)}"
        )
    c, h, w = task.input_shape
    return c, h, w


@dataclass(frozen=True)
class Choice:
    """One named decision and its options, in the order of their integer codes."""

    name: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class Graphs:
    """A batch of labelled directed acyclic graphs, zero-padded to the largest.

    Attributes
    ----------
    ops : ndarray of int8, (n, v)
        Index into `vocabulary` of every vertex, in topological order; -1 is padding.
    adjacency : ndarray of bool, (n, v, v)
        ``adjacency[i, s, t]`` is true where graph i has an edge from s to t; strictly upper triangular.
    vocabulary : tuple of str
        Operation names; the first is "input", the last "output".
    """

    ops: NDArray[np.int8]
    adjacency: NDArray[np.bool_]
    vocabulary: tuple[str, ...]
