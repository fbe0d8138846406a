"""Questions to providers and to the DNS, which tenants choose: bounded, so that no slow one holds all pages.

A question is asked in a thread of its own. The page waits some seconds for it; a thread that is stuck longer keeps its
place until it ends, so that an organization has one of them at most, and the process few.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TookTooLong
from functools import partial
from typing import TypeVar
from uuid import UUID

from tenants import visits
from tenants.errors import Unavailable
from tenants.sso import fetching

SECONDS = 5.0  # for all of a question
MOST = 2  # questions of this process at once
WAIT = 0.5  # seconds for which a page waits for its turn
A_MINUTE = 30  # visits of one door, of one organization, from one address


class Busy(Unavailable):
    """Others are asked at this moment. The question was not asked, and can be asked again."""


Answer = TypeVar("Answer")
_asking: set[UUID] = set()
_turn = threading.Condition()


def count_visit(door: str, organization_id: UUID) -> None:
    """Count a visit of a door that leads to a question.

    Raises:
        RateLimited: This address has come too often within a minute.
    """
    told = "Too many log-ins were tried from your address."
    visits.count_visit(f"sso:{door}:{organization_id}", most=A_MINUTE, told=told)


def ask(question: Callable[[], Answer], *, organization_id: UUID) -> Answer:
    """What a question answers or raises. It runs without a scope, and may not use the database.

    Raises:
        Busy: Others are asked at this moment.
        Unavailable: It took too long.
    """
    _take_turn(organization_id)
    answer: Future = Future()
    threading.Thread(target=_run, args=(question, organization_id, answer), name="question", daemon=True).start()
    try:
        return answer.result(SECONDS)
    except TookTooLong as error:
        raise Unavailable("Your company's provider took too long. Try again in a minute.", retry_after=30) from error


def _take_turn(organization_id: UUID) -> None:
    def is_free() -> bool:
        return organization_id not in _asking and len(_asking) < MOST

    with _turn:
        if not _turn.wait_for(is_free, WAIT):
            raise Busy("Company log-ins are busy at this moment. Try again in some seconds.", retry_after=5)
        _asking.add(organization_id)


def _run(question: Callable[[], Answer], organization_id: UUID, answer: Future) -> None:
    try:
        with fetching.within(SECONDS):
            said = partial(answer.set_result, question())
    except BaseException as error:
        said = partial(answer.set_exception, error)
    with _turn:
        _asking.discard(organization_id)
        _turn.notify_all()
    said()
