"""Whole numbers as people type them into forms, and as addresses hold them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tenants.errors import Invalid


def whole_number(text: str, *, digits: int = 9) -> int | None:
    """The number that a text of 0 to 9 is; None for any other text, and for a longer one.

    >>> whole_number("12"), whole_number("-1"), whole_number("1.5"), whole_number("")
    (12, None, None, None)
    """
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= digits else None


def whole_numbers(posted: Mapping[str, str], names: Iterable[str]) -> dict[str, int | None]:
    """What stands in these fields of a form; None where nothing does.

    Raises:
        Invalid: One is no whole number.
    """
    texts = {name: posted.get(name, "").strip() for name in names}
    told = {name: whole_number(text) for name, text in texts.items()}
    if wrong := [name for name, text in texts.items() if text and told[name] is None]:
        raise Invalid("Some fields can't be taken.", fields=dict.fromkeys(wrong, "Enter a whole number."))
    return told
