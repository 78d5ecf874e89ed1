"""The lock search: what it promises against simulation and brute force, and what it finds on the real table."""

from __future__ import annotations

from ogive.strategies import get_strategy
from ogive.testing.strategy import StrategySuite


class TestLock(StrategySuite):
    budget = 81

    def make(self, space, **options):
        return get_strategy("lock", space, **options)


class TestLockWithAGate(StrategySuite):
    budget = 81

    def make(self, space, **options):
        return get_strategy("lock:gate=0.2,aggregate=worst", space, **options)
