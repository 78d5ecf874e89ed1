"""A forbidden metric cannot be read by any way that a search has."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from ogive._errors import InputError, UnknownNameError
from ogive.metrics.base import Constraint, Context, resolve
from ogive.metrics.evaluate import evaluate
from ogive.metrics.guard import LeakError, forbidden
from ogive.metrics.tables import Table, import_table
from ogive.study import Study
from ogive.study.workers import Pool
from ogive.tasks.base import get_task


@pytest.fixture(params=["fresh", "read before"])
def table(request, tmp_path):
    cells = [f"64-41414-0_00_00{d}" for d in "0123"]
    file = tmp_path / "t.csv"
    file.write_text("arch,a,b,c\n" + "\n".join(f"{c},{i},{i * i},{-i}" for i, c in enumerate(cells)))
    import_table(file, "t", "transnas_micro")
    table = Table.open("t")
    if request.param == "read before":
        for column in ("a", "percentile:a", "mean_percentile:a+b"):
            table.values(column)
    return table


WAYS = {
    "values": lambda t, g: t.values("a"),
    "lookup": lambda t, g: t.lookup("a", g),
    "optimum": lambda t, g: t.optimum("a"),
    "save": lambda t, g: t.save(),
    "percentile": lambda t, g: t.values("percentile:a"),
    "mean percentile": lambda t, g: t.lookup("mean_percentile:a+b", g),
    "metric": lambda t, g: evaluate(["a@t"], t.space, g, Context()),
    "provider": lambda t, g: resolve("a@t").provider(("a@t",), t.space, g, Context()),
    "constraint": lambda t, g: evaluate(
        ["b@t"], t.space, g, Context(), [Constraint.parse("worst_percentile:b+a@t<50")]
    ),
}


@pytest.mark.parametrize("spec", ["a@t", "percentile:a@t", "mean_percentile:a+c@t"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_no_way_leads_to_a_forbidden_column(table, way, spec):
    with forbidden(spec), pytest.raises(LeakError, match="'a@t' was about to be read"):
        way(table, table.genotypes)
    way(table, table.genotypes)


def test_other_columns_stay_open(table):
    with forbidden("a@t"):
        assert evaluate(["b@t", "percentile:b@t"], table.space, table.genotypes, Context()).values["b@t"].tolist() == [
            0, 1, 4, 9
        ]  # fmt: skip


def test_blocks_nest_and_end_with_an_error(table):
    def inner():
        with forbidden("b@t"):
            for column in "ab":
                with pytest.raises(LeakError):
                    table.values(column)
            raise ZeroDivisionError

    with forbidden("a@t"):
        with pytest.raises(ZeroDivisionError):
            inner()
        table.values("b")
        with pytest.raises(LeakError):
            table.values("a")
    table.values("a")


def test_concurrent_searches_do_not_share_what_is_forbidden(table):
    async def search(column):
        with forbidden(f"{column}@t"):
            await asyncio.sleep(0)
            other = "b" if column == "a" else "a"
            table.values(other)
            with pytest.raises(LeakError):
                table.values(column)

    async def both():
        await asyncio.gather(search("a"), search("b"))

    asyncio.run(both())


def test_a_forbidden_task_is_neither_counted_nor_trained_on():
    from ogive.spaces import get_space

    space = get_space("nasbench201:C=4,N=1")
    genotypes = space.sample(1, np.random.default_rng(0))
    with forbidden("accuracy@train/digits"):
        for spec in ("accuracy@train/digits", "params/digits", "synflow/digits"):
            with pytest.raises(LeakError, match="data of task 'digits'"):
                evaluate([spec], space, genotypes, Context())
        with pytest.raises(LeakError):
            evaluate(["accuracy@train"], space, genotypes, Context(task=get_task("digits")))
    assert evaluate(["params/digits"], space, genotypes, Context()).values["params/digits"][0] > 0


def test_any_other_metric_cannot_be_evaluated():
    from ogive.spaces import get_space

    space = get_space("nasbench201:C=4,N=1")
    with forbidden("params"), pytest.raises(LeakError, match="'params'"):
        evaluate(["params"], space, space.enumerate()[:1], Context(task=get_task("digits")))


def test_a_leak_ends_the_study_instead_of_failing_a_trial(table):
    study = Study(table.space, maximize=["accuracy@train/digits"], strategy="random")
    with forbidden("accuracy@train/digits"), pytest.raises(LeakError):
        study.run(1, progress=False)
    assert issubclass(LeakError, InputError)
    assert issubclass(LeakError, RuntimeError)


def test_an_unknown_metric_cannot_be_forbidden(table):
    with pytest.raises(UnknownNameError, match="no column 'aa'"), forbidden("aa@t"):
        pass


def test_workers_of_a_study_are_bound_as_well():
    study = Study("nasbench201:C=4,N=1", maximize=["synflow/digits"], strategy="random")
    pool = Pool(1, study.config.to_dict())
    genotype = study.problem.space.sample(1, np.random.default_rng(0))[0].tolist()
    try:
        with forbidden("accuracy@train/digits"):
            pool.submit(0, "measure", genotype)
            with pytest.raises(InputError, match="data of task 'digits'"):
                pool.wait()
        pool.close()
        pool.submit(1, "measure", genotype)
        assert np.isfinite(pool.wait()[0].result["values"][0])
    finally:
        pool.close()
