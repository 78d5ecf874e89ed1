"""One error root; every error is also the builtin it specialises, so callers may catch either."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class OgiveError(Exception):
    """Root of everything Ogive raises on purpose: one line saying what, where and how to mend it."""


class InputError(OgiveError, ValueError):
    """The user's input is wrong."""


class ArchStringError(InputError):
    """An architecture string cannot be read; the message gives the position of the first bad character."""


class UnknownNameError(InputError, LookupError):
    """No registered thing has this name; the message lists the nearest ones."""

    @classmethod
    def of(cls, kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
        """Build the error for an unknown `kind` called `name`, with the nearest of the `known` names."""
        return cls(f"unknown {kind} '{name}'; {nearest(name, known)}")


class InfeasibleError(OgiveError, ValueError):
    """No architecture that meets the constraints was found within the allowed number of draws."""


class StorageError(OgiveError, OSError):
    """A file or directory cannot be read, written or locked."""


class RunLockedError(StorageError):
    """Another process is writing this run directory."""


class MissingDependencyError(OgiveError, ImportError):
    """An optional package is not installed; the message gives the exact install command."""


class DataMissingError(OgiveError, FileNotFoundError):
    """A dataset or table is not on this machine; the message says where it is looked for and how to get it."""


class DivergedError(OgiveError, ArithmeticError):
    """Training produced a value that is not finite."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a phrase naming the known names closest to `name`, or all of them when none is close."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(f"'{c}'" for c in close) + "?"
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"known: {shown or 'none'}"
