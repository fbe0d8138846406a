"""What the database of a product says, asked as its superuser: no API is loaded by the question."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import psycopg

_SIZE = """
    SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0) FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'public' AND c.relkind IN ('r', 'm') AND c.relpersistence = 'p'"""
_COLUMNS = """
    SELECT column_name FROM information_schema.columns
    WHERE table_schema = 'public' AND table_name = 'flow_run' AND is_generated = 'NEVER' ORDER BY ordinal_position"""
STILL_SECONDS = 2.0
LOOK_EVERY = 0.05


@dataclass(frozen=True)
class Queries:
    """The same questions in the words of one product's schema; each has one place for the run's id."""

    recorded: str
    """How many of a flow run's task runs are recorded as completed."""
    ended: str
    """The state's type, and when the run ended, in seconds since 1970."""
    scheduled: str
    """Of runs that schedules made for times between two moments: the deployment, the time that is meant, and when the
    run was made, both in seconds since 1970."""
    copied: Mapping[str, str]
    """What copies of a run have of their own, by column: SQL of the copied row `r` and the copy, `c.id` and `c.n`."""


class Database:
    """One database. Close it before its server stops."""

    def __init__(self, url: str, queries: Queries) -> None:
        self._queries = queries
        self._connection = psycopg.connect(url, autocommit=True, connect_timeout=10)

    def close(self) -> None:
        self._connection.close()

    def size(self) -> int:
        """Bytes of all tables with their indexes."""
        return int(self._one(_SIZE)[0])

    def settled_size(self, timeout: float = 30.0) -> int:
        """The size once it has stood still: what is recorded behind the tasks belongs to it."""
        deadline, size, since = time.monotonic() + timeout, self.size(), time.monotonic()
        while time.monotonic() < min(deadline, since + STILL_SECONDS):
            time.sleep(0.2)
            now = self.size()
            if now != size:
                size, since = now, time.monotonic()
        return size

    def wait_recorded(self, run: str, count: int, timeout: float) -> None:
        """Wait until all task runs of a run are recorded.

        Raises:
            TimeoutError: With the number that is.
        """
        deadline = time.monotonic() + timeout
        while (recorded := self._one(self._queries.recorded, run)[0]) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{recorded} of {count} task runs were recorded within {timeout:.0f} s.")
            time.sleep(LOOK_EVERY)

    def wait_completed(self, run: str, timeout: float) -> float:
        """Wait until a run has completed; when that was, in seconds since 1970.

        Raises:
            TimeoutError: It hasn't ended in time.
            RuntimeError: It ended otherwise.
        """
        deadline = time.monotonic() + timeout
        while True:
            state, ended = self._one(self._queries.ended, run)
            if ended is not None and state == "COMPLETED":
                return float(ended)
            if ended is not None:
                raise RuntimeError(f"The run {run} ended {state}.")
            if time.monotonic() > deadline:
                raise TimeoutError(f"The run {run} is {state} after {timeout:.0f} s.")
            time.sleep(LOOK_EVERY)

    def scheduled(self, begin: float, end: float) -> list[tuple[str, float, float]]:
        """Of which deployment a run was made when, for all times from `begin` on and before `end`."""
        rows = self._connection.execute(self._queries.scheduled, (begin, end)).fetchall()
        return [(str(key), float(meant), float(made)) for key, meant, made in rows]

    def copy_run(self, run: str, count: int) -> None:
        """Add so many runs like this one, a second apart, back from it."""
        columns = [name for (name,) in self._connection.execute(_COLUMNS)]
        chosen = [self._queries.copied.get(name, f'r."{name}"') for name in columns]
        names = ", ".join(f'"{name}"' for name in columns)
        self._connection.execute(
            f"INSERT INTO flow_run ({names}) SELECT {', '.join(chosen)} FROM flow_run r,"  # type: ignore[arg-type]
            " (SELECT gen_random_uuid() AS id, n FROM generate_series(1, %s) n) c WHERE r.id = %s",
            (count, run),
        )
        self._connection.execute("VACUUM ANALYZE flow_run")

    def _one(self, query: str, *parameters: str) -> tuple:
        row = self._connection.execute(query, parameters).fetchone()
        return row if row is not None else ("unknown", None)
