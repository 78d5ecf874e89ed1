"""Walk through the reference flow of the studio in a browser and photograph each step for docs/studio.md.

Run from the root of the repository: ``python scripts/studio_screenshots.py`` (needs ``chromium`` or
OGIVE_CHROMIUM, and the dev extra). The search is real, so figures in the pictures differ between machines.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.studio.conftest import Studio, browser_path, running, until  # noqa: E402

OUT = ROOT / "docs" / "studio"
OPTION = "s3_blur"


def flow(page: Page, studio: Studio) -> None:
    """Steer the demo as a person would, a picture at every step."""

    def take(name: str) -> None:
        page.wait_for_timeout(800)
        page.screenshot(path=OUT / f"{name}.png")

    expect(page.get_by_test_id("canvas")).to_be_visible()
    until(lambda: studio.measured() >= 60, 120)
    take("searching")
    option = page.get_by_test_id(f"node-{OPTION}")
    option.focus()
    page.keyboard.press("x")
    expect(option).to_have_attribute("data-status", "excluded")
    page.get_by_role("tab", name="History").click()
    take("excluded")
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.get_by_test_id("run-state")).to_have_text("paused")
    page.get_by_role("tab", name="Candidates").click()
    page.get_by_role("button", name="Show the best").click()
    take("best")
    page.get_by_role("tab", name="Trust").click()
    page.get_by_role("tab", name="Timeline").click()
    page.emulate_media(color_scheme="dark")
    take("dark")


def main() -> None:
    """Write the pictures."""
    OUT.mkdir(exist_ok=True)
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder) / "demo", "--demo", "--seed", "7") as studio,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=browser_path(), args=flags)
        page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
        page.goto(studio.printed["url"])
        flow(page, studio)
        browser.close()


if __name__ == "__main__":
    main()
