"""1.16: digests of what calls are given are the same in every process, and differ where values do."""

import dataclasses
import datetime
import enum
import functools
import itertools
import pathlib
import threading
import uuid
from collections import OrderedDict, namedtuple
from decimal import Decimal

import numpy
import pandas
import pydantic
import pytest

from orchestrator import flow, task
from orchestrator.exceptions import HashError
from orchestrator.hashing import digest


class Color(enum.Enum):
    RED = 1
    BLUE = 2


class Level(enum.StrEnum):
    LOW = "low"


@dataclasses.dataclass
class Point:
    x: float
    y: object = None


class Order(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    id: int
    lines: dict[str, int] = {}


class Plain:
    def __init__(self, **attributes):
        vars(self).update(attributes)


Pair = namedtuple("Pair", "a b")


@task
def a_task(x): ...


@flow
def a_flow(x): ...


def triple(n, factor=3):
    return factor * n


def examples():
    zone = datetime.timezone(datetime.timedelta(hours=2))
    return [
        None, True, 1, 1.0, -1, 10**5000, "1", b"1", bytearray(b"1"), 1j, float("nan"), "", b"", "\ud800",
        [], (), {}, set(), [1], [1.0], [True], ["1"], (1,), [[1]], [1, 2], [2, 1], {1}, {1, 2},
        {"a": 1}, {"a": 1.0}, {"a": {"b": 1}}, {1: "a"}, {(1, 2): 3}, ["a", "b"], ["ab"], ["a", ["b"]],
        {"a", "b", "c", "d", "e"}, OrderedDict(a=1), Pair(1, 2), (1, 2),
        Color.RED, Color.BLUE, Level.LOW, "low", Point(1.0), Point(1.0, {"a", "b"}), Order(id=1), Order(id=1, more=2),
        Plain(a=1), Plain(a={"x", "y", "z"}), Plain(), Plain, Point, int,
        datetime.datetime(2026, 1, 2), datetime.datetime(2026, 1, 2, tzinfo=zone), datetime.date(2026, 1, 2),
        datetime.time(1, 2), datetime.timedelta(1), Decimal("1.0"), Decimal("1.00"), uuid.UUID(int=1), range(3),
        pathlib.PurePosixPath("a/b"), pathlib.Path("a"),
        numpy.arange(3), numpy.arange(3.0), numpy.arange(4).reshape(2, 2), numpy.arange(4).reshape(4, 1),
        numpy.array(["a", None, 3], dtype=object), numpy.float64(1), numpy.int64(1), numpy.zeros(0),
        numpy.array(["2026-01-01"], dtype="datetime64[D]"), numpy.zeros(2, dtype=[("a", "i4"), ("b", "f8")]),
        pandas.DataFrame({"a": [1, 2]}), pandas.DataFrame({"b": [1, 2]}), pandas.DataFrame({"a": [1, 3]}),
        pandas.DataFrame({"a": [1, 2]}, index=["x", "y"]), pandas.DataFrame({"a": [[1], {"k": 2}]}),
        pandas.DataFrame({1: [1, 2]}), pandas.DataFrame({"1": [1, 2]}),
        pandas.DataFrame({"a": [1, 2]}, index=pandas.Index(["x", "y"], name="n")),
        pandas.DataFrame({"a": [1]}, index=pandas.MultiIndex.from_tuples([(1, "a")])),
        pandas.Series([1, "2"], dtype=object), pandas.Series(["1", "2"], dtype=object),
        pandas.Series([None, "a"], dtype=object), pandas.Series([float("nan"), "a"], dtype=object),
        pandas.Index([1, 2]), pandas.Index([1, 2], name="n"),
        pandas.Series([1, 2]), pandas.Series([1, 2], name="n"), pandas.Series(["a", "b"], dtype="category"),
        a_task, a_flow, triple, functools.partial(triple, 1), Plain(a=1).__init__, len, str.upper, "a".upper, itertools,
        lambda: 1, lambda: 2, pydantic.SecretStr("hidden1"), pydantic.SecretStr("hidden2"), threading.Thread,
    ]  # fmt: skip


def test_values_that_differ_have_different_digests():
    digests = {}
    for number, value in enumerate(examples()):
        digests.setdefault(digest(value), []).append(number)
    assert [numbers for numbers in digests.values() if len(numbers) > 1] == []


def test_every_process_comes_to_the_same(python):
    script = """
        import sys
        sys.path.insert(0, sys.argv[1])
        from orchestrator.hashing import digest
        from tests.sdk.test_hashing import examples
        print("\\n".join(map(digest, examples())))
    """
    from tests.sdk.conftest import ROOT

    for seed in ("1", "2"):
        told = python(script, str(ROOT), PYTHONHASHSEED=seed).stdout.split()
        assert told == [digest(value) for value in examples()]


def test_order_counts_in_lists_and_not_in_dicts_and_sets():
    assert digest({"a": 1, "b": [1]}) == digest({"b": [1], "a": 1})
    assert digest({3, "a", None}) == digest({None, 3, "a"})
    assert digest([1, "a"]) != digest(["a", 1])


def test_arrays_are_hashed_by_content():
    array = numpy.arange(12).reshape(3, 4)
    assert digest(array) == digest(numpy.asfortranarray(array)) == digest(array.copy())
    assert digest(array) != digest(array.T) != digest(array[::-1])


def test_what_contains_itself_is_hashed():
    ring = [1]
    ring.append(ring)
    other = [1]
    other.append(other)
    assert digest(ring) == digest(other) != digest([1, [1]])
    mutual = Plain()
    mutual.other = Plain(back=mutual)
    assert digest(mutual)


def test_closures_count():
    def adder(n):
        return lambda x: x + n

    assert digest(adder(1)) != digest(adder(2))
    assert digest(adder(1)) == digest(adder(1))


@pytest.mark.parametrize(
    "value", [threading.Lock(), (n for n in ()), [{"a": threading.Lock()}]], ids=["lock", "generator", "nested"]
)
def test_what_has_no_content_is_refused(value):
    with pytest.raises(HashError, match="can't be hashed"):
        digest(value)


def test_what_is_nested_too_deeply_is_refused():
    deep = []
    for _ in range(5_000):
        deep = [deep]
    with pytest.raises(HashError, match="too deeply"):
        digest(deep)


def test_what_is_reached_in_many_ways_is_looked_at_once():
    node = ["leaf", {"a": 1}]
    for _ in range(100):
        node = [node, node, {"both": (node, node)}]
    assert digest(node) == digest(node)


def test_values_that_lead_back_count_by_where_they_lead():
    def ring(*inner):
        outer = [list(inner), {"many": list(range(100)), "more": [[n] for n in range(100)]}]
        for each in inner:
            each.append(outer)
        return outer

    shared = [1]
    assert digest(ring(shared, shared)) != digest(ring([1], [2]))
    assert digest(ring([1], [2])) == digest(ring([1], [2])) != digest(ring([2], [1]))


def test_what_refuses_to_be_looked_at_is_refused():
    class Shy:
        def __reduce_ex__(self, protocol):
            raise OSError("not now")

    @dataclasses.dataclass
    class Rude:
        a: int = dataclasses.field(init=False, repr=False)

        def __getattr__(self, name):
            raise KeyError(name)

    for value in (Shy(), Rude()):
        with pytest.raises(HashError, match="can't be hashed"):
            digest([value])
