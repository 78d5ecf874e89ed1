"""The page on runs that are large, that broke off, or whose parts have odd names (P14, P17, P18)."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from playwright.sync_api import expect

from ogive.strategies.random import Random
from ogive.study import SqliteLog, Study
from tests.studio.conftest import until
from tests.studio.runs import cell_run, drawn_run, large_run

NASTY = "<img src=x onerror=alert(1)>"
MANY = 50_000


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    return large_run(tmp_path_factory.mktemp("large") / "run", MANY)


def place_of(page, number: int) -> np.ndarray:
    return np.array(page.get_by_test_id("map").evaluate("(map, id) => map.placeOf(id)", number))


def test_a_map_of_many_is_exact_and_moves(large, serve, opened):
    """P14: all arrive, a point picked by hand is the nearest one by the API's numbers, and panning draws."""
    studio = serve(large, "--read-only")
    page, _ = opened(studio)
    plane = page.get_by_test_id("map")
    expect(plane).to_have_attribute("data-count", str(MANY), timeout=60_000)
    expect(page.get_by_test_id("candidates")).to_have_attribute("data-count", str(MANY))
    page.get_by_label("Horizontal axis").select_option("macs")
    page.get_by_label("Vertical axis").select_option("params")
    found = studio.get("candidates?after=0")
    assert len(set(found["ids"])) == MANY
    ids = np.array(found["ids"])
    data = np.column_stack([found["metrics"]["macs"], found["metrics"]["params"]])
    # Two points say where the others lie: both axes are linear.
    low, high = int(data.sum(axis=1).argmin()), int(data.sum(axis=1).argmax())
    until(lambda: np.isfinite(place_of(page, int(ids[low]))).all())
    page.wait_for_timeout(500)
    first, last = place_of(page, int(ids[low])), place_of(page, int(ids[high]))
    places = first + (data - data[low]) / (data[high] - data[low]) * (last - first)
    box = plane.bounding_box()
    for share in np.random.default_rng(3).uniform(0.2, 0.8, (5, 2)):
        at = np.round(share * [box["width"], box["height"]])
        plane.click(position={"x": at[0], "y": at[1]})
        nearest = ids[((places - at) ** 2).sum(axis=1).argmin()]
        expect(page.get_by_test_id("detail")).to_have_attribute("data-ids", str(nearest))
    expect(page.get_by_test_id("detail")).to_contain_text(f"#{nearest}")
    page.evaluate("""() => {
        window.drawn = 0;
        const put = CanvasRenderingContext2D.prototype.putImageData;
        CanvasRenderingContext2D.prototype.putImageData = function (...given) {
            window.drawn += 1;
            return put.apply(this, given);
        };
    }""")
    before = place_of(page, int(nearest))
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(1, 11):
        page.mouse.move(x + 6 * step, y - 3 * step)
        page.evaluate("() => new Promise(requestAnimationFrame)")
    page.mouse.up()
    assert place_of(page, int(nearest)) - before == pytest.approx([60, -30], abs=1)
    assert page.evaluate("() => window.drawn") >= 8


def test_a_search_that_broke_off_says_why_and_can_be_looked_at(tmp_path, serve, opened, monkeypatch):
    """P18: while the page is open, its engine meets a fault."""
    run = cell_run(tmp_path / "run", trials=20, strategy="random")
    studio = serve(run, "--read-only")
    page, _ = opened(studio)
    expect(page.get_by_test_id("run-state")).to_have_text("done")
    expect(page.get_by_role("alert")).to_have_count(0)

    def ask(self, n):
        raise RuntimeError("the spring is broken")

    monkeypatch.setattr(Random, "ask", ask)
    with pytest.raises(RuntimeError, match="spring"):
        Study.open(run).run(trials=5)
    with SqliteLog(run / "run.db", read_only=True) as log:
        *_, last = log.read(kinds=["run.state"])
    assert last.data["state"] == "failed"
    expect(page.get_by_test_id("run-state")).to_have_text("failed")
    banner = page.get_by_role("alert")
    expect(banner).to_contain_text("RuntimeError: the spring is broken")
    # Also for somebody who comes later.
    page.reload()
    expect(banner).to_contain_text("the spring is broken")
    count = str(len(studio.rows()))
    assert int(count) >= 20
    for hook in ("map", "candidates"):
        expect(page.get_by_test_id(hook)).to_have_attribute("data-count", count)
    page.get_by_test_id("candidates").locator("[data-id='7']").click()
    expect(page.get_by_test_id("detail")).to_have_attribute("data-ids", "7")
    expect(page.locator("[data-marked='true']")).to_have_count(6)
    for tab, hook in [("Trust", "trust"), ("Timeline", "timeline"), ("History", "history")]:
        page.get_by_role("tab", name=tab).click()
        expect(page.get_by_test_id(hook)).to_be_visible()


def test_a_nasty_node_is_text(tmp_path, serve, opened):
    """P17 for a node. A drawing refuses such a name, so the answers of the server are given it on their way."""
    page, _ = opened(serve(drawn_run(tmp_path / "run"), "--read-only"))
    inside = json.dumps(NASTY)

    def renamed(route):
        answer = route.fetch()
        route.fulfill(response=answer, body=answer.text().replace('"a_conv5"', inside))

    page.route(re.compile("/api/(?!stream)"), renamed)
    page.reload()
    node = page.get_by_test_id(f"node-{NASTY}")
    expect(node).to_have_attribute("aria-label", re.compile(re.escape(NASTY)))
    expect(node.locator("title")).to_contain_text(NASTY)
    node.click()
    expect(page.get_by_test_id("detail")).to_be_visible()
    expect(page.get_by_text(NASTY).first).to_be_attached()
    assert page.locator("img[src='x']").count() == 0
