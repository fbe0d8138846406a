"""What an operation of the API takes, answers and refuses: declared once, at its handler, which then gets just that.

    @operation(Page[LimitShown])
    def get(self, request: Request, asked: LimitsAsked) -> HttpResponse:

`asked` is the query string and `told` the body, each read as the type that its annotation names, before the handler is
called. `orchestrator/server/openapi.py` describes every operation to the world by what is declared here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from inspect import cleandoc
from typing import Annotated, Any, Generic, TypeVar, get_type_hints

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request

from tenants.errors import (
    Forbidden,
    Invalid,
    NotAcceptable,
    NotFound,
    Problem,
    TooLarge,
    Unauthorized,
    Unavailable,
    WireVersion,
)
from tenants.messages import MAX_PAGE, read, read_query

T = TypeVar("T")
ANYWHERE = (Unauthorized, Forbidden, NotAcceptable, WireVersion, Unavailable)
_METHODS = re.compile(r"\b((?:GET|POST|PUT|PATCH|DELETE|HEAD)(?:(?:, | and )(?:GET|POST|PUT|PATCH|DELETE|HEAD))*): ")


class Query(msgspec.Struct, forbid_unknown_fields=True):
    """The base of query strings: a filter with a wrong name is refused, where it would else show everything."""


class PageQuery(Query):
    """Which page of a list is asked for."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE, description="How many.")] = 50
    cursor: Annotated[str, msgspec.Meta(max_length=1_000, description="`next` of the page before.")] = ""


class Page(msgspec.Struct, Generic[T]):
    """A page of a list. `next` is the `cursor` of what follows; null: nothing does."""

    items: list[T]
    next: str | None


class Items(msgspec.Struct, Generic[T]):
    """A whole list."""

    items: list[T]


@dataclass(frozen=True, slots=True)
class Operation:
    """A method of an address. `answers` is a type, `bytes`, or None where there is nothing to say."""

    answers: Any
    statuses: tuple[int, ...]
    refuses: tuple[type[Problem], ...]
    query: type[Query] | None
    body: Any
    media: str
    optional: bool


def operation(
    answers: Any,
    *statuses: int,
    refuses: Iterable[type[Problem]] = (),
    media: str = "",
    optional: bool = False,
) -> Callable[[Callable[..., HttpResponse]], Callable[..., HttpResponse]]:
    """Declare what a handler answers, by which statuses (200), and what it refuses besides what any may refuse.

    `media` is the type of a body of bytes; one that is `optional` may be left out.
    """

    def declare(handler: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        hints = get_type_hints(handler)
        query, body = hints.get("asked"), hints.get("told")
        media_of_body = media or ("application/octet-stream" if body is bytes else "application/json")

        @wraps(handler)
        def reading(self: Any, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
            if query is not None:
                kwargs["asked"] = read_query(request, query)
            if body is not None:
                kwargs["told"] = request.body if body is bytes else read(request, body)
            return handler(self, request, *args, **kwargs)

        known = Operation(answers, statuses or (200,), tuple(refuses), query, body, media_of_body, optional)
        reading.operation = known  # type: ignore[attr-defined]
        return reading

    return declare


def refusals(known: Operation, parameters: Iterable[str]) -> dict[int, list[type[Problem]]]:
    """What an operation may refuse by, by status: what each may, what comes of what it takes, what it declares."""
    found = {*ANYWHERE, *known.refuses}
    if parameters:
        found |= {Invalid, NotFound}
    if known.query is not None:
        found.add(Invalid)
    if known.body is not None:
        found |= {Invalid, TooLarge}
    by_status: dict[int, list[type[Problem]]] = {}
    for problem in sorted(found, key=lambda each: (each.status, each.code)):
        by_status.setdefault(problem.status, []).append(problem)
    return by_status


def operation_of(view: type, method: str) -> Operation | None:
    """What a view declares for a method."""
    return getattr(getattr(view, method.lower(), None), "operation", None)


def said_of(view: type, method: str) -> str:
    """What the docstring of a view says of a method: `GET: a page of them. POST: a new one.`"""
    parts = _METHODS.split(cleandoc(view.__doc__ or ""))
    for methods, text in zip(parts[1::2], parts[2::2], strict=True):
        if method in re.split(r", | and ", methods):
            return text.strip()
    return ""
