"""How long a fresh interpreter takes to import the package and to print its help, beside Python itself."""

from __future__ import annotations

import resource
import subprocess
import sys

import numpy as np
import pytest

WAYS = {"import ogive": (["-c", "import ogive"], 0.3), "ogive --help": (["-m", "ogive", "--help"], 0.4)}


def cpu_seconds(arguments: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("way", WAYS)
def test_start(benchmark, way):
    arguments, bar = WAYS[way]
    benchmark.pedantic(cpu_seconds, args=(arguments,), rounds=7, warmup_rounds=1)
    ours, plain = (float(np.median([cpu_seconds(a) for _ in range(7)])) for a in (arguments, ["-c", "pass"]))
    benchmark.extra_info.update(cpu_seconds=ours, python_alone=plain)
    assert ours < bar
