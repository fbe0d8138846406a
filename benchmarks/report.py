"""The figures as a table: for the terminal, and for `RESULTS.md`."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import machine
from benchmarks.figures import three_digits
from benchmarks.rows import ROWS, Row
from benchmarks.sizes import Sizes
from benchmarks.stores import Given

RESULTS = Path(__file__).parent / "RESULTS.md"
OURS, PREFECT, CELERY = "Orchestrator", "Prefect", "Celery"
HEADS = ("what", "unit", OURS, "target", "met", PREFECT, "ratio", CELERY, "ratio")
TEXTS = 2
"""The first columns, whose cells aren't numbers."""
Figures = Mapping[str, float]


def table(figures: Mapping[str, Figures], rows: Sequence[Row] = ROWS) -> list[Sequence[str]]:
    """Heads and rows; rows that nobody measured are left out. A ratio says how many times better ours is."""
    lines = [_line(row, figures) for row in rows]
    return [HEADS, *(line for line in lines if any(line[HEADS.index(title)] for title in (OURS, PREFECT, CELERY)))]


def _line(row: Row, figures: Mapping[str, Figures]) -> Sequence[str]:
    ours = figures.get(OURS, {}).get(row.ours)
    prefect = figures.get(PREFECT, {}).get(row.prefect or row.ours)
    celery = figures.get(CELERY, {}).get(row.celery or row.ours)
    met = "" if ours is None or not row.target else "yes" if row.met(ours) else "**no**"
    return (
        *(row.title, row.unit, _cell(ours), row.target, met),
        *(_cell(prefect), _ratio(row, ours, prefect), _cell(celery), _ratio(row, ours, celery)),
    )


def _cell(value: float | None) -> str:
    return "" if value is None else three_digits(value)


def _ratio(row: Row, ours: float | None, theirs: float | None) -> str:
    if not ours or not theirs or not row.compared:
        return ""
    return f"{three_digits(ours / theirs if row.more_is_better else theirs / ours)} ×"


def without_celery(lines: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """The table for what Celery has no part in."""
    return [line[: HEADS.index(CELERY)] for line in lines]


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """A table whose source can be read as well."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    rule = ["-" * width if column < TEXTS else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    heads, *rest = ([_padded(column, cell, widths[column]) for column, cell in enumerate(line)] for line in lines)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [heads, rule, *rest])


def _padded(column: int, cell: str, width: int) -> str:
    return cell.ljust(width) if column < TEXTS else cell.rjust(width)


def write(
    lines: Sequence[Sequence[str]],
    notes: Sequence[str],
    sizes: Mapping[str, Sizes],
    facts: Mapping[str, str],
    path: Path = RESULTS,
) -> None:
    """Replace the file."""
    parts = [
        "# Measured beside Prefect and Celery",
        f"Made by `{_command()}` on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC; `make bench ARGS=--write` measures it all. "
        "Each product runs the same code with a server and stores of its own, one after the other. "
        "Targets are our own; the ratio says how many times better ours is. What is blank, a product doesn't have.",
        markdown(lines),
        "\n".join(f"- {note}" for note in [*METHOD, *notes]),
        "| | |\n|---|---|\n" + "\n".join(f"| {name} | {fact} |" for name, fact in facts.items()),
        "Repetitions and counts:\n\n" + "\n".join(f"- {name}: {_told(each)}" for name, each in sizes.items()),
    ]
    path.write_text("\n\n".join(parts) + "\n")


def write_beside_prefect(
    title: str, module: str, lines: Sequence[Sequence[str]], origins: Sequence[str], path: Path
) -> None:
    """Replace a file of one of the smaller benchmarks, which are begun by their module."""
    parts = [
        f"# {title}",
        f"Made by `python -m {module} --write`, all at once or in parts. "
        "Each product runs the same code with a server and stores of its own, one after the other; every figure comes "
        "from a fresh process. The ratio says how many times better ours is.",
        markdown(lines),
        "\n".join(f"- {origin}" for origin in [*origins, f"load average after: {machine.load()}"]),
    ]
    path.write_text("\n\n".join(parts) + "\n")


def facts(given: Given, load_before: str) -> dict[str, str]:
    """What a reader needs to judge the figures. Asked while the stores are there."""
    return {**machine.facts(given), "load average before": load_before, "after": machine.load()}


def _command() -> str:
    """Without the addresses of stores, which hold passwords."""
    words, former = [], ""
    for word in sys.argv[1:]:
        words.append("URL" if former in ("--postgres", "--redis") else word)
        former = word
    return shlex.join(["python", "-m", "benchmarks", *words])


def _told(sizes: Sizes) -> str:
    return ", ".join(f"{name} {_number(getattr(sizes, name))}" for name in sizes.__dataclass_fields__)


def _number(size: float | Sequence[float]) -> str:
    return " and ".join(f"{each:g}" for each in size) if isinstance(size, Sequence) else f"{size:g}"


METHOD = (
    "User thread: the wall time of the loop in the user's process, while the journal is sent beside it. Celery's "
    "`delay` sends a task to another process, which has run it when all is recorded.",
    "Recorded: the rows are in the database, for Celery the results in its result backend, asked every 50 ms.",
    "Tables and indexes: with all that a task run leaves in other tables, events and log lines of the default "
    "configuration included, write-ahead log excluded.",
    "Warm: the default, a process forked from one that has imported the code. Cold: a fresh interpreter for each run, "
    "as Prefect has it always. Celery's worker has imported the code and executes two tasks at once; our agent fifty.",
    "40 × and 10 × fibonacci: tasks one after the other in one run, for Celery a chain.",
    "Idle: nothing to do, and code of one deployment kept warm where that exists. Memory that processes share is "
    "divided among them; that of the web process is what it holds resident.",
    "1,000 idle agents: simulated by one program over a socket for each, with one API key. What the stores use without "
    "them is subtracted. Woken: those whose wait was ended for a run, or within half a second of its claim.",
)
