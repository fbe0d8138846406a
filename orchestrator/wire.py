"""The entries of the journal, and the messages in which they travel.

The journal travels as NDJSON: one batch line, then for each stream a stream line and its entries. Every entry is one
JSON object tagged by `kind`. Times are integers in microseconds UTC; durations come from a monotonic clock.
Unknown fields are ignored, unknown kinds are quarantined by the server, so that either end may be the newer one.
"""

from __future__ import annotations

import re
from uuid import UUID

import msgspec
from msgspec import Struct

from orchestrator.storable import clean_text

WIRE = 1
"""The version spoken here. A server speaks this one and the one before."""

# Bounds, enforced at both ends. Bytes unless said otherwise.
MAX_ENTRY = 1 << 20
MAX_BATCH_PACKED = 1 << 20
MAX_BATCH = 16 << 20
MAX_LOG_MESSAGE = 256 << 10
MAX_PARAMETERS = 512 << 10
MAX_TAGS = 100  # tags of one run
MAX_TAG = 200  # characters
MAX_NAME = 500  # characters
MAX_MESSAGE = 4_000  # characters of a state's message
MAX_TRACEBACK = 64 << 10  # characters, the end is kept
MAX_RESULT_URL = 2_000  # characters of where a value is stored
MAX_PARENTS = 1_000  # edges drawn to one task run
MAX_ARTIFACT = 896 << 10  # bytes of an artifact's data as JSON: with all else it fits into an entry
MAX_MARKDOWN = 256 << 10  # characters of a markdown artifact
MAX_DESCRIPTION = 10_000  # characters
MAX_PAYLOAD = 64 << 10  # bytes of an event's payload as JSON
MAX_STORED = 512 << 10  # bytes of a value that the server keeps
MAX_LABELS = 50  # labels of a resource, and resources related to an event
MAX_LABEL = 1_000  # characters
MAX_KEY = 200  # characters of the key of a request for input, or of a message between runs
MAX_INPUT = 64 << 10  # bytes of a message between runs, of an answer, of a form's values and schema, each as JSON
MAX_QUORUM = 100  # people
MAX_ANSWERERS = 50  # roles, and teams, of whom the answer may come

# How the events of the platform itself begin. Those of code are called otherwise, so that nobody mistakes them.
OWN_EVENTS = (
    "flow-run.", "agent.", "deployment.", "schedule.", "result.", "asset.", "automation.", "block.", "block_type.",
    "pool.", "queue.", "variable.", "workspace.", "quarantine.",
)  # fmt: skip
MAX_EVENT = 200  # characters of an event's name
ARTIFACT_KEY = re.compile(r"[a-z0-9][a-z0-9-]{0,199}")
ARTIFACT_TYPES = ("table", "markdown", "link", "image", "progress")

MAX_DELAYED = 500  # background runs that are queued by one request
MAX_AWAITED = 1_000  # runs whose end is waited for by one request

LOG_CUT_MARK = " … [cut: {dropped} more characters]"


class Entry(Struct, kw_only=True, omit_defaults=True, tag_field="kind", gc=False):
    """What every entry says: its place in the stream, the flow run it belongs to, and when."""

    seq: int
    run: UUID
    t: int


class Error(Struct, kw_only=True, omit_defaults=True):
    """An exception, as text: nobody but the user's own process ever unpickles anything."""

    type: str
    message: str = ""
    traceback: str = ""


class ResultRef(Struct, kw_only=True, omit_defaults=True):
    """Where the value of a call was stored, before its last state was told. The value itself stays with the user.

    `url` leads to it (`file:///…`, `s3://…`, `server:KEY`), `key` names it within its storage: the key of the call, or
    of the cache. `size` is bytes as stored, `expires` µs UTC.
    """

    url: str
    key: str = ""
    serializer: str = ""
    size: int | None = None
    expires: int | None = None


class About(Struct, kw_only=True, omit_defaults=True):
    """Who a flow run is. Comes with the first entry of a run that its holder made: a local root, or a subflow."""

    flow: str
    name: str = ""
    version: str | None = None
    parameters: msgspec.Raw = msgspec.Raw()
    tags: list[str] = []
    parent: UUID | None = None
    parent_task: UUID | None = None
    retries: int = 0
    host: str = ""
    sdk: str = ""


class RunState(Entry, tag="run.state", kw_only=True, omit_defaults=True):
    """A flow run entered a state. Writer 0 alone may say so.

    `duration` is the time in user code, in microseconds. `at` (SCHEDULED only) is when the next execution is due.
    `label` is the name of a run that the server had named before its flow could: from the flow's template.
    `result` says where a final state's value is. `commit` is the one that the code of a root came from.
    """

    state: str
    name: str | None = None
    message: str | None = None
    run_count: int = 1
    duration: int | None = None
    at: int | None = None
    error: Error | None = None
    about: About | None = None
    label: str | None = None
    result: ResultRef | None = None
    commit: str | None = None


class TaskState(Entry, tag="task.state", kw_only=True, omit_defaults=True):
    """A task run, as far as it has come. Self-contained: the last entry may carry its whole life in one.

    `history` lists former states as [t, type, name or null, message or null]; the entry's own state is not in it.
    """

    id: UUID
    task: str
    state: str
    label: str = ""
    name: str | None = None
    message: str | None = None
    run_count: int = 1
    started: int | None = None
    ended: int | None = None
    duration: int | None = None
    parents: list[UUID] = []
    tags: list[str] = []
    parent_task: UUID | None = None
    history: list[tuple[int, str, str | None, str | None]] = []
    error: Error | None = None
    result: ResultRef | None = None


class Log(Entry, tag="log", kw_only=True, omit_defaults=True):
    """A log line. `level` is a number of the standard library's scale; `extra` a JSON object."""

    message: str
    level: int = 20
    logger: str = ""
    task: UUID | None = None
    extra: msgspec.Raw = msgspec.Raw()


class Artifact(Entry, tag="artifact", kw_only=True, omit_defaults=True):
    """Something made for people: a table, markdown, a link, an image, a progress value.

    `data` of a table is {"columns": […], "rows": [[…], …]}, of markdown a text, of a link {"link", "text"}, of an image
    {"url"}, of a progress a number from 0 to 100. Progress may be told again with the same id: the last word counts.
    """

    id: UUID
    type: str
    key: str | None = None
    data: msgspec.Raw = msgspec.Raw()
    description: str | None = None
    task: UUID | None = None


class Event(Entry, tag="event", kw_only=True, omit_defaults=True):
    """Something happened that others may react to.

    `resource` is what it happened to: labels, of which `id` names it. `related` are others that had a part in it, with
    a `role` each.
    """

    id: UUID
    event: str
    resource: dict[str, str] = {}
    related: list[dict[str, str]] = []
    payload: msgspec.Raw = msgspec.Raw()


class Result(Entry, tag="result", kw_only=True, omit_defaults=True):
    """Where a value was stored. The value itself stays with the user."""

    url: str
    task: UUID | None = None
    key: str | None = None
    size: int | None = None
    serializer: str | None = None


class InputRequest(Entry, tag="input.request", kw_only=True, omit_defaults=True):
    """A run waits for people: to be resumed, for input, or for approvals. Told before its PAUSED.

    `key` names the place in the flow, so that a later attempt finds the answer. `pause` is "pause" (its process waits)
    or "suspend" (it ends). `expires` is µs UTC. `schema` describes an object that is asked for; without one there is
    nothing but to go on. With a `quorum` so many people must approve, of `roles` and `teams` if any are named, and one
    can reject. `link`: "login" or "anyone", for whom the link to the form works.
    """

    id: UUID
    key: str
    pause: str = "pause"
    expires: int | None = None
    schema: msgspec.Raw = msgspec.Raw()
    initial: msgspec.Raw = msgspec.Raw()
    title: str = ""
    description: str = ""
    quorum: int = 0
    roles: list[str] = []
    teams: list[str] = []
    link: str = "login"


class Usage(Entry, tag="usage", kw_only=True, omit_defaults=True):
    """What the process used since its last report: CPU microseconds, and its peak memory in bytes."""

    cpu: int = 0
    memory: int = 0


class Dropped(Entry, tag="dropped", kw_only=True, omit_defaults=True):
    """The entries from `seq` to `last` were given up, and why: `count` of them, by kind."""

    last: int
    why: str
    count: dict[str, int] = {}


AnyEntry = RunState | TaskState | Log | Artifact | Event | Result | InputRequest | Usage | Dropped


class Batch(Struct, tag_field="kind", tag="batch", kw_only=True):
    """The first line of a request."""

    wire: int
    sent_at: int


class Stream(Struct, tag_field="kind", tag="stream", kw_only=True, omit_defaults=True):
    """Opens the entries of one stream: one writer within one attempt of one root run.

    `token` is the secret of the attempt: given by the claim, or, for a local run, made by the client.
    """

    root: UUID
    attempt: int
    writer: int
    token: str
    from_seq: int

    @property
    def id(self) -> str:
        """The name by which answers speak of this stream."""
        return f"{self.root}.{self.attempt}.{self.writer}"


class Rejected(Struct):
    """An entry that was received but not taken, and why. `code` is one of REJECTIONS."""

    stream: str
    seq: int
    code: str


REJECTIONS = {
    "unknown_kind": "The server does not know this kind of entry; it was kept in quarantine.",
    "invalid": "The entry does not have the form of its kind.",
    "too_large": "The entry is larger than an entry may be.",
    "unknown_run": "The entry names a run that this stream may not write to.",
    "not_writer_0": "Only writer 0 may report states of flow runs.",
    "refused": "The run's state does not allow this change.",
    "superseded": "A newer attempt has taken over; the state was recorded in this attempt only.",
    "data": "The database refused the entry's content.",
    "sealed": "The attempt ended too long ago.",
    "stale_token": "The token is not the one of this attempt.",
    "deleted": "The run was deleted.",
    "quota": "The organization's task runs of this month are used up; an owner can change the plan or the limit.",
}


class Signal(Struct):
    """What the server asks a holder to do: `cancel`, `pause`, `suspend`, `superseded` or `over`."""

    run: UUID
    signal: str


class Answer(Struct, kw_only=True):
    """The answer to a batch. `acked` and `expected` map a stream's id to a sequence number.

    Acked means received, not accepted. `expected` asks the client to send again from that number.
    """

    acked: dict[str, int] = {}
    expected: dict[str, int] = {}
    rejected: list[Rejected] = []
    signals: list[Signal] = []


def wrong_in_event(
    event: str, resource: dict[str, str], related: list[dict[str, str]], payload: bytes, *, own: bool = False
) -> dict[str, str]:
    """What of an event can't be taken, by field; nothing, if it can. `own` lets the platform's own names pass.

    >>> wrong_in_event("order.paid", {"id": "order.17"}, [], b"")
    {}
    >>> list(wrong_in_event("flow-run.failed", {}, [], b""))
    ['event', 'resource']
    """
    wrong: dict[str, str] = {}
    if not 0 < len(event) <= MAX_EVENT or "*" in event or not event.isprintable() or event != event.strip():
        wrong["event"] = f"1 to {MAX_EVENT} characters, like order.paid; without a *."
    elif event.startswith(OWN_EVENTS) and not own:
        wrong["event"] = f"{event.partition('.')[0]}.… are events of the platform itself. Choose another name."
    if not resource.get("id"):
        wrong["resource"] = 'What it happened to, named by its id: {"id": "order.17"}.'
    elif _has_too_much(resource):
        wrong["resource"] = f"{MAX_LABELS} labels of {MAX_LABEL} characters at most."
    if len(related) > MAX_LABELS or any(_has_too_much(each) for each in related):
        wrong["related"] = f"{MAX_LABELS} resources of {MAX_LABELS} labels at most."
    if len(payload) > MAX_PAYLOAD:
        wrong["payload"] = f"{len(payload):,} bytes as JSON; {MAX_PAYLOAD:,} can be taken."
    return wrong


def _has_too_much(labels: dict[str, str]) -> bool:
    return len(labels) > MAX_LABELS or any(len(text) > MAX_LABEL for pair in labels.items() for text in pair)


_entry_decoder = msgspec.json.Decoder(AnyEntry)
_encoder = msgspec.json.Encoder()
encode = _encoder.encode


def decode_entry(line: bytes) -> AnyEntry:
    """Read one entry.

    Raises:
        msgspec.DecodeError: The line is not JSON.
        msgspec.ValidationError: It is JSON, but not an entry we know.
    """
    return _entry_decoder.decode(line)


def cut_log(message: str) -> str:
    """Clean a log message and cut it to MAX_LOG_MESSAGE, with a mark that says how much is missing."""
    if len(message) > MAX_LOG_MESSAGE:
        kept = message[:MAX_LOG_MESSAGE]
        message = kept + LOG_CUT_MARK.format(dropped=len(message) - len(kept))
    return clean_text(message)
