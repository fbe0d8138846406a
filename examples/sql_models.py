"""Tables made from tables by SQL, each as soon as those that it reads are there.

What it shows: a graph that is found while the flow runs. Each model is a SELECT; which others it reads is read from
its text, and `wait_for` makes that the order. Independent models run at once; what a failed one feeds doesn't run.

    python -m examples.sql_models
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from examples.flights import CONTENDED
from orchestrator import flow, get_run_logger, task
from orchestrator.futures import Future

MODELS = {
    "trips": """
        SELECT i AS id, i % 7 AS weekday, i % 3 AS zone, 2.5 + (i * 37 % 100) / 10 AS fare, i % 40 = 0 AS cancelled
        FROM range(20_000) AS numbers(i)""",
    "zones": "SELECT * FROM (VALUES (0, 'harbour'), (1, 'centre'), (2, 'airport')) AS named(zone, name)",
    "paid_trips": "SELECT * EXCLUDE cancelled FROM {trips} WHERE NOT cancelled",
    "takings": "SELECT name, weekday, count(*) AS trips, sum(fare) AS fares FROM {paid_trips} JOIN {zones} USING (zone)"
    " GROUP BY ALL",
    "best_day": "SELECT name, arg_max(weekday, fares) AS weekday FROM {takings} GROUP BY name ORDER BY name",
    "lost": "SELECT count(*) AS trips FROM {trips} WHERE cancelled",
}


def reads(select: str) -> set[str]:
    """The models that a SELECT names in braces."""
    return set(re.findall(r"\{(\w+)\}", select))


@task(task_run_name="build-{name}", **CONTENDED)
def build(database: Path, name: str, select: str) -> int:
    """Make one table; how many rows it has."""
    statement = re.sub(r"\{(\w+)\}", r'"\1"', select)
    with duckdb.connect(str(database)) as connection:
        connection.execute(f'CREATE OR REPLACE TABLE "{name}" AS {statement}')
        (rows,) = connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()
    get_run_logger().info("%s: %d rows", name, rows)
    return rows


@flow
def build_all(database: Path, models: Mapping[str, str] | None = None) -> dict[str, int]:
    """Build all models; how many rows each has.

    Args:
        database: The DuckDB file.
        models: A SELECT by name; a name in braces reads that model.

    Raises:
        ValueError: A model reads one that isn't there, or models read each other in a circle.
    """
    left = dict(MODELS if models is None else models)
    built: dict[str, Future[int]] = {}
    while left:
        ready = [name for name, select in left.items() if reads(select) <= built.keys()]
        if not ready:
            raise ValueError(f"These read each other in a circle, or what isn't there: {', '.join(sorted(left))}.")
        for name in ready:
            select = left.pop(name)
            upstream = [built[other] for other in sorted(reads(select))]
            built[name] = build.submit(database, name, select, wait_for=upstream)
    return {name: future.result() for name, future in built.items()}


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        print(build_all(Path(folder) / "taxi.duckdb"))
