"""What is imported when: a fresh interpreter shows it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ogive._errors import MissingDependencyError
from ogive._imports import require

HEAVY = {"torch", "pandas", "sklearn", "scipy", "pyarrow", "matplotlib", "onnx"}


def loaded_after(code: str) -> set[str]:
    out = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint('\\n'.join(sys.modules), file=sys.stderr)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.partition(".")[0] for name in out.stderr.splitlines()}


@pytest.mark.parametrize(
    "code",
    [
        "import ogive",
        "import ogive.cli.main",
        "from ogive.cli.main import run; assert run(['--help']) == 0",
        "import ogive; s = ogive.space('nasbench201'); s.canonical(s.enumerate())",
    ],
)
def test_nothing_heavy_is_imported(code):
    assert not loaded_after(code) & HEAVY


def test_missing_package_gives_the_install_command():
    with pytest.raises(MissingDependencyError, match=r"pip install 'ogive\[onnx\]'") as caught:
        require("no_such_package.sub", "onnx", "ONNX export")
    assert isinstance(caught.value, ImportError)


def test_present_package_is_returned():
    import json

    assert require("json", "onnx", "nothing") is json


def test_unknown_attribute():
    import ogive

    with pytest.raises(AttributeError, match="no attribute 'spaec'"):
        ogive.spaec  # noqa: B018
    assert "space" in dir(ogive)


def test_every_promised_name_is_there():
    import ogive

    for name in ogive.__all__:
        assert getattr(ogive, name) is not None
    assert ogive.space("nasbench201").name == "nasbench201"
    assert ogive.task("cifar100").n_outputs == 100
