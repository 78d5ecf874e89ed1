"""Open other people's pickles without running them.

A pickle is a program. This reader admits the few names that numbers, strings, containers and numeric numpy arrays
need, and gives each of them an own, checked implementation: no third-party class or function is ever called.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable

_KINDS = "biufcSU"
"""Numpy kinds that hold plain values: no object arrays, no structured types."""


class UnsafePickleError(StorageError, pickle.UnpicklingError):
    """A pickle asks for a class or function that is not plain data; nothing of it was run."""


def load_pickle(data: bytes, source: str, encoding: str = "bytes") -> Any:
    """Return the plain data of a pickle.

    Parameters
    ----------
    data : bytes
        The pickle.
    source : str
        Where it comes from, for messages.
    encoding : str
        How strings written by Python 2 are read; "bytes" leaves them as they are.

    Raises
    ------
    UnsafePickleError
        If it holds anything else than numbers, strings, containers and numeric numpy arrays.
    StorageError
        If it is truncated or corrupt.
    """
    try:
        return _plain(_Reader(io.BytesIO(data), source, encoding).load())
    except UnsafePickleError:
        raise
    # A damaged pickle may fail in any opcode, so with almost any error; foreign code cannot have raised it.
    except Exception as error:
        reason = " ".join(f"{type(error).__name__} {error}".split())
        raise StorageError(f"'{source}' is a truncated or corrupt pickle ({reason}); fetch it again") from error


class _Reader(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, source: str, encoding: str) -> None:
        super().__init__(file, encoding=encoding)
        self.source = source

    def find_class(self, module: str, name: str) -> Any:
        root = module.replace("numpy.core", "numpy._core").replace("__builtin__", "builtins")
        try:
            return _ADMITTED[root, name]
        except KeyError:
            raise UnsafePickleError(
                f"'{self.source}' wants to load {f'{module}.{name}'!r}, which is not plain data; "
                "refused without running it"
            ) from None


class _Array(np.ndarray[Any, np.dtype[Any]]):
    """An array whose state is checked before numpy sees it."""

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, raw = state
        data = raw.encode("latin1") if isinstance(raw, str) else raw
        if not isinstance(data, bytes):
            raise pickle.UnpicklingError("array data are not bytes")
        super().__setstate__((1, shape, dtype.resolve(), bool(fortran), data))  # type: ignore[arg-type]


class _DType:
    """The two facts of a numeric dtype that a pickle may set: its code and its byte order."""

    def __init__(self, code: str | bytes, *_: object) -> None:
        self.code = code.decode("ascii") if isinstance(code, bytes) else code
        self.order = "="

    def __setstate__(self, state: Any) -> None:
        order = state[1]
        self.order = order.decode("ascii") if isinstance(order, bytes) else order

    def resolve(self) -> np.dtype[Any]:
        dtype = np.dtype(self.code)
        if dtype.kind not in _KINDS or dtype.names is not None or dtype.subdtype is not None:
            raise pickle.UnpicklingError(f"arrays of dtype '{self.code}' are not plain data")
        return dtype if self.order == "|" else dtype.newbyteorder(self.order)  # type: ignore[arg-type]


_NDARRAY = object()
"""Stands for the class `numpy.ndarray`: to be named, not to be called."""


def _reconstruct(subtype: object, shape: tuple[int, ...], _: object) -> _Array:
    if subtype is not _NDARRAY or tuple(shape) != (0,):
        raise pickle.UnpicklingError("an array is not rebuilt the way numpy writes it")
    return _Array((0,), dtype=np.int8)


def _from_buffer(buffer: Any, dtype: _DType, shape: tuple[int, ...], order: str) -> np.ndarray[Any, Any]:
    return np.frombuffer(bytes(buffer), dtype=dtype.resolve()).reshape(shape, order=order).copy(order=order)  # type: ignore[call-overload, no-any-return]


def _scalar(dtype: _DType, raw: bytes | str) -> np.generic:
    data = raw.encode("latin1") if isinstance(raw, str) else raw
    (value,) = np.frombuffer(data, dtype=dtype.resolve())
    return value  # type: ignore[no-any-return]


def _encode(text: str, encoding: str) -> bytes:
    """Rebuild the bytes that Python 3 wrote as text for protocol 2; other codecs are not for data."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"codec '{encoding}' is not admitted")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Rebuild empty bytes as protocols 0 to 2 write them; `bytes` itself would allocate what a pickle asks for."""
    return b""


_ADMITTED: dict[tuple[str, str], object] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _DType,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): OrderedDict,
    ("builtins", "bytes"): _no_bytes,
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("builtins", "complex"): complex,
}


def _plain(value: Any) -> Any:
    """Replace the checked stand-ins inside containers by what they stand for."""
    rebuild: dict[type, Callable[[Any], Any]] = {
        _Array: lambda v: v.view(np.ndarray),
        _DType: lambda v: v.resolve(),
        list: lambda v: [_plain(item) for item in v],
        tuple: lambda v: tuple(_plain(item) for item in v),
        dict: lambda v: {_plain(key): _plain(item) for key, item in v.items()},
        OrderedDict: lambda v: OrderedDict((key, _plain(item)) for key, item in v.items()),
    }
    return rebuild.get(type(value), lambda v: v)(value)
