"""What the rows, the diaries, the folders and the logs prove afterwards: nothing stuck, lost, doubled, leaked."""

from __future__ import annotations

import itertools
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row

from orchestrator.states import TRANSITIONS, StateType
from tests.chaos.installation import AGENTS, Installation
from tests.chaos.load import Ledger

FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
TOLD = ("COMPLETED", "FAILED")  # ends that only a holder can tell
OWN_CLOCK = timedelta(seconds=30)  # how far a corrected time may lie outside of its run
NOT_RECORDED = re.compile(r"Not recorded: (.+) \(")
LINE = re.compile(r"line (\d+) (\d+)")


@dataclass
class Diary:
    """What one attempt of a flow run really did, in its own words."""

    lines: list[tuple[int, int]] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)


def wait_for_quiet(installation: Installation, patience: float) -> float:
    """Until every run is final and every lease gone, or patience is over; how long it took."""
    began = time.monotonic()
    with _rows(installation) as rows:
        while time.monotonic() - began < patience:
            journals = [path for path in _journals(installation) if path.suffix == ".ndjson"]
            if not rows.execute(_BUSY).fetchone()[0] and not installation.orphans() and not journals:
                break
            time.sleep(0.25)
    return time.monotonic() - began


_BUSY = """
    SELECT (SELECT count(*) FROM flow_run WHERE ended_at IS NULL) + (SELECT count(*) FROM lease)
        + (SELECT count(*) FROM bulk_operation WHERE ended_at IS NULL)
        + (SELECT count(*) FROM deleted_run WHERE cleared_at IS NULL)
"""


class Verdict:
    """Everything that is held against an installation, found by `judge`."""

    def __init__(self, installation: Installation, ledger: Ledger) -> None:
        self._installation = installation
        self._ledger = ledger
        self._diaries: dict[tuple[str, int], Diary] = {}
        self.violations: list[str] = []
        self.ends: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()

    def judge(self) -> list[str]:
        """Ask everything; answer what is wrong."""
        self._diaries = read_diaries(self._installation.folder / "diaries")
        with _rows(self._installation) as rows:
            self._rows = rows
            self._runs = rows.execute(_RUNS).fetchall()
            self.ends.update(f"{run.state_type}/{run.state_name}" for run in self._runs if run.id == run.root_id)
            self._read_journal()
            for check in (
                self._nothing_is_stuck, self._nothing_is_doubled, self._nothing_is_lost, self._states_obey_the_table,
                self._logs_are_whole, self._tasks_are_whole, self._ends_are_true, self._cancels_were_honoured,
                self._times_are_plausible, self._nothing_is_left, self._limits_held,
                self._bulk_operations_ended, self._what_is_deleted_is_gone,
            ):  # fmt: skip
                check()
        return self.violations

    def _read_journal(self) -> None:
        self._lines: dict[tuple[Any, int], list[Any]] = defaultdict(list)
        for line in self._rows.execute(_LINES).fetchall():
            self._lines[line.run_id, line.attempt].append(line)
        self._tasks: dict[tuple[Any, int], list[Any]] = defaultdict(list)
        for task in self._rows.execute(_TASKS).fetchall():
            self._tasks[task.run_id, task.attempt].append(task)

    def _say(self, run: Any, what: str) -> None:
        self.violations.append(f"{run.flow} {run.id} ({run.state_type}, attempt {run.attempt}): {what}")

    # Stuck.

    def _nothing_is_stuck(self) -> None:
        for run in self._runs:
            if run.state_type not in FINAL:
                self._say(run, f"is still {run.state_type}/{run.state_name} since {run.state_at}: {run.state_message}")
        for lease in self._ask("SELECT run_id, attempt, limit_id, expires_at FROM lease"):
            self.violations.append(f"a lease is left: {lease}")
        for run in self._runs:
            for attempt in range(1, run.attempt + 1):
                open_ones = [task for task in self._tasks[run.id, attempt] if task.state_type not in FINAL]
                if run.state_type in FINAL and open_ones:
                    self._say(run, f"{len(open_ones)} task runs of attempt {attempt} never ended: {open_ones[0]}")
        open_attempts = "SELECT run_id, number FROM attempt WHERE ended_at IS NULL"
        for attempt in self._ask(open_attempts):
            self.violations.append(f"an attempt has no end: {attempt}")

    # Doubled.

    def _nothing_is_doubled(self) -> None:
        for key, ids in self._ledger.answered.items():
            if len(ids) > 1:
                self.violations.append(f"the key {key} was answered with several runs: {sorted(ids)}")
        for row in self._ask(
            "SELECT schedule_id, scheduled_at, count(*) FROM flow_run WHERE schedule_id IS NOT NULL"
            " GROUP BY 1, 2 HAVING count(*) > 1"
        ):
            self.violations.append(f"a schedule made several runs for one time: {row}")
        metered, counted, recorded, deleted = self._ask(_METERED)[0]
        if not metered - deleted == counted <= recorded:
            told = f"{metered} task runs were metered, {deleted} of them of deleted runs"
            self.violations.append(f"{told}, {counted} counted of {recorded} recorded")
        twice = "SELECT retry_of, count(*) FROM flow_run WHERE retry_of IS NOT NULL GROUP BY 1 HAVING count(*) > 1"
        for row in self._ask(twice):
            self.violations.append(f"a run was retried twice: {row}")

    # Done to many runs at once.

    def _bulk_operations_ended(self) -> None:
        found = {str(row.id): row for row in self._ask("SELECT * FROM bulk_operation")}
        for id, kind in self._ledger.many.items():
            row = found.get(id)
            if row is None or row.kind != kind or row.state != "completed":
                self.violations.append(f"the bulk operation {id} was to {kind}: {row}")
        for row in found.values():
            self.notes[f"{row.kind} in bulk: runs"] += row.done

    def _what_is_deleted_is_gone(self) -> None:
        """But for what was used, the trail, and places where something points at it."""
        gone = [f"%{row.id}%" for row in self._ask("SELECT id FROM deleted_run")]
        for (table,) in self._rows.execute(_TABLES, [POINTS_AT_DELETED]).fetchall() if gone else ():
            left = self._rows.execute(f"SELECT every::text FROM {table} every WHERE every::text LIKE ANY(%s)", [gone])
            if row := left.fetchone():
                self.violations.append(f"{table} has a row of a deleted run: {row[0][:300]}")

    # Lost.

    def _nothing_is_lost(self) -> None:
        known = {str(run.id) for run in self._runs}
        for key, ids in self._ledger.answered.items():
            for id in ids - known:
                self.violations.append(f"the run {id} of {key} was promised, and is not there")
        for key in self._ledger.asked.keys() - self._ledger.answered.keys():
            self.violations.append(f"the trigger {key} never got an answer")
        for row in self._ask("SELECT root_id, attempt, seq, code, left(entry, 300) FROM journal_quarantine"):
            self.violations.append(f"quarantined: {row}")
        for run in self._runs:
            missing = [
                attempt for (id, attempt) in self._diaries if id == str(run.id) and attempt > max(run.attempt, 1)
            ]
            if missing:
                self._say(run, f"was executed in the attempts {missing}, of which nobody knows")

    # States.

    def _states_obey_the_table(self) -> None:
        for run in self._runs:
            types = [state[1] for state in run.history]
            if types and run.state_type != types[-1]:
                self._say(run, f"its last state is not that of its history: {types}")
            for before, after in itertools.pairwise(types):
                if (StateType(before), StateType(after)) not in TRANSITIONS:
                    self._say(run, f"moved from {before} to {after}")
            attempts = [state[4] for state in run.history]
            if attempts != sorted(attempts):
                self._say(run, f"its attempts went back: {attempts}")
            if run.crashes > 1 + max(run.retries, run.crash_retries or 0):
                self._say(run, f"crashed {run.crashes} times, and went on")

    # The log.

    def _logs_are_whole(self) -> None:
        for root, numbers in self._line_numbers().items():
            counted = next((run.lines for run in self._runs if run.id == root), None)
            if numbers != list(range(1, len(numbers) + 1)) or counted != len(numbers):
                self.violations.append(f"the lines of {root} are not 1 to {counted}: {numbers[:5]} … {numbers[-5:]}")
        for run in self._runs:
            for attempt in range(1, run.attempt + 1):
                self._log_of(run, attempt)

    def _line_numbers(self) -> dict[Any, list[int]]:
        numbers: dict[Any, list[int]] = defaultdict(list)
        for row in self._ask("SELECT root_id, line_no FROM log_line ORDER BY 1, 2"):
            numbers[row.root_id].append(row.line_no)
        return numbers

    def _log_of(self, run: Any, attempt: int) -> None:
        """What is recorded of an attempt is the beginning of what it said; all of it, if it could tell its end."""
        recorded = [_numbers(line.message) for line in self._lines[run.id, attempt]]
        recorded = [pair for pair in recorded if pair is not None]
        said = self._diary(run, attempt).lines
        dropped = _dropped(self._lines[run.root_id, attempt])
        if dropped:
            self.notes["lines told to be dropped"] += dropped
            if len(set(recorded)) != len(recorded) or len(said) - len(recorded) > dropped:
                self._say(run, f"{len(recorded)} of {len(said)} lines of attempt {attempt}, {dropped} told as dropped")
        elif recorded != said[: len(recorded)]:
            self._say(run, f"the log of attempt {attempt} has gaps or doubles: {_difference(recorded, said)}")
        elif len(recorded) < len(said):
            self.notes["lines lost with a process"] += len(said) - len(recorded)
            if self._told_its_end(run, attempt):
                self._say(run, f"attempt {attempt} said {len(said)} lines, {len(recorded)} are recorded")

    def _told_its_end(self, run: Any, attempt: int) -> bool:
        return attempt == run.attempt and run.state_type in TOLD and run.root_type in TOLD

    def _diary(self, run: Any, attempt: int) -> Diary:
        return self._diaries.get((str(run.id), attempt), Diary())

    # Task runs.

    def _tasks_are_whole(self) -> None:
        for run in self._runs:
            for attempt in range(1, run.attempt + 1):
                recorded = Counter(
                    str(task.id) for task in self._tasks[run.id, attempt] if task.state_type == "COMPLETED"
                )
                done = Counter(self._diary(run, attempt).tasks)
                if invented := recorded - done:
                    self._say(run, f"attempt {attempt} completed tasks that did not happen: {list(invented)[:3]}")
                if self._told_its_end(run, attempt) and (lost := done - recorded):
                    self._say(run, f"attempt {attempt} completed {len(done)} tasks, of {len(lost)} nobody knows")

    # Ends.

    def _ends_are_true(self) -> None:
        for run in self._runs:
            words = self._diary(run, run.attempt).words
            if run.state_type == "COMPLETED" and words[-1:] != ["end"]:
                self._say(run, f"is COMPLETED, but its diary says {words}")
            if run.state_type == "FAILED" and words[-1:] != ["failed"] and run.id == run.root_id:
                self._say(run, f"is FAILED ({run.state_message}), but its diary says {words}")
            if run.state_type == "CRASHED":
                self.notes[f"crashed: {run.state_message.splitlines()[0][:80]}"] += 1

    def _cancels_were_honoured(self) -> None:
        for run in self._runs:
            types = [state[1] for state in run.history]
            if "CANCELLING" in types:
                after = types[types.index("CANCELLING") + 1 :]
                if any(type not in FINAL for type in after):
                    self._say(run, f"went on after it was cancelled: {types}")
            if str(run.id) in self._ledger.cancelled and "CANCELLING" not in types and run.state_type != "CANCELLED":
                self._say(run, f"its cancel was answered by yes, and forgotten: {types}")

    # Clocks.

    def _times_are_plausible(self) -> None:
        """Clocks of agents went wrong by hours; what is shown must lie where it happened."""
        for run in self._runs:
            if run.ended_at is None or run.created_at is None:
                continue
            first, last = run.created_at - OWN_CLOCK, run.ended_at + OWN_CLOCK
            if not first <= run.ended_at:
                self._say(run, f"ended at {run.ended_at}, made at {run.created_at}")
            wrong = [line.t for line in self._lines[run.id, run.attempt] if not first <= line.t <= last]
            if wrong:
                self._say(run, f"{len(wrong)} lines with times like {wrong[0]}, of a run from {first} to {last}")

    # Left behind.

    def _nothing_is_left(self) -> None:
        for path in _journals(self._installation):
            self.violations.append(f"a journal is left: {path}: {path.read_bytes()[:300]!r}")
        for process in self._installation.orphans():
            with process.oneshot():
                told = f"{process.pid} of {process.ppid()}, {process.status()}, {' '.join(process.cmdline())}"
            self.violations.append(f"a process is left without its agent: {told}")

    def _limits_held(self) -> None:
        self.violations += self._ledger.overfull[:5]

    def _ask(self, query: str) -> list[Any]:
        return self._rows.execute(query).fetchall()


_RUNS = """
    SELECT r.*, f.name AS flow, o.state_type AS root_type FROM flow_run r
    JOIN flow f ON f.id = r.flow_id JOIN flow_run o ON o.id = r.root_id ORDER BY r.id
"""
_METERED = """
    SELECT (SELECT coalesce(sum(task_runs), 0) FROM usage_delta)
        + (SELECT coalesce(sum(task_runs), 0) FROM usage_day) AS metered,
        (SELECT coalesce(sum((
            SELECT max(c) FROM unnest(counted) WITH ORDINALITY u (c, n) WHERE mod(n, 2) = 1)), 0)
            FROM flow_run WHERE id = root_id) AS counted,
        (SELECT count(*) FROM task_run) AS recorded,
        (SELECT coalesce(sum(task_runs), 0) FROM deleted_run) AS deleted
"""
POINTS_AT_DELETED = ["deleted_run", "usage_delta", "usage_day", "audit_entry", "cache_entry", "bulk_operation"]
_TABLES = """
    SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'organization_id'
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
        AND NOT c.relname = ANY(%s) ORDER BY 1
"""
_LINES = "SELECT run_id, attempt, line_no, t, message FROM log_line ORDER BY root_id, line_no"
_TASKS = "SELECT run_id, attempt, id, label, state_type, rank FROM task_run"


def read_diaries(folder: Path) -> dict[tuple[str, int], Diary]:
    """All diaries, by run and attempt. A torn last line, as of a killed writer, can't be: each is one write."""
    diaries: dict[tuple[str, int], Diary] = defaultdict(Diary)
    for path in folder.iterdir():
        for line in path.read_text().splitlines():
            attempt, execution, word, *rest = line.split()
            diary = diaries[path.name, int(attempt)]
            if word == "line":
                diary.lines.append((int(execution), int(rest[0])))
            elif word == "task":
                diary.tasks.append(rest[0])
            else:
                diary.words.append(word)
    return dict(diaries)


def _rows(installation: Installation) -> psycopg.Connection[Any]:
    return psycopg.connect(installation.database_url, autocommit=True, row_factory=namedtuple_row)


def _numbers(message: str) -> tuple[int, int] | None:
    found = LINE.fullmatch(message)
    return (int(found[1]), int(found[2])) if found else None


def _dropped(lines: list[Any]) -> int:
    """How many log lines an attempt told to have given up."""
    told = [found[1] for line in lines if (found := NOT_RECORDED.match(line.message))]
    return sum(int(number) for text in told for number in re.findall(r"(\d+) × log", text))


def _difference(recorded: list[Any], said: list[Any]) -> str:
    place = next((i for i, pair in enumerate(recorded) if i >= len(said) or pair != said[i]), len(recorded))
    around = slice(max(0, place - 2), place + 3)
    return f"at {place}: recorded {recorded[around]}, said {said[around]}"


def _journals(installation: Installation) -> list[Path]:
    return [path for name in AGENTS for path in _files(installation.home(name) / "journals")]


def _files(folder: Path) -> Iterator[Path]:
    yield from (path for path in folder.glob("*") if path.is_file()) if folder.exists() else ()
