"""What a browser would send of a page's controls: the successful controls of HTML's form submission."""

from __future__ import annotations

import re
from html.parser import HTMLParser


class _Controls(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[str, str]] = []
        self._select: tuple[str, list[tuple[str, bool]]] | None = None
        self._area: str | None = None
        self._text = ""
        self._unsent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag in {"template", "noscript"}:
            self._unsent += 1
        elif self._unsent or "disabled" in given:
            return
        elif tag == "input":
            self._input(given)
        elif tag == "select":
            self._select = (given["name"], [])
        elif tag == "option" and self._select:
            self._select[1].append((given.get("value", ""), "selected" in given))
        elif tag == "textarea":
            self._area, self._text = given["name"], ""

    def _input(self, given: dict[str, str]) -> None:
        kind, value = given.get("type", "text"), given.get("value", "")
        if kind in {"checkbox", "radio"} and "checked" not in given:
            return
        if kind in {"text", "password"}:
            value = re.sub(r"[\r\n]", "", value)
        if "name" in given:
            self.sent.append((given["name"], value))

    def handle_data(self, data: str) -> None:
        if self._area is not None:
            self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag in {"template", "noscript"}:
            self._unsent -= 1
        elif tag == "textarea" and self._area is not None:
            text = self._text.removeprefix("\n").replace("\r\n", "\n").replace("\r", "\n")
            self.sent.append((self._area, text.replace("\n", "\r\n")))
            self._area = None
        elif tag == "select" and self._select:
            name, options = self._select
            chosen = [value for value, selected in options if selected] or [value for value, _ in options[:1]]
            self.sent += [(name, chosen[-1])] if chosen else []
            self._select = None


def successful(html: str) -> list[tuple[str, str]]:
    """Names and texts in their order."""
    parser = _Controls()
    parser.feed(html)
    return parser.sent
