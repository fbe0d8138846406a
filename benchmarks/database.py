"""What the database of a product says, asked as its superuser: no API is loaded by the question."""

import time
from dataclasses import dataclass

import psycopg

_SIZE = """
    SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0) FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'public' AND c.relkind IN ('r', 'm') AND c.relpersistence = 'p'"""
STILL_SECONDS = 2.0
LOOK_EVERY = 0.05


@dataclass(frozen=True)
class Queries:
    """The same questions in the words of one product's schema; each has one place for the run's id."""

    recorded: str
    """How many of a flow run's task runs are recorded as completed."""
    ended: str
    """The state's type, and when the run ended, in seconds since 1970."""


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

    def _one(self, query: str, *parameters: str) -> tuple:
        row = self._connection.execute(query, parameters).fetchone()
        return row if row is not None else ("unknown", None)
