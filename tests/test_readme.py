"""The README's lines are the ones that CI runs."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def lines_of(readme: str) -> list[str]:
    return [line for block in re.findall(r"```(?:sh|bash)\n(.*?)```", readme, re.S) for line in block.splitlines()]


def test_ci_runs_the_readmes_test_line():
    (line,) = [x for x in lines_of((ROOT / "README.md").read_text()) if "pytest" in x]
    assert line in (ROOT / ".ci" / "run").read_text().splitlines()


def test_every_command_the_readme_shows_exists():
    from ogive.cli.main import app

    known = {c.name for c in app.registered_commands} | {g.name for g in app.registered_groups}
    shown = set(re.findall(r"\bogive ([a-z][a-z-]+)", (ROOT / "README.md").read_text()))
    assert shown
    assert shown <= known


def test_constraints_name_no_host_and_no_local_build():
    text = (ROOT / "constraints.txt").read_text()
    assert "torch==2.13.0\n" in text
    assert not re.search(r"https?://|file:|\+cpu|@ ", text)
