"""What there is to complain of on a page: by axe-core, in each width and theme, and whether it scrolls sideways."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.browser.conftest import Portal

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
WIDTHS = (1440, 390)
THEMES = ("light", "dark")
Themes = tuple[Sequence[str], Sequence[str]]
"""Those of a page when it is wide, and when it is narrow."""
ALL: Themes = (THEMES, THEMES)
TURNS: tuple[Themes, Themes] = ((["light"], ["dark"]), (["dark"], ["light"]))
EVERYTHING = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]
# All that another theme of the portal can change: it is made of `light-dark()`, which knows colours only.
COLOURS = ["color-contrast", "link-in-text-block"]

# WCAG 2.5.8 leaves out targets whose height the line height of the text beside them gives: a log's line numbers.
LINE_NUMBERS = 'target-size: a[href$="#L'

# Colours that are on their way to those of another theme would be taken for the ones that stay. Some pages change theme
# by a script that hears of it with the next frame, and only then are they on their way.
LOOK = """async (rules) => {
  if (!window.axe) return null;
  for (let frames = 0; frames < 2; frames++) await new Promise(requestAnimationFrame);
  for (const each of document.getAnimations())
    if (each.effect?.getComputedTiming().endTime !== Infinity) each.finish();
  const root = document.documentElement, sideways = root.scrollWidth > root.clientWidth;
  const { violations } = await axe.run(document, { runOnly: rules, resultTypes: ["violations"] });
  const found = violations.map((each) =>
    `${each.id}: ${each.nodes.map((node) => node.target.join(" ")).slice(0, 3).join(", ")}`);
  return sideways ? [...found, "the page scrolls sideways"] : found;
}"""


def check(page: Any, rules: list[str] = EVERYTHING) -> list[str]:
    """What axe-core finds on a page, and whether the page scrolls sideways."""
    found = page.evaluate(LOOK, rules)
    if found is None:
        page.evaluate(_axe())
        found = page.evaluate(LOOK, rules)
    return [each for each in found if not each.startswith(LINE_NUMBERS)]


@functools.cache
def _axe() -> str:
    return AXE.read_text(encoding="utf-8")


def visit(portal: Portal, paths: list[str]) -> list[str]:
    """Look at each of them, wide in one theme and narrow in the other."""
    return [f"{path} {each}" for path, themes in by_turns(paths) for each in seen(portal, path, COLOURS, themes)]


def by_turns(pages: list[str]) -> list[tuple[str, Themes]]:
    """Each with the themes in which it is looked at.

    All of them are made of the same parts, whose colours are names that each theme gives a meaning: what is hard to
    read in one of the four is so on many pages, and half of them are looked at in each.
    """
    return list(zip(pages, itertools.cycle(TURNS), strict=False))


def seen(
    portal: Portal,
    path: str | None = None,
    changed: list[str] = COLOURS,
    themes: Themes = ALL,
) -> list[str]:
    """What there is to complain of on a page, or on the one that is open: wide, then narrow, in the themes of each."""
    page = portal.page if path is None else portal.open(path)
    portal.settle()
    found = []
    for width, these in zip(WIDTHS, themes, strict=True):
        page.set_viewport_size({"width": width, "height": 900})
        found += [f"{width} {each}" for each in in_themes(page, these, changed)]
    page.set_viewport_size({"width": WIDTHS[0], "height": 900})
    return found


def in_themes(page: Any, themes: Sequence[str] = THEMES, changed: list[str] = COLOURS) -> list[str]:
    """What there is to complain of in this width: of all in the first theme, in the next one of what it changes."""
    found = []
    for theme, rules in zip(themes, (EVERYTHING, changed), strict=False):
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        found += [f"{theme}: {each}" for each in check(page, rules)]
    return found
