"""Bodies and queries, read with errors by field; and the refusals, in the API's one shape."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from orchestrator.bodies import BadBody, BodyTooLarge, read_body
from orchestrator.testing.memory.shown import micros_of

MAX_PAGE = 200
T = TypeVar("T")
_STATUS = {
    "invalid": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "conflict": 409,
    "too_large": 413,
    "wire_version": 426,
    "rate_limited": 429,
    "unavailable": 503,
}


class Refusal(Exception):
    """The API refuses. `fields` maps the path of an input to what is wrong with it."""

    def __init__(self, code: str, message: str, fields: dict[str, str] | None = None, status: int = 0) -> None:
        super().__init__(message)
        self.code, self.message, self.fields = code, message, fields
        self.status = status or _STATUS[code]

    def body(self) -> dict[str, Any]:
        """The one shape of an error."""
        told: dict[str, Any] = {"code": self.code, "message": self.message}
        return {"error": {**told, "fields": self.fields} if self.fields else told}


def invalid(message: str, field: str, told: str) -> Refusal:
    """One field can't be taken."""
    return Refusal("invalid", message, {field: told})


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. `names` are the parts of the path that vary."""

    by: Any
    body: bytes = b""
    query: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    encoding: str = ""

    @property
    def id(self) -> UUID:
        """The id in the path."""
        return UUID(self.names["id"])

    def read(self, type: type[T]) -> T:
        """The body as a struct."""
        try:
            return read_body(self.body, type)
        except BodyTooLarge as error:
            raise Refusal("too_large", error.message) from error
        except BadBody as error:
            raise Refusal("invalid", error.message, error.fields) from error

    def limit(self, default: int = 50, most: int = MAX_PAGE) -> int:
        """The `limit` of a list."""
        text = self.query.get("limit", str(default))
        if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or not 0 < int(text) <= most:
            raise invalid(f"limit is a number from 1 to {most}.", "limit", f"1 to {most}.")
        return int(text)

    def number(self, name: str, default: int) -> int:
        """A whole number of the query."""
        text = self.query.get(name, "")
        if not text:
            return default
        if not re.fullmatch(r"-?\d{1,18}", text, re.ASCII):
            raise invalid(f"{name} is a whole number.", name, "A whole number.")
        return int(text)

    def uuid(self, name: str) -> UUID | None:
        """An id of the query; None where it isn't asked for."""
        text = self.query.get(name, "")
        try:
            return UUID(text) if text else None
        except ValueError:
            raise invalid(f"{name} is an id.", name, "A UUID.") from None

    def yes_or_no(self, name: str) -> bool | None:
        """A word of the query, `true` or `false`; None where it isn't asked for."""
        text = self.query.get(name, "")
        if text not in ("", "true", "false"):
            raise invalid(f"{name} is true or false.", name, "true or false.")
        return None if not text else text == "true"

    def moment(self, name: str) -> int | None:
        """A time of the query, as µs UTC; None where it isn't asked for."""
        text = self.query.get(name, "")
        try:
            at = datetime.fromisoformat(text) if text else None
        except ValueError:
            at = None
        if at is None and not text:
            return None
        if at is None or at.tzinfo is None or not 1970 <= at.year < 2200:
            raise invalid(f"{name} is no time.", name, "ISO 8601 with a zone.")
        return micros_of(at)
