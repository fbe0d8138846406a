"""Digests of values: the same in every process, whatever its hash seed, and whatever the order of dicts and sets.

What JSON knows is read at the speed of C; arrays and data frames by their buffers; dataclasses and pydantic models by
their fields; functions by their code; other objects by what they tell pickle; what tells it nothing, by cloudpickle.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import pickle
import types
from collections.abc import Callable, Iterable
from enum import Enum
from pathlib import PurePath
from typing import Any

from orchestrator.engine.definition import Definition
from orchestrator.exceptions import HashError
from orchestrator.futures import Future

SIZE = 16  # bytes of a digest
_DEEPEST = 200
_MUCH = 50  # values within one that are not looked at a second time

_ATOMS = frozenset({int, float, str, bytes, bool, type(None), complex, bytearray})
_SPLITS = (list, tuple)


def digest(*values: Any, futures: Callable[[Future[Any]], str] | None = None) -> str:
    """32 hexadecimal digits that stand for these values.

    Args:
        futures: Says what a future among them counts as. Without it a future can't be hashed.

    Raises:
        HashError: Something in them has no content that could be told: a lock, a connection, a generator.

    >>> digest({"a": 1, "b": [2.5, None]}) == digest({"b": [2.5, None], "a": 1})
    True
    >>> digest(1) == digest(True)
    False
    """
    walk = _Walk(futures)
    try:
        return walk.of_all(values).hex()
    except HashError:
        raise
    except RecursionError:
        raise HashError("A value is nested too deeply to be hashed.") from None
    except Exception as error:  # Of an attribute, a dtype, an index: values are whatever their makers made them.
        raise HashError(f"A value can't be hashed: {type(error).__name__}: {error}") from error


class _Walk:
    """One walk through values. Digests of the inner ones make the digest of the outer one."""

    def __init__(self, futures: Callable[[Future[Any]], str] | None) -> None:
        self._futures = futures
        self._path: dict[int, int] = {}  # The objects around the present one, for those that contain themselves.
        self._reaches = _DEEPEST  # The outermost of these that something within the present one leads back to.
        self._known: dict[int, tuple[Any, bytes]] = {}  # What has much within it, and may be met again.
        self._visited = 0

    def of_all(self, values: Iterable[Any]) -> bytes:
        return _join(b"all", map(self.of, values))

    def of(self, value: Any) -> bytes:
        kind = type(value)
        if kind in _ATOMS:
            return _of_atom(kind, value)
        if id(value) in self._path:
            self._reaches = min(self._reaches, self._path[id(value)])
            return _join(b"cycle", [b"%d" % (len(self._path) - self._path[id(value)])])
        self._visited += 1
        known = self._known.get(id(value))
        return known[1] if known is not None else self._of_new(kind, value)

    def _of_new(self, kind: type, value: Any) -> bytes:
        depth = len(self._path)
        if depth >= _DEEPEST:
            raise HashError("A value is nested too deeply to be hashed.")
        around, self._reaches, before = self._reaches, _DEEPEST, self._visited
        self._path[id(value)] = depth
        try:
            digested = self._of_object(kind, value)
        finally:
            del self._path[id(value)]
        if self._reaches >= depth and self._visited - before > _MUCH:
            self._known[id(value)] = (value, digested)  # Held, so that nothing else comes by its id.
        self._reaches = min(around, self._reaches) if self._reaches < depth else around
        return digested

    def _of_object(self, kind: type, value: Any) -> bytes:
        if kind in _SPLITS:
            return self._of_list(kind, value)
        if kind is dict:
            return self._of_dict(value)
        if kind is set or kind is frozenset:
            return _join(b"set", sorted(map(self.of, value)))
        if isinstance(value, Future):
            return self._of_future(value)
        for known, way in _WAYS:
            if isinstance(value, known):
                return way(self, value)
        return self._of_instance(kind, value)

    def _of_list(self, kind: type, value: Any) -> bytes:
        if _ATOMS.issuperset(map(type, value)):
            try:
                return _digest(b"atoms", kind.__name__.encode(), _bytes(repr(value)))
            except ValueError:  # An integer of more digits than Python cares to print.
                pass
        return _join(kind.__name__.encode(), map(self.of, value))

    def _of_dict(self, value: dict[Any, Any]) -> bytes:
        return _join(b"dict", sorted(self.of(key) + self.of(item) for key, item in value.items()))

    def _of_future(self, future: Future[Any]) -> bytes:
        if self._futures is None:
            raise HashError(f"{future!r} can't be hashed before it is done. Hash its result().")
        return _digest(b"future", self._futures(future).encode())

    def _of_instance(self, kind: type, value: Any) -> bytes:
        if dataclasses.is_dataclass(kind):
            names = [field.name for field in dataclasses.fields(kind)]
            return self._of_fields(kind, {name: getattr(value, name, None) for name in names})
        if hasattr(kind, "__pydantic_fields__"):
            return self._of_fields(kind, {**vars(value), **(getattr(value, "__pydantic_extra__", None) or {})})
        root = kind.__module__.partition(".")[0]
        if root == "numpy" and kind.__name__ == "ndarray":
            return self._of_array(value)
        if root == "pandas" and kind.__name__ in ("DataFrame", "Series", "Index"):
            return self._of_pandas(kind, value)
        return self._of_reduced(value)

    def _of_fields(self, kind: type, fields: dict[str, Any]) -> bytes:
        return _join(b"fields", [self.of(kind), self.of(fields)])

    def _of_array(self, array: Any) -> bytes:
        facts = (array.dtype.str if array.dtype.names is None else repr(array.dtype.descr), array.shape)
        if array.dtype.hasobject:
            return _join(b"array", [self.of(facts), self.of(array.ravel().tolist())])
        import numpy

        flat = numpy.ascontiguousarray(array).reshape(-1).view(numpy.uint8) if array.size else b""
        return _join(b"array", [self.of(facts), _digest(b"buffer", flat)])

    def _of_pandas(self, kind: type, value: Any) -> bytes:
        facts: list[Any] = [kind.__name__, getattr(value, "name", None)]
        columns = [value]
        if kind.__name__ == "DataFrame":
            facts += [value.columns.tolist(), list(value.columns.names), list(map(str, value.dtypes))]
            columns = [value.iloc[:, place] for place in range(value.shape[1])]
        else:
            facts.append(str(value.dtype))
        index = [] if kind.__name__ == "Index" else [list(value.index.names), self._of_rows(value.index)]
        rows = [self._of_rows(column) for column in columns]
        return _join(b"pandas", [self.of(facts), self.of(index), *rows])

    def _of_rows(self, column: Any) -> bytes:
        """Objects are hashed by what they are: pandas goes by how they are printed, where they are not all texts."""
        from pandas.util import hash_pandas_object

        if column.dtype == object and type(column).__name__ != "MultiIndex":
            return self.of(column.tolist())
        hashed: Any = hash_pandas_object(column, index=False)  # pyright: ignore[reportCallIssue]
        return self.of(hashed.to_numpy())

    def _of_enum(self, value: Enum) -> bytes:
        return _join(b"enum", [self.of(type(value)), self.of(value.name)])

    def _of_path(self, value: PurePath) -> bytes:
        return _digest(b"path", type(value).__name__.encode(), _bytes(str(value)))

    def _of_type(self, value: type) -> bytes:
        return _digest(b"type", value.__module__.encode(), value.__qualname__.encode())

    def _of_module(self, value: types.ModuleType) -> bytes:
        return _digest(b"module", value.__name__.encode())

    def _of_definition(self, value: Definition[..., Any]) -> bytes:
        return _join(b"definition", [self.of((value.kind_of_run, value.name)), self.of(value.fn)])

    def _of_partial(self, value: functools.partial[Any]) -> bytes:
        return _join(b"partial", map(self.of, (value.func, value.args, value.keywords)))

    def _of_method(self, value: types.MethodType) -> bytes:
        return _join(b"method", [self.of(value.__func__), self.of(value.__self__)])

    def _of_builtin(self, value: Any) -> bytes:
        owner = getattr(value, "__self__", None)
        whose = b"" if owner is None or isinstance(owner, types.ModuleType) else self.of(owner)
        return _digest(b"builtin", str(getattr(value, "__module__", "")).encode(), value.__qualname__.encode(), whose)

    def _of_function(self, value: types.FunctionType) -> bytes:
        held = [cell.cell_contents for cell in value.__closure__ or () if not _is_empty(cell)]
        facts = (value.__qualname__, value.__defaults__, value.__kwdefaults__, held)
        return _join(b"function", [self.of(facts), self.of(value.__code__)])

    def _of_code(self, value: types.CodeType) -> bytes:
        return _join(b"code", [self.of(value.co_code), self.of(value.co_consts), self.of(value.co_names)])

    def _of_reduced(self, value: Any) -> bytes:
        reduced: Any
        try:
            reduced = value.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
        except Exception:
            return self._of_pickled(value)
        if isinstance(reduced, str):
            return _digest(b"global", type(value).__module__.encode(), reduced.encode())
        made_by, args, state, items, pairs = (*reduced, None, None, None)[:5]
        held = (args, state, list(items) if items is not None else None, dict(pairs) if pairs is not None else None)
        return _join(b"object", [self.of(made_by), *map(self.of, held)])

    def _of_buffer(self, value: pickle.PickleBuffer) -> bytes:
        return _digest(b"buffer", value.raw())

    def _of_pickled(self, value: Any) -> bytes:
        import cloudpickle

        try:
            return _digest(b"pickle", cloudpickle.dumps(value))
        except Exception as error:
            raise HashError(f"A {type(value).__qualname__} can't be hashed: {error}") from None


_WAYS: tuple[tuple[Any, Callable[[_Walk, Any], bytes]], ...] = (
    (Enum, _Walk._of_enum),
    (PurePath, _Walk._of_path),
    (type, _Walk._of_type),
    (Definition, _Walk._of_definition),
    (functools.partial, _Walk._of_partial),
    (types.FunctionType, _Walk._of_function),
    (types.MethodType, _Walk._of_method),
    (types.BuiltinFunctionType | types.MethodDescriptorType | types.WrapperDescriptorType, _Walk._of_builtin),
    (types.CodeType, _Walk._of_code),
    (types.ModuleType, _Walk._of_module),
    (pickle.PickleBuffer, _Walk._of_buffer),
)


def _of_atom(kind: type, value: Any) -> bytes:
    if kind is str:
        return _digest(b"str", _bytes(value))
    if kind is bytes or kind is bytearray:
        return _digest(kind.__name__.encode(), value)
    if kind is int:
        return _digest(b"int", value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True))
    return _digest(kind.__name__.encode(), repr(value).encode())


def _digest(*parts: Any) -> bytes:
    hashed = hashlib.blake2b(digest_size=SIZE)
    for part in parts:
        hashed.update(b"%d:" % (part.nbytes if hasattr(part, "nbytes") else len(part)))
        hashed.update(part)
    return hashed.digest()


def _join(kind: bytes, digests: Iterable[bytes]) -> bytes:
    return _digest(kind, b"".join(digests))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _is_empty(cell: Any) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return True
    return False
