"""``ogive embed`` as scripts and people use it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ogive.cli.main import run
from ogive.metrics.tables import Column, Table
from ogive.predictors.graph_autoencoder import Embedding
from ogive.spaces import get_space
from ogive.strategies import get_strategy
from ogive.testing.strategy import score

TRAIN = ["embed", "train", "--space", "transnas_micro", "--epochs", "1", "--cells", "60"]


def _json(capsys, *args):
    assert run([*map(str, args), "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return json.loads(out)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("embedding")
    assert run([*TRAIN, "--seed", "3", "--out", str(path), "--quiet"]) == 0
    return path


@pytest.fixture
def table():
    space = get_space("transnas_micro")
    everything = space.enumerate()
    Table("mine", space, everything, [Column("val", "%"), Column("test", "%")], score(space, everything, 2).T).save()
    return Table.open("mine")


def test_train_says_how_good_the_embedding_is(folder, tmp_path, capsys):
    capsys.readouterr()
    found = _json(capsys, *TRAIN, "--seed", 3, "--out", tmp_path)
    for name in ("reconstruction", "validity", "uniqueness", "strict_validity"):
        assert 0 <= found[name] <= 1
    assert found["seconds"] > 0
    assert found["cpu_seconds"] > 0
    assert (found["seed"], found["epochs"], found["cells"], found["dimension"]) == (3, 1, 54, 16)
    assert [p.name for p in tmp_path.iterdir()] == ["embedding.safetensors"]
    held, again = Embedding.load(folder), Embedding.load(tmp_path)
    np.testing.assert_array_equal(held.table[1], again.table[1])


def test_an_embedding_without_decoder_has_no_shares(tmp_path, capsys):
    found = _json(capsys, *TRAIN, "--preset", "masked", "--out", tmp_path)
    assert found["reconstruction"] is None
    assert found["validity"] is None
    assert found["preset"] == Embedding.load(tmp_path).preset == "masked"


def test_search_prints_rows_for_scripts(folder, table, capsys):
    capsys.readouterr()
    args = ["embed", "search", "--table", "mine", "--space", "transnas_micro", "--objective", "val"]
    args += ["--report", "test", "--embedding", folder, "--seeds", 4, "--budget", "30,20"]
    found = _json(capsys, *args, "--strategy", "arch2vec-bo,arch2vec-rl:target=raw,random")
    names = ["arch2vec-bo", "arch2vec-rl:target=raw", "random"]
    assert [(r["strategy"], r["budget"]) for r in found["rows"]] == [(n, b) for n in names for b in (20, 30)]
    for row in found["rows"]:
        low, high = row["regret_ci"]
        assert 0 <= low <= row["regret_mean"] <= high
        assert set(row["distinguishable"]) <= set(names)
    # The same by hand: the strategy in the folder's embedding, what validation chooses, its test value.
    regrets = []
    for seed in range(4):
        strategy = get_strategy(f"arch2vec-bo:embedding={folder}", table.space, seed=seed)
        asked = np.empty((0, 6), dtype=np.uint8)
        for _ in range(20):
            g = strategy.ask(1)
            strategy.tell(g, table.values("val")[table.rows(g)][:, None])
            asked = np.concatenate([asked, g])
        rows = table.rows(asked)
        chosen = rows[table.values("val")[rows].argmax()]
        regrets.append(table.values("test").max() - table.values("test")[chosen])
    assert found["rows"][0]["regret_mean"] == pytest.approx(np.mean(regrets))
    assert (found["table"], found["objective"], found["report"], found["seeds"]) == ("mine", "val", "test", 4)


def test_search_for_people_draws_the_table_of_bench_strategies(folder, table, capsys):
    capsys.readouterr()
    args = ["embed", "search", "--table", "mine", "--objective", "val", "--embedding", str(folder)]
    assert run([*args, "--seeds", "2", "--budget", "12", "--strategy", "arch2vec-rl"]) == 0
    out, err = capsys.readouterr()
    assert "arch2vec-rl" in out
    assert "95 % interval" in out
    assert "2 runs each" in err


def test_map_is_drawn_of_a_column_or_a_count(folder, table, tmp_path, capsys):
    capsys.readouterr()
    found = _json(capsys, "embed", "map", "--embedding", folder, "--out", tmp_path / "a.html")
    assert found["metric"] == "params"
    assert found["architectures"] == 4096
    assert "params" in (tmp_path / "a.html").read_text()
    args = ["embed", "map", "--embedding", folder, "--table", "mine", "--metric", "val", "--out", tmp_path / "b.html"]
    assert _json(capsys, *args)["page"] == str(tmp_path / "b.html")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([*TRAIN, "--out", "x", "--preset", "arch3vec"], "unknown embedding preset 'arch3vec'"),
        ([*TRAIN, "--out", "x", "--epochs", "-1"], "epochs >= 0"),
        (["embed", "search", "--table", "mine", "--objective", "valid"], "valid"),
        (["embed", "search", "--table", "mine", "--objective", "val", "--budget", "ten"], "budgets 'ten'"),
        (["embed", "search", "--table", "mine", "--objective", "val", "--embedding", "a,b"], "comma"),
        (["embed", "search", "--table", "mine", "--objective", "val", "--embedding", "none"], "none"),
        (["embed", "map", "--embedding", "none", "--out", "x.html"], "none"),
    ],
)
def test_wrong_input_is_one_line(args, message, table, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


def test_a_metric_too_dear_for_a_map_is_refused(folder, tmp_path, capsys):
    args = ["embed", "map", "--embedding", str(folder), "--out", str(tmp_path / "x.html"), "--metric", "synflow"]
    assert run(args) == 2
    assert "too dear" in capsys.readouterr().err
