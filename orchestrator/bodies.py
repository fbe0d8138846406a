"""Bodies of API requests: their form, how they are read, and what of a deployment can't be taken.

Shared by every server that answers the API, so that they agree on every field and every word about it.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Literal, Protocol, TypeVar
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from orchestrator import job_variables
from orchestrator.agent_messages import PROCESSES, AgentLine, LeaseRef, Load
from orchestrator.cleaned import MAX_RESULT_KEY
from orchestrator.concurrency_keys import wrong_in_template
from orchestrator.debouncing import Debounce
from orchestrator.wire import MAX_DESCRIPTION, MAX_NAME, MAX_TAG, MAX_TAGS

MAX_BODY = 4 << 20  # bytes
MAX_LIMIT = 1_000_000  # runs at once
ON_LIMIT = ("ENQUEUE", "CANCEL_NEW", "CANCEL_OLD")
"""What becomes of runs for which a deployment has no slot."""
T = TypeVar("T")
BLOCK_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")  # of a block, and the slug of a type
_PATH = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>.*)`)?$", re.DOTALL)


class BadBody(Exception):
    """A body that can't be read; `fields` names the place, if there is one."""

    def __init__(self, message: str, fields: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.message, self.fields = message, fields


class BodyTooLarge(Exception):
    """A body has more than MAX_BODY bytes."""

    def __init__(self) -> None:
        self.message = f"A request has {MAX_BODY >> 20} MiB at most."
        super().__init__(self.message)


def read_body(body: bytes, type: type[T]) -> T:
    """The body as a struct.

    Raises:
        BadBody: It is none.
        BodyTooLarge: It has more than 4 MiB.
    """
    if len(body) > MAX_BODY:
        raise BodyTooLarge
    try:
        return msgspec.json.decode(body or b"{}", type=type)
    except msgspec.ValidationError as error:
        match = _PATH.match(str(error))
        what, path = (match["what"], match["path"]) if match else (str(error), None)
        missing = re.search(r"required field `(\w+)`", what)
        place = (path or "").strip(".") or (missing[1] if missing else "")
        raise BadBody(what, {place: what} if place else None) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadBody(f"The body is no JSON: {error}") from error


def wrong_in_result_key(key: str) -> str:
    """What is wrong with a key under which the server is to keep a value; nothing, if it can.

    >>> wrong_in_result_key("runs/2026/report.json"), bool(wrong_in_result_key("../x"))
    ('', True)
    """
    if not 0 < len(key) <= MAX_RESULT_KEY or not key.isprintable():
        return f"The key of a value has 1 to {MAX_RESULT_KEY} printable characters."
    if any(part in {"", ".", ".."} for part in key.split("/")):
        return "The parts of a value's key, between its slashes, are neither empty nor . nor .. alone."
    return ""


class EventInput(msgspec.Struct):
    """An event as a program tells of it outside of any run."""

    event: str
    resource: dict[str, str]
    related: list[dict[str, str]] = []
    payload: Any = None
    occurred: datetime | None = None
    id: UUID | None = None


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
    schedules: list[dict[str, Any]] | None = None  # in its place
    retries: int = 0
    retry_delay: float = 0
    crash_retries: int | None = None
    concurrency_limit: int | None = None
    on_limit: str = "ENQUEUE"
    concurrency_key: str = ""
    key_slots: int | None = None
    python: str | None = None
    process: str = "warm"
    job_variables: dict[str, Any] = {}
    debounce: float | None = None
    canary: int | None = None
    message: str = ""
    git: dict[str, Any] | None = None


class DeploymentRollbackInput(msgspec.Struct, forbid_unknown_fields=True):
    """The version of a deployment that is to be in force again."""

    version: int
    message: str = ""


class CanaryInput(msgspec.Struct, forbid_unknown_fields=True):
    """Which share of new runs, in percent, is made from the canary; 0 withdraws it."""

    share: int


class RunInput(msgspec.Struct, forbid_unknown_fields=True):
    """What to run. `deployment` is an id or `flow/name`; `scheduled_at` has a zone; `work_queue` is one of the
    deployment's pool. Without a `concurrency_key` it has that of the deployment's template. With `debounce`, triggers
    of one deployment and `debounce_key` become one run, with the parameters of the last one. It starts when none has
    come for so many seconds, and `debounce_max` seconds after the first one at the latest. Without it the deployment's
    own counts, unless there is a `scheduled_at`; 0: none. `job_variables` change those of the deployment for this run,
    as a merge patch: null takes one away. They ask for the right to edit the deployment.
    """

    deployment: str
    parameters: dict[str, Any] = {}
    name: str | None = None
    tags: list[str] = []
    idempotency_key: str | None = None
    scheduled_at: datetime | None = None
    priority: int = 0
    concurrency_key: str | None = None
    work_queue: str | None = None
    debounce: float | None = None
    debounce_key: str | None = None
    debounce_max: float | None = None
    job_variables: dict[str, Any] = {}
    parent: UUID | None = None
    parent_task: UUID | None = None


class EstimateInput(msgspec.Struct, forbid_unknown_fields=True):
    """A run that is not triggered: whether it could be, and what it would be like."""

    parameters: dict[str, Any] = {}
    tags: list[str] = []
    priority: int = 0
    concurrency_key: str | None = None
    work_queue: str | None = None
    job_variables: dict[str, Any] = {}


class LimitsChange(msgspec.Struct, forbid_unknown_fields=True):
    """What of a deployment's limits changes; what is left out stays as it is."""

    concurrency_limit: int | UnsetType | None = UNSET
    on_limit: str | UnsetType = UNSET
    key_slots: int | UnsetType | None = UNSET


class BackgroundTask(msgspec.Struct):
    """A task whose calls are queued: what its deployment is made of when it is needed for the first time.

    `queue` is where its runs wait for a process that serves it, in the workspace's default pool.
    """

    entrypoint: str
    queue: str
    parameter_schema: dict[str, Any] = {}
    description: str | None = None
    tags: list[str] = []
    version: str | None = None
    retries: int = 0
    retry_delay: float = 0


class DelayedCall(msgspec.Struct):
    """One call of a background task. `call` is for who executes it: `options`, which arguments were `stored`, and in
    `arguments` the name under which they were, by which it is asked whether they are needed.
    """

    parameters: dict[str, Any] = {}
    call: dict[str, Any] = {}
    name: str | None = None
    tags: list[str] = []
    idempotency_key: str | None = None
    scheduled_at: datetime | None = None
    priority: int = 0
    parent: UUID | None = None
    parent_task: UUID | None = None


class BackgroundInput(msgspec.Struct):
    """Calls of a task to be queued. `deployment` is `task/name`; `task` makes it, where there is none."""

    deployment: str
    calls: list[DelayedCall]
    task: BackgroundTask | None = None


class ArgumentsInput(msgspec.Struct):
    """Calls whose arguments are stored: which of them are needed is the question."""

    calls: list[str]


class AwaitedInput(msgspec.Struct):
    """Runs whose end is waited for, and for how many seconds at most."""

    runs: list[UUID]
    seconds: float = 0


class RetryInput(msgspec.Struct, forbid_unknown_fields=True):
    """How a run is retried. `parameters` go over those that it had; `again` names tasks, or task runs by id, whose
    stored values are not to be reused.
    """

    from_failure: bool = True
    parameters: dict[str, Any] = {}
    again: list[str] = []
    idempotency_key: str | None = None


class BulkInput(msgspec.Struct, forbid_unknown_fields=True):
    """Runs to which something is done at once. `filter` has the words of the list of runs, and several states as a
    list; `dry_run` only tells what would be hit. It begins after `delay` seconds, in which it can be undone.
    """

    filter: dict[str, str | int | bool | list[str]]
    dry_run: bool = False
    delay: float | None = None


class BulkRetryInput(BulkInput):
    """The same, of a retry: with what was stored, or `from_failure` false, of the whole of each run."""

    from_failure: bool = True


class AnswerInput(msgspec.Struct, forbid_unknown_fields=True):
    """What somebody says to a run that waits. `key` names the place, where it waits for several things at once."""

    verdict: Literal["answer", "approve", "reject"] = "answer"
    value: dict[str, Any] | None = None
    comment: str = ""
    key: str | None = None


class MessageInput(msgspec.Struct, forbid_unknown_fields=True):
    """A message to a run, of a kind that its receiver asks for by `key`."""

    key: str
    value: Any = None
    sender: str = ""


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
    """How many runs the agent can take."""

    slots: int = 1


class HeartbeatInput(msgspec.Struct):
    """The leases that an agent believes to hold, and news of itself."""

    leases: list[LeaseRef] = []
    load: Load | None = None
    log: list[AgentLine] = []


class EndedInput(msgspec.Struct):
    """A process that is gone. `reason` is `exited`, `killed` or `never_started`."""

    run: UUID
    attempt: int
    exit: int | None = None
    reason: str = "exited"
    message: str = ""


class VariableInput(msgspec.Struct):
    """A value, and its tags if they are to change. Without `overwrite` a variable that exists is a conflict."""

    value: Any
    tags: list[str] | None = None
    overwrite: bool = True


class BlockTypeInput(msgspec.Struct):
    """A block type that a workspace registers. `schema` describes its fields; `checksum` is the client's own."""

    name: str
    schema: dict[str, Any]
    description: str = ""
    icon: str = ""
    methods: list[str] = []
    checksum: str = ""


class BlockInput(msgspec.Struct):
    """A block's data, and its description if that is to change. With `expected_version` nothing newer is overwritten;
    0 expects that there is no such block.
    """

    data: dict[str, Any]
    description: str | None = None
    expected_version: int | None = None


class ValueInput(msgspec.Struct):
    """The version that is asked for; the newest where none is."""

    version: int | None = None


class RenameInput(msgspec.Struct):
    """The new name."""

    name: str


class InvalidateInput(msgspec.Struct, forbid_unknown_fields=True):
    """Which entries of the cache are to be computed anew: one of these."""

    key: str = ""
    prefix: str = ""
    task: str = ""
    all: bool = False

    def __post_init__(self) -> None:
        if sum(map(bool, (self.key, self.prefix, self.task, self.all))) != 1:
            raise ValueError("Name one of key, prefix, task, or say all: true.")


class RollbackInput(msgspec.Struct):
    """The version to go back to."""

    version: int


def wrong_block_type(slug: str, told: BlockTypeInput) -> dict[str, str]:
    """What of a block type can't be taken, by field; of its schema `block_data.check_type` judges."""
    fields: dict[str, str] = {}
    if not BLOCK_NAME.fullmatch(slug):
        fields["slug"] = "Lower case letters, digits and -; 100 characters at most."
    if not 0 < len(told.name) <= 100:
        fields["name"] = "1 to 100 characters."
    if len(told.description) > MAX_DESCRIPTION:
        fields["description"] = f"{MAX_DESCRIPTION:,} characters at most."
    if told.icon and not re.fullmatch(r"[a-z0-9-]{1,40}", told.icon):
        fields["icon"] = "The name of an icon."
    if len(told.methods) > 50 or not all(len(name) <= 100 and name.isidentifier() for name in told.methods):
        fields["methods"] = "50 names of methods at most."
    if len(told.checksum) > 100:
        fields["checksum"] = "100 characters at most."
    return fields


class Deployable(Protocol):
    """What a deployment is to be, whoever asks for it."""

    flow: str
    name: str
    entrypoint: str
    tags: list[str]
    retries: int
    retry_delay: float
    crash_retries: int | None
    concurrency_limit: int | None
    on_limit: str
    concurrency_key: str
    key_slots: int | None
    parameter_schema: dict[str, Any]
    process: str
    job_variables: dict[str, Any]
    debounce: float | None


def wrong_fields(request: Deployable) -> dict[str, str]:
    """What of a deployment can't be taken, by field."""
    fields: dict[str, str] = {}
    if not 0 < len(request.flow) <= MAX_NAME:
        fields["flow"] = f"1 to {MAX_NAME} characters."
    if not 0 < len(request.name) <= 200 or "/" in request.name:
        fields["name"] = "1 to 200 characters without a slash."
    if not 0 < len(request.entrypoint) <= 1_000:
        fields["entrypoint"] = "Like `flows.py:main`."
    if len(request.tags) > MAX_TAGS or any(not 0 < len(tag) <= MAX_TAG for tag in request.tags):
        fields["tags"] = f"{MAX_TAGS} tags of {MAX_TAG} characters at most."
    if not 0 <= request.retries <= 10_000 or not 0 <= request.retry_delay <= 366 * 86_400:
        fields["retries"] = "0 to 10,000 retries, a delay of 0 s to 366 days."
    if request.crash_retries is not None and not 0 <= request.crash_retries <= 10_000:
        fields["crash_retries"] = "0 to 10,000."
    fields |= wrong_limits(request)
    known = request.parameter_schema.get("properties")
    if wrong := wrong_in_template(request.concurrency_key, known if isinstance(known, dict) else None):
        fields["concurrency_key"] = wrong
    if request.process not in PROCESSES:
        fields["process"] = f"One of {', '.join(PROCESSES)}."
    if request.debounce is not None:
        fields |= Debounce(request.debounce).wrong()
    return fields | job_variables.wrong(request.job_variables)


def wrong_limits(told: Deployable | LimitsChange) -> dict[str, str]:
    """What of a deployment's limits can't be taken, by field. What is not told is not judged."""
    fields: dict[str, str] = {}
    for name in ("concurrency_limit", "key_slots"):
        slots = getattr(told, name)
        if slots is not UNSET and slots is not None and not 0 < slots <= MAX_LIMIT:
            fields[name] = f"1 to {MAX_LIMIT:,}, or none."
    if told.on_limit is not UNSET and told.on_limit not in ON_LIMIT:
        fields["on_limit"] = f"One of {', '.join(ON_LIMIT)}."
    return fields
