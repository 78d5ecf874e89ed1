"""The complete tables that locks are checked on."""

from __future__ import annotations

import pytest

from ogive.metrics.tables import import_table


@pytest.fixture
def micro(shared):
    """TransNAS-Bench-101 micro, seven tasks, as table 'micro'."""
    return import_table(shared / "transnasbench101_micro.csv.gz", "micro", "transnas_micro")


@pytest.fixture
def nb201(shared):
    """NAS-Bench-201, three data sets, as table 'nb201'."""
    return import_table(shared / "nasbench201.csv.gz", "nb201", "nasbench201")
