"""One clock for the whole server: it stands still until it is moved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest


class Clock:
    """Says what time it is, in whole seconds, so that no rounding comes between the server and its model."""

    def __init__(self) -> None:
        self.begun = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        self.at = self.begun

    def advance(self, seconds: int) -> None:
        self.at += timedelta(seconds=seconds)


@contextmanager
def ruled_by(clock: Clock) -> Iterator[Clock]:
    """Everything on the server asks `django.utils.timezone.now`, and that asks its module's `datetime`."""

    class Ruled(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return clock.at

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("django.utils.timezone.datetime", Ruled)
        yield clock
