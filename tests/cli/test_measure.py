"""``ogive measure`` as scripts and people use it."""

from __future__ import annotations

import json

import pytest

from ogive.cli.main import run

CONV = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"
NONE = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"


def test_counts_need_no_data_and_equal_the_published_ones(capsys):
    # The all-conv3x3 cell: 1,531,546 parameters with 10 classes; 100 classes add 90 * (64 + 1).
    code = run(
        ["measure", CONV, "--space", "nasbench201", "--task", "cifar100", "--metrics", "params,macs,relus", "--json"]
    )
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    document = json.loads(out)
    (row,) = document["rows"]
    assert row["arch"] == CONV
    assert row["params"] == 1_531_546 + 90 * 65
    assert row["macs"] == 220_119_680 + 90 * 64
    assert document["metrics"]["relus"]["direction"] == "min"


def test_rows_come_in_the_order_given(capsys):
    assert run(["measure", NONE, CONV, NONE, "--metrics", "params", "--task", "cifar10", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [r["params"] for r in rows] == [73_306, 1_531_546, 73_306]


def test_people_get_units_and_directions(capsys):
    assert run(["measure", CONV, "--metrics", "params", "--task", "cifar10"]) == 0
    out, err = capsys.readouterr()
    assert "1,531,546" in out
    assert "lower" in out
    assert CONV in out
    assert "measuring 1 of nasbench201" in err
    assert run(["measure", CONV, "--metrics", "params", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_plugin_metric(tmp_path, capsys):
    path = tmp_path / "zeros.py"
    path.write_text(
        "from ogive.metrics import metric\n"
        "@metric('zeros', direction='min')\n"
        "def zeros(space, genotypes, context): return (genotypes == 0).sum(axis=1).astype(float)\n"
    )
    assert run(["measure", NONE, CONV, "--plugin", str(path), "--metrics", "zeros", "--json"]) == 0
    assert [r["zeros"] for r in json.loads(capsys.readouterr().out)["rows"]] == [6, 0]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([CONV, "--metrics", "prams"], "unknown metric 'prams'; did you mean 'params'"),
        ([CONV, "--space", "nasbench21"], "unknown space 'nasbench21'; did you mean 'nasbench201'"),
        ([CONV, "--task", "cifar11"], "unknown task 'cifar11'; did you mean 'cifar10"),
        ([CONV.replace("3x3~1", "3x~1")], "position 33: unknown operation 'nor_conv_3x'"),
        ([CONV[:-1]], "position 94: expected '|'"),
        ([CONV, "--space", "nasbench201:C=0"], "C >= 1"),
        ([CONV, "--space", "nasbench201:width=8"], "unexpected keyword argument 'width'"),
        ([CONV, "--metrics", "accuracy@nowhere"], "nowhere"),
        ([CONV, "--metrics", "snip", "--device", "warp"], "device 'warp' cannot be used"),
    ],
)
def test_wrong_input_is_one_line_and_exit_2(args, message, capsys):
    assert run(["measure", *args, "--quiet"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert message in err
