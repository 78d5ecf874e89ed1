"""The page on runs as they are found: read-only, failed, oddly named, large; and its looks (P11, P15, P17, P20)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.studio.conftest import running, until
from tests.studio.runs import cell_run, drawn_run

AXE = Path(__file__).parent / "axe" / "axe.min.js"
"""axe-core 4.10.3 (MPL-2.0, see LICENSE beside it): only this test uses it."""

NASTY = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def finished(tmp_path_factory, data_home):
    """A finished search, shown read-only."""
    run = drawn_run(tmp_path_factory.mktemp("finished") / "run", trials=30)
    with running(run, "--read-only") as studio:
        yield studio


def ready(page):
    expect(page.get_by_test_id("canvas")).to_be_visible()
    expect(page.get_by_test_id("map")).not_to_have_attribute("data-count", "0")
    return page


def test_a_read_only_run_shows_all_and_changes_nothing(finished, opened):
    """P20."""
    page, _ = opened(finished)
    ready(page)
    expect(page.get_by_test_id("candidates")).to_have_attribute("data-count", str(len(finished.rows())))
    for tab, hook in [("Trust", "trust"), ("Timeline", "timeline"), ("History", "history")]:
        page.get_by_role("tab", name=tab).click()
        expect(page.get_by_test_id(hook)).to_be_visible()
    for name in ["Resume", "Step", "Stop", "Undo", "Redo"]:
        button = page.get_by_role("button", name=name, exact=True)
        expect(button).to_be_disabled()
        expect(button).to_have_attribute("title", re.compile("read-only"))
    body = {"id": "test-1", "op": "resume", "args": {}, "base_rev": 0, "note": ""}
    headers = {"X-CSRF-Token": finished.state()["csrf"]}
    assert finished.http.post("/api/commands", json=body, headers=headers).status_code == 403


def findings(page) -> list[str]:
    """Return what axe finds serious or critical. The page's CSP is kept out by the context, for this script alone."""
    page.add_script_tag(content=AXE.read_text())
    found = page.evaluate("() => axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] })")
    return [
        f"{v['id']}: {n['target']} {n['any'][0]['message'] if n['any'] else ''}"
        for v in found["violations"]
        if v["impact"] in ("serious", "critical")
        for n in v["nodes"]
    ]


def sticks_out(page) -> list[str]:
    """Return the buttons and fields of the page that lie beyond its edge."""
    return page.evaluate("""() => [...document.querySelectorAll('header button, header .chip, .pane-head button')]
        .filter((e) => e.checkVisibility() && e.getBoundingClientRect().right > innerWidth + 1)
        .map((e) => e.outerHTML.slice(0, 120))""")


LOOKS = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "narrow": {"viewport": {"width": 1024, "height": 768}},
    "zoom": {"viewport": {"width": 640, "height": 400}, "device_scale_factor": 2},
    "still": {"reduced_motion": "reduce"},
}


@pytest.mark.parametrize("look", LOOKS)
def test_the_page_is_for_everybody(finished, opened, look):
    """P15: no control out of reach; axe finds nothing serious."""
    page, _ = opened(finished, "#c=3,4", bypass_csp=True, **LOOKS[look])
    ready(page)
    expect(page.get_by_test_id("detail")).to_have_attribute("data-ids", "3 4")
    assert sticks_out(page) == []
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    found = findings(page)
    for tab in ["Trust", "Timeline", "History"]:
        page.get_by_role("tab", name=tab).click()
    found += findings(page)
    assert found == []


def test_a_nasty_name_is_text(tmp_path, serve, opened):
    """P17: the name of a run that is a piece of a page is shown letter by letter."""
    page, _ = opened(serve(cell_run(tmp_path / NASTY, trials=10)))
    ready(page)
    expect(page.get_by_role("heading", level=1)).to_have_text(NASTY)
    expect(page).to_have_title(re.compile(re.escape(NASTY)))


def test_a_picked_candidate_is_marked_where_nothing_is_drawn(tmp_path, serve, opened):
    """P9 on a space that is no drawing: its options are blocks all the same."""
    studio = serve(cell_run(tmp_path / "run", trials=40), "--read-only")
    page, _ = opened(studio, "#c=5")
    ready(page)
    parts = next(row["parts"] for row in studio.rows() if row["id"] == 5)
    marked = page.locator("[data-marked='true']")
    until(lambda: marked.count() == len(parts))
    assert set(marked.evaluate_all("(all) => all.map((one) => one.dataset.part)")) == parts


def test_the_page_finds_a_server_that_comes_back(tmp_path, serve, opened):
    """P11: killed and started again on its port, with the same login."""
    run = cell_run(tmp_path / "run", trials=20)
    first = serve(run)
    page, watch = opened(first)
    watch.allow("ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_CONNECTION_RESET")
    ready(page)
    first.process.kill()
    expect(page.get_by_test_id("connection")).to_have_text("reconnecting")
    second = serve(run, "--port", first.printed["port"])
    expect(page.get_by_test_id("connection")).to_have_text("live", timeout=30_000)
    shown = page.get_by_test_id("candidates")
    expect(shown).to_have_attribute("data-count", str(len(second.rows())))
    ids = shown.locator("[data-id]").evaluate_all("(rows) => rows.map((row) => row.dataset.id)")
    assert len(ids) == len(set(ids))
    assert set(ids) <= {str(row["id"]) for row in second.rows()}
