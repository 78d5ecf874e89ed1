"""Arch strings of spaces without a notation of their own: the options in genotype order, joined by dashes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ogive._errors import ArchStringError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ogive.spaces._types import Choice

SEPARATOR = "-"


def parse_options(arch: str, space: str, choices: Sequence[Choice]) -> list[int]:
    """Read one option of each choice, separated by dashes.

    Raises
    ------
    ArchStringError
        With the position of the first option that does not exist.
    """
    row: list[int] = []
    at = 0
    for i, choice in enumerate(choices):
        after = SEPARATOR if i < len(choices) - 1 else ""
        fitting = [o for o in choice.options if _stands(arch, at, o, after)]
        if not fitting:
            raise ArchStringError(
                f"architecture string '{arch}' of space '{space}', position {at}: expected an option of "
                f"'{choice.name}' ({', '.join(choice.options)}) and then {'a dash' if after else 'the end'}"
            )
        option = max(fitting, key=len)
        row.append(choice.options.index(option))
        at += len(option) + 1
    return row


def _stands(arch: str, at: int, option: str, after: str) -> bool:
    end = at + len(option)
    return arch.startswith(option, at) and (arch[end : end + 1] == after)
