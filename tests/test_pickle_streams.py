"""Streams of pickles larger than memory, hostile ones, and what torch wrote."""

from __future__ import annotations

import io
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ogive._errors import OgiveError, StorageError
from ogive._pickle import GONE, Unpickler, UnsafePickleError, load_pickle
from ogive._pickle_stream import Bytes
from ogive._torch_files import load_torch
from tests.conftest import lacking

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def stream(value, shrink=None, protocol=4, piece=None):
    data = value if isinstance(value, bytes) else pickle.dumps(value, protocol)
    return Unpickler(Bytes(io.BytesIO(data), piece), "x", shrink=shrink).load()


# -------------------------------------------------------------------- letting go


def first_and_last(piece):
    return (piece["curve"][0], piece["curve"][-1]) if "curve" in piece else None


@pytest.mark.parametrize("protocol", range(1, pickle.HIGHEST_PROTOCOL + 1))
def test_dictionaries_are_replaced_as_soon_as_they_are_complete(protocol):
    shared = "the same text everywhere"
    value = {
        i: OrderedDict(a={"curve": [float(i + j) for j in range(5)], shared: shared}, b=shared) for i in range(2500)
    }
    found = stream(value, first_and_last, protocol)
    assert found == {i: OrderedDict(a=(float(i), float(i + 4)), b=shared) for i in range(2500)}


def test_a_container_that_was_let_go_is_not_taken_for_an_empty_one():
    inner = [1.0, 2.0]
    found = stream([{"curve": inner, "n": 1}, {"other": inner, "n": 2}], first_and_last)
    assert found == [(1.0, 2.0), {"other": GONE, "n": 2}]


def test_numbers_types_and_text_outlive_what_they_came_with():
    numbers = [np.float64(1.5), np.float32(2.5)]
    value = [{"curve": [1.0, 2.0], "key": n, "dtype": n.dtype, "array": np.arange(3.0)} for n in numbers * 3]
    found = stream([*value, {"last": numbers[0].dtype, "key": np.float64(3.5)}], first_and_last)
    assert found == [(1.0, 2.0)] * 6 + [{"last": np.dtype("f8"), "key": 3.5}]


@given(
    value=st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False)
        | st.text(max_size=300)
        | st.binary(max_size=300),
        lambda inner: (
            st.lists(inner) | st.tuples(inner, inner, inner, inner) | st.dictionaries(st.text(max_size=3), inner)
        ),
        max_leaves=30,
    ),
    protocol=st.sampled_from(PROTOCOLS),
)
def test_whatever_python_writes_is_read_as_python_reads_it(value, protocol):
    data = pickle.dumps(value, protocol)
    assert stream(data) == pickle.loads(data)
    # Read byte by byte, no instruction has its operands at hand.
    assert Unpickler(Bytes(_Trickle(data)), "x").load() == value


class _Trickle(io.BytesIO):
    def read(self, n=-1):
        return super().read(1)


def test_optimised_pickles_skip_memo_numbers():
    import pickletools

    value = {"a": ["x", "y"], "b": ("x", "y"), "long": list(map(str, range(300)))}
    for protocol in PROTOCOLS:
        assert stream(pickletools.optimize(pickle.dumps([value, value], protocol))) == [value, value]


# -------------------------------------------------------------------- hostile pickles


class _Runs:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


P = pickle
SYSTEM = P.GLOBAL + b"os\nsystem\n"


@pytest.mark.parametrize(
    "program",
    [
        SYSTEM + P.MARK + b"V%s\n" + P.TUPLE + P.REDUCE,
        (
            P.SHORT_BINUNICODE + b"\x02os" + P.SHORT_BINUNICODE + b"\x06system" + P.STACK_GLOBAL
            + P.MARK + b"V%s\n" + P.TUPLE + P.REDUCE
        ),
        P.MARK + b"V%s\n" + P.INST + b"os\nsystem\n",
        P.MARK + SYSTEM + b"V%s\n" + P.OBJ,
        SYSTEM + P.MARK + b"V%s\n" + P.TUPLE + P.NEWOBJ,
        SYSTEM + P.MARK + b"V%s\n" + P.TUPLE + P.EMPTY_DICT + P.NEWOBJ_EX,
        P.EMPTY_DICT + SYSTEM + P.BUILD,
        P.GLOBAL + b"builtins\neval\n" + P.MARK + b"V__import__('os').system('%s')\n" + P.TUPLE + P.REDUCE,
        P.GLOBAL + b"collections\nOrderedDict.__init__.__globals__\n",
        P.GLOBAL + b"numpy\nload\n",
        P.GLOBAL + b"torch.storage\n_load_from_bytes\n",
        P.GLOBAL + b"torch._utils\n_rebuild_wrapper_subclass\n",
        P.GLOBAL + b"copyreg\n_reconstructor\n",
        P.GLOBAL + b"functools\npartial\n",
        P.EXT1 + b"\x01",
        P.NEXT_BUFFER,
        P.PERSID + b"x\n",
        P.NONE + P.BINPERSID,
        # Calls of what is admitted, with arguments of another kind, or of what only stands for a class.
        P.GLOBAL + b"numpy\nndarray\n" + P.MARK + P.BININT + struct.pack("<i", 2**31 - 1) + P.TUPLE + P.REDUCE,
        P.GLOBAL + b"torch\nFloatStorage\n" + P.EMPTY_TUPLE + P.REDUCE,
        P.GLOBAL + b"builtins\nset\n" + P.BININT1 + b"\x05" + P.TUPLE1 + P.REDUCE,
        P.EMPTY_DICT + P.EMPTY_TUPLE + P.REDUCE,
        P.SHORT_BINUNICODE + b"\x06system" + P.EMPTY_TUPLE + P.REDUCE,
        P.EMPTY_LIST + P.EMPTY_DICT + P.BUILD,
        (
            P.GLOBAL + b"torch._utils\n_rebuild_tensor_v2\n"
            + P.MARK + P.EMPTY_LIST + P.BININT1 + b"\x00" + P.EMPTY_TUPLE * 2 + P.TUPLE + P.REDUCE
        ),
    ],
)  # fmt: skip
def test_no_trick_runs_anything(tmp_path, monkeypatch, program):
    monkeypatch.chdir(tmp_path)
    data = P.PROTO + b"\x04" + program.replace(b"%s", b"touch marker") + P.STOP
    with pytest.raises(StorageError) as caught:
        stream(data)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "marker").exists()


def test_the_attacks_are_real(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pickle.loads(P.MARK + b"Vtouch marker\n" + P.INST + b"os\nsystem\n" + P.STOP)
    assert (tmp_path / "marker").exists()


@settings(max_examples=300)
@given(st.lists(st.sampled_from([bytes([op]) for op in range(256)] + [b"\x00", b"a\n", b"1\n"]), max_size=40))
def test_random_programs_end_with_a_value_or_one_line(words):
    message = "a value"
    try:
        stream(b"".join(words))
    except OgiveError as error:
        message = str(error)
    assert "\n" not in message


BOMBS = {
    "a string of four exabytes": P.BINUNICODE8 + struct.pack("<Q", 2**62),
    "bytes of four gigabytes": P.BINBYTES + struct.pack("<I", 2**32 - 1),
    "a million lists in lists": P.EMPTY_LIST * 1_000_000 + P.APPEND * 999_999,
    "a million tuples in tuples as a key": P.EMPTY_DICT + P.NONE + P.TUPLE1 * 1_000_000 + P.NONE + P.SETITEM,
    "ten million dictionaries": P.MARK + P.EMPTY_DICT * 10_000_000 + P.LIST,
    "memo numbers to four billion": b"".join(
        P.NONE + P.LONG_BINPUT + struct.pack("<I", i) for i in range(0, 2**32, 2**24)
    ),
    "an array of a terabyte": (
        P.GLOBAL + b"numpy._core.multiarray\n_reconstruct\n" + P.GLOBAL + b"numpy\nndarray\n"
        + P.BININT1 + b"\x00" + P.TUPLE1 + P.SHORT_BINBYTES + b"\x01b" + P.TUPLE3 + P.REDUCE
        + P.MARK + P.BININT1 + b"\x01" + P.MARK + P.LONG1 + b"\x06" + (10**12).to_bytes(6, "little") + P.TUPLE
        + P.GLOBAL + b"numpy\ndtype\n" + P.SHORT_BINUNICODE + b"\x02u1" + P.TUPLE1 + P.REDUCE
        + P.NEWFALSE + P.SHORT_BINBYTES + b"\x00" + P.TUPLE + P.BUILD
    ),
    "a list copied a million times": (
        P.MARK + P.NONE * 100_000 + P.LIST + P.MEMOIZE + P.POP
        + (P.GLOBAL + b"builtins\nset\n" + P.BINGET + b"\x00" + P.TUPLE1 + P.REDUCE) * 10
        + P.MARK + b"".join(P.BININT + struct.pack("<i", i) for i in range(100_000)) + P.LIST + P.MEMOIZE
        + (P.GLOBAL + b"builtins\nset\n" + P.BINGET + b"\x01" + P.TUPLE1 + P.REDUCE) * 100_000
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_one_line_and_little_memory(tmp_path, name):
    if not Path("/proc/self/status").is_file():
        lacking("only Linux tells the peak memory of a process")
    (tmp_path / "bomb").write_bytes(P.PROTO + b"\x04" + BOMBS[name] + P.STOP)
    code = (
        "import re, sys; from ogive._errors import OgiveError\n"
        "from ogive._pickle import Unpickler; from ogive._pickle_stream import Bytes\n"
        "try: Unpickler(Bytes(open(sys.argv[1], 'rb'), 256 << 20), 'x').load()\n"
        "except OgiveError as error: print(error)\n"
        "print(int(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1]) >> 10)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "bomb"], capture_output=True, text=True, check=True)
    *errors, mebibytes = done.stdout.splitlines()
    assert len(errors) == (name != "a million lists in lists")
    assert int(mebibytes) < 900


def test_shared_references_stay_shared():
    """Forty doublings: copied out, this list would have a trillion members."""
    value = [1]
    for _ in range(40):
        value = [value, value]
    found = load_pickle(pickle.dumps(value), "x")
    assert found[0] is found[1]


def test_one_piece_is_bounded_and_letting_go_starts_anew():
    row = {"curve": [float(i) for i in range(20_000)]}
    value = [dict(row, n=i) for i in range(30)]
    value = pickle.loads(pickle.dumps([pickle.loads(pickle.dumps(v)) for v in value]))
    assert len(stream(value, first_and_last, piece=2 << 20)) == 30
    with pytest.raises(StorageError, match="more than 2 MiB in one piece"):
        stream(value, piece=2 << 20)


# -------------------------------------------------------------------- torch files


def torch_bytes(value, zipped):
    out = io.BytesIO()
    torch.save(value, out, _use_new_zipfile_serialization=zipped)
    return out.getvalue()


def load(tmp_path, data):
    (tmp_path / "t").write_bytes(data)
    with (tmp_path / "t").open("rb") as file:
        return load_torch(file, "t")


BOTH = pytest.mark.parametrize("zipped", [True, False])


@BOTH
def test_tensors_come_back_as_arrays(tmp_path, zipped):
    base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    value = {
        "view": base.permute(2, 0, 1)[1:, :, ::2],
        "same storage": base[1],
        "expanded": torch.ones(1).expand(5),
        "scalar": torch.tensor(2.5, dtype=torch.float64),
        "empty": torch.empty(0, 3),
        "parameter": torch.nn.Parameter(torch.randn(3)),
        "state": torch.nn.BatchNorm1d(2).state_dict(),
        "size": base.shape,
        **{str(d): torch.tensor([0, 1, 1], dtype=d) for d in (torch.bool, torch.uint8, torch.int8, torch.int16,
           torch.int32, torch.int64, torch.float16, torch.float32, torch.float64, torch.complex64, torch.complex128)},
    }  # fmt: skip
    found = load(tmp_path, torch_bytes(value, zipped))
    assert (list(found), found["size"]) == (list(value), (2, 3, 4))
    for key, tensor in (value | value["state"]).items():
        if isinstance(tensor, torch.Tensor):
            array = (found | found["state"])[key]
            np.testing.assert_array_equal(array, tensor.detach().numpy())
            assert array.dtype == tensor.detach().numpy().dtype
            assert not array.flags.writeable or array.size == 0


@BOTH
@settings(max_examples=25, deadline=None)
@given(array=hnp.arrays(hnp.floating_dtypes(sizes=(32, 64), endianness="<"), hnp.array_shapes(max_dims=3)))
def test_any_tensor(tmp_path_factory, zipped, array):
    tensor = torch.from_numpy(array).transpose(0, -1)
    found = load(tmp_path_factory.mktemp("t"), torch_bytes([tensor], zipped))[0]
    np.testing.assert_array_equal(found, tensor.numpy())


@BOTH
def test_code_in_a_torch_file_is_refused_and_does_not_run(tmp_path, zipped):
    data = torch_bytes({"weights": [torch.ones(2), _Runs(os.system, f"touch {tmp_path}/marker")]}, zipped)
    with pytest.raises(UnsafePickleError, match=r"'t' wants to load '(posix|nt)\.system'.*refused"):
        load(tmp_path, data)
    assert not (tmp_path / "marker").exists()
    torch.load(io.BytesIO(data), weights_only=False)
    assert (tmp_path / "marker").exists(), "the attack must be a real one for this test to mean anything"


@BOTH
def test_whole_modules_are_refused(tmp_path, zipped):
    with pytest.raises(UnsafePickleError, match=r"torch\.nn\.modules\.linear\.Linear"):
        load(tmp_path, torch_bytes(torch.nn.Linear(2, 2), zipped))


@BOTH
def test_every_truncation_of_a_torch_file_is_one_clear_line(tmp_path, zipped):
    data = torch_bytes({"a": torch.arange(50.0), "b": torch.arange(20)}, zipped)
    for cut in {*range(1, len(data), 11), *range(len(data) - 30, len(data))}:
        with pytest.raises(StorageError, match=r"'t' is (a truncated or corrupt|no file written by)") as caught:
            load(tmp_path, data[:cut])
        assert "\n" not in str(caught.value)


def changed(data, name, content):
    """Replace a member of the archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for member in old.namelist():
            new.writestr(member, content if member.endswith(name) else old.read(member))
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("data/0", b"\0" * 8, "another length than the tensors say"),
        ("byteorder", b"big", "big-endian"),
        ("data.pkl", b"", "truncated or corrupt"),
    ],
)
def test_archives_that_do_not_fit_together(tmp_path, name, content, message):
    with pytest.raises(StorageError, match=message):
        load(tmp_path, changed(torch_bytes([torch.ones(4)], True), name, content))


def test_a_tensor_beyond_its_storage_is_refused(tmp_path):
    data = torch_bytes([torch.ones(4)], True)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        program = archive.read(next(n for n in archive.namelist() if n.endswith("data.pkl")))
    # Offset 0, size (4,): the last is made 200.
    at = program.index(b"K\x00K\x04\x85")
    forged = program[: at + 3] + b"\xc8" + program[at + 4 :]
    with pytest.raises(StorageError, match="reaches beyond its storage"):
        load(tmp_path, changed(data, "data.pkl", forged))


def test_a_zip_archive_of_something_else(tmp_path):
    with zipfile.ZipFile(tmp_path / "z", "w") as archive:
        archive.writestr("readme", "text")
    with pytest.raises(StorageError, match=r"torch\.save did not write it"):
        load(tmp_path, (tmp_path / "z").read_bytes())
