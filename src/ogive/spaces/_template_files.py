"""Reading and writing drawings: YAML or JSON, plain data only, with the line where a file is broken."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml

from ogive._errors import DataMissingError, InputError, StorageError

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 5_000_000


class _PlainLoader(yaml.SafeLoader):
    """Loads text, numbers, lists and mappings; no aliases, so that a small file cannot unfold into a large one."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="aliases are not read", problem_mark=event.start_mark)
        return super().compose_node(parent, index)


def read_document(path: Path) -> Any:
    """Return what a YAML or JSON file holds.

    Raises
    ------
    DataMissingError
        If there is no such file.
    InputError
        If it is too large or broken, with line and column.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"template file '{path}' is larger than {MAX_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DataMissingError(f"there is no template file '{path}'; give the path of a .yaml or .json file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"template file '{path}' cannot be read: {error}") from error
    try:
        return yaml.load(text, Loader=_PlainLoader)  # noqa: S506 - a SafeLoader that also refuses aliases
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InputError(f"template file '{path}'{where}: {error.problem}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"template file '{path}' is neither YAML nor JSON: {reason}") from error


def write_document(path: Path, document: dict[str, Any]) -> None:
    """Write plain data as JSON to a ``.json`` file, otherwise as YAML.

    Raises
    ------
    StorageError
        If the file cannot be written.
    """
    if path.suffix == ".json":
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    else:
        text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"template file '{path}' cannot be written: {error}") from error
