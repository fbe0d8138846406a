"""What a docstring says of each parameter, in Google's, NumPy's or Sphinx's manner."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

MAX_TEXT = 2_000  # characters of one description

_SECTION = re.compile(
    r"(args|arguments|params|parameters|other parameters|keyword args|keyword arguments|attributes)(:?)\s*", re.I
)
_GOOGLE_ITEM = re.compile(r"\*{0,2}(\w+)\s*(?:\(.*?\))?\s*:(?!:)\s*(.*)")
_NUMPY_ITEM = re.compile(r"(\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?")
_SPHINX_ITEM = re.compile(
    r"[:@](?:param|parameter|arg|argument|key|keyword|ivar|cvar|var)\s+(?:[^:]*\s)?\*{0,2}(\w+)\s*:\s*(.*)"
)
_FIELD = re.compile(r"[:@]\w+[^:]*:")


def parameters_of(docstring: str) -> dict[str, str]:
    """The description of each parameter that a docstring tells of.

    >>> parameters_of('''Load.
    ...
    ... Args:
    ...     day (date, optional): Which one,
    ...         in UTC.
    ... ''')
    {'day': 'Which one, in UTC.'}
    """
    lines = docstring.expandtabs(8).splitlines()
    found: dict[str, list[str]] = {}
    for names, text in [*_sphinx(lines), *_sections(lines)]:
        for name in names:
            found.setdefault(name, text)
    joined = {name: " ".join(" ".join(text).split())[:MAX_TEXT] for name, text in found.items()}
    return {name: text for name, text in joined.items() if text}


def summary_of(docstring: str) -> str:
    """What stands before the parameters are told of: the first paragraph."""
    paragraph: list[str] = []
    for line in docstring.strip().splitlines():
        if not line.strip() or _SPHINX_ITEM.match(line.strip()) or _SECTION.fullmatch(line.strip()):
            break
        paragraph.append(line.strip())
    return " ".join(paragraph)[:MAX_TEXT]


_Item = tuple[list[str], list[str]]
_Read = Callable[[str], "tuple[list[str], str] | None"]


def _sphinx(lines: list[str]) -> Iterator[_Item]:
    for at, line in enumerate(lines):
        if match := _SPHINX_ITEM.fullmatch(line.strip()):
            more = []
            for following in lines[at + 1 :]:
                if not following.strip() or _indent(following) <= _indent(line) or _FIELD.match(following.strip()):
                    break
                more.append(following)
            yield [match[1]], [match[2], *more]


def _sections(lines: list[str]) -> Iterator[_Item]:
    """The items of each section that tells of parameters."""
    for at, line in enumerate(lines):
        match = _SECTION.fullmatch(line.strip())
        if not match:
            continue
        underlined = at + 1 < len(lines) and re.fullmatch(r"\s*-{3,}\s*", lines[at + 1])
        if underlined:
            yield from _items(_numpy_block(lines[at + 2 :], _indent(line)), _numpy_item)
        elif match[2]:
            yield from _items(_google_block(lines[at + 1 :], _indent(line)), _google_item)


def _google_block(lines: list[str], indent: int) -> list[str]:
    """The lines that are indented below a heading."""
    block = []
    for line in lines:
        if line.strip() and _indent(line) <= indent:
            break
        block.append(line)
    return block


def _numpy_block(lines: list[str], indent: int) -> list[str]:
    """The lines up to the next heading that is underlined."""
    block = []
    for at, line in enumerate(lines):
        is_heading = at + 1 < len(lines) and re.fullmatch(r"\s*-{3,}\s*", lines[at + 1])
        if line.strip() and (_indent(line) < indent or is_heading):
            break
        block.append(line)
    return block


def _items(block: list[str], read: _Read) -> Iterator[_Item]:
    """The items of a block: each begins at the block's own indent, what is deeper goes on with it."""
    own = min((_indent(line) for line in block if line.strip()), default=0)
    names: list[str] = []
    text: list[str] = []
    for line in block:
        item = read(line.strip()) if line.strip() and _indent(line) == own else None
        if item:
            if names:
                yield names, text
            names, text = item[0], [item[1]]
        elif _indent(line) > own:
            text.append(line)
    if names:
        yield names, text


def _google_item(line: str) -> tuple[list[str], str] | None:
    match = _GOOGLE_ITEM.fullmatch(line)
    return ([match[1]], match[2]) if match else None


def _numpy_item(line: str) -> tuple[list[str], str] | None:
    match = _NUMPY_ITEM.fullmatch(line)
    return ([name.strip().lstrip("*") for name in match[1].split(",")], "") if match else None


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
