"""JSON in and out of API views by msgspec: typed reading with errors by field, fast writing."""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Annotated, Any, TypeVar

import msgspec
from django.http import HttpRequest, HttpResponse
from rest_framework.request import Request

from orchestrator.bodies import BadBody, BodyTooLarge, read_body
from orchestrator.wire import encode
from tenants.errors import Invalid, TooLarge

MAX_PAGE = 200  # items
PACK_FROM = 16 << 10  # bytes
T = TypeVar("T")
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time with its zone."""


def read(request: Request, type: type[T]) -> T:
    """The body as a struct.

    Raises:
        Invalid: It is not; `fields` names the place.
        TooLarge: It has more than 4 MiB.
    """
    try:
        return read_body(request.body, type)
    except BodyTooLarge as error:
        raise TooLarge(error.message) from error
    except BadBody as error:
        raise Invalid(error.message, fields=error.fields) from error


def read_query(request: Request, type: type[T]) -> T:
    """The query string as a struct; what is named without a value is as good as left out.

    Raises:
        Invalid: It is not; `fields` names the parameter.
    """
    return read_words(dict(request.query_params.lists()), type)


def read_words(words: Mapping[str, list[str]], type: type[T]) -> T:
    """The words of a query string as a struct, wherever they were told.

    Raises:
        Invalid: They are not; `fields` names the parameter.
    """
    kinds = parameters(type)
    told = {name: [value for value in values if value] for name, values in words.items()}
    several = {name for name, kind in kinds.items() if isinstance(kind, msgspec.inspect.ListType)}
    given = {name: values if name in several else values[-1] for name, values in told.items() if values}
    try:
        return msgspec.convert(given, type, strict=False)
    except msgspec.ValidationError as error:
        name, wanted = _wrong_parameter(str(error), kinds)
        raise Invalid(f"{name}: {wanted}", fields={name: wanted}) from error


@cache
def parameters(type: type) -> dict[str, Any]:
    """The parameters of a query string: of what type each is."""
    fields = msgspec.inspect.type_info(type).fields
    return {field.encode_name: getattr(field.type, "type", field.type) for field in fields}


def _wrong_parameter(text: str, kinds: dict[str, Any]) -> tuple[str, str]:
    """The parameter that msgspec complains of, and what it should be."""
    if unknown := re.search(r"unknown field `(.*)`", text, re.DOTALL):
        return unknown[1][:100], f"There is no such parameter. Those of this address: {', '.join(kinds)}."
    if missing := re.search(r"required field `(\w+)`", text):
        return missing[1], "It has to be named."
    place = re.search(r"\$\.(\w+)", text)
    name = place[1] if place else ""
    return name, _expected(kinds.get(name), text)


def _expected(kind: Any, text: str) -> str:
    match kind:
        case msgspec.inspect.UnionType(types=types):
            return _expected(next(each for each in types if not isinstance(each, msgspec.inspect.NoneType)), text)
        case msgspec.inspect.ListType():
            return _expected(kind.item_type, text)
        case msgspec.inspect.IntType(ge=least, le=most):
            return "A whole number." if most is None else f"{least or 0:,} to {most:,}."
        case msgspec.inspect.UUIDType():
            return "A UUID."
        case msgspec.inspect.DateTimeType():
            return "ISO 8601 with a zone."
        case msgspec.inspect.BoolType():
            return "true or false."
        case msgspec.inspect.LiteralType(values=values):
            return f"One of {', '.join(str(value) for value in values if value != '')}."
        case msgspec.inspect.StrType(max_length=int(most)):
            return f"{most:,} characters at most."
        case _:
            return text.partition(" - at ")[0]


def answer(value: Any, status: int = 200, **headers: str) -> HttpResponse:
    """Anything msgspec knows, as JSON."""
    return HttpResponse(encode(value), content_type="application/json", status=status, headers=headers)


def packed(request: HttpRequest, value: Any) -> HttpResponse:
    """A large JSON answer for the browser, by gzip where it is taken. Nothing secret may be in it (BREACH)."""
    body = encode(value)
    if len(body) < PACK_FROM or "gzip" not in request.headers.get("Accept-Encoding", ""):
        return HttpResponse(body, content_type="application/json")
    headers = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    return HttpResponse(gzip.compress(body, compresslevel=1), content_type="application/json", headers=headers)
