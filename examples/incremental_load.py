"""Load the days of a ledger into one table, and read only those that are new or have changed.

What it shows: a cache. The key of a day is its file's content, so a day that was mended is read again, whoever loads
it; what was read of today, whose file grows, is kept for ten minutes. Two loads at the same time read each day once.

    python -m examples.incremental_load
"""

from __future__ import annotations

import csv
import hashlib
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from orchestrator import flow, task
from orchestrator.cache_policies import CacheContext

TEN_MINUTES = timedelta(minutes=10)


def by_content(context: CacheContext, parameters: dict[str, Any]) -> str:
    """A key that says what it is the key of: the day, and what its file holds."""
    file = parameters["file"]
    return f"ledger-{file.stem}-{hashlib.sha256(file.read_bytes()).hexdigest()[:16]}"


@task(cache_key_fn=by_content)
def totals_of(file: Path) -> dict[str, Decimal]:
    """The sum of each account in the file of a day."""
    totals: dict[str, Decimal] = {}
    with file.open(newline="") as lines:
        for account, amount in csv.reader(lines):
            totals[account] = totals.get(account, Decimal(0)) + Decimal(amount)
    return totals


totals_of_today = totals_of.with_options(name="totals_of_today", cache_expiration=TEN_MINUTES)


@flow
def load(folder: Path) -> dict[str, Decimal]:
    """The sum of each account over all days.

    Args:
        folder: A file `YYYY-MM-DD.csv` for each day, of lines `account,amount`.
    """
    *past, today = sorted(folder.glob("*.csv"))
    days = [*totals_of.map(past).result(), totals_of_today(today)]
    accounts = sorted({account for day in days for account in day})
    return {account: sum((day.get(account, Decimal(0)) for day in days), Decimal(0)) for account in accounts}


if __name__ == "__main__":
    with TemporaryDirectory() as place:
        for number in range(1, 6):
            Path(place, f"2026-11-0{number}.csv").write_text(f"rent,-{number}.10\nsales,{number * 100}\n")
        print(load(Path(place)))
        Path(place, "2026-11-02.csv").write_text("rent,-2.20\nsales,250\n")
        print(load(Path(place)))
