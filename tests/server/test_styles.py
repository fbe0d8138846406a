"""Every value that a style names is one of the tokens, or is set beside it."""

from __future__ import annotations

import re

from orchestrator.server import environment


def test_no_style_names_a_value_that_there_is_not() -> None:
    files = sorted((environment.BASE_DIR / "static").glob("css/**/*.css"))
    styles = "\n".join(file.read_text(encoding="utf-8") for file in files)
    named = set(re.findall(r"var\((--[\w-]+)\)", styles))
    assert "--accent" in named
    assert named <= set(re.findall(r"(--[\w-]+):", styles))
