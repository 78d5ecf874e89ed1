"""The names a pickle may ask for, each with an implementation of its own that checks what it is given."""

from __future__ import annotations

import math
import pickle
import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ogive._pickle import Unpickler

_DTYPE = re.compile(r"[<>=|]?(?:[?biufcSU]\d{0,9})")
"""Codes of arrays of plain values: no object arrays, no structured types."""

_ATOMS = {str, bytes, int, float, bool, complex, type(None)}


@dataclass(frozen=True)
class Admitted:
    """Stands in a pickle for a function or class that it names.

    Attributes
    ----------
    make : callable
        What the machine and the arguments of a call make.
    """

    make: Callable[..., Any]


@dataclass(frozen=True)
class StorageType:
    """Stands for a class of torch storages."""

    dtype: np.dtype[Any]


@dataclass(frozen=True)
class Storage:
    """The values of a torch storage, which tensors are views of."""

    values: np.ndarray[Any, Any]


def flat(items: Iterable[Any]) -> list[Any]:
    """Return keys or members if they are numbers, texts or flat tuples of them; deeper ones could not be hashed."""
    keys = list(items)
    kinds = set(map(type, keys)) - _ATOMS
    for key in keys if kinds else ():
        inner = set(map(type, key)) if type(key) in (tuple, frozenset) else {type(key)}
        if not all(kind in _ATOMS or issubclass(kind, np.generic) for kind in inner):
            raise pickle.UnpicklingError("a key that is neither number nor text")
    return keys


def build(machine: Unpickler, value: Any, state: Any) -> None:
    """Give a value its state; only arrays and dtypes need one."""
    if type(value) is np.ndarray:
        _fill(machine, value, state)
    elif isinstance(value, np.dtype):
        order = _ascii(state[1])
        if order not in tuple("<>=|"):
            raise pickle.UnpicklingError("a dtype without byte order")
        sizes = (value.itemsize, value.alignment) if value.kind in "SU" else (-1, -1)
        value.__setstate__((3, order, None, None, None, *sizes, 0))  # type: ignore[attr-defined]
    elif type(value) is not OrderedDict:  # its attributes carry no data
        raise pickle.UnpicklingError("a state for something that has none")


def _fill(machine: Unpickler, array: np.ndarray[Any, Any], state: Any) -> None:
    _, shape, dtype, fortran, raw = state
    data = raw.encode("latin1") if isinstance(raw, str) else raw
    if not isinstance(data, bytes) or not isinstance(dtype, np.dtype) or array.size:
        raise pickle.UnpicklingError("an array is not filled the way numpy writes it")
    if len(data) != math.prod(_shape(shape)) * dtype.itemsize:
        raise pickle.UnpicklingError("an array whose data do not fit its shape")
    machine.spend(len(data))
    array.__setstate__((1, shape, dtype, bool(fortran), data))  # type: ignore[arg-type]


def _shape(shape: Any) -> tuple[int, ...]:
    if type(shape) is not tuple or len(shape) > 32 or not all(type(n) is int and n >= 0 for n in shape):
        raise pickle.UnpicklingError("a shape that is none")
    return shape


def _ascii(text: str | bytes) -> str:
    return text.decode("ascii") if isinstance(text, bytes) else str(text)


def _dtype(_: Unpickler, code: str | bytes, *__: object) -> np.dtype[Any]:
    if not _DTYPE.fullmatch(name := _ascii(code)):
        raise pickle.UnpicklingError(f"arrays of dtype '{name[:40]}' are not plain data")
    return np.dtype(name, copy=True)


def _reconstruct(_: Unpickler, subtype: object, shape: tuple[int, ...], __: object) -> np.ndarray[Any, Any]:
    if subtype is not _NDARRAY or tuple(shape) != (0,):
        raise pickle.UnpicklingError("an array is not rebuilt the way numpy writes it")
    return np.empty(0, dtype=np.int8)


def _from_buffer(machine: Unpickler, buffer: bytes, dtype: Any, shape: Any, order: str) -> np.ndarray[Any, Any]:
    if not isinstance(dtype, np.dtype) or not isinstance(buffer, bytes):
        raise pickle.UnpicklingError("an array is not rebuilt the way numpy writes it")
    machine.spend(len(buffer))
    return np.frombuffer(buffer, dtype=dtype).reshape(_shape(shape), order=order).copy(order=order)  # type: ignore[call-overload, no-any-return]


def _scalar(_: Unpickler, dtype: Any, raw: bytes | str) -> np.generic:
    if not isinstance(dtype, np.dtype):
        raise pickle.UnpicklingError("a number is not rebuilt the way numpy writes it")
    (value,) = np.frombuffer(raw.encode("latin1") if isinstance(raw, str) else raw, dtype=dtype)
    return value  # type: ignore[no-any-return]


def _encode(machine: Unpickler, text: str, encoding: str) -> bytes:
    """Rebuild the bytes that Python 3 wrote as text for protocol 2; other codecs are not for data."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"codec '{encoding[:40]}' is not admitted")
    machine.spend(len(text))
    return text.encode("latin1")


def _no_bytes(_: Unpickler) -> bytes:
    """Rebuild empty bytes as protocols 0 to 2 write them; `bytes` itself would allocate what a pickle asks for."""
    return b""


def _set(machine: Unpickler, items: Iterable[Any] = ()) -> set[Any]:
    keys = flat(items)
    machine.spend(64 * len(keys))
    return set(keys)


def _ordered(machine: Unpickler, items: Iterable[Any] = ()) -> OrderedDict[Any, Any]:
    pairs = list(items)
    machine.spend(128 * len(pairs))
    return OrderedDict(zip(flat(key for key, _ in pairs), (value for _, value in pairs), strict=True))


def _complex(_: Unpickler, real: float, imag: float) -> complex:
    return complex(real, imag)


def _tensor(_: Unpickler, storage: Any, offset: Any, size: Any, stride: Any, *__: object) -> np.ndarray[Any, Any]:
    """Return a read-only view, after checking that all of it lies inside the storage."""
    if not isinstance(storage, Storage) or len(_shape(size)) != len(_shape(stride)):
        raise pickle.UnpicklingError("a tensor is not rebuilt the way torch writes it")
    (start,), values = _shape((offset,)), storage.values
    if math.prod(size) == 0:
        return np.empty(size, dtype=values.dtype)
    if start + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) >= len(values):
        raise pickle.UnpicklingError("a tensor that reaches beyond its storage")
    steps = [step * values.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(values[start:], size, steps, writeable=False)


def _parameter(_: Unpickler, tensor: Any, *__: object) -> np.ndarray[Any, Any]:
    if not isinstance(tensor, np.ndarray):
        raise pickle.UnpicklingError("a parameter that is no tensor")
    return tensor


def _size(_: Unpickler, shape: Any) -> tuple[int, ...]:
    return _shape(shape)


def _not_to_call(*_: object) -> Any:
    raise pickle.UnpicklingError("a class that may be named is called")


_NDARRAY = Admitted(_not_to_call)

_STORAGES = {
    "Double": "f8", "Float": "f4", "Half": "f2", "Long": "i8", "Int": "i4", "Short": "i2", "Char": "i1", "Byte": "u1",
    "Bool": "?", "ComplexFloat": "c8", "ComplexDouble": "c16",
}  # fmt: skip

ADMITTED: dict[tuple[str, str], Admitted | StorageType] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): Admitted(_dtype),
    ("numpy._core.multiarray", "_reconstruct"): Admitted(_reconstruct),
    ("numpy._core.multiarray", "scalar"): Admitted(_scalar),
    ("numpy._core.numeric", "_frombuffer"): Admitted(_from_buffer),
    ("_codecs", "encode"): Admitted(_encode),
    ("collections", "OrderedDict"): Admitted(_ordered),
    ("builtins", "bytes"): Admitted(_no_bytes),
    ("builtins", "set"): Admitted(_set),
    ("builtins", "frozenset"): Admitted(lambda machine, items=(): frozenset(_set(machine, items))),
    ("builtins", "complex"): Admitted(_complex),
    ("torch", "Size"): Admitted(_size),
    ("torch._utils", "_rebuild_tensor_v2"): Admitted(_tensor),
    ("torch._utils", "_rebuild_parameter"): Admitted(_parameter),
    **{("torch", f"{name}Storage"): StorageType(np.dtype(f"<{code}")) for name, code in _STORAGES.items()},
}
