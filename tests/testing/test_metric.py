"""Every registered metric, table columns, and the example plug-in pass the conformance suite; broken metrics do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ogive._registry import load_plugin
from ogive.metrics.base import METRICS, Context, Cost, Metric
from ogive.metrics.host_latency import HostConfig
from ogive.metrics.tables import import_table
from ogive.metrics.timing import Protocol
from ogive.spaces.base import Space, get_space
from ogive.tasks.base import Split, SplitName, Task
from ogive.testing.metric import MetricSuite
from ogive.training.config import TrainConfig
from ogive.training.supernet import Supernet
from ogive.training.supernet_trainer import SupernetTrainer

PLUGIN = Path(__file__).parents[2] / "examples" / "plugins" / "metric.py"
OWN = {"skips", "widest"}
BUILTIN = METRICS.builtin
SPACE = get_space("nasbench201:C=2,N=1")


class Blobs(Task):
    """A few examples of three classes, so that training takes a moment."""

    name = "suite-blobs"
    input_shape = (1, 8, 8)
    n_outputs = 3

    def split(self, which: SplitName) -> Split:
        rng = np.random.default_rng(["train", "val", "test"].index(which))
        y = np.arange(24) % 3
        return Split((rng.standard_normal((24, 1, 8, 8)) + y[:, None, None, None]).astype(np.float32), y)


CONTEXT = Context(
    Blobs(),
    options={
        "train": TrainConfig(epochs=1, batch_size=12),
        "zero_cost": {"batch_size": 12},
        "host": HostConfig(protocol=Protocol(runs=3, rounds=2)),
        "supernet": SupernetTrainer(Supernet(SPACE, Blobs()), Blobs()),
    },
)


@pytest.mark.parametrize("name", BUILTIN, scope="class")
class TestBuiltin(MetricSuite):
    n = 3

    @pytest.fixture(autouse=True)
    def _name(self, name: str) -> None:
        self.name, self.clocked = name, METRICS.get(name).unit in {"s", "ms"}

    def make(self) -> tuple[str, Space, Context]:
        return self.name, SPACE, CONTEXT


class TestTable(MetricSuite):
    n = 50

    @pytest.fixture(autouse=True)
    def _table(self, tmp_path: Path) -> None:
        path = tmp_path / "small.csv"
        archs = SPACE.format(SPACE.enumerate())
        path.write_text("arch,score\n" + "".join(f"{a},{i * 0.5}\n" for i, a in enumerate(archs)))
        import_table(path, "small", SPACE)

    def make(self) -> tuple[str, Space, Context]:
        return "score@small", SPACE, Context()


@pytest.mark.parametrize("name", sorted(OWN), scope="class")
class TestPlugin(MetricSuite):
    n = 20

    @pytest.fixture(autouse=True)
    def _name(self, name: str) -> None:
        load_plugin(str(PLUGIN))
        self.name = name

    def make(self) -> tuple[str, Space, Context]:
        return self.name, SPACE, CONTEXT


def test_the_plugin_is_at_most_forty_lines() -> None:
    assert len(PLUGIN.read_text().splitlines()) <= 40


# -------------------------------------------------------------------- the suite finds what it is for


class _Broken(MetricSuite):
    """Carries one provider that is registered for the length of one test."""

    def __init__(self, provider, **info) -> None:
        self.metric = Metric("broken", provider, **info)

    def make(self) -> tuple[str, Space, Context]:
        METRICS._items["broken"] = self.metric
        return "broken", SPACE, CONTEXT


@pytest.fixture
def registered() -> None:
    yield
    METRICS._items.pop("broken", None)


calls = np.random.default_rng(0)


def _batch(function):
    return lambda names, space, genotypes, context: {names[0]: function(np.asarray(genotypes, dtype=float))}


def _scribble(names, space, genotypes, context):
    genotypes[:] = 0
    return {names[0]: np.zeros(len(genotypes))}


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("test", "provider", "info"),
    [
        ("test_every_architecture_has_a_value_or_a_reason", _batch(lambda g: np.full(len(g), np.inf)), {}),
        ("test_every_architecture_has_a_value_or_a_reason", _batch(lambda g: np.full(len(g), np.nan)), {}),
        ("test_same_input_gives_the_same_value", _batch(lambda g: calls.random(len(g))), {}),
        ("test_a_batch_equals_its_rows_in_any_order", _batch(lambda g: g.sum(1) - g.mean()), {}),
        ("test_global_random_state_stays_as_it_was", _batch(lambda g: np.random.rand(len(g))), {}),  # noqa: NPY002
        ("test_genotypes_are_only_read", _scribble, {}),
        ("test_says_what_its_values_mean", _batch(lambda g: g.sum(1)), {"direction": "up"}),
        ("test_says_what_its_values_mean", _batch(lambda g: g.sum(1)), {"unit": ""}),
        ("test_baselines_are_other_metrics", _batch(lambda g: g.sum(1)), {"baseline": ("broken",)}),
        ("test_a_missing_task_is_named", _batch(lambda g: g.sum(1)), {"needs": frozenset({"task"})}),
        (
            "test_one_measurement_serves_all_that_count_as_the_same",
            _batch(lambda g: g.sum(1)),
            {"identity": "graph", "cost": Cost.TABLE},
        ),
    ],
)
def test_a_broken_metric_fails(test, provider, info) -> None:
    suite = _Broken(provider, **info)
    suite.n = 20
    with pytest.raises((AssertionError, ValueError, KeyError)):
        getattr(suite, test)()
