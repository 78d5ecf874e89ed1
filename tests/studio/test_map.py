"""The map and the table of candidates in a browser, against what the server says of the same candidates."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from tests.studio.runs import cell_run, logged_in, served

PLACES = "ids => ids.map((id) => document.querySelector('[data-testid=map]').placeOf(id))"
QUERIES = {
    "": lambda c: c["id"] >= 0,
    "params>600k": lambda c: c["params"] > 600_000,
    "params>=0.2M macs<5e6": lambda c: (c["params"] >= 200_000) & (c["macs"] < 5e6),
    "!params>600k": lambda c: ~(c["params"] > 600_000),
    "id<10 rev=0": lambda c: c["id"] < 10,
    "id!=3": lambda c: c["id"] != 3,
    "nor_conv_3x3@0->1": lambda c: c["0->1/nor_conv_3x3"],
    '"0->1/none" !none@1->2': lambda c: c["0->1/none"] & ~c["1->2/none"],
    "pool@2->3": lambda c: c["2->3/avg_pool_3x3"],
    "done feasible": lambda c: c["done"] & c["feasible"],
    "no_such_part": lambda c: c["id"] < 0,
}


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    folder = cell_run(tmp_path_factory.mktemp("map") / "cells", 150, where=["relus<=60000"])
    with served(folder, "--read-only") as (_, printed), logged_in(printed) as client:
        yield printed["url"], client


@pytest.fixture(scope="module")
def candidates(api):
    """Every quantity and part of the run as an array by row."""
    found = api[1].get("/api/candidates").json()
    columns = {name: np.array(values, dtype=float) for name, values in found["metrics"].items()}
    for i, part in enumerate(found["part_names"]):
        columns[part] = np.array([i in used for used in found["parts"]])
    done = np.array([status == "done" for status in found["status"]])
    return columns | {"id": np.array(found["ids"]), "done": done, "feasible": np.array(found["feasible"])}


@pytest.fixture
def page(api, browser, candidates):
    from playwright.sync_api import expect

    faults: list[str] = []
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        page = context.new_page()
        page.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: faults.append(str(e)))
        page.goto(api[0])
        expect(page.get_by_test_id("map")).to_have_attribute("data-count", str(len(candidates["id"])), timeout=30_000)
        # Polling in the page itself would need `eval`, which its policy forbids.
        while not np.isfinite(page.evaluate(PLACES, [int(candidates["id"][0])])).all():
            page.wait_for_timeout(50)
        yield page
    assert not faults


@pytest.fixture
def place(page):
    """Where each candidate lies in the window."""
    box = page.get_by_test_id("map").bounding_box()
    corner = np.array([box["x"], box["y"]])
    return lambda ids: corner + page.evaluate(PLACES, [int(i) for i in ids])


def saved(page, name):
    with page.expect_download() as download:
        page.get_by_role("button", name=name, exact=True).click()
    with Path(download.value.path()).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_filter_keeps_what_it_asks_for(page, candidates):
    for query, wanted in QUERIES.items():
        page.get_by_label("Filter candidates").fill(query)
        ids = set(candidates["id"][wanted(candidates)].tolist())
        page.wait_for_selector(f"[data-testid=candidates][data-count='{len(ids)}']")
        if ids:
            assert {int(row["id"]) for row in saved(page, "CSV")} == ids, query


@pytest.mark.parametrize(("query", "said"), [("bar>3", "none of id, rev"), ("params>", "wants a number")])
def test_a_filter_that_is_wrong_says_why_and_hides_nothing(page, candidates, query, said):
    field = page.get_by_label("Filter candidates")
    field.fill(query)
    page.get_by_text(said).wait_for()
    assert field.get_attribute("aria-invalid") == "true"
    assert page.get_by_test_id("candidates").get_attribute("data-count") == str(len(candidates["id"]))


def test_a_sorted_table_is_saved_as_it_stands(page, candidates):
    page.get_by_role("columnheader", name="macs").get_by_role("button").click()
    rows = saved(page, "CSV")
    assert [float(row["macs"]) for row in rows] == sorted(candidates["macs"].tolist())
    by_id = dict(zip(candidates["id"].tolist(), candidates["params"].tolist(), strict=True))
    assert {int(row["id"]): float(row["params"]) for row in rows} == by_id


def test_a_box_selects_what_lies_in_it_and_a_link_brings_it_back(page, candidates, place):
    places = place(candidates["id"])
    low, high = np.quantile(places, [0.3, 0.6], axis=0).round() + 0.5
    inside = set(candidates["id"][((places > low) & (places < high)).all(axis=1)].tolist())
    assert 2 <= len(inside) < len(places)
    page.get_by_role("button", name="Box").click()
    page.mouse.move(*low)
    page.mouse.down()
    page.mouse.move(*high, steps=3)
    page.mouse.up()
    page.wait_for_selector(f"[data-testid=candidates][data-count='{len(inside)}']")
    assert {int(row["id"]) for row in saved(page, "CSV")} == inside
    page.wait_for_url("**#c=*")
    other = page.context.new_page()
    other.goto(page.url)
    other.wait_for_selector(f"[data-testid=candidates][data-count='{len(inside)}']")
    assert {int(row["id"]) for row in saved(other, "CSV")} == inside


def test_pointer_and_arrows_reach_the_nearest_candidate(page, candidates, place):
    ids, places = candidates["id"], place(candidates["id"])
    alone = [i for i, p in enumerate(places) if np.sort(np.hypot(*(places - p).T))[1] > 3]
    start = min(alone, key=lambda i: np.hypot(*(places[i] - np.median(places, axis=0))))
    page.mouse.move(*places[start])
    page.wait_for_selector(f"[data-testid=map][data-active='{ids[start]}']")
    row = page.locator(f"[data-testid=candidates] [data-id='{ids[start]}']")
    assert row.get_attribute("data-active") == "true"
    page.get_by_test_id("map").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(f"[data-testid=map]:not([data-active='{ids[start]}'])")
    reached = int(page.get_by_test_id("map").get_attribute("data-active"))
    ahead, aside = (places - places[start]).T
    cone = (ahead > 0.5) & (np.abs(aside) <= ahead)
    best = np.where(cone, ahead**2 + 3 * aside**2, np.inf)
    assert best[ids.tolist().index(reached)] == pytest.approx(best.min())
    page.keyboard.press("Enter")
    page.wait_for_url(f"**#c={reached}")


def test_the_front_is_that_of_brute_force(page, candidates):
    page.get_by_label("Horizontal axis").select_option("macs")
    page.get_by_label("Vertical axis").select_option("params")
    script = "async () => (await import('/static/views/points.js')).front.value"
    front = page.evaluate(script)
    fit = np.flatnonzero(candidates["feasible"] & candidates["done"])
    worth = np.column_stack([-candidates["macs"], candidates["params"]])
    better = [(worth >= worth[i]).all(axis=1) & (worth > worth[i]).any(axis=1) for i in fit]
    optimal = [worth[i] for i, some in zip(fit, better, strict=True) if not some[fit].any()]
    assert {tuple(worth[i]) for i in front} == {tuple(w) for w in optimal}
    assert candidates["feasible"][front].all()
