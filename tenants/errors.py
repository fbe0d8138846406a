"""Refusals, in one shape for every door: {"error": {"code", "message", "fields"}}."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import DatabaseError, DataError, OperationalError
from django.http import Http404
from rest_framework import exceptions as drf
from rest_framework.response import Response

logger = logging.getLogger(__name__)


class Problem(Exception):
    """An operation refuses, and says what to do. `fields` maps the path of an input to what is wrong with it."""

    status = 400
    code = "invalid"

    def __init__(self, message: str, *, fields: dict[str, str] | None = None, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.message, self.fields, self.retry_after = message, fields, retry_after


class Invalid(Problem):
    """The input can't be taken."""


class NotFound(Problem):
    """There is no such thing here. Foreign things answer exactly so."""

    status, code = 404, "not_found"


class Unauthorized(Problem):
    """The credential is missing or good for nothing."""

    status, code = 401, "unauthorized"


class Forbidden(Problem):
    """The actor's role does not allow it."""

    status, code = 403, "forbidden"


class Conflict(Problem):
    """The object is not in a state in which this can be done."""

    status, code = 409, "conflict"


class TooLarge(Problem):
    """A bound was passed."""

    status, code = 413, "too_large"


class LimitReached(Problem):
    """The organization's plan ends here: something is used up, or not in it. The message says how to go on."""

    status, code = 402, "limit_reached"


class NotAcceptable(Problem):
    """The answer can't be had in the wanted form."""

    status, code = 406, "not_acceptable"


class WireVersion(Problem):
    """The client is too old or too new."""

    status, code = 426, "wire_version"


class RateLimited(Problem):
    """Too much in too short a time."""

    status, code = 429, "rate_limited"


class QueueFull(Problem):
    """As many wait already as may. Not to be tried again at once."""

    status, code = 429, "queue_full"


class Unavailable(Problem):
    """Something that we need is not there in this moment."""

    status, code = 503, "unavailable"


class Refusal(msgspec.Struct):
    """Why something is refused, and what to do. `fields` maps the path of an input to what is wrong with it."""

    code: str
    message: str
    fields: dict[str, str] = {}


class ErrorAnswer(msgspec.Struct):
    """The one shape of an error."""

    error: Refusal


_DRF_CODES: list[tuple[type[Exception], int, str]] = [
    (drf.NotAuthenticated, 401, "unauthorized"),
    (drf.AuthenticationFailed, 401, "unauthorized"),
    (drf.PermissionDenied, 403, "forbidden"),
    (PermissionDenied, 403, "forbidden"),
    (drf.NotFound, 404, "not_found"),
    (Http404, 404, "not_found"),
    (drf.MethodNotAllowed, 405, "method_not_allowed"),
    (drf.NotAcceptable, 406, "not_acceptable"),
    (drf.UnsupportedMediaType, 415, "unsupported_media_type"),
    (RequestDataTooBig, 413, "too_large"),
    (drf.Throttled, 429, "rate_limited"),
    (drf.ParseError, 400, "invalid"),
    (drf.ValidationError, 400, "invalid"),
]


def error_body(code: str, message: str, fields: dict[str, str] | None = None) -> dict[str, Any]:
    """The one shape of an error."""
    error: dict[str, Any] = {"code": code, "message": message}
    if fields:
        error["fields"] = fields
    return {"error": error}


def api_error(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler: our problems, DRF's own, and a database that is away. The rest is a 500."""
    if isinstance(error, Problem):
        headers = {"Retry-After": str(error.retry_after)} if error.retry_after else None
        return Response(error_body(error.code, error.message, error.fields), status=error.status, headers=headers)
    if isinstance(error, OperationalError):
        logger.warning("database unavailable: %s", error)
        body = error_body("unavailable", "The database is away or too busy. Try again in some seconds.")
        return Response(body, status=503, headers={"Retry-After": "2"})
    if isinstance(error, DataError):
        logger.info("the database refused an input: %s", error)
        return Response(error_body("invalid", "A value has characters or digits that can't be stored."), status=400)
    if isinstance(error, DatabaseError):
        return None
    return _drf_error(error)


def _drf_error(error: Exception) -> Response | None:
    for kind, status, code in _DRF_CODES:
        if isinstance(error, kind):
            headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
            return Response(error_body(code, _message(error), _fields(error)), status=status, headers=headers)
    return None


def _message(error: Exception) -> str:
    if isinstance(error, Http404 | drf.NotFound):
        return "There is no such thing here."
    if isinstance(error, drf.ValidationError):
        return "The input can't be taken; see fields."
    return str(getattr(error, "detail", error)) or type(error).__name__


def _fields(error: Exception) -> dict[str, str] | None:
    detail = getattr(error, "detail", None)
    if isinstance(error, drf.ValidationError) and isinstance(detail, dict):
        return {
            name: " ".join(map(str, texts if isinstance(texts, list) else [texts])) for name, texts in detail.items()
        }
    return None
