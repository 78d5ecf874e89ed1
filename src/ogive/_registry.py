"""One registry for everything that has a name: spaces, tasks, metrics, strategies."""

from __future__ import annotations

import fnmatch
import importlib
import importlib.util
import sys
import zlib
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from ogive._errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

T = TypeVar("T")


class Registry(Generic[T]):
    """Named things of one kind; built-ins are imported only when one of their names is asked for.

    Parameters
    ----------
    kind : str
        What is registered, for messages ("space", "metric", ...).
    builtin : mapping of str to str
        Name of each built-in item to the dotted module that registers it on import.
    """

    def __init__(self, kind: str, builtin: Mapping[str, str]) -> None:
        self.kind = kind
        self._builtin = dict(builtin)
        self._items: dict[str, T] = {}

    def add(self, name: str, item: T) -> T:
        """Register `item` under `name`; a second, different item under the same name is refused."""
        held = self._items.get(name)
        if held is not None and held is not item:
            raise InputError(f"{self.kind} '{name}' is registered twice; give the second one another name")
        self._items[name] = item
        return item

    def get(self, name: str) -> T:
        """Return the item called `name`.

        Raises
        ------
        UnknownNameError
            If there is none, naming the nearest names.
        """
        if name not in self._items and name in self._builtin:
            importlib.import_module(self._builtin[name])
        if name not in self._items:
            load_entry_points()
        if name not in self._items:
            raise UnknownNameError.of(self.kind, name, self.names())
        return self._items[name]

    def names(self, pattern: str = "*") -> list[str]:
        """Return all registered names that match a shell-style `pattern`, sorted."""
        return sorted(n for n in {*self._builtin, *self._items} if fnmatch.fnmatchcase(n, pattern))

    @property
    def builtin(self) -> list[str]:
        """Names of the built-in items, sorted; what plug-ins added is not among them."""
        return sorted(self._builtin)

    def __contains__(self, name: object) -> bool:
        return name in self._items or name in self._builtin

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())


_entry_points_loaded = False


def load_entry_points() -> None:
    """Import every installed plug-in: the modules named by the entry-point group ``ogive.plugins``."""
    global _entry_points_loaded
    if not _entry_points_loaded:
        _entry_points_loaded = True
        for entry in entry_points(group="ogive.plugins"):
            entry.load()


def load_plugin(source: str) -> None:
    """Import a plug-in: a dotted module name, or the path of a Python file.

    Raises
    ------
    InputError
        If there is no such module or file.
    """
    path = Path(source)
    if path.suffix != ".py":
        try:
            importlib.import_module(source)
        except ModuleNotFoundError as error:
            raise InputError(
                f"plug-in '{source}' cannot be imported ({error}); give an installed module or the path of a .py file"
            ) from error
        return
    # Two files of one name in different folders are two plug-ins.
    name = f"ogive_plugin_{path.stem}_{zlib.crc32(str(path.resolve()).encode()):08x}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise InputError(f"plug-in file '{source}' does not exist")
    if name not in sys.modules:
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)


def parse_spec(text: str, bare: str | None = None) -> tuple[str, dict[str, int | float | str | bool]]:
    """Split ``name:key=value,key=value`` into the name and its options, as spaces and strategies are written.

    Parameters
    ----------
    text : str
    bare : str, optional
        The option that the first item stands for where it has no ``=``, as in ``optuna:TPESampler``.

    Examples
    --------
    >>> parse_spec("nasbench201:C=8,N=1")
    ('nasbench201', {'C': 8, 'N': 1})

    Raises
    ------
    InputError
        If an option has no ``=``.
    """
    name, _, rest = text.strip().partition(":")
    options: dict[str, int | float | str | bool] = {}
    for item in filter(None, rest.split(",")):
        key, equals, value = item.partition("=")
        if bare is not None and not equals and not options:
            key, equals, value = bare, "=", key
        if not equals:
            raise InputError(f"option '{item}' of '{text}' has no value; write name:key=value,key=value")
        options[key.strip()] = _value(value.strip())
    return name, options


def _value(text: str) -> int | float | str | bool:
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
