"""Every icon that the side bar names is drawn."""

from __future__ import annotations

import re

from orchestrator.server import environment
from orchestrator.server.templatetags import ui


def test_the_menus_icons_are_in_the_sprite() -> None:
    sprite = (environment.BASE_DIR / "templates" / "components" / "sprite.html").read_text(encoding="utf-8")
    drawn = set(re.findall(r'id="i-([a-z]+)"', sprite))
    named = {entry[3] for entry in ui._MENU} | {entry[2] for entry in ui._ORGANIZATION_MENU}
    assert named <= drawn
