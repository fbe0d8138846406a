"""Pages of a workspace, as text."""

from __future__ import annotations

from typing import Any

from tests.cast import Company


def page(company: Company, browser: Any, path: str, **query: Any) -> str:
    """A page that is there, its space made single."""
    answer = browser.get(f"{company.path}{path}", query)
    assert answer.status_code == 200, answer.content[:500]
    return " ".join(answer.content.decode().split())
