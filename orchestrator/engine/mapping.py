"""The calls that one `.map()` stands for, one after the other: of an iterable only what is under way is held."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sized
from typing import Any, NamedTuple

from orchestrator.annotations import Annotation, flatten, unmapped
from orchestrator.exceptions import MappingError
from orchestrator.futures import Future


class Call(NamedTuple):
    """One of them. `sources` are the futures that its items came out of."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    sources: list[Future[Any]]


class _Column(NamedTuple):
    """An argument: its items, how many they are if that is known, and the future that they came out of."""

    items: Iterator[Any]
    length: int | None
    source: Future[Any] | None


_END = object()


def calls(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Call]:
    """Yield each call.

    Raises:
        MappingError: Nothing is iterable, or lengths differ: at once where they are known, else when one ends.
    """
    names = [*(str(n) for n in range(len(args))), *kwargs]
    given = [_column(value) for value in (*args, *kwargs.values())]
    columns = {name: column for name, column in zip(names, given, strict=True) if isinstance(column, _Column)}
    _compare_lengths(columns)
    sources = [column.source for column in columns.values() if column.source is not None]
    while (items := _next_items(columns)) is not None:
        row = [items.get(name, same) for name, same in zip(names, given, strict=True)]
        yield Call(tuple(row[: len(args)]), dict(zip(kwargs, row[len(args) :], strict=True)), sources)


def _column(value: Any) -> Any:
    """The items of an argument, or what every call is given."""
    if isinstance(value, unmapped):
        return value.value
    if isinstance(value, flatten):
        return _Column(_flat(value.value), None, value.value if isinstance(value.value, Future) else None)
    if isinstance(value, Future):
        # The future's value says how many calls there are: there is no way around waiting for it.
        inner = _column(value.result())
        return inner._replace(source=value) if isinstance(inner, _Column) else inner
    if isinstance(value, Annotation):
        inner, mark = _column(value.value), type(value)
        return inner._replace(items=map(mark, inner.items)) if isinstance(inner, _Column) else value
    if not _is_mapped(value):
        return value
    return _Column(iter(value), len(value) if isinstance(value, Sized) else None, None)


def _is_mapped(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | bytearray | io.IOBase)


def _flat(values: Any) -> Iterator[Any]:
    """The items of the items. Futures are waited for when it is their turn."""
    for value in values.result() if isinstance(values, Future) else values:
        inner = value.result() if isinstance(value, Future) else value
        if not _is_mapped(inner):
            raise MappingError(f"flatten() takes an iterable of iterables, and one of them is {type(inner).__name__}.")
        yield from inner


def _compare_lengths(columns: dict[str, _Column]) -> None:
    if not columns:
        raise MappingError("Nothing to map over: pass at least one iterable.")
    lengths = {name: column.length for name, column in columns.items() if column.length is not None}
    if len(set(lengths.values())) > 1:
        raise _unequal(", ".join(f"{name}: {length}" for name, length in lengths.items()))


def _next_items(columns: dict[str, _Column]) -> dict[str, Any] | None:
    items = {name: next(column.items, _END) for name, column in columns.items()}
    ended = [name for name, item in items.items() if item is _END]
    if not ended:
        return items
    if len(ended) < len(items):
        raise _unequal(f"the first to end was {ended[0]}; what was submitted before goes on")
    return None


def _unequal(told: str) -> MappingError:
    return MappingError(
        f"The iterables are not of one length ({told}). Wrap those that every call takes in unmapped()."
    )
