"""Pickles from elsewhere give plain data or nothing: no code of theirs runs."""

from __future__ import annotations

import collections
import os
import pickle
import pickletools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ogive._errors import OgiveError, StorageError
from ogive._pickle import UnsafePickleError, load_pickle

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.sets(st.integers() | st.text(max_size=2), max_size=3)
    ),
    max_leaves=8,
)
numeric = st.sampled_from(["?", "u1", "i2", "<i8", ">i4", "f4", "f8", "c8", "S3", "U4"])


@given(value=plain, protocol=st.sampled_from(PROTOCOLS))
def test_plain_values_come_back(value, protocol):
    assert load_pickle(pickle.dumps(value, protocol), "x") == value


@given(
    array=hnp.arrays(dtype=numeric, shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0), fill=st.nothing()),
    protocol=st.sampled_from(PROTOCOLS),
)
def test_numeric_arrays_come_back_as_plain_arrays(array, protocol):
    found = load_pickle(pickle.dumps({"a": [array]}, protocol), "x")["a"][0]
    assert type(found) is np.ndarray
    assert found.dtype.kind == array.dtype.kind
    assert found.dtype.itemsize == array.dtype.itemsize
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_layout_scalars_and_ordered_dictionaries_come_back(protocol):
    value = collections.OrderedDict(
        f=np.asfortranarray(np.arange(6.0).reshape(2, 3)), s=np.float32(1.5), d=np.dtype("i4"), c=1 + 2j
    )
    found = load_pickle(pickle.dumps(value, protocol), "x")
    assert type(found) is collections.OrderedDict
    np.testing.assert_array_equal(found["f"], value["f"])
    assert (found["s"], found["d"], found["c"]) == (1.5, np.dtype("i4"), 1 + 2j)


def test_python_2_text_can_be_read_either_way():
    written_by_python_2 = b"\x80\x02}q\x01U\x04dataq\x02U\x02\xffaq\x03s."
    assert load_pickle(written_by_python_2, "x") == {b"data": b"\xffa"}
    assert load_pickle(written_by_python_2, "x", encoding="latin1") == {"data": "\xffa"}


class _Runs:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: {"data": [v]}, lambda v: (np.arange(3), v)])
def test_code_in_a_pickle_is_refused_and_does_not_run(tmp_path, protocol, wrap):
    marker = tmp_path / "marker"
    data = pickle.dumps(wrap(_Runs(os.system, f"touch {marker}")), protocol)
    with pytest.raises(UnsafePickleError, match=r"'evil\.pkl' wants to load '(posix|nt)\.system'.*refused"):
        load_pickle(data, "evil.pkl")
    assert not marker.exists()
    pickle.loads(data)
    assert marker.exists(), "the attack must be a real one for this test to mean anything"


@pytest.mark.parametrize(
    "value",
    [
        _Runs(eval, "1"),
        _Runs(getattr, "a", "upper"),
        _Runs(bytearray, 10**12),
        _Runs(np.zeros, 3),
        _Runs(np.load, "x"),
        collections.Counter("a"),
        np.array([1]).view(np.matrix),
        np.ma.masked_array([1]),
        print,
        np.ndarray.tolist,
    ],
)
def test_nothing_but_the_admitted_names_is_loaded(value):
    with pytest.raises(UnsafePickleError):
        load_pickle(pickle.dumps(value), "x")


@pytest.mark.parametrize(
    "value",
    [
        np.array([{"a": 1}], dtype=object),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        np.array(["2020-01-01"], dtype="M8[D]"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 5])
def test_arrays_of_anything_but_numbers_and_text_are_refused(value, protocol):
    with pytest.raises(StorageError):
        load_pickle(pickle.dumps(value, protocol), "x")


def test_numpy_classes_may_be_named_but_not_called():
    """A hand-written pickle that calls ndarray, or forges the state of an array or a dtype."""
    for attack in (
        _Runs(np.ndarray, (10**15,)),
        _Runs(np.dtype, "O"),
        _Runs(np.dtype, [("a", "O")]),
    ):
        with pytest.raises(StorageError):
            load_pickle(pickle.dumps({"a": np.arange(2), "b": _Nested(attack)}), "x")
    forged = pickle.dumps(np.arange(2, dtype="i8"), 2).replace(b"i8", b"O8")
    assert b"O8" in forged
    with pytest.raises(StorageError):
        load_pickle(forged, "x")


class _Nested:
    def __init__(self, dtype):
        self.dtype = dtype

    def __reduce__(self):
        return np.array([1]).__reduce__()[0], (np.ndarray, (0,), b"b"), (1, (1,), self.dtype, False, b"\0" * 8)


@given(data=st.binary(max_size=80))
def test_garbage_is_one_clear_error(data):
    message = "plain"
    try:
        load_pickle(data, "x")
    except OgiveError as error:
        message = str(error)
    assert len(message.splitlines()) == 1


def test_every_truncation_is_one_clear_error():
    data = pickle.dumps({"data": np.arange(50, dtype=np.uint8), "labels": [1, 2, 3]}, 2)
    starts = [position for _, _, position in pickletools.genops(data)]
    for cut in {*starts[1:], *range(1, len(data), 7)}:
        with pytest.raises(StorageError, match="'batch' is a truncated or corrupt pickle"):
            load_pickle(data[:cut], "batch")
