"""How long the studio's page takes to show 50,000 candidates, and how smoothly its map is panned.

    python benchmarks/studio_pan.py OUT [--candidates 50000] [--seconds 3]

Prints JSON: seconds from the request of the page until the map has counted and drawn all candidates; frames drawn per
second of panning (median of the times between two frames, and the slowest tenth); the machine's load. Needs Chromium.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from itertools import pairwise
from pathlib import Path

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.studio.conftest import browser_path, running
from tests.studio.runs import large_run

WATCH = """
window.frames_at = [];
const put = CanvasRenderingContext2D.prototype.putImageData;
CanvasRenderingContext2D.prototype.putImageData = function (...given) {
    window.frames_at.push(performance.now());
    return put.apply(this, given);
};
"""
SHOWN = """(count) => {
    const map = document.querySelector("[data-testid='map']");
    return map && map.dataset.count === count && map.placeOf && Number.isFinite(map.placeOf(0)[0])
        && window.frames_at.length > 0;
}"""


# From within the page: a browser that is steered from outside moves the mouse every other frame only.
PAN = """async ([x, y, seconds]) => {
    const map = document.querySelector("[data-testid='map']");
    const end = performance.now() + 1000 * seconds;
    window.frames_at.length = 0;
    for (let step = 0; performance.now() < end; step++) {
        const clientX = x + 80 - Math.abs(((8 * step) % 320) - 160);
        map.dispatchEvent(new PointerEvent("pointermove", { clientX, clientY: y, bubbles: true }));
        await new Promise(requestAnimationFrame);
    }
    return window.frames_at;
}"""


def pan(page, seconds):
    """Drag the map to and fro, a step a frame, and return the milliseconds between two drawn frames."""
    area = page.get_by_test_id("map").bounding_box()
    x, y = area["x"] + area["width"] / 2, area["y"] + area["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    times = page.evaluate(PAN, [x, y, seconds])
    page.mouse.up()
    return [b - a for a, b in pairwise(times)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--candidates", type=int, default=50_000)
    parser.add_argument("--seconds", type=float, default=3)
    given = parser.parse_args()
    run = given.out if given.out.exists() else large_run(given.out, given.candidates)
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with running(run, "--read-only") as studio, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=flags)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.add_init_script(WATCH)
        began = time.monotonic()
        page.goto(studio.printed["url"])
        page.wait_for_function(SHOWN, arg=str(given.candidates), timeout=120_000)
        found = {"candidates": given.candidates, "first_view_s": round(time.monotonic() - began, 2)}
        page.wait_for_timeout(1000)
        waits = sorted(pan(page, given.seconds))
        browser.close()
    found["frames"] = len(waits) + 1
    found["median_fps"] = round(1000 / statistics.median(waits), 1)
    found["slowest_tenth_fps"] = round(1000 / waits[int(0.9 * len(waits))], 1)
    print(json.dumps(found | {"load": [round(x, 1) for x in os.getloadavg()]}, indent=2))


if __name__ == "__main__":
    main()
