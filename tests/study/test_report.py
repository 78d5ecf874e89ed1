"""The report: one file that loads nothing, says what was found, and shows foreign text as text."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from ogive._registry import load_plugin
from ogive.spaces.base import SPACES, Choice, Graphs, Space
from ogive.study import Study
from ogive.study._charts import Axis, Frame, full, points, short
from ogive.study._drawing import draw_graph
from tests.conftest import lacking

load_plugin(str(Path(__file__).with_name("plugin.py")))
EVIL = "<img src=x onerror=alert(1)>"


def make(out, **more):
    options = {"maximize": ["rugged"], "minimize": ["params"], "where": ["relus<=20000"], "seed": 2, "out": out}
    return Study("nasbench201", "digits", **(options | more))


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    study = make(tmp_path_factory.mktemp("r") / "first", command="ogive search --out 'a & b'")
    study.run(40)
    return study, (study.directory.path / "report.html").read_text()


def test_it_names_no_address(report):
    _, text = report
    assert not re.findall(r"(?i)https?://(?!www\.w3\.org/2000/svg)|//cdn|@import|url\(|<link|<iframe|<img", text)
    assert not re.findall(r"(?i)\b(src|href|action)\s*=", text)
    assert "default-src 'none'" in text
    assert len(text) < 200_000


def test_it_says_what_was_asked_and_found(report):
    study, text = report
    plain = html.unescape(text)
    for piece in (
        "Maximise rugged and minimise params",
        study.best.arch,
        "relus<=20000",
        "ogive search --out 'a & b'",
    ):
        assert piece in plain
    rows = re.findall(r"<tr class=", text)
    shown = study.results()
    assert len(rows) >= 40
    assert len(re.findall(r'<tr class="(?:front|chosen)"', text)) == len(shown.front_positions())
    for arch in study.trials["arch"]:
        assert html.escape(arch) in text
    refused = shown.counts()["refused"]
    assert f"<b>{refused:,}</b><span>refused by constraints" in text


def chromium():
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        lacking("no Chromium on this machine")
    return found


def browse(path, folder, *options):
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
    flags += ["--disable-background-networking", "--disable-component-update", f"--user-data-dir={folder}"]
    done = subprocess.run(
        [chromium(), *flags, *options, path.as_uri()], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def test_a_browser_shows_it_without_errors_or_requests(report, tmp_path):
    study, _ = report
    path = study.directory.path / "report.html"
    log = tmp_path / "net.json"
    done = browse(path, tmp_path / "profile", "--dump-dom", "--enable-logging=stderr", f"--log-net-log={log}")
    assert study.best.arch in html.unescape(done.stdout)
    assert done.stdout.count("<circle") > 40
    assert "CONSOLE" not in done.stderr
    addresses = re.findall(r'"url":"(https?://[^"]+)"', log.read_text())
    assert not [a for a in addresses if "google" not in a and "gstatic" not in a]


def test_scripts_work(report, tmp_path):
    """Sort by the objective, search, and light up one architecture, then look at the page."""
    study, text = report
    probe = """<script>
      const head = document.querySelectorAll('th button')[2];
      head.click(); head.click();
      const values = [...document.querySelectorAll('tbody tr')].map((r) => parseFloat(r.cells[2].dataset.v));
      document.title = JSON.stringify({
        sorted: values.every((v, k) => k === 0 || !(v > values[k - 1])),
        first: document.querySelector('tbody tr').cells[1].textContent,
      });
      const box = document.getElementById('search');
      box.value = 'no_such_word'; box.dispatchEvent(new Event('input'));
      const mark = document.querySelector('circle[data-i]');
      mark.dispatchEvent(new PointerEvent('pointermove', {bubbles: true, clientX: 5, clientY: 5}));
    </script>"""
    page = tmp_path / "probe.html"
    page.write_text(text.replace("</body>", probe + "</body>"))
    dom = browse(page, tmp_path / "profile", "--dump-dom").stdout
    title = html.unescape(re.search(r"<title>(.*?)</title>", dom).group(1))
    assert title == f'{{"sorted":true,"first":"{study.best.arch}"}}'
    assert '<span id="shown">0</span>' in dom
    assert 'class="mark' in dom
    assert re.search(r'class="mark [a-z]+ on"', dom)
    assert re.search(r'<div id="tip" style="[^"]+"><div>', dom)


class Evil(Space):
    name = "evil-space"
    choices = tuple(Choice(f"{EVIL}{i}", ("a", EVIL)) for i in range(3))

    def parse_many(self, archs):
        return np.array([[int(c) for c in a.removeprefix(EVIL)] for a in archs], dtype=self.dtype).reshape(-1, 3)

    def format_many(self, genotypes):
        return [EVIL + "".join(map(str, row)) for row in np.asarray(genotypes).tolist()]


def test_foreign_text_is_shown_as_text(tmp_path):
    if "evil-space" not in SPACES:
        SPACES.add("evil-space", Evil)
    study = Study(
        "evil-space", maximize=["rugged2"], out=tmp_path / "x", command=f"ogive {EVIL}</script>", max_draws=99
    )
    study.run(5)
    text = (tmp_path / "x" / "report.html").read_text()
    assert "<img" not in text
    assert text.count("</script>") == 1
    assert html.escape(EVIL) in text


@pytest.fixture(autouse=True, scope="module")
def _rugged2():
    from ogive.metrics.base import METRICS, metric

    if "rugged2" not in METRICS:
        metric("rugged2")(lambda space, genotypes, context: genotypes.sum(axis=1).astype(float))


def test_an_empty_or_failed_run_has_a_report(tmp_path):
    study = make(tmp_path / "empty")
    assert "no architecture that meets the constraints" in study.write_report().read_text()
    moody = Study("nasbench201", "digits", maximize=["moody@test"], out=tmp_path / "m", workers=0, strategy="random")
    moody.run(20)
    assert "the loss is infinite" in (tmp_path / "m" / "report.html").read_text()


def test_many_trials_make_a_small_page(tmp_path):
    study = make(tmp_path / "big", strategy="random", batch=500, where=[])
    study.run(4000)
    text = (tmp_path / "big" / "report.html").read_text()
    assert len(text) < 2_000_000
    assert re.search(r"2,\d{3}</span> shown of 4,|>2,000</span> shown of 4,", text)
    assert len(re.findall(r'<tr class="(?:front|chosen)"', text)) == len(study.front)


# ---------------------------------------------------------------- drawings


def test_axes_put_values_where_they_belong():
    axis = Axis("x", 10.0, 20.0)
    assert axis.at(np.array([10.0, 15.0, 20.0])).tolist() == [0.0, 0.5, 1.0]
    assert axis.inside(np.array([0.0, 99.0])).tolist() == [0.0, 1.0]
    assert axis.ticks() == [10.0, 12.0, 14.0, 16.0, 18.0, 20.0]
    log = Axis.of("x", np.array([1.0, 10.0, 1000.0]), log=True)
    assert log.log
    assert np.allclose(np.diff(log.at(np.array([1.0, 10.0, 100.0, 1000.0]))), np.diff(log.at(np.array([1.0, 10.0])))[0])
    assert {1.0, 10.0, 100.0, 1000.0} <= set(log.ticks())
    assert not Axis.of("x", np.array([0.0, 10.0, 1000.0]), log=True).log


@pytest.mark.parametrize("values", [[], [3.0], [3.0, 3.0], [0.0], [np.nan], [-1e-9, 1e-9], [1e12, 2e12]])
def test_axes_of_few_values_have_ticks(values):
    axis = Axis.of("x", np.array(values))
    assert axis.low < axis.high
    assert 2 <= len(axis.ticks()) <= 8
    assert all(axis.low <= t <= axis.high for t in axis.ticks())


def test_a_value_far_off_does_not_flatten_the_others():
    values = np.array([96.0, 97.0, 97.5, 98.0, 98.5, 10.0])
    assert Axis.of("x", values).low > 90
    assert Axis.of("x", values, also=[10.0]).low < 10


def test_points_without_a_value_are_not_drawn():
    frame = Frame(Axis("x", 0, 1), Axis("y", 0, 1))
    drawn = points(frame, np.array([0.5, np.nan]), np.array([0.5, 0.5]), [7, 8], ["trial", "front"])
    assert 'data-i="7"' in drawn
    assert 'data-i="8"' not in drawn


@pytest.mark.parametrize(
    ("value", "brief", "whole"),
    [
        (131904, "131.9k", "131,904"),
        (0.25, "0.25", "0.25"),
        (99.5, "99.5", "99.5"),
        (float("nan"), "–", "–"),
        (0, "0", "0"),
    ],
)
def test_numbers(value, brief, whole):
    assert short(value) == brief
    assert full(value) == whole


def test_a_graph_is_drawn_with_all_its_parts():
    import ogive

    space = ogive.space("nasbench201")
    arch = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|avg_pool_3x3~1|nor_conv_1x1~2|"
    graphs = space.graph(space.parse([arch]))
    drawn = draw_graph(graphs)
    assert re.findall(r">([a-z_0-9]+)</text>", drawn) == [graphs.vocabulary[o] for o in graphs.ops[0]]
    assert drawn.count("<path") == int(graphs.adjacency[0].sum())
    # What does nothing is faint: the two operations called none, and only they.
    assert drawn.count('class="vertex op faint"') == 2
    boxes = [tuple(map(float, b)) for b in re.findall(r'<rect x="([\d.]+)" y="([\d.]+)"', drawn)]
    assert len(set(boxes)) == len(boxes)
    for x, y in boxes:
        assert not [1 for a, b in boxes if (a, b) != (x, y) and abs(a - x) < 128 and abs(b - y) < 38]


def test_padding_and_dead_ends_in_graphs():
    vocabulary = ("input", "conv", "output")
    adjacency = np.zeros((1, 4, 4), dtype=bool)
    adjacency[0, 0, 1] = adjacency[0, 0, 2] = True
    drawn = draw_graph(Graphs(np.array([[0, 1, 2, -1]], dtype=np.int8), adjacency, vocabulary))
    assert drawn.count("<rect") == 3
    assert 'class="vertex op faint"' in drawn
