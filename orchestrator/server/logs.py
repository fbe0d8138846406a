"""The server's own log: one line an event, as text or as JSON, each with the request and the run that it concerns.

A request keeps the id that a proxy gave it (`X-Request-ID`), or gets one; the answer carries it, and so does every line
that is written meanwhile. A tick's id is its Celery task's.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from tenants.trace import address, client_address, named, request_id, run_id

HEADER = "X-Request-ID"
_SOUND = re.compile(r"[A-Za-z0-9._-]{8,64}")
_OWN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "request_id", "run", "taskName"}


class RequestId:
    """The first middleware: from here on the request has an id, and the address of who asks is known."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get(HEADER, "")
        id = given if _SOUND.fullmatch(given) else os.urandom(8).hex()
        forwarded = request.headers.get("X-Forwarded-For", "")
        client = client_address(request.META.get("REMOTE_ADDR", ""), forwarded, settings.PROXY_HOPS)
        with named(request_id, id), named(address, client):
            response = self.get_response(request)
        response.headers[HEADER] = id
        return response


class Ids(logging.Filter):
    """Adds `request_id` and `run` to every record."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id.get() or "-"
        record.run = getattr(record, "run", None) or run_id.get() or "-"
        return True


class Json(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, ids, whatever came as `extra`, and the traceback."""

    converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        told = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": getattr(record, "request_id", "-"),
            "run": getattr(record, "run", "-"),
        }
        told |= {name: value for name, value in record.__dict__.items() if name not in _OWN}
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps(told, default=str)


def configuration(*, level: str, form: str) -> dict[str, Any]:
    """Python's logging, for Django's setting LOGGING. `form` is `text` or `json`."""
    text = "%(asctime)s %(levelname)s %(name)s [%(request_id)s %(run)s]: %(message)s"
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"ids": {"()": Ids}},
        "formatters": {"text": {"format": text}, "json": {"()": Json}},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": form, "filters": ["ids"]}},
        "root": {"handlers": ["console"], "level": level},
        # At INFO and DEBUG they name addresses, whose tokens are secrets of tenants.
        "loggers": {name: {"level": "WARNING"} for name in ("httpx", "httpcore", "urllib3", "requests")},
    }
