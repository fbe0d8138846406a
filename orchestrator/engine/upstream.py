"""Futures inside arguments: find them, wait for them, put their values in their places.

Most calls have none. Until the first future or mark exists in a process nobody looks; a list of plain values is
passed over at the speed of C, however long.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from orchestrator.annotations import Annotation, allow_failure, quote
from orchestrator.exceptions import UpstreamTaskError
from orchestrator.futures import Future

if TYPE_CHECKING:
    from orchestrator.engine.lineage import Lineage

ATOMS = frozenset({int, float, str, bytes, bool, type(None), complex, bytearray})
_DEPTH = 50


def needed() -> bool:
    """True when arguments might hold something that must be replaced."""
    return Future.made or Annotation.made


def find(values: Any, found: list[Future[Any]], depth: int = 0) -> bool:
    """Collect the futures inside `values`. Say whether anything there must be replaced."""
    marked = False
    for value in values:
        kind = type(value)
        if kind in ATOMS:
            continue
        if isinstance(value, Future):
            found.append(value)
            marked = True
        elif isinstance(value, Annotation):
            if kind is not quote:
                find((value.value,), found, depth + 1)
            marked = True
        elif depth < _DEPTH:
            inside = _inside(value, kind)
            if inside and not ATOMS.issuperset(map(type, inside)):
                marked = find(inside, found, depth + 1) or marked
    return marked


def _inside(value: Any, kind: type) -> Any:
    """The values that a container holds; nothing for what is not a container."""
    if isinstance(value, list | tuple | set | frozenset):
        return value
    if isinstance(value, dict):
        return list(value.values())
    if dataclasses.is_dataclass(kind):
        return [getattr(value, field.name, None) for field in dataclasses.fields(kind)]
    if hasattr(kind, "__pydantic_fields__") and hasattr(value, "__dict__"):
        return [*value.__dict__.values(), *(getattr(value, "__pydantic_extra__", None) or {}).values()]
    return ()


def replace(value: Any, depth: int = 0) -> Any:
    """Put values in the places of futures, and take off marks. What holds neither is returned as it is.

    Raises:
        UpstreamTaskError: A future failed, and was not wrapped in allow_failure().
    """
    kind = type(value)
    if kind in ATOMS or depth > _DEPTH:
        return value
    if isinstance(value, Future):
        return _value_of(value)
    if isinstance(value, Annotation):
        return _unmarked(value, depth)
    inside = _inside(value, kind)
    if not inside or not find(inside, []):
        return value
    return _rebuilt(value, kind, lambda item: replace(item, depth + 1))


def _unmarked(value: Annotation[Any], depth: int) -> Any:
    if isinstance(value, quote):
        return value.value
    if isinstance(value, allow_failure) and isinstance(value.value, Future):
        return value.value.state.result(raise_on_failure=False)
    return replace(value.value, depth + 1)


def _value_of(future: Future[Any]) -> Any:
    state = future.state
    if not state.is_completed():
        raise UpstreamTaskError(
            f"{future.kind_of_run.capitalize()} run {future.name!r}, which this one depends on, ended {state.name}. "
            "Wrap the argument in allow_failure() to go on regardless."
        )
    return future.result()


def _rebuilt(value: Any, kind: type, each: Callable[[Any], Any]) -> Any:
    if isinstance(value, tuple):
        items = [each(item) for item in value]
        return kind(*items) if hasattr(kind, "_fields") else kind(items)
    if isinstance(value, list | set | frozenset):
        return kind(each(item) for item in value)
    if isinstance(value, dict):
        changed = copy.copy(value)
        for key, item in value.items():
            changed[key] = each(item)
        return changed
    changed = copy.copy(value)
    names = [f.name for f in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else list(vars(value))
    for name in names:
        object.__setattr__(changed, name, each(getattr(value, name)))
    extra = getattr(changed, "__pydantic_extra__", None) or {}  # A copy of the other's, made by pydantic.
    for name in extra:
        extra[name] = each(extra[name])
    return changed


def trace(values: Any, lineage: Lineage, parents: dict[Any, None], deep: bool = True) -> None:
    """Note which task runs made these values, or what is directly inside them."""
    for value in values:
        kind = type(value)
        if kind in ATOMS:
            continue
        maker = lineage.maker(value)
        if maker is not None:
            parents[maker] = None
        elif deep and kind in (list, tuple, dict):
            items = value.values() if kind is dict else value
            if 0 < len(items) <= 1_000 and not ATOMS.issuperset(map(type, items)):
                trace(list(items), lineage, parents, deep=False)
