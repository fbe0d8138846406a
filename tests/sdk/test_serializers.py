"""1.14: serializers: what goes in comes out, and what can't says so."""

import dataclasses
import datetime
import enum
import io
import pathlib
import uuid
from collections import OrderedDict, deque
from decimal import Decimal
from typing import NamedTuple

import msgspec
import pydantic
import pytest

from orchestrator import serializers
from orchestrator.serializers import CompressedSerializer, Serializer, serializer_of

NAMES = ["pickle", "json", "compressed/pickle", "compressed/json", "bz2/json", "lzma/pickle"]


class Color(enum.Enum):
    RED = 1


@dataclasses.dataclass(frozen=True)
class Point:
    x: float
    when: datetime.date | None = None
    tags: frozenset = frozenset()
    double: float = dataclasses.field(init=False, default=0)


class Order(pydantic.BaseModel):
    id: int
    due: datetime.datetime
    amounts: dict[str, Decimal] = {}


class Message(msgspec.Struct):
    text: str
    at: datetime.datetime


class Pair(NamedTuple):
    a: int
    b: object


VALUES = [
    None, True, 7, 1.5, float("inf"), "text \u2603", b"\xff\x00", [1, "a", None], {"a": [1]}, {1: "a", (1, 2): "b"},
    {"$type": "mine"}, deque([(1, 2)]), OrderedDict(a={1, 2}), (1, (2,)), {1, 2}, frozenset({"a"}), Pair(1, (2,)),
    2**70,
    datetime.datetime(2026, 1, 2, 3, 4, 5, 6, datetime.UTC), datetime.date(2026, 1, 2), datetime.time(1, 2),
    datetime.timedelta(days=2, microseconds=1), Decimal("1.10"), uuid.UUID(int=5), pathlib.PurePosixPath("a/b"),
    Color.RED, Point(1.0, datetime.date(2026, 1, 2), frozenset({1})), [Point(2.0)],
    Order(id=1, due=datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), amounts={"a": Decimal("2.50")}),
    Message("hi", datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)),
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_come_back_with_their_types(name, value):
    serializer = serializer_of(name)
    assert serializer.type == name
    back = serializer.loads(serializer.dumps(value))
    assert back == value
    assert type(back) is type(value)


def test_json_can_be_read_by_people():
    assert serializer_of("json").dumps({"rows": [1, 2]}) == b'{"rows":[1,2]}'


def test_json_names_what_it_has_no_form_for():
    with pytest.raises(TypeError, match=r"no form for builtins\.object .*pickle serializer"):
        serializer_of("json").dumps([object()])


@pytest.mark.parametrize("name", ["pickle", "compressed/pickle", "lzma/pickle"])
def test_what_pickle_refuses_goes_by_cloudpickle(name):
    file = io.BytesIO(b"header")
    file.seek(6)
    serializer = serializer_of(name)
    serializer.dump([b"x" * 100_000, lambda x: x + 1], file)
    file.seek(6)
    assert serializer.load(file)[1](2) == 3


def test_compression_compresses():
    value = "again " * 10_000
    plain = len(serializer_of("json").dumps(value))
    for library in ("gzip", "bz2", "lzma"):
        assert len(CompressedSerializer("json", compressionlib=library).dumps(value)) < plain / 20
    with pytest.raises(ValueError, match="gzip, bz2, lzma"):
        CompressedSerializer(compressionlib="zip")


def test_one_of_your_own_is_known_by_its_type():
    class Csv(Serializer):
        type = "test-csv"

        def dumps(self, value):
            return ",".join(value).encode()

        def loads(self, data):
            return data.decode().split(",")

    assert serializer_of("compressed/test-csv").loads(CompressedSerializer(Csv()).dumps(["a", "b"])) == ["a", "b"]
    assert isinstance(serializer_of(Csv), Csv)


def test_an_unknown_name_tells_the_known_ones():
    with pytest.raises(ValueError, match="pickle, json, compressed/pickle"):
        serializer_of("yaml")


def test_names_from_elsewhere_are_here():
    for name in ("PickleSerializer", "JSONSerializer", "CompressedPickleSerializer", "CompressedJSONSerializer"):
        serializer = getattr(serializers, name)()
        assert serializer.loads(serializer.dumps([1])) == [1]
