"""1.12: doors check parameters by the JSON Schema, the engine by the types; both accept and refuse the same."""

import dataclasses
import datetime as dt
import decimal
import enum
import uuid
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, Optional, TypedDict, Union

import pydantic
import pytest

from orchestrator import flow, testing
from orchestrator.exceptions import Invalid, ParameterTypeError
from orchestrator.parameters import parameter_schema
from orchestrator.schema import SchemaRefusal, check_parameters, check_schema


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Cat(pydantic.BaseModel):
    kind: Literal["cat"]
    lives: int = pydantic.Field(9, ge=1, le=9)


class Dog(pydantic.BaseModel):
    kind: Literal["dog"]
    name: str


class Node(pydantic.BaseModel):
    value: int
    children: list["Node"] = []


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0
    label: str | None = None


class Row(TypedDict):
    id: int
    note: NotRequired[str]


ID = "0190f3a6-5b7e-7c11-9a3e-2f0a6d1c8b44"
Pet = Annotated[Cat | Dog, pydantic.Field(discriminator="kind")]

CORPUS = [
    # annotation, what both accept, what both refuse
    (int, [0, -3, 2**40], ["x", 1.5, [], None]),
    (float, [1.5, 2], ["x", None, {}]),
    (bool, [True, False], ["perhaps", None, []]),
    (str, ["", "x"], [1, None, []]),
    (int | str, [1, "x"], [None, [], {}]),
    (Union[int, list[int]], [1, [1, 2]], ["x", ["x"], None]),  # noqa: UP007
    (int | None, [1, None], ["x", []]),
    (Optional[dt.date], ["2026-01-31", None], ["2026-02-31", "soon", []]),  # noqa: UP045
    (Literal["one", "two"], ["one", "two"], ["three", 1, None]),
    (Literal[1, 2], [1, 2], [3, "x", None]),
    (Colour, ["red", "blue"], ["green", "RED", 1, None]),
    (Level, [1, 2], [3, "low", None]),
    (dt.date, ["2026-01-31"], ["2026-13-01", "x", None]),
    (dt.datetime, ["2026-01-31T12:00:00Z", "2026-01-31T12:00:00+02:00"], ["2026-01-31T25:00:00Z", "x", None]),
    (dt.time, ["12:30:00"], ["x", None]),
    (dt.timedelta, ["PT5M", "P1D"], ["soon", None]),
    (uuid.UUID, [ID], ["x", None]),
    (decimal.Decimal, ["1.50", 2], ["x", None]),
    (Path, ["a/b"], [1, None]),
    (list[int], [[], [1, 2]], [["x"], "x", {}, None]),
    (dict[str, float], [{}, {"a": 1.5}], [{"a": "x"}, [], None]),
    (tuple[int, str], [[1, "x"]], [[1], ["x", 1], [1, "x", 2], None]),
    (set[str], [["a", "b"], []], [[1], "a", None]),
    (Cat, [{"kind": "cat"}, {"kind": "cat", "lives": 3}], [{"kind": "cat", "lives": 10}, {"kind": "dog"}, {}, None]),
    (Pet, [{"kind": "cat"}, {"kind": "dog", "name": "Rex"}], [{"kind": "dog"}, {"kind": "cow"}, {}, None]),
    (list[Pet], [[], [{"kind": "cat"}]], [[{"kind": "cow"}], {"kind": "cat"}]),
    (Node, [{"value": 1, "children": [{"value": 2}]}], [{"value": 1, "children": [{"value": "x"}]}, {}]),
    (Point, [{"x": 1}, {"x": 1, "y": 2.5, "label": None}], [{}, {"x": "far"}, {"x": 1, "label": 3}, None]),
    (Row, [{"id": 1}, {"id": 1, "note": "n"}], [{}, {"id": "x"}, {"id": 1, "note": 2}]),
    (Annotated[int, pydantic.Field(ge=0, le=10)], [0, 10], [-1, 11, "x", None]),
    (Annotated[str, pydantic.Field(min_length=2, pattern="^[a-z]+$")], ["ab"], ["a", "AB", 1]),
    (Annotated[list[int], pydantic.Field(min_length=1, max_length=2)], [[1], [1, 2]], [[], [1, 2, 3]]),
    (pydantic.PositiveInt, [1], [0, -1, "x"]),
    (dict[str, list[Point | None]], [{"a": [{"x": 1}, None]}], [{"a": [{}]}, {"a": {"x": 1}}]),
    (Any, [1, "x", None, {"a": [1]}], []),
]
CASES = [
    pytest.param(kind, value, good, id=f"{number}-{'good' if good else 'bad'}-{place}")
    for number, (kind, accepted, refused) in enumerate(CORPUS)
    for good, values in ((True, accepted), (False, refused))
    for place, value in enumerate(values)
]


def takes(kind):
    """A flow with one parameter of a type."""

    def body(given): ...

    body.__annotations__ = {"given": kind}
    return flow(body)


@pytest.mark.parametrize(("kind", "value", "good"), CASES)
def test_the_schema_and_the_types_agree(kind, value, good):
    """1.12: one value, two judges."""
    own = takes(kind)
    schema = parameter_schema(own)
    check_schema(schema)
    if good:
        check_parameters(schema, {"given": value})
        own.validate_parameters({"given": value})
        return
    with pytest.raises(SchemaRefusal):
        check_parameters(schema, {"given": value})
    with pytest.raises(ParameterTypeError):
        own.validate_parameters({"given": value})


def test_defaults_of_every_kind_stand_in_the_schema_and_pass_both_judges():
    """1.12: defaults are written as JSON, and read back as what they were."""

    @flow
    def many(
        a: Colour = Colour.BLUE,
        b: dt.date = dt.date(2026, 1, 31),
        c: Point = Point(1.5),  # noqa: B008
        d: Pet = Cat(kind="cat"),  # noqa: B008
        e: tuple[int, ...] = (1, 2),
        f: dt.timedelta = dt.timedelta(minutes=5),
        g: Annotated[int, pydantic.Field(ge=0)] = 3,
        h: decimal.Decimal = decimal.Decimal("1.50"),
        i: list[Level] = [Level.HIGH],  # noqa: B006
        j: int | None = None,
    ):
        return a, b, c, d, e, f, g, h, i, j

    schema = parameter_schema(many)
    defaults = {name: each["default"] for name, each in schema["properties"].items()}
    assert (defaults["a"], defaults["b"], defaults["f"], defaults["i"]) == ("blue", "2026-01-31", "PT5M", [2])
    check_parameters(schema, defaults)
    made = many.validate_parameters(defaults)
    assert tuple(made.values()) == many()


def test_a_door_refuses_by_the_schema_and_the_engine_coerces_what_it_let_in():
    """1.12: from the trigger to the flow."""
    got = []

    @flow
    def typed(when: dt.date, pet: Pet, level: Level = Level.LOW):
        got.append((when, pet, level))

    with testing.server() as server:
        typed.deploy("prod")
        with pytest.raises(Invalid) as caught:
            server.trigger("typed/prod", {"when": "never", "pet": {"kind": "cow"}})
        assert {"parameters.when"} <= caught.value.fields.keys()
        server.trigger("typed/prod", {"when": "2026-01-31", "pet": {"kind": "cat"}, "level": 2})
        server.work()
    assert got == [(dt.date(2026, 1, 31), Cat(kind="cat"), Level.HIGH)]
