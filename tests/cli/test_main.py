"""Exit codes and error lines of the whole command line."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ogive._errors import InputError
from ogive.cli import main as cli


def ogive(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "ogive", *args], capture_output=True, text=True, check=False)


def test_help_lists_every_command_with_a_line():
    out = ogive("--help")
    assert out.returncode == 0
    for command in cli.app.registered_commands:
        assert command.name in out.stdout


def test_version():
    from ogive import __version__

    assert ogive("--version").stdout == f"ogive {__version__}\n"


@pytest.mark.parametrize(
    "args", [["no-such-command"], ["measure"], ["measure", "x", "--no-such-option"], ["measure", "x", "--seed", "one"]]
)
def test_usage_error_is_one_line_and_exit_2(args):
    out = ogive(*args)
    assert out.returncode == 2
    assert out.stdout == ""
    assert out.stderr.startswith("error: ")
    assert out.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code"), [(InputError("what is wrong"), 2), (RuntimeError("a fault"), 1), (KeyboardInterrupt(), 130)]
)
def test_exit_codes(monkeypatch, capsys, error, code):
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(cli, "app", lambda **kw: fail(**kw))
    assert cli.run([]) == code
    err = capsys.readouterr().err
    assert ("Traceback" in err) == (code == 1)
    assert (err == "error: what is wrong\n") == (code == 2)
