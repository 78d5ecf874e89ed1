"""What can be designed."""

from ogive.spaces.base import SPACES, Choice, Genotypes, Graphs, Shape, Space, TaskShape, get_space

__all__ = ["SPACES", "Choice", "Genotypes", "Graphs", "Shape", "Space", "TaskShape", "get_space"]
