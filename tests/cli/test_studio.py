"""``ogive studio``: one line for every mistake, and nothing heavy before it is asked for."""

from __future__ import annotations

import subprocess
import sys

from ogive.cli.main import run as command


def test_a_folder_without_a_run_is_refused(tmp_path, capsys):
    assert command(["studio", str(tmp_path), "--no-open"]) == 2
    assert "no run" in capsys.readouterr().err
    assert command(["studio"]) == 2


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from ogive.cli.main import run; run(['--help']);"
        "print([m for m in ('uvicorn', 'starlette', 'torch') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "[]"


def test_a_demo_goes_into_one_directory(tmp_path, capsys):
    assert command(["studio", str(tmp_path / "a"), str(tmp_path / "b"), "--demo"]) == 2
    assert "one new run" in capsys.readouterr().err
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "notes.txt").write_text("mine")
    assert command(["studio", str(tmp_path / "a"), "--demo", "--no-open"]) == 2
    assert "not empty" in capsys.readouterr().err


def test_a_host_of_other_machines_needs_a_second_word(tmp_path, capsys):
    assert command(["studio", str(tmp_path), "--host", "0.0.0.0", "--no-open"]) == 2
    assert "--allow-remote" in capsys.readouterr().err
