"""Serializers: how the values of runs become bytes in a storage, and values again.

| name | what it takes |
|---|---|
| `pickle` | anything that can be pickled; what pickle refuses, cloudpickle is asked for |
| `json` | what JSON knows, and dates, times, decimals, UUIDs, paths, enums, sets, tuples, bytes, dataclasses, models |
| `compressed/pickle`, `compressed/json` | the same, by gzip; `bz2/…` and `lzma/…` by those |

One of your own is a subclass of `Serializer` with a `type`.
"""

from __future__ import annotations

import importlib
import io
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from orchestrator.counterparts import missing

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "CompressedJSONSerializer",
    "CompressedPickleSerializer",
    "CompressedSerializer",
    "JSONSerializer",
    "PickleSerializer",
    "Serializer",
    "serializer_of",
]


class Serializer:
    """The base. Subclass it with `dumps` and `loads`, or, for what is large, with `dump` and `load`.

    `type` names it where a value is stored, so that it is found again: any text that no other serializer has.

    >>> class Reversed(Serializer):
    ...     type = "reversed"
    ...     def dumps(self, value):
    ...         return value[::-1].encode()
    ...     def loads(self, data):
    ...         return data.decode()[::-1]
    >>> serializer_of("reversed").loads(Reversed().dumps("abc"))
    'abc'
    """

    type: str = ""
    _known: ClassVar[dict[str, Callable[[], Serializer]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        name = cls.__dict__.get("type") or f"{cls.__module__}:{cls.__qualname__}"
        cls.type = name
        if isinstance(name, str):
            Serializer._known[name] = cls

    def dumps(self, value: Any) -> bytes:
        """A value as bytes. May raise anything; the call whose value it is fails then."""
        buffer = io.BytesIO()
        self.dump(value, buffer)
        return buffer.getvalue()

    def loads(self, data: bytes) -> Any:
        """The value again."""
        return self.load(io.BytesIO(data))

    def dump(self, value: Any, file: BinaryIO) -> None:
        """Write a value to a file, which can be sought in, from where it stands."""
        file.write(self.dumps(value))

    def load(self, file: BinaryIO) -> Any:
        """Read the value again, to the file's end."""
        return self.loads(file.read())

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class PickleSerializer(Serializer):
    """By pickle; where that refuses (a lambda, a class made in a function), by cloudpickle. The default."""

    type = "pickle"

    def dump(self, value: Any, file: BinaryIO) -> None:
        import pickle

        start = file.tell()
        try:
            # Large buffers go to the file as they are: nothing is copied.
            pickle.Pickler(file, pickle.HIGHEST_PROTOCOL).dump(value)
        except (pickle.PicklingError, AttributeError, TypeError):
            import cloudpickle

            file.seek(start)
            file.truncate()
            cloudpickle.Pickler(file, pickle.HIGHEST_PROTOCOL).dump(value)

    def load(self, file: BinaryIO) -> Any:
        import pickle

        return pickle.load(file)  # noqa: S301 - the user's own storage, which the user's code wrote


class JSONSerializer(Serializer):
    """By JSON that people can read. What JSON has no form for carries its type."""

    type = "json"

    def dumps(self, value: Any) -> bytes:
        import json

        from orchestrator.typed_json import plain

        return json.dumps(plain(value), allow_nan=False, separators=(",", ":")).encode()

    def loads(self, data: bytes) -> Any:
        import json

        from orchestrator.typed_json import typed

        return typed(json.loads(data))


_LIBRARIES = {"gzip": "compressed", "bz2": "bz2", "lzma": "lzma"}


class CompressedSerializer(Serializer):
    """Another one, compressed.

    Args:
        serializer: The other one, or its name.
        compressionlib: `gzip`, `bz2` or `lzma`.

    >>> CompressedSerializer("json", compressionlib="lzma")
    lzma/json
    """

    type = "compressed"

    def __init__(self, serializer: Serializer | str = "pickle", *, compressionlib: str = "gzip") -> None:
        if compressionlib not in _LIBRARIES:
            raise ValueError(f"compressionlib is one of {', '.join(_LIBRARIES)}, not {compressionlib!r}.")
        self.serializer = serializer_of(serializer)
        self.compressionlib = compressionlib
        self.type = f"{_LIBRARIES[compressionlib]}/{self.serializer.type}"

    def dump(self, value: Any, file: BinaryIO) -> None:
        compressing = _Compressing(self._open, file)
        self.serializer.dump(value, compressing)  # type: ignore[arg-type]
        compressing.close()

    def load(self, file: BinaryIO) -> Any:
        with self._open(file, "rb") as compressed:
            return self.serializer.load(compressed)

    def _open(self, file: BinaryIO, mode: str) -> Any:
        module: Any = importlib.import_module(self.compressionlib)
        if self.compressionlib == "gzip":
            return module.GzipFile("", mode, 6, file, 0)
        return module.open(file, mode)

    def __repr__(self) -> str:
        return self.type


class _Compressing:
    """A file that compresses what is written. It can be sought to its beginning only, to begin again."""

    def __init__(self, open_in: Callable[[BinaryIO, str], Any], file: BinaryIO) -> None:
        self._open_in = open_in
        self._file = file
        self._start = file.tell()
        self._compressed = open_in(file, "wb")

    def write(self, data: Any) -> int:
        return int(self._compressed.write(data))

    def tell(self) -> int:
        return 0

    def seek(self, place: int) -> int:
        self._compressed.close()
        return place

    def truncate(self) -> None:
        self._file.seek(self._start)
        self._file.truncate()
        self._compressed = self._open_in(self._file, "wb")

    def close(self) -> None:
        self._compressed.close()


class CompressedPickleSerializer(CompressedSerializer):
    """`compressed/pickle`."""

    type = "compressed/pickle"

    def __init__(self, *, compressionlib: str = "gzip") -> None:
        super().__init__(PickleSerializer(), compressionlib=compressionlib)


class CompressedJSONSerializer(CompressedSerializer):
    """`compressed/json`."""

    type = "compressed/json"

    def __init__(self, *, compressionlib: str = "gzip") -> None:
        super().__init__(JSONSerializer(), compressionlib=compressionlib)


def serializer_of(given: Any) -> Serializer:
    """The serializer of a name; one that is given is returned.

    Raises:
        ValueError: There is none of this name.

    >>> serializer_of("compressed/json").type
    'compressed/json'
    """
    if isinstance(given, Serializer):
        return given
    if isinstance(given, type) and issubclass(given, Serializer):
        return given()
    name = str(given)
    if name in Serializer._known:
        return Serializer._known[name]()
    by = {name: library for library, name in _LIBRARIES.items()}
    how, _, within = name.partition("/")
    if how in by and within:
        return CompressedSerializer(within, compressionlib=by[how])
    raise ValueError(
        f"There is no serializer {given!r}. There are: pickle, json, compressed/pickle, compressed/json; "
        "a module that defines another one must have been imported."
    )


__getattr__ = missing(__name__)
