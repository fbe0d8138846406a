"""A flow whose parameters are of all kinds."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import pathlib
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field


class Mode(enum.Enum):
    INCREMENTAL = "incremental"
    FULL = "full"


class Source(BaseModel):
    name: str = Field(description="As it is called in reports")
    format: Literal["csv.gz", "parquet"] = "csv.gz"
    url: str = Field(pattern="^https://")


class Parquet(BaseModel):
    """Partitioned, in a bucket."""

    kind: Literal["parquet"] = "parquet"
    partition_by: Literal["origin", "carrier"] = "origin"
    rows: Annotated[int, Field(ge=1)] = 500_000


class DuckDB(BaseModel):
    """One file, for laptops."""

    kind: Literal["duckdb"] = "duckdb"
    path: pathlib.Path = pathlib.Path("delays.duckdb")


@dataclasses.dataclass
class Window:
    start: dt.date
    end: dt.date | None = None


Airport = Literal[tuple(f"A{number:03}" for number in range(1000))]
BTS = Source(name="bts", url="https://data.example.org/bts.csv.gz")


def flights(
    title: str,
    year: Annotated[int, Field(ge=1987, le=2025)] = 2013,
    mode: Mode = Mode.INCREMENTAL,
    since: dt.date = dt.date(2013, 1, 1),
    at: dt.datetime | None = None,
    sources: list[Source] = [BTS],  # noqa: B006
    output: Annotated[Parquet | DuckDB, Field(discriminator="kind")] | None = Parquet(),  # noqa: B008
    window: Window | None = None,
    every: dt.timedelta = dt.timedelta(minutes=90),
    limits: dict[str, int] = {"a": 1},  # noqa: B006
    options: dict[str, Any] = {"chunk": 50000},  # noqa: B006
    airport: Airport = "A007",  # type: ignore[valid-type]
    strict: bool = True,
) -> None:
    """Load flights.

    Args:
        title: Shown on the first page of the report.
    """
