"""What there is to complain of on a page: by axe-core, in each width and theme, and whether it scrolls sideways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.browser.conftest import Portal

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
RUN_AXE = """async () => (await axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]}))
    .violations.map(each => `${each.id}: ${each.nodes.map(node => node.target.join(" ")).slice(0, 3).join(", ")}`)"""

# WCAG 2.5.8 leaves out targets whose height the line height of the text beside them gives: a log's line numbers.
LINE_NUMBERS = 'target-size: a[href$="#L'


def check(page: Any) -> list[str]:
    """What axe-core finds on a page, and whether the page scrolls sideways."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    found = [each for each in page.evaluate(RUN_AXE) if not each.startswith(LINE_NUMBERS)]
    return [*found, *(["the page scrolls sideways"] if wide else [])]


def visit(portal: Portal, paths: list[str]) -> list[str]:
    """Look at each of them, wide and light, then narrow and dark."""
    return [f"{path} {each}" for path in paths for each in seen(portal.open(path))]


def seen(page: Any) -> list[str]:
    """What there is to complain of on the page that is open, wide and light, then narrow and dark."""
    page.wait_for_load_state("networkidle")
    found = []
    for width, scheme in ((1440, "light"), (390, "dark")):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        found += [f"{width} {scheme}: {each}" for each in check(page)]
    page.set_viewport_size({"width": 1440, "height": 900})
    return found
