"""The content of an artifact as a page shows it. What a run wrote is read without trust: no form is taken for sure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from orchestrator.cleaned import summary_of
from runs.models import Artifact
from runs.reads.addresses import followed, shown_image
from runs.reads.markdown import as_html

ROWS_A_PAGE = 100
ROWS_AT_A_GLANCE = 8
MAX_COLUMNS = 60
MAX_CELL = 500  # characters


@dataclass(frozen=True, slots=True)
class Cell:
    """One value of a table."""

    text: str
    is_number: bool = False
    is_missing: bool = False


@dataclass(frozen=True, slots=True)
class Content:
    """What a page shows of an artifact; the fields of other types are empty."""

    columns: list[Cell] = field(default_factory=list)
    rows: list[list[Cell]] = field(default_factory=list)
    first: int = 0  # the number of the first row, from 0
    total: int = 0
    hidden_columns: int = 0
    html: str = ""
    href: str = ""
    text: str = ""
    image: str = ""
    progress: float | None = None

    @property
    def next(self) -> int | None:
        """The first row of the next page."""
        after = self.first + len(self.rows)
        return after if after < self.total else None

    @property
    def before(self) -> int | None:
        """The first row of the page before."""
        return max(self.first - ROWS_A_PAGE, 0) if self.first else None


def content_of(artifact: Artifact, data: Any, *, first: int = 0, rows: int = ROWS_A_PAGE) -> Content:
    """What to show of an artifact; of a table some rows, from the `first` on."""
    summary = summary_of(artifact.type, data)
    if not summary:
        return Content(text="" if data is None else _cut(json.dumps(data, ensure_ascii=False, indent=2), 20_000))
    match artifact.type:
        case "table":
            return _table(data, max(first, 0), rows)
        case "markdown":
            return Content(html=as_html(data))
        case "link":
            return Content(href=followed(data["link"]), text=_cut(str(data.get("text") or data["link"]), 2_000))
        case "image":
            return Content(image=shown_image(data["url"]), href=followed(data["url"]), text=_cut(data["url"], 2_000))
        case _:
            return Content(progress=summary["progress"])


def _table(data: dict[str, Any], first: int, count: int) -> Content:
    columns, rows = data["columns"], data["rows"]
    first = first if first < len(rows) else 0
    cells = [[_cell(value) for value in _values(row)[:MAX_COLUMNS]] for row in rows[first : first + count]]
    return Content(
        columns=[_head(name, place, cells) for place, name in enumerate(columns[:MAX_COLUMNS])],
        rows=cells,
        first=first,
        total=len(rows),
        hidden_columns=max(len(columns) - MAX_COLUMNS, 0),
    )


def _head(name: Any, place: int, rows: list[list[Cell]]) -> Cell:
    """The name of a column, above its numbers where it has nothing else."""
    cells = [row[place] for row in rows if place < len(row) and not row[place].is_missing]
    return Cell(_cell(name).text, is_number=bool(cells) and all(cell.is_number for cell in cells))


def _values(row: Any) -> list[Any]:
    return row if isinstance(row, list) else [row]


def _cell(value: Any) -> Cell:
    if value is None:
        return Cell("", is_missing=True)
    if isinstance(value, str):
        return Cell(_cut(value, MAX_CELL))
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return Cell(_cut(json.dumps(value, ensure_ascii=False), MAX_CELL), is_number)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}…"
