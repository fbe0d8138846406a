"""Parameters: schema, coercion, what is recorded."""

import dataclasses
import datetime as dt
import enum
from typing import Annotated, Any, Literal, Optional

import jsonschema
import pydantic
import pytest

from orchestrator import flow
from orchestrator.exceptions import ParameterTypeError
from orchestrator.parameters import parameter_schema, snapshot


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Model(pydantic.BaseModel):
    name: str
    size: int = 1


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0


class Opaque:
    pass


@flow
def everything(
    a: int,
    b: str = "x",
    c: list[float] | None = None,
    d: Literal["one", "two"] = "one",
    e: Colour = Colour.RED,
    f: Optional[dt.date] = None,  # noqa: UP045
    g: Model = Model(name="n"),  # noqa: B008
    h: Annotated[int, pydantic.Field(ge=0, le=10)] = 5,
    i: Point | None = None,
    j: Any = None,
    k: Opaque | None = None,
    *,
    schema: bool = False,
):
    """Do everything.

    Args:
        a: The first one,
            explained on two lines.
        h: A small number.
    """
    return a, b, c, d, e, f, g, h, i, j, schema


def test_the_schema_describes_types_defaults_and_docstrings():
    schema = parameter_schema(everything)
    jsonschema.Draft202012Validator.check_schema(schema)
    properties = schema["properties"]
    assert schema["required"] == ["a"]
    assert list(properties) == ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "schema"]
    assert properties["a"] | {"position": 0} == {
        "title": "A",
        "position": 0,
        "type": "integer",
        "description": "The first one, explained on two lines.",
    }
    assert properties["d"]["enum"] == ["one", "two"]
    assert properties["e"]["default"] == "red"
    assert properties["g"]["default"] == {"name": "n", "size": 1}
    assert (properties["h"]["minimum"], properties["h"]["description"]) == (0, "A small number.")
    assert set(schema["$defs"]) == {"Colour", "Model", "Point"}
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("given", "good"),
    [
        ({"a": 1}, True),
        ({}, False),
        ({"a": 1, "z": 1}, False),
        ({"a": 1, "d": "three"}, False),
        ({"a": 1, "e": "blue", "f": "2026-01-31"}, True),
        ({"a": 1, "h": 11}, False),
        ({"a": 1, "g": {"size": 2}}, False),
        ({"a": 1, "i": {"x": 1.5}}, True),
        ({"a": 1, "c": ["x"]}, False),
    ],
)
def test_schema_and_coercion_agree(given, good):
    checker = jsonschema.Draft202012Validator(parameter_schema(everything))
    assert checker.is_valid(given) is good
    if good:
        everything.validate_parameters(given)
    else:
        with pytest.raises(ParameterTypeError):
            everything.validate_parameters(given)


def test_coercion_makes_what_the_hints_say():
    given = {"a": "3", "c": ["1"], "e": "blue", "f": "2026-01-31", "g": {"name": "m"}, "i": {"x": 1}}
    made = everything.validate_parameters(given)
    assert made["a"] == 3
    assert made["c"] == [1.0]
    assert made["e"] is Colour.BLUE
    assert made["f"] == dt.date(2026, 1, 31)
    assert made["g"] == Model(name="m")
    assert made["i"] == Point(1.0)


def test_errors_name_each_field():
    with pytest.raises(ParameterTypeError) as caught:
        everything.validate_parameters({"a": "x", "g": {"size": "y"}})
    assert set(caught.value.fields) == {"a", "g"}
    assert "name: Field required" in caught.value.fields["g"]


def test_plain_hints_do_not_load_pydantic(python):
    python(
        """
        import sys
        from orchestrator import flow
        @flow
        def plain(a: int, b: str = "x", c=None, *, d: list = []):
            return a
        plain(1)
        assert "pydantic" not in sys.modules
        plain("1")
        assert "pydantic" in sys.modules
        """
    )


def test_hints_that_cannot_be_resolved_count_as_any(python):
    python(
        """
        from __future__ import annotations
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            from nowhere import Thing
        from orchestrator import flow
        from orchestrator.parameters import parameter_schema
        @flow
        def odd(a: Thing, b: int = 1):
            return a
        assert odd(object) is object
        assert parameter_schema(odd)["properties"]["a"].keys() == {"title", "position"}
        """
    )


def test_variadic_functions():
    @flow
    def takes(*args, **others):
        return args, others

    assert takes(1, 2, x=3) == ((1, 2), {"x": 3})
    assert takes.validate_parameters({"y": 1}) == {"others": {"y": 1}}
    assert parameter_schema(takes)["additionalProperties"] is True


def test_a_snapshot_is_bounded_and_taken_now():
    box = {"a": [1]}
    taken = snapshot({"box": box, "many": range(3), "odd": Opaque(), "list": list(range(1_000_000))})
    box["a"].append(2)
    assert taken["box"] == {"a": [1]}
    assert len(taken["list"]) <= 5_001
    assert "Opaque" in taken["odd"]


def test_a_recursive_structure_is_cut():
    loop: list = []
    loop.append(loop)
    assert snapshot({"loop": loop})
