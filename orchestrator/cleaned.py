"""What runs tell, cut and cleaned as every server keeps it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from orchestrator.storable import clean_text, json_value
from orchestrator.wire import (
    MAX_ANSWERERS,
    MAX_DESCRIPTION,
    MAX_INPUT,
    MAX_KEY,
    MAX_NAME,
    MAX_PARAMETERS,
    MAX_QUORUM,
    MAX_TAG,
    MAX_TAGS,
    MAX_TRACEBACK,
    About,
    Error,
    Event,
    InputRequest,
    ResultRef,
    TaskState,
)

MAX_EXCERPT = 300  # characters of a text that a list shows
ASSET_EVENTS = frozenset({"asset.materialized", "asset.failed"})
MAX_ASSET_KEY = 512  # characters
MAX_ADDRESS = 2_000  # characters of an address in a list
YEAR_2100 = 4_102_444_800_000_000  # µs UTC: what expires later does not expire
MAX_RESULT_KEY = 500  # characters
MASK = "********"
_PASSWORD = re.compile(r"(://[^/?#@:]*:)[^/?#]*@")
_SECRETS = "pass|secret|token|signature|credential|auth|sig|key"
_ASKED = re.compile(rf"([?&;][^=&;#]*(?:{_SECRETS})[^=&;#]*=)[^&;#]*", re.IGNORECASE)
CACHE = "cache/"  # How the keys of values begin that later calls may use.
MAX_CACHE_KEY = 300  # characters
NOT_NEW = ("Cached", "Replayed", "RolledBack")  # names of COMPLETED states that tell of no new value


def parameters_of(about: About) -> Any:
    """The parameters that a run was begun with."""
    raw = bytes(about.parameters)
    if not raw:
        return {}
    if len(raw) > MAX_PARAMETERS:
        return {"…": f"{len(raw):,} bytes of parameters: more than the {MAX_PARAMETERS:,} that are kept"}
    value = json_value(msgspec.json.decode(raw))
    return value if isinstance(value, dict) else {"value": value}


def error_of(error: Error | None) -> dict[str, str] | None:
    """An exception. Of a long traceback the end is kept: there it says what happened."""
    if error is None:
        return None
    return {
        "type": clean_text(error.type, 500),
        "message": clean_text(error.message, 10_000),
        "traceback": clean_text(error.traceback[-MAX_TRACEBACK:]),
    }


def stored_at(ref: ResultRef | None) -> dict[str, Any] | None:
    """Where a value was stored; None where it was not. What in its address may be a secret is masked."""
    if ref is None:
        return None
    return {
        "url": clean_text(without_secrets(ref.url), MAX_ADDRESS),
        "key": clean_text(ref.key, MAX_RESULT_KEY),
        "serializer": clean_text(ref.serializer, 100),
        "size": None if ref.size is None else min(max(ref.size, 0), 2**53),
        "expires": ref.expires if ref.expires and 0 < ref.expires < YEAR_2100 else None,
    }


def without_secrets(address: str) -> str:
    """An address with its password, and each value in its query that is named like a secret, masked.

    >>> without_secrets("sftp://ann:pass@files.example/a?token=abc&part=1")
    'sftp://ann:********@files.example/a?token=********&part=1'
    """
    return _ASKED.sub(rf"\1{MASK}", _PASSWORD.sub(rf"\1{MASK}@", address))


def clean_tags(tags: list[str]) -> list[str]:
    """At most 100 different tags of at most 200 characters, in order."""
    return list(dict.fromkeys(clean_text(tag, MAX_TAG) for tag in tags[:MAX_TAGS] if tag))


def summary_of(type: str, data: Any) -> dict[str, Any]:
    """What a list shows of an artifact: a few texts and numbers. Whatever `data` is, it is read without trust.

    >>> summary_of("table", {"columns": ["a"], "rows": [[1], [2]]})
    {'rows': 2, 'columns': 1}
    >>> summary_of("progress", "half")
    {}
    """
    told = data if isinstance(data, dict) else {}
    if type == "table" and _is_list(told.get("columns")) and _is_list(told.get("rows")):
        return {"rows": len(told["rows"]), "columns": len(told["columns"])}
    if type == "markdown" and isinstance(data, str):
        return {"text": data[:MAX_EXCERPT]}
    if type == "link" and isinstance(told.get("link"), str):
        return {"link": told["link"][:MAX_ADDRESS], "text": str(told.get("text") or "")[:MAX_EXCERPT]}
    if type == "image" and isinstance(told.get("url"), str):
        return {"url": told["url"]} if len(told["url"]) <= MAX_ADDRESS else {}
    if type == "progress" and isinstance(data, int | float):
        return {"progress": min(max(float(data), 0.0), 100.0)}
    return {}


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


@dataclass(frozen=True, slots=True)
class Made:
    """What an event tells of an asset that was made, or of the attempt: its key, what it was made of, what is said."""

    key: str
    succeeded: bool
    upstream: list[str]
    task: UUID | None
    by: str
    metadata: dict[str, Any]
    name: str
    description: str
    url: str
    owners: list[str]


def made_of(event: Event) -> Made | None:
    """What an event tells of an asset, cut and cleaned; None, if it is about something else."""
    key = event.resource.get("id", "")
    if event.event not in ASSET_EVENTS or not key or len(key) > MAX_ASSET_KEY:
        return None
    told = json_value(msgspec.json.decode(event.payload)) if bytes(event.payload) else {}
    told = told if isinstance(told, dict) else {}
    upstream = [each.get("id", "") for each in event.related if each.get("role") == "upstream"]
    metadata, owners = told.get("metadata"), told.get("owners")
    return Made(
        key=clean_text(key), succeeded=event.event == "asset.materialized",
        upstream=[clean_text(each) for each in dict.fromkeys(upstream) if 0 < len(each) <= MAX_ASSET_KEY],
        task=_uuid(told.get("task_run")), by=_word(told.get("by"), 200),
        metadata=metadata if isinstance(metadata, dict) else {},
        name=_word(event.resource.get("name"), 200), description=_word(told.get("description"), 5_000),
        url=_word(told.get("url"), 2_000),
        owners=[_word(each, 254) for each in owners[:50]] if isinstance(owners, list) else [],
    )  # fmt: skip


def asked_of(entry: InputRequest) -> dict[str, Any] | None:
    """What a run asks of people; None, if it asks for more than can be asked."""
    schema, initial = _object(entry.schema), _object(entry.initial)
    if (
        schema is None
        or initial is None
        or entry.pause not in {"pause", "suspend"}
        or not 0 < len(entry.key) <= MAX_KEY
    ):
        return None
    return {
        "key": clean_text(entry.key),
        "pause": entry.pause,
        "title": clean_text(entry.title, MAX_NAME)[:200],
        "description": clean_text(entry.description, MAX_DESCRIPTION),
        "schema": schema or None,
        "initial": initial,
        "quorum": min(max(entry.quorum, 0), MAX_QUORUM),
        "roles": [clean_text(role, 100) for role in entry.roles[:MAX_ANSWERERS]],
        "teams": [clean_text(team, 200) for team in entry.teams[:MAX_ANSWERERS]],
        "link": "anyone" if entry.link == "anyone" and not (entry.quorum or entry.roles or entry.teams) else "login",
    }


def expiry_of(expires: int | None) -> int | None:
    """When nobody is waited for any longer (µs UTC); None for never, and for what is too far off to be a time.

    >>> expiry_of(1_700_000_000_000_000), expiry_of(2**62), expiry_of(None)
    (1700000000000000, None, None)
    """
    return None if expires is None or expires >= YEAR_2100 else max(expires, 0)


def _object(raw: msgspec.Raw) -> dict[str, Any] | None:
    """A JSON object of bounded size; None, if it is none."""
    body = bytes(raw)
    if body in {b"", b"null"}:
        return {}
    try:
        value = json_value(msgspec.json.decode(body)) if len(body) <= MAX_INPUT else None
    except RecursionError:
        return None
    return value if isinstance(value, dict) else None


def _word(value: Any, most: int) -> str:
    return clean_text(value, most) if isinstance(value, str) else ""


def _uuid(value: Any) -> UUID | None:
    try:
        return UUID(value)
    except (ValueError, TypeError, AttributeError):
        return None


@dataclass(frozen=True, slots=True)
class CacheWord:
    """What the last state of a task run tells of the cache: that it put a value there, or used the one that was."""

    key: str
    is_use: bool
    task: str
    url: str
    serializer: str
    size: int | None
    expires: int | None  # µs UTC


def cache_word_of(entry: TaskState) -> CacheWord | None:
    """What a task's state tells of the cache, cut and cleaned; None, if it tells nothing of it."""
    told = stored_at(entry.result) if entry.result is not None and entry.result.key.startswith(CACHE) else None
    if told is None or entry.state != "COMPLETED" or (entry.name in NOT_NEW and entry.name != "Cached"):
        return None
    key = told["key"].rpartition("/")[2]
    if not 0 < len(key) <= MAX_CACHE_KEY:
        return None
    task = clean_text(entry.task, MAX_NAME)
    return CacheWord(key, entry.name == "Cached", task, told["url"], told["serializer"], told["size"], told["expires"])
