"""When ticks are due, by a clock that nobody sets.

Celery's beat asks the wall clock. Were it set back by an hour, no tick would come for an hour, not even after a
restart, since the beat's file remembers when each came last.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from celery.schedules import schedstate, schedule

_BEGUN = datetime.now(UTC)
_BEGUN_MONOTONIC = time.monotonic()


def steady_now() -> datetime:
    """The time at which this process began, and what has passed since then."""
    return _BEGUN + timedelta(seconds=time.monotonic() - _BEGUN_MONOTONIC)


class Every(schedule):
    """Due every so many seconds; at once, if it came last at a time that is still to come."""

    def __init__(
        self,
        run_every: float | timedelta | None = None,
        relative: bool = False,
        nowfun: Callable[[], datetime] | None = None,
        app: Any = None,
    ) -> None:
        """As Celery makes it, and makes it anew from its file."""
        super().__init__(run_every, relative, nowfun or steady_now, app)

    def is_due(self, last_run_at: datetime) -> schedstate:
        """Whether, and when to ask again."""
        if self.maybe_make_aware(last_run_at) > self.now():
            return schedstate(is_due=True, next=self.seconds)
        return super().is_due(last_run_at)
