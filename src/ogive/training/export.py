"""Take a network out: safetensors with its architecture, ONNX, or a `torch.export` program."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ogive._errors import InputError, OgiveError, StorageError
from ogive._imports import require
from ogive.training.checkpoint import load_tensors, model_tensors, save_tensors, write_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TOLERANCE = 1e-4
"""Largest absolute difference of logits that an exported network may show."""


class ExportError(OgiveError, RuntimeError):
    """An exported network could not be made, or does not compute what the original computes."""


def save_weights(model: nn.Module, path: str | Path) -> Path:
    """Write all parameters and buffers as safetensors, durably, and return the path.

    Raises
    ------
    StorageError
        If the file cannot be written.
    """
    return save_tensors(Path(path), model.state_dict(), {})


def load_weights(model: nn.Module, path: str | Path) -> nn.Module:
    """Fill `model` with the weights of a safetensors file or a training checkpoint, and return it.

    Raises
    ------
    StorageError
        If the file cannot be read.
    InputError
        If its tensors are not those of the network.
    """
    tensors, facts = load_tensors(Path(path))
    if "identity" in facts:
        tensors = model_tensors(tensors)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise InputError(
            f"weights '{path}' belong to another network; give the space and architecture they were trained for"
        ) from error
    return model


def save_arch(path: str | Path, facts: Mapping[str, Any]) -> Path:
    """Write ``arch.json``: space, arch, task, and whatever else is known of the architecture; returns the path."""
    return write_bytes(Path(path), (json.dumps(dict(facts), indent=2) + "\n").encode())


def load_arch(path: str | Path) -> dict[str, Any]:
    """Return the facts of an ``arch.json``; "space", "arch" and "task" are there.

    Raises
    ------
    StorageError
        If the file cannot be read or lacks one of them.
    """
    try:
        facts = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StorageError(f"'{path}' cannot be read as an architecture ({error})") from error
    missing = [k for k in ("space", "arch", "task") if not isinstance(facts, dict) or not isinstance(facts.get(k), str)]
    if missing:
        raise StorageError(f"'{path}' is no architecture: it lacks {', '.join(missing)}")
    return dict(facts)


def export_program(model: nn.Module, input_shape: tuple[int, ...], path: str | Path) -> Path:
    """Write a `torch.export` program with a free batch size; ``torch.export.load(path).module()`` gives it back.

    Raises
    ------
    ExportError
        If PyTorch cannot trace the network, or the program differs from it.
    """
    model = _frozen(model)
    program = _program(model, input_shape)
    x = _inputs(input_shape)
    with torch.no_grad():
        _check(float((model(x) - program.module()(x)).abs().max()), "the torch.export program")
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    return write_bytes(Path(path), buffer.getvalue())


def export_onnx(model: nn.Module, input_shape: tuple[int, ...], path: str | Path) -> Path:
    """Write an ONNX file with a free batch size, after ONNX Runtime has computed the same; see `onnx_difference`.

    Raises
    ------
    MissingDependencyError
        If the packages of the extra ``onnx`` are not installed.
    ExportError
        If PyTorch cannot export the network, or the file computes something else.
    """
    require("onnxscript", "onnx", "ONNX export")
    program = _program(_frozen(model), input_shape)
    with _silent():
        exported = torch.onnx.export(program, dynamo=True, verbose=False, input_names=["x"], output_names=["logits"])
    if exported is None:
        raise ExportError("PyTorch gave no ONNX program for this network")
    data = exported.model_proto.SerializeToString()
    _check(onnx_difference(model, input_shape, data), "the ONNX file in ONNX Runtime")
    return write_bytes(Path(path), data)


def onnx_difference(model: nn.Module, input_shape: tuple[int, ...], source: str | Path | bytes) -> float:
    """Return the largest absolute difference of logits between the network and an ONNX file in ONNX Runtime.

    Both see the same standard normal batch, of another size than the export's.
    """
    runtime = require("onnxruntime", "onnx", "checking an ONNX file")
    held = source if isinstance(source, bytes) else str(source)
    session = runtime.InferenceSession(held, providers=["CPUExecutionProvider"])
    x = _inputs(input_shape)
    (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    with torch.no_grad():
        return float((_frozen(model)(x) - torch.from_numpy(found)).abs().max())


def _frozen(model: nn.Module) -> nn.Module:
    """Return a copy for inference on the CPU; the caller's network stays where and how it was."""
    return copy.deepcopy(model).cpu().eval()


def _inputs(input_shape: tuple[int, ...]) -> torch.Tensor:
    return torch.randn(3, *input_shape, generator=torch.Generator().manual_seed(0))


def _program(model: nn.Module, input_shape: tuple[int, ...]) -> torch.export.ExportedProgram:
    shapes = ({0: torch.export.Dim("batch", min=1)},)
    try:
        return torch.export.export(model, (torch.zeros(2, *input_shape),), dynamic_shapes=shapes)
    except Exception as error:  # any network may fail to trace, each in a way of its own
        raise ExportError(f"PyTorch cannot trace this network: {str(error).partition(chr(10))[0]}") from error


def _check(difference: float, what: str) -> None:
    if not difference <= TOLERANCE:
        raise ExportError(f"{what} differs from the network by {difference:.3g} > {TOLERANCE:g}")


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep back what the exporter says about packages it does not need and about its own deprecations."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
