"""The calls that one `.map()` stands for."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from orchestrator.annotations import Annotation, unmapped
from orchestrator.exceptions import MappingError
from orchestrator.futures import Future

Call = tuple[tuple[Any, ...], dict[str, Any]]


def calls(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Call]:
    """Yield (args, kwargs) for each item.

    Raises:
        MappingError: Nothing is iterable, or lengths differ.
    """
    columns = [_column(value) for value in (*args, *kwargs.values())]
    length = _length(columns, [*(str(n) for n in range(len(args))), *kwargs])
    for index in range(length):
        row = [same if column is None else column[index] for column, same in columns]
        yield tuple(row[: len(args)]), dict(zip(kwargs, row[len(args) :], strict=True))


def _column(value: Any) -> tuple[Sequence[Any] | None, Any]:
    """The items of an argument, or None and what every call is given."""
    if isinstance(value, unmapped):
        return None, value.value
    if isinstance(value, Future):
        # The future's value says how many calls there are: there is no way around waiting for it.
        value = value.result()
    if isinstance(value, Annotation):
        inner, same = _column(value.value)
        mark = type(value)
        return (None, value) if inner is None else ([mark(item) for item in inner], same)
    if isinstance(value, str | bytes | bytearray | io.IOBase) or not isinstance(value, Iterable):
        return None, value
    return (value if isinstance(value, list | tuple) else list(value)), None


def _length(columns: list[tuple[Sequence[Any] | None, Any]], names: list[str]) -> int:
    lengths = {name: len(column) for name, (column, _) in zip(names, columns, strict=True) if column is not None}
    if not lengths:
        raise MappingError("Nothing to map over: pass at least one iterable.")
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name}: {length}" for name, length in lengths.items())
        raise MappingError(
            f"The iterables are not of one length ({told}). Wrap those that every call takes in unmapped()."
        )
    return next(iter(lengths.values()))
