"""NATS-Bench, NAS-Bench-201 and NAS-Bench-360 import to the numbers that the authors' own reader gives."""

from __future__ import annotations

import math
import random
import tarfile

import numpy as np
import pytest

from ogive import OgiveError
from ogive.metrics.importers import import_tables
from ogive.metrics.tables import Table, table_names
from tests.conftest import lacking
from tests.metrics.importers import layouts

try:
    import nats_bench
except ImportError:
    nats_bench = None

KINDS = {
    "tss": (layouts.tss, layouts.TSS, ("12", "200"), 200),
    "sss": (layouts.sss, layouts.SSS, ("01", "12", "90"), 90),
}
DATASETS = ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120")


def official(dataset, hp, full):
    """Name of each column by the key under which `get_more_info` or `get_cost_info` has it."""
    d = dataset.lower().replace("-", "_")
    suffix = "" if int(hp) == full else f"_{int(hp)}ep"
    name = {
        "valid": "cifar10_val" if d == "cifar10_valid" else f"{d}_val",
        "test": f"{d}_test",
        "valtest": f"{d}_valtest",
    }
    name["train"] = f"{d}_train"
    info = {f"{split}-{q}": f"{title}_{q}{suffix}" for split, title in name.items() for q in ("accuracy", "loss")}
    info["train-all-time"] = f"{d}_train_seconds{suffix}"
    info |= {f"{split}-per-time": f"{name[split]}_seconds{suffix}" for split in ("valid", "test", "valtest")}
    return info, {q: f"{d}_{q}{suffix}" for q in ("params", "flops", "latency")}


def same_as_nats_bench(api, table, archs, schedules, full):
    """Compare every number of every architecture, data set and schedule; return how many there were."""
    compared = 0
    for index, arch in enumerate(archs):
        (row,) = table.rows(table.space.parse([arch]))
        for hp in schedules:
            for dataset in DATASETS:
                info, costs = official(dataset, hp, full)
                found = api.get_more_info(index, dataset, hp=hp, is_random=False) | api.get_cost_info(
                    index, dataset, hp=hp
                )
                for key, column in (info | costs).items():
                    if found.get(key) is not None:
                        assert table.values(column)[row] == pytest.approx(found[key], rel=1e-12), (arch, hp, key)
                        compared += 1
                for seed in api.query_meta_info_by_index(index, hp=hp).get_dataset_seeds(dataset):
                    single = api.get_more_info(index, dataset, hp=hp, is_random=seed)
                    for key in ("valid-accuracy", "test-accuracy", "valtest-accuracy"):
                        if key in single:
                            assert table.values(f"{info[key]}_seed{seed}")[row] == single[key]
                            compared += 1
    return compared


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_gives_the_numbers_of_the_authors_reader(tmp_path, kind):
    if nats_bench is None:
        lacking("the package nats_bench is not installed")
    make, archs, schedules, full = KINDS[kind]
    root = layouts.folder(tmp_path / "simple", make())
    (table,) = import_tables(root, "nats")
    api = nats_bench.create(str(root), kind, fast_mode=True, verbose=False)
    opened = Table.open("nats")
    assert opened.space.name == {"tss": "nasbench201", "sss": "nats_sss"}[kind]
    assert sorted(opened.space.format(opened.genotypes)) == sorted(archs)
    for t in (table, opened):
        assert same_as_nats_bench(api, t, archs, schedules, full) > 300
    # Nothing besides: every column is one that was compared, or the authors' reader cannot give it.
    assert not [c for c in opened.columns if "None" in c]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_folder_archive_and_tar_are_the_same_table(tmp_path, kind, protocol):
    make, *_ = KINDS[kind]
    root = layouts.folder(tmp_path / "any name", make())
    with tarfile.open(tmp_path / "t", "w") as tar:
        tar.add(root, "NATS-simple")
    layouts.bz2_pickle(tmp_path / "one", make(), protocol)
    tables = [import_tables(tmp_path / n, "x")[0] for n in ("any name", "t", "one")]
    assert_equal(*tables)


@pytest.mark.parametrize("zipped", [True, False])
def test_nasbench201_of_either_torch_layout_is_nats_bench_of_its_cells(tmp_path, zipped):
    (expected,) = import_tables(layouts.bz2_pickle(tmp_path / "nats", layouts.tss()), "nats")
    (found,) = import_tables(layouts.nasbench201_pth(tmp_path / "pth", zipped), "nb201")
    assert_equal(expected, found)


def assert_equal(first, *others):
    genotypes = first.space.parse(first.space.format(first.genotypes))
    for other in others:
        assert [*first.columns.values()] == [*other.columns.values()]
        for column in first.columns:
            np.testing.assert_array_equal(first.values(column), other.lookup(column, genotypes))


def test_units_and_directions(tmp_path):
    (t,) = import_tables(layouts.bz2_pickle(tmp_path / "x", layouts.tss()), "x")
    expected = {
        "cifar10_val_accuracy": ("%", "max"),
        "cifar10_val_accuracy_12ep_seed777": ("%", "max"),
        "cifar100_test_loss": ("1", "min"),
        "cifar10_train_seconds": ("s", "min"),
        "cifar10_params": ("M", "min"),
        "imagenet16_120_flops": ("M", "min"),
        "cifar10_latency": ("s", "min"),
    }
    assert {c: (t.column(c).unit, t.column(c).direction) for c in expected} == expected


def test_costs_of_runs_that_disagree_are_those_of_seed_888_as_the_authors_mend_them(tmp_path):
    if nats_bench is None:
        lacking("the package nats_bench is not installed")
    benchmark = layouts.tss()
    benchmark["arch2infos"][1]["200"]["all_results"]["cifar10", 888]["params"] = 0.75
    root = layouts.folder(tmp_path / "f", benchmark)
    (table,) = import_tables(root, "x")
    api = nats_bench.create(str(root), "tss", fast_mode=True, verbose=False)
    (row,) = table.rows(table.space.parse([layouts.TSS[1]]))
    assert table.values("cifar10_params")[row] == api.get_cost_info(1, "cifar10", hp="200")["params"] == 0.75


def test_what_was_not_measured_has_no_value(tmp_path):
    benchmark = layouts.tss()
    results = benchmark["arch2infos"][0]["200"]["all_results"]
    for seed in (777, 888, 999):
        results["cifar100", seed]["train_times"] = None
        results["cifar100", seed]["latency"] = None
    results["cifar100", 888]["eval_acc1es"]["x-valid@199"] = math.nan
    del results["cifar10", 999]
    (t,) = import_tables(layouts.bz2_pickle(tmp_path / "x", benchmark), "x")
    (row,) = t.rows(t.space.parse([layouts.TSS[0]]))
    for column in (
        "cifar100_train_seconds",
        "cifar100_latency",
        "cifar100_val_accuracy_seed888",
        "cifar10_test_accuracy_seed999",
    ):
        assert math.isnan(t.values(column)[row])
        assert not math.isnan(t.values(column)[row - 1])
    both = [results["cifar100", s]["eval_acc1es"]["x-valid@199"] for s in (777, 999)]
    assert t.values("cifar100_val_accuracy")[row] == pytest.approx(sum(both) / 2)


# -------------------------------------------------------------------- NAS-Bench-360


def test_nasbench360_results(tmp_path):
    ninapro, darcy = layouts.nb360("ninapro", 200), layouts.nb360("darcyflow", 200, seed=1)
    darcy["arch2infos"][2]["200"]["all_results"]["darcyflow", 777]["eval_acc1es"]["ori-test@199"] = -0.8
    (t,) = import_tables(layouts.bz2_pickle(tmp_path / "a", ninapro), "n")
    for index, arch in enumerate(layouts.TSS):
        (row,) = t.rows(t.space.parse([arch]))
        expected = ninapro["arch2infos"][index]["200"]["all_results"]["ninapro", 777]["eval_acc1es"]["ori-test@199"]
        assert t.values("ninapro_test_accuracy")[row] == expected
    assert (t.column("ninapro_test_accuracy").unit, "selects on test" in t.column("ninapro_test_accuracy").note) == (
        "%",
        True,
    )
    (d,) = import_tables(layouts.bz2_pickle(tmp_path / "b", darcy), "d")
    assert d.column("darcyflow_test_accuracy").unit == "1"
    assert min(Table.open("d").values("darcyflow_test_accuracy")) == -0.8
    assert "selects on test" in Table.open("d").column("darcyflow_test_accuracy").note


def test_a_folder_of_several_archives_becomes_one_table(tmp_path):
    (tmp_path / "all").mkdir()
    for i, (dataset, epochs) in enumerate([(d, e) for d in ("ninapro", "darcyflow") for e in (12, 200)]):
        layouts.bz2_pickle(tmp_path / "all" / f"{i}", layouts.nb360(dataset, epochs, seed=i))
    (t,) = import_tables(tmp_path / "all", "nb360")
    assert len(t) == 3
    accuracies = {c for c in t.columns if c.endswith(("test_accuracy", "test_accuracy_12ep"))}
    assert accuracies == {f"{d}_test_accuracy{s}" for d in ("ninapro", "darcyflow") for s in ("", "_12ep")}
    assert all(t.coverage(c) == 3 / 15_625 for c in accuracies)


# -------------------------------------------------------------------- wrong files


def spoilt(change):
    benchmark = layouts.tss()
    change(benchmark, benchmark["arch2infos"][1]["12"])
    return benchmark


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b, r: b["meta_archs"].reverse(), "record 0 is not of the architecture 'meta_archs' has there"),
        (lambda b, r: r.update(arch_str="resnet"), "architecture string 'resnet'|not of the architecture"),
        (lambda b, r: r.update(arch_str=3), "without architecture or results"),
        (lambda b, r: r["all_results"]["cifar10", 777].pop("eval_acc1es"), r"another layout \(KeyError: 'eval_acc1es'"),
        (
            lambda b, r: r["all_results"]["cifar10", 777]["eval_acc1es"].update({"ori-test@11": "95"}),
            "a str where a number",
        ),
        (lambda b, r: b["arch2infos"].clear(), "no records of architectures"),
        (lambda b, r: b["arch2infos"].update({1: b["arch2infos"][0]}), "record 1 is not of"),
    ],
)
def test_another_layout_is_one_clear_line_and_nothing_is_imported(tmp_path, change, message):
    path = layouts.bz2_pickle(tmp_path / "x", spoilt(change))
    with pytest.raises(OgiveError, match=message) as caught:
        import_tables(path, "x")
    assert "\n" not in str(caught.value)
    assert table_names() == []


def test_two_values_of_one_quantity_are_refused(tmp_path):
    (tmp_path / "f").mkdir()
    for seed in (0, 1):
        layouts.bz2_pickle(tmp_path / "f" / str(seed), layouts.nb360("ninapro", 12, seed))
    with pytest.raises(OgiveError, match=r"two values of 'ninapro_.*' for architecture '\|avg_pool"):
        import_tables(tmp_path / "f", "x")


def test_a_file_between_the_records_is_named(tmp_path):
    root = layouts.folder(tmp_path / "f", layouts.tss())
    (root / "README.md").write_text("about these files\n")
    with pytest.raises(OgiveError, match=r"README\.md' is no file of a benchmark; take it out"):
        import_tables(root, "x")
    (root / "README.md").rename(root / ".README.md")
    assert len(import_tables(root, "x")) == 1


def test_a_space_that_is_named_must_be_the_right_one(tmp_path):
    path = layouts.bz2_pickle(tmp_path / "x", layouts.sss())
    with pytest.raises(OgiveError, match="is of space nats_sss, not of 'nasbench201'"):
        import_tables(path, "x", "nasbench201")
    assert import_tables(path, "x", "nats_sss")[0].space.name == "nats_sss"


def test_the_fixture_is_not_regular():
    """Two runs differ, so that a reader which takes the wrong one is caught."""
    rng = random.Random(0)
    runs = [layouts.result(rng, "cifar10", s, 12, ("ori-test",))["eval_acc1es"]["ori-test@11"] for s in (777, 888)]
    assert runs[0] != runs[1]
