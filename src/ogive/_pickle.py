"""Open other people's pickles without running them.

A pickle is a program for a small machine. This is such a machine without a way out: it knows the instructions that
numbers, strings, containers and numeric numpy arrays need, and of the names a pickle may ask for it admits a few, each
with an implementation of its own that checks what it is given. No third-party class or function is ever called, and
nothing here hands a pickle to Python's own machine.

It reads a stream, and can let go of what a reader has used: see `Unpickler`.
"""

from __future__ import annotations

import codecs
import io
import pickle
import struct
from array import array
from collections import OrderedDict
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._errors import OgiveError, StorageError
from ogive._pickle_names import ADMITTED, Admitted, StorageType, build, flat
from ogive._pickle_stream import Bytes

if TYPE_CHECKING:
    from collections.abc import Callable

_AHEAD = 300  # bytes that the short instructions may need at once
_CONTAINERS = 4_000_000  # at most, in one piece
_GAP = 1 << 24  # at most, memo numbers that are skipped
_COPIED = 1 << 26  # bytes that may be copied in any case

_BINFLOAT, _BININT1, _STOP = pickle.BINFLOAT[0], pickle.BININT1[0], pickle.STOP[0]
_BINGET, _LONG_BINGET, _SHORT_BINUNICODE = pickle.BINGET[0], pickle.LONG_BINGET[0], pickle.SHORT_BINUNICODE[0]
_BINPUT, _LONG_BINPUT, _MEMOIZE = pickle.BINPUT[0], pickle.LONG_BINPUT[0], pickle.MEMOIZE[0]
_GETS, _PUTS = frozenset({_BINGET, _LONG_BINGET}), frozenset({_BINPUT, _LONG_BINPUT, _MEMOIZE})


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
    return Unpickler(Bytes(io.BytesIO(data)), source, encoding=encoding).load()


class Unpickler:
    """The machine.

    Parameters
    ----------
    stream : Bytes
    source : str
        Where it comes from, for messages.
    encoding : str
        How strings written by Python 2 are read; "bytes" leaves them as they are.
    shrink : callable, optional
        Shown every dictionary as soon as its items are in; where it returns something else than None, that takes the
        place of the dictionary, which is let go with all that is inside. So a pickle may be far larger than memory.
    persistent : callable, optional
        Gives the values that are kept outside of the pickle, by their identifier.
    """

    def __init__(
        self,
        stream: Bytes,
        source: str,
        *,
        encoding: str = "bytes",
        shrink: Callable[[dict[Any, Any]], Any] | None = None,
        persistent: Callable[[Any], Any] | None = None,
    ) -> None:
        self.stream, self.source, self.encoding = stream, source, encoding
        self.shrink, self.persistent = shrink, persistent
        self.stack: list[Any] = []
        self.marks: list[int] = []
        # The memo: text by its number in `texts`, because there are tens of millions of equal short strings in a big
        # file; anything else has number 0 and is `held` as it is until it is let go.
        self.codes, self.texts = array("I"), [""]
        self.numbers: dict[str, int] = {}
        self.held: dict[int, Any] = {}
        self.containers = self.copied = self.skipped = 0

    def load(self) -> Any:
        """Run one pickle and return its value.

        Raises
        ------
        UnsafePickleError
            If it asks for a class or function that is not plain data.
        StorageError
            If it is truncated or corrupt.
        """
        try:
            self._run()
            return self.stack.pop()
        except OgiveError:
            raise
        # A damaged pickle may fail in any instruction, so with almost any error; foreign code cannot have raised it.
        except Exception as error:
            reason = " ".join(f"{type(error).__name__} {error}".split())[:200]
            raise StorageError(
                f"'{self.source}' is a truncated or corrupt pickle ({reason}); fetch it again"
            ) from error

    def _run(self) -> None:
        """Take instructions until STOP; those that make up nearly all of a big file are done on the spot."""
        stream, stack, codes, texts = self.stream, self.stack, self.codes, self.texts
        numbers, held, push, others = self.numbers, self.held, self.stack.append, _INSTRUCTIONS
        data, at, safe = b"", 0, 0
        while True:
            if at >= safe:
                stream.at = at if data else stream.at
                stream.refill(_AHEAD)
                data, at = stream.data, 0
                safe = max(len(data) - _AHEAD, 1)
            op = data[at]
            if op == _BINFLOAT:
                push(_float8(data, at + 1)[0])
                at += 9
            elif op in _GETS:
                index = _uint4(data, at + 1)[0] if op == _LONG_BINGET else data[at + 1]
                at += 5 if op == _LONG_BINGET else 2
                number = codes[index]
                push(texts[number] if number else held.get(index, GONE))
            elif op == _SHORT_BINUNICODE:
                end = at + 2 + data[at + 1]
                push(data[at + 2 : end].decode("utf-8", "surrogatepass"))
                at = end
            elif op in _PUTS:
                index = len(codes)
                if op == _LONG_BINPUT:
                    index = _uint4(data, at + 1)[0]
                elif op == _BINPUT:
                    index = data[at + 1]
                at += 1 if op == _MEMOIZE else 2 if op == _BINPUT else 5
                value = stack[-1]
                if type(value) is str and index == len(codes):
                    codes.append(numbers.get(value) or self._number(value))
                else:
                    self._put(index)
            elif op == _BININT1:
                push(data[at + 1])
                at += 2
            elif op == _STOP:
                stream.at = at + 1
                return
            else:
                stream.at = at + 1
                try:
                    instruction = others[op]
                except KeyError:
                    raise pickle.UnpicklingError(f"byte {op} is no instruction") from None
                instruction(self)
                data, at = stream.data, stream.at
                safe = max(len(data) - _AHEAD, at)

    # ---------------------------------------------------------------- the memo

    def _number(self, text: str) -> int:
        """Give a text its number."""
        number = self.numbers[text] = len(self.texts)
        self.texts.append(text)
        return number

    def _put(self, index: int) -> None:
        """Remember the value on top of the stack; numbers may be left out, as optimised pickles do."""
        gap = index + 1 - len(self.codes)
        self.skipped += max(gap - 1, 0)
        if index < 0 or self.skipped > _GAP:
            raise pickle.UnpicklingError("memo numbers far out of order")
        if gap > 0:
            self.codes.extend(array("I", bytes(4 * gap)))
        value = self.stack[-1]
        if type(value) is str:
            self.codes[index] = self.numbers.get(value) or self._number(value)
        else:
            self.codes[index] = 0
            self.held[index] = value

    def _get(self, index: int) -> None:
        number = self.codes[index]
        self.stack.append(self.texts[number] if number else self.held.get(index, GONE))

    def _let_go(self, value: Any, small: Any) -> None:
        """Forget the containers that were made after `value`, for they are inside it; `small` takes its place."""
        after = list(takewhile(lambda i: self.held[i] is not value, reversed(self.held)))
        if len(after) < len(self.held):
            for index in after:
                if isinstance(self.held[index], _RELEASED):
                    del self.held[index]
            self.held[next(i for i in reversed(self.held) if self.held[i] is value)] = small
        self.containers = 0
        self.stream.release()

    # ---------------------------------------------------------------- instructions

    def _items(self) -> list[Any]:
        """Take what lies above the last mark."""
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def _push(self, container: Any) -> None:
        self.containers += 1
        if self.containers > _CONTAINERS:
            raise pickle.UnpicklingError(f"more than {_CONTAINERS:,} containers in one piece")
        self.stack.append(container)

    def _tuple(self, n: int) -> None:
        items = tuple(self.stack[-n:])
        if len(items) < n:
            raise IndexError("too few values for a tuple")
        del self.stack[-n:]
        self._push(items)

    def _set_items(self, items: list[Any], target: Any) -> None:
        if type(target) not in (dict, OrderedDict):
            raise pickle.UnpicklingError("items for something that is no dictionary")
        target.update(zip(flat(items[::2]), items[1::2], strict=True))

    def _op_setitems(self) -> None:
        items = self._items()
        value = self.stack[-1]
        self._set_items(items, value)
        if self.shrink is not None and (small := self.shrink(value)) is not None:
            self.stack[-1] = small
            self._let_go(value, small)

    def _op_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set_items([key, value], self.stack[-1])

    def _op_dict(self) -> None:
        items = self._items()
        self._push({})
        self._set_items(items, self.stack[-1])

    def _extend(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise pickle.UnpicklingError("items for something that is no list")
        self.stack[-1].extend(items)

    def _op_additems(self) -> None:
        items = self._items()
        if type(self.stack[-1]) is not set:
            raise pickle.UnpicklingError("items for something that is no set")
        self.stack[-1].update(flat(items))

    def _op_global(self) -> None:
        module, name = self.stream.line().decode("utf-8"), self.stream.line().decode("utf-8")
        self.stack.append(self._named(module, name))

    def _op_stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(self._named(module, name))

    def _op_instance(self) -> None:
        self._op_global()
        raise pickle.UnpicklingError("an instance is not made the way plain data are")

    def _named(self, module: Any, name: Any) -> Admitted | StorageType:
        root = str(module).replace("numpy.core", "numpy._core").replace("__builtin__", "builtins")
        try:
            return ADMITTED[root, name]
        except (KeyError, TypeError):
            raise UnsafePickleError(
                f"'{self.source}' wants to load {f'{module}.{name}'[:200]!r}, which is not plain data; "
                "refused without running it"
            ) from None

    def _op_reduce(self) -> None:
        arguments, maker = self.stack.pop(), self.stack.pop()
        if not isinstance(maker, Admitted) or type(arguments) is not tuple:
            raise pickle.UnpicklingError("a call of something that is no admitted name")
        self._push(maker.make(self, *arguments))

    def _op_build(self) -> None:
        state = self.stack.pop()
        build(self, self.stack[-1], state)

    def spend(self, size: int) -> None:
        """Count what is copied out of the memo, which a few bytes of pickle may ask for again and again."""
        self.copied += size
        if self.copied > _COPIED + 16 * (self.stream.passed + self.stream.at):
            raise pickle.UnpicklingError("it copies the same data over and over")

    def _op_persistent(self) -> None:
        if self.persistent is None:
            raise pickle.UnpicklingError("it refers to data outside of it")
        self._push(self.persistent(self.stack.pop()))

    # ---------------------------------------------------------------- numbers and text

    def _unsigned(self, width: int) -> int:
        return int.from_bytes(self.stream.take(width), "little")

    def _signed(self, width: int) -> None:
        self.stack.append(int.from_bytes(self.stream.take(width), "little", signed=True))

    def _op_int(self) -> None:
        word = self.stream.line()
        self.stack.append(word == b"01" if word in (b"00", b"01") else int(word))

    def _text(self, width: int) -> None:
        self.stack.append(self.stream.take(self._unsigned(width)).decode("utf-8", "surrogatepass"))

    def _bytes(self, width: int) -> None:
        self.stack.append(self.stream.take(self._unsigned(width)))

    def _python2(self, raw: bytes) -> None:
        self.stack.append(raw if self.encoding == "bytes" else raw.decode(self.encoding))

    def _op_string(self) -> None:
        word = self.stream.line()
        if len(word) < 2 or word[:1] not in (b"'", b'"') or word[-1:] != word[:1]:
            raise pickle.UnpicklingError("a string without quotes")
        self._python2(codecs.escape_decode(word[1:-1])[0])


class _Gone:
    """Stands for a container that was let go; whoever needs its values learns that they are not there."""


GONE = _Gone()

_float8, _uint4 = struct.Struct(">d").unpack_from, struct.Struct("<I").unpack_from
_RELEASED = (list, dict, set, tuple, bytes, np.ndarray, np.generic)

_INSTRUCTIONS: dict[int, Callable[[Unpickler], object]] = {
    code[0]: instruction
    for code, instruction in {
        pickle.PROTO: lambda m: m.stream.take(1),
        pickle.FRAME: lambda m: m.stream.take(8),
        pickle.MARK: lambda m: m.marks.append(len(m.stack)),
        pickle.POP: lambda m: m.stack.pop() if not m.marks or m.marks[-1] < len(m.stack) else m.marks.pop(),
        pickle.POP_MARK: lambda m: m._items(),
        pickle.DUP: lambda m: m.stack.append(m.stack[-1]),
        pickle.PUT: lambda m: m._put(int(m.stream.line())),
        pickle.GET: lambda m: m._get(int(m.stream.line())),
        # Containers.
        pickle.EMPTY_DICT: lambda m: m._push({}),
        pickle.DICT: Unpickler._op_dict,
        pickle.SETITEM: Unpickler._op_setitem,
        pickle.SETITEMS: Unpickler._op_setitems,
        pickle.EMPTY_LIST: lambda m: m._push([]),
        pickle.LIST: lambda m: m._push(m._items()),
        pickle.APPEND: lambda m: m._extend([m.stack.pop()]),
        pickle.APPENDS: lambda m: m._extend(m._items()),
        pickle.EMPTY_TUPLE: lambda m: m.stack.append(()),
        pickle.TUPLE: lambda m: m._push(tuple(m._items())),
        pickle.TUPLE1: lambda m: m._tuple(1),
        pickle.TUPLE2: lambda m: m._tuple(2),
        pickle.TUPLE3: lambda m: m._tuple(3),
        pickle.EMPTY_SET: lambda m: m._push(set()),
        pickle.ADDITEMS: Unpickler._op_additems,
        pickle.FROZENSET: lambda m: m._push(frozenset(flat(m._items()))),
        # Numbers.
        pickle.NONE: lambda m: m.stack.append(None),
        pickle.NEWTRUE: lambda m: m.stack.append(True),
        pickle.NEWFALSE: lambda m: m.stack.append(False),
        pickle.INT: Unpickler._op_int,
        pickle.BININT: lambda m: m._signed(4),
        pickle.BININT2: lambda m: m.stack.append(m._unsigned(2)),
        pickle.LONG: lambda m: m.stack.append(int(m.stream.line().rstrip(b"L"))),
        pickle.LONG1: lambda m: m._signed(m._unsigned(1)),
        pickle.LONG4: lambda m: m._signed(m._unsigned(4)),
        pickle.FLOAT: lambda m: m.stack.append(float(m.stream.line())),
        # Text and bytes.
        pickle.UNICODE: lambda m: m.stack.append(str(m.stream.line(), "raw-unicode-escape")),
        pickle.BINUNICODE: lambda m: m._text(4),
        pickle.BINUNICODE8: lambda m: m._text(8),
        pickle.SHORT_BINBYTES: lambda m: m._bytes(1),
        pickle.BINBYTES: lambda m: m._bytes(4),
        pickle.BINBYTES8: lambda m: m._bytes(8),
        pickle.BYTEARRAY8: lambda m: m._bytes(8),
        pickle.STRING: Unpickler._op_string,
        pickle.SHORT_BINSTRING: lambda m: m._python2(m.stream.take(m._unsigned(1))),
        pickle.BINSTRING: lambda m: m._python2(m.stream.take(m._unsigned(4))),
        # Names, and the few calls they allow.
        pickle.GLOBAL: Unpickler._op_global,
        pickle.STACK_GLOBAL: Unpickler._op_stack_global,
        pickle.INST: Unpickler._op_instance,
        pickle.REDUCE: Unpickler._op_reduce,
        pickle.BUILD: Unpickler._op_build,
        pickle.BINPERSID: Unpickler._op_persistent,
    }.items()
}
"""What the machine can do. Extension codes, out-of-band buffers and new instances are not among it."""
