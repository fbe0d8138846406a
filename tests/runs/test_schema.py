"""Schemas and parameters of tenants: checked, and never for long."""

from __future__ import annotations

from typing import Any

import pytest

from runs.schema import check_parameters, check_schema
from tenants.errors import Invalid


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
