"""The page on a running search: watching it, stopping it, steering it (P1-P10, P12, P13, P16, P19)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from playwright.sync_api import expect

from ogive.spaces.template import Template
from ogive.studio.source import fill
from ogive.tasks import get_task
from tests.studio.conftest import until

REFUSED = "status of 409"


@pytest.fixture
def page(demo, opened):
    page, watch = opened(demo)
    expect(page.get_by_test_id("canvas")).to_be_visible()
    page.watch = watch
    return page


@pytest.fixture
def going(demo):
    """Have the search go on, whatever the test before did with it."""
    if demo.state()["state"] in ("paused", "pausing", "stopped"):
        demo.command("resume")
    until(lambda: demo.state()["state"] in ("searching", "training", "warming"))


def focused_part(page) -> str | None:
    return page.evaluate("() => document.activeElement.dataset.part ?? null")


def walk_to(page, wanted, tab: str = "Tab", most: int = 60) -> str:
    """Go to a part by Tab and arrows alone; `wanted` tells whether it is the one."""
    for _ in range(most):
        if focused_part(page):
            break
        page.keyboard.press(tab)
    page.keyboard.press("Home")
    # Right along the edges, then through the layer: every option is reached without the mouse.
    for _ in range(most):
        for _ in range(8):
            if wanted(focused_part(page)):
                return focused_part(page)
            page.keyboard.press("ArrowDown")
        for _ in range(8):
            if wanted(focused_part(page)):
                return focused_part(page)
            page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowRight")
    raise AssertionError("not reached by keyboard")


def map_count(page) -> int:
    return int(page.get_by_test_id("map").get_attribute("data-count"))


def uses(page, node: str) -> int:
    """Return how many measured candidates the page says a node is used by."""
    return int(re.search(r"n = (\d+)", page.get_by_test_id(f"node-{node}").get_attribute("aria-label"))[1])


def newest(page):
    """Return the newest entry of a person in the history."""
    page.get_by_role("tab", name="History").click()
    page.get_by_label("Only people").check()
    return page.get_by_test_id("history").locator("li").first


def free_again(demo, *nodes: str) -> None:
    demo.command("free", node=list(nodes))


def test_the_printed_address_opens_the_page(demo, opened):
    """P1."""
    page, _ = opened(demo)
    expect(page.get_by_role("heading", level=1)).to_be_visible(timeout=20_000)
    expect(page.locator("[data-testid^='group-']")).to_have_count(4, timeout=20_000)
    expect(page.get_by_test_id("run-state")).to_have_text(re.compile("warming|searching|training"))
    expect(page.get_by_test_id("connection")).to_have_text("live")
    assert "token" not in page.url


def test_candidates_arrive_without_a_reload(demo, page, going):
    """P2."""
    until(lambda: map_count(page) >= 8)
    before = map_count(page)
    until(lambda: map_count(page) > before)
    demo.command("pause")
    until(lambda: demo.state()["state"] == "paused")
    until(lambda: map_count(page) == len(demo.rows()))
    expect(page.get_by_test_id("candidates")).to_have_attribute("data-count", str(len(demo.rows())))


def test_pause_holds_the_search_and_resume_goes_on(demo, page, going):
    """P3: by way of pausing, which the page says until the search has come to rest."""
    page.evaluate("""() => {
        const chip = document.querySelector("[data-testid='run-state']");
        window.states = [];
        new MutationObserver(() => window.states.push(chip.textContent.trim()))
            .observe(chip, { childList: true, characterData: true, subtree: true });
    }""")
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.get_by_test_id("run-state")).to_have_text("paused")
    shown = page.evaluate("() => window.states")
    assert [state for state in shown if state.startswith("paus")][-1] == "paused"
    assert set(shown) <= {"warming", "training", "searching", "pausing", "paused"}
    held = len(demo.rows())
    page.wait_for_timeout(3000)
    assert len(demo.rows()) == held == map_count(page)
    page.get_by_role("tab", name="History").click()
    expect(page.get_by_test_id("history")).to_contain_text(re.compile("checkpoint", re.IGNORECASE))
    page.get_by_role("button", name="Resume", exact=True).click()
    until(lambda: map_count(page) > held)


def test_an_option_is_excluded_by_keyboard_alone(demo, page, going):
    """P4: and nothing that was proposed afterwards contains it."""
    node = walk_to(page, lambda part: part and part.startswith("s3_") and part != "s3_conv3")
    began = demo.state()["seq"]
    page.keyboard.press("x")
    expect(page.get_by_test_id(f"node-{node}")).to_have_attribute("aria-label", re.compile("excluded"))
    expect(newest(page)).to_contain_text(node)
    expect(newest(page)).to_contain_text("you")
    until(lambda: node in demo.state()["statuses"])

    def late() -> set[int]:
        """Return the candidates whose proposal has a higher number than the event that applied the exclusion."""
        events = demo.events(began)
        applied = next(e["seq"] for e in events if e["kind"] == "command.applied" and e["data"]["op"] == "exclude")
        return {e["data"]["candidate"] for e in events if e["kind"] == "proposal" and e["seq"] > applied}

    proposed = until(lambda: len(found := late()) >= 10 and found)
    parts = {row["id"]: row["parts"] for row in demo.rows()}
    assert not any(node in parts[candidate] for candidate in proposed)
    free_again(demo, node)


def test_a_locked_option_is_in_every_candidate(demo, page, going):
    """P5, P6: and undo takes the lock back, with the history showing so, and with nothing measured lost."""
    before = demo.state()
    node = walk_to(page, lambda part: part == "s2_conv3")
    page.keyboard.press("l")
    expect(page.get_by_test_id(f"node-{node}")).to_have_attribute("data-status", "locked")
    until(lambda: demo.state()["statuses"].get(node) == "locked")
    known = {row["id"] for row in demo.rows()}
    until(lambda: len(demo.rows()) >= len(known) + 20)
    assert all(node in row["parts"] for row in demo.rows() if row["id"] not in known)
    other = page.get_by_test_id("node-s2_dilated")
    expect(other).to_have_attribute("data-idle", "true")
    expect(other).to_have_attribute("aria-label", re.compile("fitness"))
    page.keyboard.press("x")
    until(lambda: demo.state()["statuses"].get(node) != "locked")
    rows, evidence, rev = demo.rows(), uses(page, node), demo.state()["rev"]
    assert evidence > 0
    page.keyboard.press("Control+z")
    until(lambda: demo.state()["statuses"].get(node) == "locked")
    page.keyboard.press("Control+z")
    until(lambda: demo.state()["statuses"] == before["statuses"])
    assert demo.state()["sampler"] == before["sampler"]
    expect(newest(page)).to_contain_text(f"undo · revision {rev + 2}")
    expect(page.get_by_test_id("history").locator("li").nth(1)).to_contain_text(f"undo · revision {rev + 1}")
    expect(page.get_by_test_id("history").locator(".entry-undone")).not_to_have_count(0)
    assert {row["id"] for row in rows} <= {row["id"] for row in demo.rows()}
    assert uses(page, node) >= evidence


def drag(page, source, target) -> None:
    """Move by hand, in steps, as a person does."""
    source.scroll_into_view_if_needed()
    start, end = source.bounding_box(), target.bounding_box()
    page.mouse.move(start["x"] + start["width"] / 2, start["y"] + start["height"] / 2)
    page.mouse.down()
    page.mouse.move(end["x"] + end["width"] / 2, end["y"] + 12, steps=8)
    page.mouse.up()


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_a_block_is_put_into_a_group(demo, page, going, by):
    """P7: it is new, is trained with the others, and is drawn into candidates after a while."""
    before = {n["id"] for n in demo.get("template")["nodes"]}
    rev = demo.state()["rev"]
    block = page.get_by_test_id("palette").locator("[data-op='avg_pool']")
    if by == "mouse":
        drag(page, block, page.get_by_test_id("group-stage1"))
    else:
        block.focus()
        page.keyboard.press("Enter")
        entry = page.get_by_role("menuitem", name="Into stage1")
        for _ in range(20):
            if entry.evaluate("(item) => item === document.activeElement"):
                break
            page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
    until(lambda: demo.state()["rev"] > rev)
    (node,) = until(lambda: {n["id"] for n in demo.get("template")["nodes"]} - before)
    mark = page.get_by_test_id(f"node-{node}")
    expect(mark).to_have_attribute("aria-label", re.compile("new"))
    until(lambda: any(node in row["parts"] and row["status"] == "done" for row in demo.rows()), 60)
    expect(mark).to_have_attribute("aria-label", re.compile(r"n = [1-9]"))
    demo.command("remove", name=node)


@pytest.mark.parametrize("what", ["cycle", "shape", "last"])
def test_what_cannot_be_is_refused_with_a_reason(demo, page, going, what):
    """P8."""
    page.watch.allow(REFUSED)
    if what == "last":
        stage = next(g for g in demo.get("template")["groups"] if g["id"] == "stage4")
        demo.command("exclude", node=stage["options"][1:])
    rev = demo.state()["rev"]
    if what == "last":
        page.get_by_test_id(f"node-{stage['options'][0]}").focus()
        page.keyboard.press("x")
        named = "stage4"
    else:
        # A fixed edge backwards closes a ring; one across the pooling joins images of two sizes.
        source, target, named = ("stage3", "stem", "stem") if what == "cycle" else ("stem", "stage4", "stage4")
        page.get_by_test_id({"stage3": "group-stage3", "stem": "node-stem"}[source]).focus()
        page.keyboard.press("c")
        page.get_by_test_id({"stage4": "group-stage4", "stem": "node-stem"}[target]).focus()
        page.keyboard.press("Enter")
    expect(page.get_by_test_id("refusal")).to_contain_text(named)
    assert demo.state()["rev"] == rev
    assert demo.state()["state"] in ("searching", "training", "warming")
    if what == "last":
        free_again(demo, *stage["options"][1:])


@pytest.fixture
def held(demo):
    """Have the search stand still, so that two looks at it see the same."""
    if demo.state()["state"] not in ("paused", "stopped"):
        demo.command("pause")
        until(lambda: demo.state()["state"] == "paused")


def test_a_point_of_the_map_is_the_same_candidate_everywhere(demo, page, held):
    """P9: its blocks, and no others, are marked on the canvas."""
    until(lambda: map_count(page) == len(demo.rows()))
    page.get_by_test_id("map").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    active = page.get_by_test_id("map").get_attribute("data-active")
    assert active
    expect(page.get_by_test_id("detail")).to_have_attribute("data-ids", active)
    parts = next(row["parts"] for row in demo.rows() if str(row["id"]) == active)
    marked = page.locator("[data-marked='true']")
    expect(marked).to_have_count(len(parts))
    assert set(marked.evaluate_all("(all) => all.map((one) => one.dataset.part)")) == parts
    row = page.get_by_test_id("candidates").locator(f"[data-id='{active}']")
    expect(row).to_have_attribute("aria-selected", "true")


def test_a_box_on_the_map_is_a_link(demo, page, held, opened):
    """P10: the table shows the same candidates, and the address brings them back in another tab."""
    until(lambda: map_count(page) == len(demo.rows()))
    page.get_by_role("button", name="Box", exact=True).click()
    area = page.get_by_test_id("map").bounding_box()
    page.mouse.move(area["x"] + area["width"] * 0.15, area["y"] + area["height"] * 0.15)
    page.mouse.down()
    page.mouse.move(area["x"] + area["width"] * 0.6, area["y"] + area["height"] * 0.6, steps=6)
    page.mouse.up()
    page.wait_for_url(re.compile(r"#.*c=\d"))
    ids = page.get_by_test_id("detail").get_attribute("data-ids").split()
    count = page.get_by_test_id("candidates").get_attribute("data-count")
    assert 0 < int(count) < len(demo.rows())
    other = page.context.new_page()
    other.goto(page.url)
    expect(other.get_by_test_id("candidates")).to_have_attribute("data-count", count)
    expect(other.get_by_test_id("detail")).to_have_attribute("data-ids", " ".join(ids))


def test_eight_tabs_live_and_outlive_the_first(demo, page, going):
    """P12: browsers allow six connections to an origin, so the tabs share one stream."""
    tabs = [page] + [page.context.new_page() for _ in range(7)]
    for tab in tabs[1:]:
        tab.goto(demo.base)
    for tab in tabs:
        expect(tab.get_by_test_id("connection")).to_have_text("live")
    tabs[0].close()
    demo.command("exclude", node=["s3_blur"])
    for tab in tabs[1:]:
        expect(tab.get_by_test_id("node-s3_blur")).to_have_attribute("data-status", "excluded")
        expect(tab.get_by_test_id("connection")).to_have_text("live")
    free_again(demo, "s3_blur")


def test_of_two_edits_of_one_revision_the_second_is_told(demo, page, held):
    """P13: the second tab does not know yet of the first one's change."""
    page.watch.allow(REFUSED)
    other = page.context.new_page()
    other.goto(demo.base)
    target = other.get_by_test_id("node-s1_conv1")
    target.focus()
    rev = demo.state()["rev"]
    # Hold back what the second tab would learn of, until it has sent its own.
    other.route("**/api/state*", lambda route: None)
    demo.command("exclude", node=["s1_conv3"])
    target.focus()
    other.keyboard.press("x")
    notice = other.locator(".notice-refused, .notice").first
    expect(notice).to_contain_text("s1_conv3")
    other.unroute("**/api/state*")
    assert demo.state()["statuses"].get("s1_conv3") == "excluded"
    assert demo.state()["rev"] == rev + 1
    free_again(demo, "s1_conv3")


def test_the_best_is_exported_as_source_that_compiles(demo, page, held):
    """P19: it also builds, and computes what the candidate's own network computes."""
    page.get_by_role("button", name="Show the best").click()
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as found:
        page.get_by_role("link", name="PyTorch source").click()
    assert found.value.suggested_filename.endswith(".py")
    exported = {"__name__": "exported"}
    exec(compile(Path(found.value.path()).read_text(), "exported.py", "exec"), exported)
    exported["check"]()
    facts, task = demo.get(f"export/{demo.state()['best']['id']}?format=json"), get_task("digits")
    network = Template(facts["space"]).build(np.array(facts["genotype"]), task)
    shape = (2, *task.input_shape)
    outputs = [
        network(x)
        for network, x in (
            fill(network, list(exported["KEYS"].values()), shape),
            exported["fill"](exported["Network"](), list(exported["KEYS"]), shape),
        )
    ]
    recorded = torch.tensor(exported["RECORDED"], dtype=torch.float64)
    assert recorded.abs().max() > 1e-3
    for output in outputs:
        torch.testing.assert_close(output.detach(), recorded, rtol=0, atol=1e-6)


def test_the_flow_is_gone_through_by_keyboard_alone(demo, page, going):
    """P16: follow a suggestion, lock, undo, pause, train an anchor, look at the best."""
    rev = demo.state()["rev"]
    suggested = page.get_by_test_id("suggestions").get_by_role("button", name=re.compile("^Exclude")).first
    suggested.focus()
    page.keyboard.press("Enter")
    until(lambda: demo.state()["rev"] == rev + 1)
    before = demo.state()["statuses"]
    assert "excluded" in before.values()
    walk_to(page, lambda part: part == "s2_conv3", "Shift+Tab")
    page.keyboard.press("l")
    until(lambda: demo.state()["statuses"].get("s2_conv3") == "locked")
    page.keyboard.press("Control+z")
    until(lambda: demo.state()["statuses"] == before)
    page.keyboard.press("p")
    expect(page.get_by_test_id("run-state")).to_have_text("paused")
    page.get_by_role("tab", name="Evidence").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_test_id("trust")).to_be_visible()
    page.get_by_role("button", name="Train next anchor").focus()
    page.keyboard.press("Enter")
    until(lambda: len(demo.get("trust")["anchors"]) + len(demo.get("trust")["under_way"]) > 0)
    page.get_by_role("button", name="Show the best").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("detail")).to_have_attribute("data-ids", str(demo.state()["best"]["id"]))
