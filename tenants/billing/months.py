"""Calendar months, UTC: usage is added up, and billed, by them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from tenants.errors import Invalid


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """One calendar month. `first` is its first day."""

    first: date

    @classmethod
    def of(cls, at: datetime | date) -> Month:
        """The month of a moment."""
        day = at.astimezone(UTC).date() if isinstance(at, datetime) else at
        return cls(day.replace(day=1))

    @classmethod
    def read(cls, text: str) -> Month:
        """A month as addresses have it, `2026-05`.

        Raises:
            Invalid: It is none.
        """
        found = re.fullmatch(r"(2\d{3})-(0[1-9]|1[0-2])", text, re.ASCII)
        if not found:
            raise Invalid("A month looks like 2026-05.", fields={"month": "A month like 2026-05."})
        return cls(date(int(found[1]), int(found[2]), 1))

    @property
    def following(self) -> Month:
        return Month((self.first + timedelta(days=32)).replace(day=1))

    @property
    def former(self) -> Month:
        return Month((self.first - timedelta(days=1)).replace(day=1))

    @property
    def start(self) -> datetime:
        """Its first moment."""
        return datetime(self.first.year, self.first.month, 1, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        """The first moment after it."""
        return self.following.start

    @property
    def days(self) -> int:
        return (self.following.first - self.first).days

    @property
    def label(self) -> str:
        """`May 2026`."""
        return f"{self.first:%B %Y}"

    def __str__(self) -> str:
        return f"{self.first:%Y-%m}"
