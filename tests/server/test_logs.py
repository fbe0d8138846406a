"""The server's own log says which request and which run each line is about."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
from django.http import HttpRequest, HttpResponse

from orchestrator.server import logs
from tenants.trace import named, request_id, run_id

logger = logging.getLogger("tests.server.logs")


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What `logger` writes, as JSON."""
    form = logs.configuration(level="INFO", form="json")
    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(form["formatters"]["json"]["()"]())
    handler.addFilter(logs.Ids())
    logger.addHandler(handler)
    logger.setLevel("INFO")
    yield handler.stream
    logger.removeHandler(handler)


def last(written: io.StringIO) -> dict:
    return json.loads(written.getvalue().splitlines()[-1])


def test_a_line_carries_request_run_and_extras(written: io.StringIO) -> None:
    with named(request_id, "req-12345"), named(run_id, "run-1"):
        logger.warning("took %d", 3, extra={"batch": 7})
    told = last(written)
    assert told["message"] == "took 3"
    assert (told["request_id"], told["run"], told["batch"], told["level"]) == ("req-12345", "run-1", 7, "WARNING")
    assert told["time"].endswith("Z")


def test_outside_of_requests_there_is_no_id(written: io.StringIO) -> None:
    logger.info("x")
    assert (last(written)["request_id"], request_id.get()) == ("-", "")


def test_a_traceback_stays_one_line(written: io.StringIO) -> None:
    try:
        raise ValueError("a\nb")
    except ValueError:
        logger.exception("it failed")
    told = last(written)
    assert "ValueError: a\nb" in told["traceback"]


@pytest.mark.parametrize(
    ("given", "kept"),
    [("0123456789abcdef", True), ("short", False), ("x" * 65, False), ("a b c d e f g", False), ("", False)],
)
def test_a_request_keeps_a_sound_id_of_its_proxy(given: str, kept: bool) -> None:
    seen: list[str] = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append(request_id.get())
        return HttpResponse()

    request = HttpRequest()
    request.META["HTTP_X_REQUEST_ID"] = given
    response = logs.RequestId(view)(request)
    assert response.headers["X-Request-ID"] == seen[0]
    assert (seen[0] == given) is kept
    assert len(seen[0]) >= 8
    assert request_id.get() == ""
