"""Bodies and queries, read with errors by field; and the refusals, in the API's one shape."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from orchestrator.wire import AgentLine, LeaseRef, Load

MAX_BODY = 4 << 20
MAX_PAGE = 200
T = TypeVar("T")
_PATH = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>.*)`)?$", re.DOTALL)
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
        if len(self.body) > MAX_BODY:
            raise Refusal("too_large", f"A request has {MAX_BODY >> 20} MiB at most.")
        try:
            return msgspec.json.decode(self.body or b"{}", type=type)
        except msgspec.ValidationError as error:
            match = _PATH.match(str(error))
            what, path = (match["what"], match["path"]) if match else (str(error), None)
            missing = re.search(r"required field `(\w+)`", what)
            place = (path or "").strip(".") or (missing[1] if missing else "")
            raise Refusal("invalid", what, {place: what} if place else None) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Refusal("invalid", f"The body is no JSON: {error}") from error

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


class DeploymentInput(msgspec.Struct):
    """A deployment as the SDK describes it."""

    flow: str
    name: str
    entrypoint: str
    source: dict[str, Any]
    parameter_schema: dict[str, Any] = {}
    parameters: dict[str, Any] = {}
    description: str | None = None
    tags: list[str] = []
    version: str | None = None
    work_pool: str = "default"
    work_queue: str | None = None
    schedule: dict[str, Any] | None = None
    retries: int = 0
    retry_delay: float = 0
    crash_retries: int | None = None
    concurrency_limit: int | None = None
    python: str | None = None
    process: str = "warm"
    job_variables: dict[str, Any] = {}


class RunInput(msgspec.Struct):
    """What to run."""

    deployment: str
    parameters: dict[str, Any] = {}
    name: str | None = None
    tags: list[str] = []
    idempotency_key: str | None = None
    scheduled_at: datetime | None = None
    priority: int = 0
    parent: UUID | None = None
    parent_task: UUID | None = None


class PoolInput(msgspec.Struct, forbid_unknown_fields=True):
    """A new pool."""

    name: str


class AgentInput(msgspec.Struct):
    """An agent that has started."""

    name: str
    pool: str = "default"
    slots: int = 1
    queues: list[str] = []
    version: str = ""
    python: str = ""
    host: str = ""


class ClaimInput(msgspec.Struct):
    """How many runs an agent can take."""

    slots: int = 1


class HeartbeatInput(msgspec.Struct):
    """The leases that an agent believes to hold, and news of itself."""

    leases: list[LeaseRef] = []
    load: Load | None = None
    log: list[AgentLine] = []


class EndedInput(msgspec.Struct):
    """A process that is gone."""

    run: UUID
    attempt: int
    exit: int | None = None
    reason: str = "exited"
    message: str = ""


class VariableInput(msgspec.Struct):
    """A value, and its tags if they are to change."""

    value: Any
    tags: list[str] | None = None
