"""Tables of all shapes made one: the names of the columns, and rows of JSON values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.storable import json_value
from orchestrator.wire import MAX_ARTIFACT, encode

_PLAIN = frozenset({str, int, bool, type(None)})


def table_of(table: Any) -> dict[str, Any]:
    """A table as {"columns": […], "rows": [[…], …]}.

    Raises:
        TypeError: It is none.
        ValueError: It is too large, or its columns differ in length.

    >>> table_of([{"a": 1}, {"b": float("nan"), "a": 2}])
    {'columns': ['a', 'b'], 'rows': [[1, None], [2, None]]}
    >>> table_of([["city", "degrees"], ["Oslo", -3]])
    {'columns': ['city', 'degrees'], 'rows': [['Oslo', -3]]}
    """
    columns, rows = _parts(table)
    made = {"columns": [_cell(name) for name in columns], "rows": [[_cell(value) for value in row] for row in rows]}
    if (size := len(encode(made))) > MAX_ARTIFACT:
        raise ValueError(
            f"The table has {len(rows):,} rows and {size:,} bytes as JSON; {MAX_ARTIFACT:,} can be kept. Make a table "
            "of what people need, and a link to the rest."
        )
    return made


def _parts(table: Any) -> tuple[Sequence[Any], Sequence[Sequence[Any]]]:
    if hasattr(table, "to_dict") and hasattr(table, "columns"):
        return _frame(table)
    if isinstance(table, Mapping):
        return _columns(table)
    if isinstance(table, Sequence) and not isinstance(table, str | bytes):
        if all(isinstance(row, Mapping) for row in table):
            names = list(dict.fromkeys(name for row in table for name in row))
            return names, [[row.get(name) for name in names] for row in table]
        if all(isinstance(row, Sequence) and not isinstance(row, str | bytes) for row in table):
            width = max((len(row) for row in table), default=0)
            names, *rows = [[*row, *[None] * (width - len(row))] for row in table]
            return names, rows
    raise TypeError(
        "A table is a dictionary of columns, a list of dictionaries, a list of lists or a data frame, "
        f"not {type(table).__name__}."
    )


def _frame(frame: Any) -> tuple[Sequence[Any], Sequence[Sequence[Any]]]:
    """A data frame of pandas, or of a library that names its methods so (polars). An index with a name is a column."""
    if hasattr(frame, "itertuples"):
        names = [name for name in frame.index.names if name is not None]
        frame = frame.reset_index() if names else frame
        return list(map(str, frame.columns)), list(frame.itertuples(index=False, name=None))
    return list(frame.columns), list(frame.rows())


def _columns(table: Mapping[Any, Any]) -> tuple[Sequence[Any], Sequence[Sequence[Any]]]:
    values = [
        list(column.values()) if isinstance(column, Mapping) else list(column) if _is_many(column) else [column]
        for column in table.values()
    ]
    if len({len(column) for column in values}) > 1:
        lengths = ", ".join(f"{name}: {len(column)}" for name, column in zip(table, values, strict=True))
        raise ValueError(f"The columns of a table are of one length. They have {lengths:.500}.")
    return list(table), list(zip(*values, strict=True))


def _is_many(column: Any) -> bool:
    return hasattr(column, "__iter__") and not isinstance(column, str | bytes)


def _cell(value: Any) -> Any:
    """One value; None for NaN, NaT and what else libraries call missing."""
    if type(value) in _PLAIN:
        return json_value(value)
    if hasattr(value, "item") and hasattr(value, "dtype") and getattr(value, "ndim", 0) == 0:
        value = value.item()  # A scalar of numpy.
    try:
        if value != value:
            return None
    except (TypeError, ValueError):  # pandas.NA, which is not even different; an array, which is so in parts.
        if type(value).__name__ == "NAType":
            return None
    return value.isoformat() if hasattr(value, "isoformat") else json_value(value)
