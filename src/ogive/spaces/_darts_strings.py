"""The field's notation for DARTS cells: how the authors' ``Genotype`` tuple prints itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ogive._errors import ArchStringError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

_SPACE = re.compile(r"\s*")
_WORD = re.compile(r"'(\w*)'|\"(\w*)\"")
_NUMBER = re.compile(r"\d+")
_CONCAT = re.compile(r"\[\s*2\s*,\s*3\s*,\s*4\s*,\s*5\s*\]|range\(\s*2\s*,\s*6\s*\)")
_FORM = "write Genotype(normal=[('op', source), ...], normal_concat=[2, 3, 4, 5], reduce=[...], reduce_concat=...)"


def format_cells(
    ops: Sequence[Sequence[Sequence[int]]], sources: Sequence[Sequence[Sequence[int]]], words: Sequence[str]
) -> str:
    """Write two cells, given as operation codes and sources of two edges for each of four nodes."""
    normal, reduction = (
        ", ".join(f"('{words[o]}', {s})" for pair in zip(*cell, strict=True) for o, s in zip(*pair, strict=True))
        for cell in zip(ops, sources, strict=True)
    )
    concat = "[2, 3, 4, 5]"
    return f"Genotype(normal=[{normal}], normal_concat={concat}, reduce=[{reduction}], reduce_concat={concat})"


def parse_cells(arch: str, words: Sequence[str]) -> list[list[tuple[int, int]]]:
    """Read the eight (operation code, source) of both cells.

    Raises
    ------
    ArchStringError
        With the position of the first character that cannot be read.
    """
    reader = _Reader(arch)
    reader.expect("Genotype(")
    cells = []
    for i, name in enumerate(("normal", "reduce")):
        reader.expect(f"{name}=[" if i == 0 else f",{name}=[")
        cells.append(_read_cell(reader, words))
        reader.expect(f"],{name}_concat=")
        reader.match(_CONCAT, "all four nodes, [2, 3, 4, 5]")
    reader.expect(")")
    reader.end()
    return cells


def _read_cell(reader: _Reader, words: Sequence[str]) -> list[tuple[int, int]]:
    edges: list[tuple[int, int]] = []
    for i in range(8):
        node = 2 + i // 2
        reader.expect(",(" if i else "(")
        word = reader.match(_WORD, "an operation in quotes").strip("'\"")
        if word not in words:
            raise reader.error(f"unknown operation '{word}' ({nearest(word, words)})")
        reader.expect(",")
        source = int(reader.match(_NUMBER, "the number of a node"))
        if source >= node:
            raise reader.error(f"node {node} reads nodes 0 to {node - 1}, not {source}")
        if i % 2 and source == edges[-1][1]:
            raise reader.error(f"node {node} reads node {source} twice")
        edges.append((words.index(word), source))
        reader.expect(")")
    return edges


class _Reader:
    """Reads a string piece by piece, skipping white space between the characters that matter."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.start = 0

    def error(self, what: str) -> ArchStringError:
        """Return the error that blames what was read last."""
        return ArchStringError(
            f"architecture string '{self.text}' of space 'darts', position {self.start}: {what}; {_FORM}"
        )

    def match(self, pattern: re.Pattern[str], what: str) -> str:
        """Read one piece of a form; `what` names it in the error."""
        space = _SPACE.match(self.text, self.at)
        self.start = self.at = space.end() if space else self.at
        found = pattern.match(self.text, self.at)
        if found is None:
            raise self.error(f"expected {what}")
        self.at = found.end()
        return found.group()

    def expect(self, symbols: str) -> None:
        """Read punctuation and names, each with white space before it or not."""
        for piece in re.findall(r"\w+|\W", symbols):
            self.match(re.compile(re.escape(piece)), f"'{piece}'")

    def end(self) -> None:
        """Make sure that nothing follows."""
        self.match(re.compile(r"\Z"), "the end")
