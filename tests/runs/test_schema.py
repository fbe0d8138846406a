"""Schemas and parameters of tenants: checked, and never for long."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from runs.schema import check_parameters, check_schema
from tenants.errors import Invalid
from tests.alarm import rings_after


@pytest.fixture(autouse=True)
def _never_for_long() -> Iterator[None]:
    with rings_after(60):
        yield


def of(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, **more}


def refused(schema: dict[str, Any], parameters: dict[str, Any]) -> dict[str, str] | None:
    check_schema(schema)
    with pytest.raises(Invalid) as caught:
        check_parameters(schema, parameters)
    return caught.value.fields


def test_a_pattern_is_searched_for() -> None:
    schema = of({"code": {"type": "string", "pattern": "b+c"}})
    check_parameters(schema, {"code": "abbcd"})
    assert refused(schema, {"code": "ac"}) == {"parameters.code": "'ac' does not match 'b+c'"}


def test_a_pattern_that_takes_python_hours() -> None:
    schema = of({"x": {"type": "string", "pattern": "^(a+)+$"}})
    assert refused(schema, {"x": "a" * 5_000 + "!"})


@pytest.mark.parametrize("pattern", [r"^\p{L}+$", r"^(?!x)", r"(a)\1", "(", "(a{1000}){1000}"])
def test_patterns_of_other_engines_are_left_to_the_run(pattern: str) -> None:
    schema = of({"x": {"type": "string", "pattern": pattern}})
    check_schema(schema)
    check_parameters(schema, {"x": "äa"})


def test_names_by_pattern_are_left_to_the_run() -> None:
    schema = of({"x": {"type": "integer"}}, patternProperties={"^(a+)+$": {}}, additionalProperties=False)
    check_parameters(schema, {"a" * 40 + "!": 1, "x": 1})
    assert refused(schema, {"x": "no"}) == {"parameters.x": "'no' is not of type 'integer'"}


def test_a_parameter_may_be_called_like_a_word_of_the_schema() -> None:
    schema = of({"patternProperties": {"type": "integer"}}, additionalProperties=False)
    assert refused(schema, {"patternProperties": "x"})
    assert refused(schema, {"other": 1}) == {"parameters.other": "The flow has no such parameter."}
    check_parameters(of({"x": {"const": {"patternProperties": 1}}}), {"x": {"patternProperties": 1}})


def test_references_that_double_at_each_step() -> None:
    steps = {f"s{n}": {"allOf": [{"$ref": f"#/$defs/s{n + 1}"}] * 2} for n in range(60)}
    assert (
        refused(of({"x": {"$ref": "#/$defs/s0"}}, **{"$defs": {**steps, "s60": {"type": "string"}}}), {"x": "y"})
        is None
    )


def test_a_reference_to_itself() -> None:
    assert refused({"type": "object", "$ref": "#"}, {}) is None


def test_a_schema_of_trees_is_fine() -> None:
    tree = of({"children": {"type": "array", "items": {"$ref": "#/$defs/tree"}}})
    schema = of({"root": {"$ref": "#/$defs/tree"}}, **{"$defs": {"tree": tree}})
    check_parameters(schema, {"root": {"children": [{"children": [{}]}] * 100}})
    assert list(refused(schema, {"root": {"children": [{"children": 5}]}})) == ["parameters.root.children.0.children"]


def test_items_are_unique() -> None:
    schema = of({"x": {"type": "array", "uniqueItems": True}})
    check_parameters(schema, {"x": [{"id": number} for number in range(50_000)]})
    assert refused(schema, {"x": [{"a": 1, "b": 2}, {"b": 2, "a": 1}]}) == {"parameters.x": "has an item twice"}


def test_a_schema_that_is_nested_for_ever() -> None:
    schema: dict[str, Any] = {}
    for _ in range(5_000):
        schema = {"properties": {"x": schema}}
    with pytest.raises(Invalid):
        check_schema({"type": "object", **schema})


def nested(depth: int, word: str, leaf: Any, **more: Any) -> dict[str, Any]:
    schema = leaf
    for _ in range(depth):
        schema = {word: [schema], **more}
    return schema


def doubled(word: str, leaf: Any, depth: int = 40) -> dict[str, Any]:
    """A schema of a few hundred bytes that looks twice at each of its levels."""
    steps = {f"s{n}": {word: [{"$ref": f"#/$defs/s{n + 1}"}] * 2} for n in range(depth)}
    return of({"x": {"$ref": "#/$defs/s0"}}, **{"$defs": {**steps, f"s{depth}": leaf}})


def chained(word: str, depth: int = 40) -> dict[str, Any]:
    """The same by two keywords beside one another."""
    steps = {
        f"s{n}": {"$ref": f"#/$defs/s{n + 1}", word: {"$ref": f"#/$defs/s{n + 1}"}} for n in range(depth)
    }  # fmt: skip
    return of({"x": {"$ref": "#/$defs/s0"}}, **{"$defs": {**steps, f"s{depth}": True}})


@pytest.mark.parametrize("word", ["unevaluatedProperties", "unevaluatedItems"])
def test_what_is_unevaluated_is_left_to_the_run(word: str) -> None:
    check_parameters(nested(30, "allOf", {word: False}, **{word: False}), {"a": 1})
    check_parameters(of({"a": nested(30, "anyOf", {word: False}, **{word: False})}), {"a": [1]})


@pytest.mark.parametrize("at", ["#/$defs/d", "#/$defs/d/default"])
@pytest.mark.parametrize(
    "draft", ["https://json-schema.org/draft/2020-12/schema", "http://json-schema.org/draft-07/schema#"]
)
def test_a_schema_within_the_schema_is_read_no_other_way(at: str, draft: str) -> None:
    slow = {
        "$schema": draft,
        "pattern": "^(a+)+$", "patternProperties": {"^(a+)+$": {"type": "string"}}, "additionalProperties": False,
    }  # fmt: skip
    schema = of({"x": {"$ref": at}}, **{"$defs": {"d": {**slow, "default": slow}}})
    check_schema(schema)
    assert refused(schema, {"x": "a" * 50 + "!"})
    check_parameters(schema, {"x": {"a" * 50 + "!": 1}})


BOMBS = {
    **{word: (doubled(word, {"type": "string"}), {"x": 1}) for word in ("anyOf", "oneOf")},
    "allOf": (doubled("allOf", {"type": "string"}), {"x": "y"}),
    "not": (of({"x": {"allOf": [{"not": {"not": {}}}] * 1_000}}), {"x": list(range(2_000))}),
    "if": (chained("if"), {"x": 1}),
    "dependentSchemas": (
        of({"x": {"$ref": "#/$defs/s0"}}, **{"$defs": {
            f"s{n}": {"dependentSchemas": {key: {"$ref": f"#/$defs/s{n + 1}"} for key in "ab"}} for n in range(40)
        } | {"s40": True}}),
        {"x": {"a": 1, "b": 2}},
    ),
    "contains": (of({"x": {"allOf": [{"contains": {"minimum": 5}, "minContains": 0}] * 1_000}}), {"x": [1] * 5_000}),
    "items": (of({"x": {"allOf": [{"items": {}}] * 500}}), {"x": [1] * 50_000}),
    "const": (
        of({"x": {"allOf": [{"$ref": "#/$defs/c"}] * 500}}, **{"$defs": {"c": {"const": [0] * 50_000}}}),
        {"x": [0] * 50_000},
    ),
    "uniqueItems": (of({"x": {"allOf": [{"uniqueItems": True}] * 4_000}}), {"x": [[0] * 100_000]}),
    "messages": (of({"x": {"anyOf": [{"type": "integer"}] * 2_000}}), {"x": [0] * 100_000}),
    "properties": (
        of({"x": {"items": {"properties": {f"p{n}": True for n in range(10_000)}}}}), {"x": [{"p0": 1}] * 20_000}
    ),
    "enum": (of({"x": {"items": {"enum": list(range(20_000))}}}), {"x": [19_999] * 50_000}),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_schema_that_makes_much_of_little_is_refused(name: str) -> None:
    schema, parameters = BOMBS[name]
    check_schema(schema)
    with pytest.raises(Invalid, match="too many steps"):
        check_parameters(schema, parameters)


def test_a_schema_of_the_same_kind_of_names_is_compared_at_once() -> None:
    with pytest.raises(Invalid, match="JSON Schema"):
        check_schema(of({}, required=[1, *(f"name{n}" for n in range(15_000))]))


def test_large_parameters_are_checked_to_the_end() -> None:
    row = of({"id": {"type": "integer"}, "name": {"anyOf": [{"type": "string"}, {"type": "null"}]},
              "price": {"type": "number", "minimum": 0}}, required=["id"], additionalProperties=False)  # fmt: skip
    schema = of({
        "form": of({f"f{n}": {"type": "string", "minLength": 1, "maxLength": 500} for n in range(300)}),
        "tags": {"type": "array", "uniqueItems": True, "items": {"enum": [f"tag{n}" for n in range(100)]}},
        "rows": {"type": "array", "items": {"$ref": "#/$defs/row"}},
        "grid": {"type": "array", "items": {"type": "array", "items": {"type": "number", "maximum": 1}}},
    }, **{"$defs": {"row": row}})  # fmt: skip
    parameters = {
        "form": {f"f{n}": "v" for n in range(300)}, "tags": [f"tag{n}" for n in range(100)],
        "rows": [{"id": n, "name": "n" * 5, "price": 1.5} for n in range(6_000)], "grid": [[0.5] * 100] * 600,
    }  # fmt: skip
    check_parameters(schema, parameters)
    parameters["grid"][0] = [2]
    assert refused(schema, parameters) == {"parameters.grid.0.0": "2 is greater than the maximum of 1"}
