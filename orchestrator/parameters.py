"""Parameters: coercion by type hints, JSON Schema from the signature, and what is recorded of them.

Plain hints (`int`, `str`, `list`, …) whose values already fit cost a comparison each. Anything else asks pydantic,
which is imported then.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from orchestrator.exceptions import ParameterTypeError

_EMPTY = inspect.Parameter.empty
_PLAIN = frozenset({int, float, str, bool, bytes, list, dict, set, tuple})
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def coerce(fn: Callable[..., Any], parameters: dict[str, Any], signature: inspect.Signature) -> dict[str, Any]:
    """Make each parameter what its annotation says.

    Raises:
        ParameterTypeError: With a message for each value that can't be.

    >>> def f(a: int, b: list[int]): ...
    >>> coerce(f, {"a": "3", "b": ("1", 2)}, inspect.signature(f))
    {'a': 3, 'b': [1, 2]}
    """
    kinds = hints(fn)
    unknown = [name for name in parameters if name not in signature.parameters]
    if unknown and not any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values()):
        raise _refusal(fn, dict.fromkeys(unknown, "There is no such parameter."))
    coerced: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    for name, parameter in signature.parameters.items():
        if name not in parameters:
            if parameter.default is _EMPTY and parameter.kind not in _VARIADIC:
                wrong[name] = "It is required."
            continue
        value = parameters[name]
        kind = kinds.get(name, Any)
        if (
            parameter.kind in _VARIADIC
            or kind is Any
            or (kind in _PLAIN and type(value) is kind)
            or value is parameter.default
        ):
            coerced[name] = value
            continue
        coerced[name] = _coerce_one(fn, name, kind, value, wrong)
    if wrong:
        raise _refusal(fn, wrong)
    extra = {name: parameters[name] for name in unknown}
    return {**coerced, **_into_keywords(signature, coerced, extra)}


def _into_keywords(signature: inspect.Signature, coerced: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    """What a `**kwargs` collects of parameters that were given by name."""
    if not extra:
        return {}
    name = next(name for name, p in signature.parameters.items() if p.kind is p.VAR_KEYWORD)
    return {name: {**coerced.get(name, {}), **extra}}


def _coerce_one(fn: Callable[..., Any], name: str, kind: Any, value: Any, wrong: dict[str, str]) -> Any:
    from pydantic import ValidationError

    try:
        return _adapter(kind).validate_python(value)
    except ValidationError as error:
        wrong[name] = _told(error)
        return value


def _told(error: Any) -> str:
    parts: list[str] = []
    for each in error.errors(include_url=False, include_context=False, include_input=False)[:5]:
        where = ".".join(str(part) for part in each["loc"])
        parts.append(f"{where}: {each['msg']}" if where else each["msg"])
    return "; ".join(parts)


def _refusal(fn: Callable[..., Any], wrong: dict[str, str]) -> ParameterTypeError:
    listed = "\n".join(f"  {name}: {message}" for name, message in wrong.items())
    return ParameterTypeError(
        f"{getattr(fn, '__name__', fn)} was given parameters that it can't take:\n{listed}", wrong
    )


def hints(fn: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a function, resolved where that is possible. The rest counts as Any."""
    fn = _undecorated(fn)
    try:
        return _hints(fn)
    except TypeError:  # An object that can't be hashed.
        return _resolved(fn)


def _undecorated(fn: Any) -> Any:
    while isinstance(fn, functools.partial):
        fn = fn.func
    return fn if hasattr(fn, "__annotations__") else getattr(fn, "__call__", fn)  # noqa: B004


def _resolved(fn: Callable[..., Any]) -> dict[str, Any]:
    annotations = dict(getattr(fn, "__annotations__", {}))
    annotations.pop("return", None)
    if not any(not isinstance(hint, type) for hint in annotations.values()):
        return annotations
    try:
        resolved = get_type_hints(fn, include_extras=True)
    except Exception:
        # A name that only type-checkers see, or that lives in an enclosing function.
        return {name: hint for name, hint in annotations.items() if not isinstance(hint, str)}
    resolved.pop("return", None)
    return resolved


_hints = functools.lru_cache(maxsize=1_000)(_resolved)


def prepare(fn: Callable[..., Any]) -> None:
    """Load and build what checking this function's parameters will take."""
    for kind in hints(fn).values():
        if kind is not Any and kind not in _PLAIN:
            _adapter(kind)


def _adapter(kind: Any) -> Any:
    try:
        return _cached_adapter(kind)
    except TypeError:  # An annotation that can't be hashed, such as Annotated[int, []].
        return _new_adapter(kind)


def _new_adapter(kind: Any) -> Any:
    from pydantic import ConfigDict, PydanticUserError, TypeAdapter

    from orchestrator.type_schemas import known_to_pydantic

    kind = known_to_pydantic(kind)
    try:
        return TypeAdapter(kind, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError:  # A pydantic model brings a configuration of its own.
        return TypeAdapter(kind)


_cached_adapter = functools.lru_cache(maxsize=1_000)(_new_adapter)


# JSON Schema.


def parameter_schema(fn: Callable[..., Any]) -> dict[str, Any]:
    """Describe a function's parameters as a JSON Schema, for the run form and for checks on the server.

    Args:
        fn: The function, or a flow.

    >>> def load(day: str, limit: int = 10): ...
    >>> parameter_schema(load)["required"]
    ['day']
    """
    from orchestrator.docstrings import parameters_of
    from orchestrator.type_schemas import schemas_of

    fn = getattr(fn, "fn", fn)
    signature = inspect.signature(fn)
    told = parameters_of(inspect.getdoc(fn) or "")
    kinds = hints(fn)
    named = [p for p in signature.parameters.values() if p.kind not in _VARIADIC]
    schemas, definitions = schemas_of({p.name: _adapter(kinds.get(p.name, Any)) for p in named})
    schema: dict[str, Any] = {"type": "object", "title": "Parameters", "properties": {}, "required": []}
    for position, parameter in enumerate(named):
        described = _property(parameter, schemas[parameter.name], kinds.get(parameter.name, Any), position)
        if parameter.name in told:
            described.setdefault("description", told[parameter.name])
        schema["properties"][parameter.name] = described
        if parameter.default is _EMPTY:
            schema["required"].append(parameter.name)
    schema["additionalProperties"] = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    if definitions:
        schema["$defs"] = definitions
    return schema


def _property(parameter: inspect.Parameter, schema: dict[str, Any], kind: Any, position: int) -> dict[str, Any]:
    described: dict[str, Any] = {"title": parameter.name.replace("_", " ").strip().capitalize(), "position": position}
    # A reference stands alone: what is beside it must not change its meaning.
    described.update({"allOf": [schema]} if "$ref" in schema else schema)
    if parameter.default is not _EMPTY and not described.get("writeOnly"):  # A secret's is a row of asterisks.
        try:
            described["default"] = _adapter(kind).dump_python(parameter.default, mode="json", warnings=False)
        except Exception:
            described.pop("default", None)
    return described


# What is recorded.

_NODES = 5_000
_TEXT = 100_000  # characters of one value


def snapshot(parameters: dict[str, Any]) -> dict[str, Any]:
    """A copy of parameters as JSON can hold it, taken now, since user code may change them in place.

    Bounded: after some thousands of values the rest is left out with a mark.
    """
    budget = [_NODES]
    return {str(name): _copied(value, budget, 0) for name, value in parameters.items()}


def _copied(value: Any, budget: list[int], depth: int) -> Any:
    budget[0] -= 1
    if value is None or value is True or value is False:
        return value
    kind = type(value)
    if kind is str:
        return value if len(value) <= _TEXT else value[:_TEXT] + "…"
    if kind is int or kind is float:
        from orchestrator.storable import json_value

        return value if kind is int and -(2**53) < value < 2**53 else json_value(value)
    if depth > 20 or budget[0] <= 0:
        return "…"
    if isinstance(value, Mapping):
        return {str(key): _copied(item, budget, depth + 1) for key, item in _first(value.items(), budget)}
    if isinstance(value, list | tuple | set | frozenset):
        return [_copied(item, budget, depth + 1) for item in _first(value, budget)]
    from orchestrator.storable import json_value

    return json_value(value)


def _first(items: Any, budget: list[int]) -> Any:
    for item in items:
        if budget[0] <= 0:
            return
        yield item
