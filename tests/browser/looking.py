"""What there is to complain of on a page: by axe-core, in each width and theme, and whether it scrolls sideways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.browser.conftest import Portal

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
RUN_AXE = """async (rules) => (await axe.run(document, {runOnly: rules, resultTypes: ["violations"]}))
    .violations.map(each => `${each.id}: ${each.nodes.map(node => node.target.join(" ")).slice(0, 3).join(", ")}`)"""
WIDTHS = (1440, 390)
EVERYTHING = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]
# All that another theme of the portal can change: it is made of `light-dark()`, which knows colours only.
COLOURS = ["color-contrast", "link-in-text-block"]

# WCAG 2.5.8 leaves out targets whose height the line height of the text beside them gives: a log's line numbers.
LINE_NUMBERS = 'target-size: a[href$="#L'


# Colours that are on their way to those of another theme would be taken for the ones that stay. Some pages change theme
# by a script that hears of it with the next frame, and only then are they on their way.
END_OF_TRANSITIONS = """async () => {
  for (let frames = 0; frames < 2; frames++) await new Promise(requestAnimationFrame);
  document.getAnimations().forEach((each) => {
    if (each.effect?.getComputedTiming().endTime !== Infinity) each.finish();
  });
}"""


def check(page: Any, rules: list[str] = EVERYTHING) -> list[str]:
    """What axe-core finds on a page, and whether the page scrolls sideways."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    page.evaluate(END_OF_TRANSITIONS)
    wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    found = [each for each in page.evaluate(RUN_AXE, rules) if not each.startswith(LINE_NUMBERS)]
    return [*found, *(["the page scrolls sideways"] if wide else [])]


def visit(portal: Portal, paths: list[str]) -> list[str]:
    """Look at each of them, in both widths and themes."""
    return [f"{path} {each}" for path in paths for each in seen(portal.open(path))]


def seen(page: Any, changed: list[str] = COLOURS) -> list[str]:
    """What there is to complain of on the page that is open, in both widths and themes."""
    page.wait_for_load_state("networkidle")
    found = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        found += [f"{width} {each}" for each in in_both_themes(page, changed)]
    page.set_viewport_size({"width": WIDTHS[0], "height": 900})
    return found


def in_both_themes(page: Any, changed: list[str] = COLOURS) -> list[str]:
    """What there is to complain of in this width: of all in the light theme, in the dark one of what it changes."""
    found = []
    for scheme, rules in (("light", EVERYTHING), ("dark", changed)):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        found += [f"{scheme}: {each}" for each in check(page, rules)]
    return found
