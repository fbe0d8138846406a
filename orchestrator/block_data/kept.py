"""Secrets that new data leaves as they are: `{"$secret": true}` where one was."""

from __future__ import annotations

from typing import Any, Protocol

from orchestrator.block_data.places import pointer

SECRET = {"$secret": True}


class Before(Protocol):
    """The data of before, its secrets apart."""

    @property
    def data(self) -> dict[str, Any]:
        """As pages show it."""
        ...

    @property
    def secrets(self) -> dict[str, Any]:
        """By their places."""
        ...


def with_kept(data: dict[str, Any], before: Before) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """The data with its kept secrets put in; of each its place now and before; and places where none was."""
    kept: dict[str, str] = {}
    missing: list[str] = []

    def put_in(new: Any, old: Any, at: str, was: str | None) -> Any:
        if is_secret(new):
            if was is None or was not in before.secrets:
                missing.append(at)
                return None
            kept[at] = was
            return before.secrets[was]
        if isinstance(new, dict):
            known = old if isinstance(old, dict) else {}
            return {name: put_in(new[name], known.get(name), pointer(at, name), _below(was, name)) for name in new}
        if isinstance(new, list):
            known = old if isinstance(old, list) else []
            return [
                put_in(item, None if place is None else known[place], pointer(at, index), _below(was, place))
                for index, (item, place) in enumerate(zip(new, _former_places(new, known), strict=True))
            ]
        return new

    return put_in(data, before.data, "", ""), kept, missing


def is_secret(value: Any) -> bool:
    """True for `{"$secret": true}`."""
    return isinstance(value, dict) and value.keys() == SECRET.keys() and value["$secret"] is True


def _below(was: str | None, step: str | int | None) -> str | None:
    return None if was is None or step is None else pointer(was, step)


def _former_places(new: list[Any], old: list[Any]) -> list[int | None]:
    """Where each item of a list was before. An item that was moved takes its secrets along; one that was changed is
    known by its place only where no other came or went: a password must not slide to the next host.
    """
    free = set(range(len(old)))
    places: list[int | None] = [None] * len(new)
    for index, item in enumerate(new):
        if index in free and old[index] == item:
            places[index] = index
            free.discard(index)
    by_text = {repr(old[place]): place for place in sorted(free, reverse=True)}
    for index, item in enumerate(new):
        place = by_text.get(repr(item)) if places[index] is None else None
        if place is not None and place in free:
            places[index] = place
            free.discard(place)
    for index in range(len(new)):
        if places[index] is None and len(new) == len(old) and index in free:
            places[index] = index
            free.discard(index)
    return places
