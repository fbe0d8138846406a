"""Compare an answer of the API with what its view declares."""

from __future__ import annotations

from typing import Any

import msgspec
from django.http import HttpResponse

from tenants.api import TenantView
from tenants.declared import Operation, operation_of, refusals
from tenants.errors import ErrorAnswer


def check(view: TenantView, method: str, response: HttpResponse) -> None:
    """Fail if the status is undeclared, or the body has another shape than its status should have."""
    known = operation_of(type(view), method)
    if method not in view.verbs or known is None:  # 405; tests/server/test_openapi.py looks for what is undeclared
        return
    name, status = f"{method} {type(view).__module__}.{type(view).__name__}", response.status_code
    if status in known.statuses:
        _check_body(known, method, response.content, name)
        return
    codes = [problem.code for problem in refusals(known, view.kwargs).get(status, [])]
    assert codes, f"{name} answers {status}, which it does not declare: {response.content[:300]!r}"
    if method != "HEAD":
        told = msgspec.json.decode(response.content, type=ErrorAnswer)
        assert told.error.code in codes, f"{name}: {told}"


def _check_body(known: Operation, method: str, body: bytes, name: str) -> Any:
    if known.answers in (bytes, None):
        assert known.answers is bytes or not body, name
        return
    try:
        msgspec.json.decode(body, type=known.answers)
    except msgspec.ValidationError as error:
        raise AssertionError(f"{name} answers something else than {known.answers}: {error}") from error
