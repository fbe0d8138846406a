"""The figures as a table: for the terminal, and for `RESULTS.md`."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import machine
from benchmarks.figures import three_digits
from benchmarks.prefect_environment import PINS
from benchmarks.rows import ROWS, Row
from benchmarks.sizes import Sizes

RESULTS = Path(__file__).parent / "RESULTS.md"
HEADS = ("what", "unit", "Orchestrator", "Prefect", "ratio", "target", "met")
Figures = Mapping[str, float]


def table(ours: Figures, theirs: Figures) -> list[Sequence[str]]:
    """Heads and rows; rows that nobody measured are left out. The ratio says how many times better we are."""
    lines = [_line(row, ours.get(row.ours), theirs.get(row.theirs or row.ours)) for row in ROWS]
    return [HEADS, *(line for line in lines if line[2] or line[3])]


def _line(row: Row, ours: float | None, theirs: float | None) -> Sequence[str]:
    return (
        row.title,
        row.unit,
        "" if ours is None else three_digits(ours),
        "" if theirs is None else three_digits(theirs),
        _ratio(row, ours, theirs) if ours and theirs and row.compared else "",
        row.target,
        "" if ours is None or not row.target else "yes" if row.met(ours) else "no",
    )


def _ratio(row: Row, ours: float, theirs: float) -> str:
    return f"{three_digits(ours / theirs if row.more_is_better else theirs / ours)} ×"


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """A table whose source can be read as well."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADS))]
    rule = ["-" * width if _is_text(column) else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    heads, *rest = ([_padded(column, cell, widths[column]) for column, cell in enumerate(line)] for line in lines)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [heads, rule, *rest])


def _is_text(column: int) -> bool:
    return column < 2


def _padded(column: int, cell: str, width: int) -> str:
    return cell.ljust(width) if _is_text(column) else cell.rjust(width)


def write(lines: Sequence[Sequence[str]], notes: Sequence[str], sizes: Mapping[str, Sizes], load_before: str) -> None:
    """Replace `RESULTS.md`."""
    facts = {**machine.facts(), "Prefect": " ".join(PINS), "load average before": load_before, "after": machine.load()}
    command = shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])
    parts = [
        "# Measured beside Prefect",
        f"Made by `{command}` on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC; `make bench ARGS=--write` measures it all. "
        "Both run the same flows, each with its own server and PostgreSQL, one after the other. "
        "Targets are our own; the ratio says how many times better ours is.",
        markdown(lines),
        "\n".join(f"- {note}" for note in [*METHOD, *notes]),
        "| | |\n|---|---|\n" + "\n".join(f"| {name} | {fact} |" for name, fact in facts.items()),
        "Repetitions and counts: " + "; ".join(f"{name}: {_told(each)}" for name, each in sizes.items()) + ".",
    ]
    RESULTS.write_text("\n\n".join(parts) + "\n")


def _told(sizes: Sizes) -> str:
    return ", ".join(f"{name} {getattr(sizes, name):g}" for name in sizes.__dataclass_fields__)


METHOD = (
    "User thread: the wall time of the loop in the user's process, while the journal is sent beside it.",
    "Recorded: the rows are in the database, which is asked every 50 ms.",
    "Tables and indexes: with all that a task run leaves in other tables, events and log lines of the default "
    "configuration included, write-ahead log excluded.",
    "Every run that is triggered gets a fresh process, from both.",
)
