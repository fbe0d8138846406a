"""What is a cron expression of five fields, known without a cron library."""

from __future__ import annotations

import re

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_FIELDS: list[tuple[str, int, int, list[str]]] = [
    ("minute", 0, 59, []),
    ("hour", 0, 23, []),
    ("day of the month", 1, 31, []),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _DAYS),
]
_PART = re.compile(r"(?P<first>\*|\w+)(?:-(?P<last>\w+))?(?:/(?P<step>\d+))?$")
_LAST_DAY = re.compile(r"L|lw", re.IGNORECASE)
_NTH = re.compile(r"(\w+)(#[1-5]|L)$", re.IGNORECASE)


def check_cron(cron: str) -> None:
    """Refuse what is no cron expression of five fields.

    Raises:
        ValueError: With the field that is wrong.

    >>> check_cron("61 * * * *")
    Traceback (most recent call last):
    ...
    ValueError: '61 * * * *' is no cron expression: the minute '61' is not between 0 and 59.
    """
    fields = cron.split()
    if len(fields) != len(_FIELDS):
        raise ValueError(f"{cron!r} is no cron expression: it has {len(fields)} fields, not five.")
    for text, bounds in zip(fields, _FIELDS, strict=True):
        for part in text.split(","):
            wrong = _wrong(part, *bounds)
            if wrong:
                raise ValueError(f"{cron!r} is no cron expression: the {bounds[0]} {part!r} {wrong}.")


def _wrong(part: str, name: str, low: int, high: int, words: list[str]) -> str | None:
    if name == "day of the month" and _LAST_DAY.fullmatch(part):
        return None
    if name == "day of the week" and (nth := _NTH.match(part)):
        part = nth[1]
    found = _PART.match(part)
    if found is None:
        return "can't be read"
    first, last = found["first"], found["last"]
    if found["step"] is not None and int(found["step"]) == 0:
        return "has a step of 0"
    if first == "*":
        return "can't be read" if last else None
    numbers = [_number(word, low, words) for word in (first, last) if word is not None]
    if any(number is None or not low <= number <= high for number in numbers):
        return f"is not between {low} and {high}"
    if last is not None and (numbers[0] or 0) > (numbers[1] or 0):
        return "runs backwards"
    return None


def _number(word: str, low: int, words: list[str]) -> int | None:
    if word.isdecimal():
        return int(word)
    return words.index(word.lower()) + low if word.lower() in words else None
