"""`POST /hooks/<token>`: where others trigger runs. It knows no session; the token is the right."""

from __future__ import annotations

from uuid import UUID

import msgspec
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from runs.webhooks.reading import MAX_BODY
from runs.webhooks.receiving import receive
from tenants.errors import Problem, TooLarge, error_body
from tenants.messages import answer
from tenants.visits import count_visit

MOST_A_MINUTE = 1_200  # of one address


class ReceivedShown(msgspec.Struct):
    """What became of a delivery. No `run`: the filter skipped it. `created` is false for a run that was there."""

    run: UUID | None
    created: bool


@csrf_exempt
@require_POST
def hook(request: HttpRequest, token: str) -> HttpResponse:
    """Take a delivery, and answer in the shape of the API."""
    try:
        return _taken(request, token)
    except Problem as problem:
        response = answer(error_body(problem.code, problem.message, problem.fields), status=problem.status)
        if problem.retry_after:
            response.headers["Retry-After"] = str(problem.retry_after)
        response._has_been_logged = True  # type: ignore[attr-defined] - the log would name the address, and so the token
        return response


def _taken(request: HttpRequest, token: str) -> HttpResponse:
    count_visit("hooks", most=MOST_A_MINUTE, told="Too many deliveries come from this address.")
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not length.isdecimal() or int(length) > MAX_BODY or len(request.body) > MAX_BODY:
        raise TooLarge(f"A delivery has {MAX_BODY >> 10} KiB at most.")
    received = receive(token, request.body, {name.lower(): text for name, text in request.headers.items()})
    return answer(ReceivedShown(received.run, received.created), status=202)
