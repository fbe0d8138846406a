"""What a version of a block changed: places and values, and of a secret only that it changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from blocks.models import BlockVersion
from orchestrator.block_data import SECRET, field_of, pointer

MAX_SHOWN = 30  # changes of one version


@dataclass(frozen=True, slots=True)
class Change:
    """One place: `how` is added, removed, changed, or, of a secret, set, replaced or removed."""

    place: str
    how: str
    secret: bool
    before: Any = None
    after: Any = None


@dataclass(frozen=True, slots=True)
class Changes:
    """The first changes of a version, and how many more there are."""

    shown: list[Change]
    more: int


def between(older: BlockVersion | None, newer: BlockVersion) -> Changes:
    """What changed from one version to the next; of the first one, what it began with. No secret is opened for it."""
    found = list(_changes(older or BlockVersion(data={}), newer))
    return Changes(found[:MAX_SHOWN], max(0, len(found) - MAX_SHOWN))


def leaves(data: Any) -> dict[str, Any]:
    """The values of data that hold no others, by what their places are called."""
    return {name_of(place): value for place, value in _leaves(data, "")}


def name_of(place: str) -> str:
    """What people call a place: `/hosts/0/key` is `hosts.0.key`."""
    return field_of(place).removeprefix("data.")


def _changes(older: BlockVersion, newer: BlockVersion) -> Iterator[Change]:
    before, after = dict(_leaves(older.data, "")), dict(_leaves(newer.data, ""))
    for place in {**before, **after}:
        was, now = before.get(place), after.get(place)
        if (place in before) == (place in after) and was == now and _origin(older, place) == _origin(newer, place):
            continue
        secret = SECRET in (was, now)
        how = "removed" if place not in after else "added" if place not in before else "changed"
        if secret:
            yield Change(name_of(place), {"added": "set", "changed": "replaced"}.get(how, how), True)
        else:
            yield Change(name_of(place), how, False, was, now)


def _origin(version: BlockVersion, place: str) -> Any:
    return version.secret_places.get(place)


def _leaves(value: Any, at: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value and value.keys() not in ({"$secret"}, {"$block"}):
        for name, item in value.items():
            yield from _leaves(item, pointer(at, name))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from _leaves(item, pointer(at, index))
    elif at:
        yield at, value
