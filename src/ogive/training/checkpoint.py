"""One file that holds an interrupted run: tensors as safetensors, the rest as JSON in its header.

The file is replaced as a whole: a kill at any instant leaves the old one or the new one.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

import torch

from ogive._errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

_KEY = "ogive"


def save_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Path:
    """Write tensors and JSON facts to `path` in one step, durably.

    Raises
    ------
    StorageError
        If the file cannot be written.
    """
    from safetensors.torch import save

    # Copies: safetensors refuses tensors that share memory, as tied weights do.
    held = {k: v.detach().to("cpu", copy=True).contiguous() for k, v in tensors.items()}
    return write_bytes(path, save(held, metadata={_KEY: json.dumps(dict(facts))}))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and facts of a file; facts are empty where another program wrote it.

    Raises
    ------
    StorageError
        If the file cannot be read or is no safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get(_KEY, "{}"))
            return {k: file.get_tensor(k) for k in file.keys()}, facts  # noqa: SIM118 - no iterator
    except (OSError, SafetensorError, ValueError) as error:
        raise StorageError(
            f"'{path}' cannot be read as safetensors ({error}); delete it or give another file"
        ) from error


def write_bytes(path: Path, data: bytes) -> Path:
    """Replace the file at `path` in one durable step: temporary file, fsync, rename.

    Raises
    ------
    StorageError
        If that fails; an earlier file is then still whole.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):  # the folder itself may be the trouble, and the first error says so
            temporary.unlink(missing_ok=True)
        raise StorageError(f"cannot write '{path}' ({error.strerror or error}); choose another folder") from error
    return path


def model_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the network's own tensors of a checkpoint, by their names in the network."""
    return {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimizer's memory as ``optimizer.<parameter number>.<name>``."""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer.{number}.{name}": value
        for number, entry in state.items()
        for name, value in entry.items()
        if isinstance(value, torch.Tensor)
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Take back what `optimizer_tensors` gave, in the parameters' own memory layout."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for key, value in tensors.items():
        prefix, _, rest = key.partition(".")
        if prefix != "optimizer":
            continue
        number, _, name = rest.partition(".")
        parameter = parameters[int(number)]
        like = torch.empty_like(parameter) if value.shape == parameter.shape else torch.empty_like(value)
        optimizer.state[parameter][name] = like.to(value.dtype).copy_(value)
