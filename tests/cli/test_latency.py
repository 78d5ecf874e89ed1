"""``ogive latency`` as scripts and people use it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from ogive.cli.main import run
from ogive.spaces.base import get_space

if TYPE_CHECKING:
    from pathlib import Path

SPACE = get_space("nasbench201")


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OGIVE_DATA", str(tmp_path / "home"))


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    """Three devices: sums over operations, one of them twice, one that fails on the largest networks."""
    rng = np.random.default_rng(0)
    genotypes = SPACE.sample(120, rng)
    genotypes = genotypes[list({k: i for i, k in enumerate(SPACE.keys(genotypes))}.values())]
    a, b = (2.0 + np.array(cost)[genotypes].sum(axis=1) for cost in ((0, 0.1, 1, 3, 0.5), (0, 0.3, 2.4, 1.9, 1.1)))
    frame = pd.DataFrame({"ops": ["-".join(map(str, g)) for g in genotypes.tolist()], "macs": 1e6 * a})
    frame["a"], frame["b"] = a, b
    frame["twin"] = a * np.exp(0.001 * rng.standard_normal(len(a)))
    frame["picky"] = np.where(b > np.quantile(b, 0.9), -1.0, b)
    path = tmp_path / "devices.csv.gz"
    frame.to_csv(path, index=False)
    return path


def _json(capsys: pytest.CaptureFixture[str], *args: object) -> dict:
    assert run(["latency", *map(str, args), "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return json.loads(out)


def test_monotonicity_prints_the_matrix(csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "pages" / "m.html"
    found = _json(capsys, "monotonicity", "--table", csv, "--space", "nasbench201", "--report", page)
    assert found["devices"] == ["a", "b", "twin", "picky"]
    matrix = np.array(found["srcc"])
    expected = pd.read_csv(csv)[["a", "b", "twin"]].corr("spearman").to_numpy()
    assert matrix[:3, :3] == pytest.approx(expected, abs=1e-9)
    assert (matrix == matrix.T).all()
    assert found["families"] == [["a", "twin"], ["b", "picky"]]
    assert found["failed"]["picky"] > 5
    assert found["state"][0][2] == "accept"
    assert "near copies of one another: a, twin" in page.read_text().lower()
    assert run(["latency", "monotonicity", "--table", str(csv)]) == 0
    assert "near copies of one another: a, twin" in capsys.readouterr().out


def test_adapt_says_before_after_and_predicts_everything(
    csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "a.html"
    found = _json(
        capsys, "adapt", "--table", csv, "--space", "nasbench201", "--target", "b", "--samples", 20,
        "--predictor", "ridge", "--seed", 1, "--report", page, "--save", "mine",
    )  # fmt: skip
    assert {"device", "samples", "srcc_before", "srcc_after", "predictions"} <= set(found)
    assert (found["device"], found["samples"], len(found["measured"])) == ("b", 20, 20)
    assert found["family"] == ["picky"]
    n = len(pd.read_csv(csv))
    assert found["checked_on"] == n - 20
    assert len(found["predictions"]) == n
    assert all(p["latency_ms"] > 0 for p in found["predictions"])
    truth = dict(
        zip(
            SPACE.format_many(SPACE.parse_many([p["arch"] for p in found["predictions"]])),
            pd.read_csv(csv)["b"],
            strict=True,
        )
    )
    rest = [p for p in found["predictions"] if p["arch"] not in set(found["measured"])]
    order = pd.Series([p["latency_ms"] for p in rest]).corr(pd.Series([truth[p["arch"]] for p in rest]), "spearman")
    assert found["srcc_after"] == pytest.approx(order, abs=1e-9)
    assert "After: the adapted model" in page.read_text()
    arch = found["measured"][0]
    assert run(["measure", arch, "--metrics", "latency@mine,latency_spread@mine", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)["rows"][0]
    assert row["latency@mine"] == pytest.approx(truth[arch])


def test_one_proxy_and_a_pool(csv: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = ("adapt", "--table", csv, "--target", "b", "--samples", 20, "--predictor", "adaproxy")
    assert _json(capsys, *base, "--proxy", "a")["pool"] == ["a"]
    assert _json(capsys, *base, "--pool", "a,twin")["pool"] == ["a", "twin"]
    assert _json(capsys, *base, "--exclude", "t*")["pool"] == ["a"]
    assert "near copy" in _json(capsys, *base, "--proxy", "picky")["warnings"][0]


def test_search_measures_what_it_names(csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "s.html"
    base = ("search", "--table", csv, "--target", "b", "--samples", 20, "--predictor", "ridge", "--maximize", "macs")
    found = _json(capsys, *base, "--cap", 8, "--report", page)
    truth = pd.read_csv(csv)["b"].to_numpy()
    assert found["front"]
    assert all(min(abs(truth - row["latency_ms"])) < 1e-9 for row in found["front"])
    chosen = next(row for row in found["front"] if row["arch"] == found["chosen"])
    assert chosen["latency_ms"] <= 8
    assert "cap 8 ms" in page.read_text()
    assert run(["latency", *map(str, base), "--cap", "8"]) == 0
    assert "chosen under 8 ms" in capsys.readouterr().out


def test_measure_keep_and_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")
    out = tmp_path / "host.csv"
    args = ("measure", "-n", 3, "--space", "nasbench201:C=4,N=1", "--rounds", 2, "--runs", 3, "--out", out)
    found = _json(capsys, *args, "--name", "board", "--save")
    assert len(found["rows"]) == 3
    assert all(row["latency_ms"] > 0 for row in found["rows"])
    assert found["device"]["name"] == "board"
    assert pd.read_csv(out)["board"].tolist() == pytest.approx([row["latency_ms"] for row in found["rows"]])
    assert _json(capsys, "devices")["devices"] == [{"name": "board", "spaces": ["nasbench201:C=4,N=1"]}]
    assert _json(capsys, "import", out, "--space", "nasbench201:C=4,N=1")["devices"] == ["board"]


def test_a_job_goes_there_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")
    from ogive.metrics.onnx_runner import run_job

    folder = tmp_path / "job"
    args = (folder, "-n", 2, "--space", "nasbench201:C=4,N=1", "--rounds", 2, "--runs", 3)
    assert _json(capsys, "job", *args)["networks"] == 2
    run_job(folder)
    assert len(_json(capsys, "read", folder, "--name", "phone", "--save")["rows"]) == 2
    assert run(["latency", "devices"]) == 0
    assert "phone: nasbench201:C=4,N=1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["adapt", "--table", "{csv}", "--target", "c"], "unknown device 'c'"),
        (["adapt", "--table", "{csv}", "--target", "b", "--samples", "1000"], "can be measured on"),
        (["adapt", "--table", "{csv}", "--target", "b", "--predictor", "magic"], "unknown latency predictor 'magic'"),
        (["adapt", "--table", "{csv}", "--target", "b", "--sampler", "magic"], "unknown sampler 'magic'"),
        (["adapt", "--table", "{csv}", "--target", "b", "--proxy", "b"], "cannot be its own proxy"),
        (["adapt", "--table", "none.csv", "--target", "b"], "does not exist"),
        (["monotonicity", "--table", "{csv}", "--devices", "x"], "no column 'x'"),
        (["monotonicity", "--table", "{csv}", "--space", "fbnet"], "row 1"),
        (["search", "--table", "{csv}", "--target", "b", "--maximize", "accuracy@train"], "too dear"),
        (["search", "--table", "{csv}", "--target", "b", "--maximize", "macs", "--cap", "0.1"], "fastest"),
        (["measure", "-n", "0"], "--sample"),
        (["measure", "--runtime", "tflite"], "onnxruntime or torch"),
        (["measure", "-n", "1", "--remote", "ftp://x"], "http://"),
        (["read", "nowhere", "--name", "x"], "no job.json"),
    ],
)
def test_bad_input_ends_in_one_line(csv: Path, args: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["latency", *(a.format(csv=csv) for a in args)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    last = err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert said in last
