"""A report that people read on the run's page: a table, a text, and a link to where the numbers come from.

What it shows: artifacts. They are kept by key, so the report of each run stands beside those of the runs before;
making one costs no request.

    python -m examples.delay_report
"""

from __future__ import annotations

from typing import Any

from examples.flights import dataset
from orchestrator import flow, task
from orchestrator.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

SOURCE = "https://www.transtats.bts.gov/"


@task
def by_airline(month: int) -> list[dict[str, Any]]:
    """Departures and delays (minutes) of each airline, the latest one first."""
    flights, _, airlines = dataset()
    part = flights[flights.month == month].dropna(subset=["dep_delay"])
    grouped = part.groupby("carrier").dep_delay.agg(["size", "mean", "max"]).reset_index()
    named = grouped.merge(airlines, on="carrier").sort_values("mean", ascending=False)
    return [
        {"airline": row.name_, "departures": row.size_, "mean delay": round(row.mean_, 1), "longest": row.max_}
        for row in named.rename(columns={name: f"{name}_" for name in ("name", "size", "mean", "max")}).itertuples()
    ]


@task
def publish(month: int, rows: list[dict[str, Any]]) -> str:
    """Put the report on the run's page."""
    worst, best = rows[0], rows[-1]
    text = (
        f"# Delays in month {month} of 2013\n\n"
        f"**{worst['airline']}** left {worst['mean delay']} minutes late on average, "
        f"**{best['airline']}** {best['mean delay']}.\n"
    )
    create_table_artifact(key="delays-by-airline", table=rows, description="Minutes, by airline")
    create_markdown_artifact(key="delays", markdown=text)
    create_link_artifact(key="delays-source", link=SOURCE, link_text="Bureau of Transportation Statistics")
    return text


@flow
def delay_report(month: int = 1) -> str:
    """Make the report of one month; its text.

    Args:
        month: Of 2013.
    """
    return publish(month, by_airline(month))


if __name__ == "__main__":
    print(delay_report())
