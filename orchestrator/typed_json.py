"""Python values as JSON that leads back to them: what JSON has no form for is {"$type": …, "value": …}."""

from __future__ import annotations

import base64
import dataclasses
import importlib
import math
from collections import OrderedDict, deque
from typing import Any

_PLAIN = frozenset({str, int, bool, type(None)})
_MAPPINGS = (dict, OrderedDict)
_ITERABLES = (set, frozenset, deque)
_MARK = "$type"


def plain(value: Any) -> Any:
    """What `json.dumps` takes.

    Raises:
        TypeError: JSON has no form for something in it, and nobody knows to make one.

    >>> plain({"when": {1, 2}})
    {'when': {'$type': 'builtins:set', 'value': [1, 2]}}
    """
    kind = type(value)
    if kind in _PLAIN or (kind is float and math.isfinite(value)):
        return value
    if kind is list:
        return [plain(item) for item in value]
    if kind is dict and all(type(key) is str for key in value) and _MARK not in value:
        return {key: plain(item) for key, item in value.items()}
    return {_MARK: f"{kind.__module__}:{kind.__qualname__}", "value": _inside(kind, value)}


def _inside(kind: type, value: Any) -> Any:
    if kind is float:
        return str(value)
    if kind in _MAPPINGS:
        return [[plain(key), plain(item)] for key, item in value.items()]
    if kind is bytes:
        return base64.b64encode(value).decode()
    if kind in _ITERABLES or isinstance(value, tuple):
        return [plain(item) for item in value]
    if dataclasses.is_dataclass(kind):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(kind)}
    if hasattr(kind, "__struct_fields__"):
        return {name: plain(getattr(value, name)) for name in kind.__struct_fields__}
    return _by_pydantic(kind, value)


def _by_pydantic(kind: type, value: Any) -> Any:
    from pydantic import BaseModel, TypeAdapter
    from pydantic_core import PydanticSerializationError

    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", round_trip=True)
    try:
        return TypeAdapter(kind).dump_python(value, mode="json")
    except (PydanticSerializationError, TypeError, ValueError) as error:
        raise _formless(kind, error) from None
    except Exception as error:
        if type(error).__name__.startswith("Pydantic"):
            raise _formless(kind, error) from None
        raise


def _formless(kind: type, error: Exception) -> TypeError:
    first = str(error).partition("\n")[0]
    name = f"{kind.__module__}.{kind.__qualname__}"
    return TypeError(f"JSON has no form for {name} ({first}). Use the pickle serializer.")


def typed(told: Any) -> Any:
    """The value again.

    >>> typed(plain((1, {"a": float("inf")})))
    (1, {'a': inf})
    """
    if isinstance(told, list):
        return [typed(item) for item in told]
    if not isinstance(told, dict):
        return told
    if _MARK not in told:
        return {key: typed(item) for key, item in told.items()}
    return _made(_type_of(told[_MARK]), told["value"])


def _type_of(place: str) -> Any:
    module, _, name = place.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _made(kind: Any, told: Any) -> Any:
    if kind is float:
        return float(told)
    if kind in _MAPPINGS:
        return kind((typed(key), typed(item)) for key, item in told)
    if kind is bytes:
        return base64.b64decode(told)
    if kind in _ITERABLES or issubclass(kind, set | frozenset | tuple):
        items = [typed(item) for item in told]
        return kind(*items) if hasattr(kind, "_fields") else kind(items)
    if dataclasses.is_dataclass(kind):
        return _filled(kind, told)
    if hasattr(kind, "__struct_fields__"):
        return kind(**{name: typed(item) for name, item in told.items()})
    from pydantic import TypeAdapter

    return TypeAdapter(kind).validate_python(told)


def _filled(kind: Any, told: dict[str, Any]) -> Any:
    """A dataclass with the fields that it had; nothing is computed again."""
    value = kind.__new__(kind)
    for name, item in told.items():
        object.__setattr__(value, name, typed(item))
    return value
