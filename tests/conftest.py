"""Fixtures every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Tests run several at a time; each keeps to one core. Here, because PyTorch reads it once, when first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

REQUIRE_ALL = os.environ.get("OGIVE_TEST_REQUIRE_ALL") == "1"
"""Set by CI: what a machine may lack must be there, and a skip for its absence is a failure."""


def lacking(reason: str) -> None:
    """Skip a test because the machine lacks something, or fail where everything must be there."""
    if REQUIRE_ALL:
        pytest.fail(f"{reason} (OGIVE_TEST_REQUIRE_ALL=1 turns this skip into a failure)")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of the real data extracts, or a skip."""
    root = Path(os.environ.get("OGIVE_SHARED", Path(__file__).parents[2] / "shared" / "data"))
    if not root.is_dir():
        lacking(f"no data extracts at {root}; set OGIVE_SHARED to their folder")
    return root


@pytest.fixture(autouse=True)
def _own_data_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's own data folder."""
    monkeypatch.setenv("OGIVE_DATA", str(tmp_path_factory.mktemp("data", numbered=True)))
