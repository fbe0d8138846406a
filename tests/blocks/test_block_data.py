"""Secrets are found by the schema, kept by their place, and told to nobody."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.block_data import Stored, blocks_in, check_type, filled, take
from orchestrator.block_data import places as walk
from orchestrator.schema import SchemaRefusal

SECRET = {"$secret": True}
HIDDEN = {"type": "string", "writeOnly": True, "format": "password"}


def schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(
    ("field", "value", "public"),
    [
        (HIDDEN, "x", SECRET),
        ({"type": "string", "format": "password"}, "x", SECRET),
        ({"type": "string"}, "x", "x"),
        ({"anyOf": [HIDDEN, {"type": "null"}]}, "x", SECRET),
        ({"anyOf": [HIDDEN, {"type": "null"}]}, None, None),
        ({"$ref": "#/$defs/login"}, {"user": "u", "password": "p"}, {"user": "u", "password": SECRET}),
        ({"allOf": [{"$ref": "#/$defs/login"}]}, {"password": "p"}, {"password": SECRET}),
        ({"type": "array", "items": {"$ref": "#/$defs/login"}}, [{"password": "p"}], [{"password": SECRET}]),
        ({"type": "array", "prefixItems": [{}, HIDDEN], "items": {}}, [1, "p", 3], [1, SECRET, 3]),
        ({"type": "object", "additionalProperties": HIDDEN}, {"a/b": "p"}, {"a/b": SECRET}),
        ({"type": "object", "writeOnly": True}, {"token": "p"}, SECRET),
        ({"patternProperties": {"^x": HIDDEN}}, {"x1": "p"}, {"x1": SECRET}),
        ({"if": {}, "then": HIDDEN}, "p", SECRET),
        ({"oneOf": [{"type": "integer"}, {"properties": {"deep": HIDDEN}}]}, {"deep": "p"}, {"deep": SECRET}),
    ],
)
def test_what_the_schema_calls_secret_is_taken_out(field: dict, value: Any, public: Any) -> None:
    described = {**schema(it=field), "$defs": {"login": schema(user={"type": "string"}, password=HIDDEN)}}
    taken = take(described, {"it": value})
    assert taken.data == {"it": public}
    assert filled(taken, lambda path: path) == {"it": value}
    again = take(described, taken.data, Stored(taken.data, taken.secrets))
    assert (again.data, again.secrets) == (taken.data, taken.secrets)


def test_secrets_are_in_no_repr() -> None:
    assert "hush" not in repr(take(schema(it=HIDDEN), {"it": "hush"}))


HOSTS = schema(hosts={"type": "array", "items": schema(host={"type": "string"}, password=HIDDEN)})


def hosts(*items: tuple[str, Any]) -> dict[str, Any]:
    return {"hosts": [{"host": host, "password": password} for host, password in items]}


def kept(data: dict[str, Any]) -> dict[str, str]:
    """The passwords by host after this was saved over a, b and c."""
    before = take(HOSTS, hosts(("a", "of a"), ("b", "of b"), ("c", "of c")))
    after = filled(take(HOSTS, data, before), lambda path: path)
    return {item["host"]: item["password"] for item in after["hosts"]}


def test_secrets_move_with_their_items() -> None:
    assert kept(hosts(("c", SECRET), ("a", SECRET))) == {"c": "of c", "a": "of a"}
    assert kept(hosts(("new", "of new"), ("a", SECRET), ("b", SECRET), ("c", SECRET)))["c"] == "of c"
    assert kept(hosts(("a", SECRET), ("renamed", SECRET), ("c", SECRET)))["renamed"] == "of b"


@pytest.mark.parametrize(
    "data",
    [
        hosts(("renamed", SECRET), ("c", SECRET)),
        hosts(("b", SECRET), ("renamed", SECRET), ("c", SECRET)),
        hosts(("a", SECRET), ("a", SECRET)),
    ],
)
def test_a_secret_never_slides_to_another_item(data: dict[str, Any]) -> None:
    with pytest.raises(SchemaRefusal) as refused:
        kept(data)
    assert all(name.endswith(".password") for name in refused.value.fields or {})


def test_a_secret_stays_one_though_the_type_forgets_it() -> None:
    before = take(schema(it=HIDDEN), {"it": "hush"})
    assert take(schema(it={"type": "string"}), {"it": SECRET}, before).data == {"it": SECRET}


def test_a_field_that_becomes_secret_is_sealed_when_saved_next() -> None:
    before = take(schema(it={"type": "string"}), {"it": "hush"})
    assert take(schema(it=HIDDEN), before.data, before).data == {"it": SECRET}


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ({"type": "string"}, 5, "Must be text."),
        ({"type": ["integer", "null"]}, "x", "Must be a whole number or null."),
        ({"type": "integer", "maximum": 5}, 6, "5 at most."),
        ({"enum": ["a", 2]}, "x", 'Must be "a" or 2.'),
        ({"type": "string", "pattern": "^a{2}$"}, "x", "Must have the form ^a{2}$."),
        ({"type": "string", "format": "email"}, "x", "Must be a valid e-mail address."),
        ({"anyOf": [{"type": "string", "minLength": 3}, {"type": "null"}]}, "x", "3 characters or more."),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 5, "Has none of the forms that are allowed here."),
        ({"type": "array", "uniqueItems": True}, [1, 1], "Has an item twice."),
    ],
)
def test_errors_say_what_is_wanted(field: dict, value: Any, told: str) -> None:
    with pytest.raises(SchemaRefusal) as refused:
        take(schema(it=field), {"it": value})
    assert refused.value.fields == {"data.it": told}


def test_errors_within_a_secret_name_only_the_secret() -> None:
    field = {"type": "object", "writeOnly": True, "additionalProperties": {"type": "string"}}
    with pytest.raises(SchemaRefusal) as refused:
        take(schema(it=field), {"it": {"hush": 5}})
    assert refused.value.fields == {"data.it": "Must be text."}
    assert "hush" not in str(refused.value)


def test_blocks_are_found_where_they_are_named() -> None:
    data = {"a": {"$block": "x/y"}, "b": [{"c": {"$block": "x/z"}}], "d": {"$block": "no name"}, "e": {"$block": 1}}
    assert blocks_in(data) == {"/a": "x/y", "/b/0/c": "x/z"}


def test_schemas_that_branch_without_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "MAX_STEPS", 1_000)
    many = {**schema(), "$defs": {"t": {"anyOf": [{"items": {"$ref": "#/$defs/t"}}] * 40}}}
    many["properties"] = {"it": {"$ref": "#/$defs/t"}}
    with pytest.raises(SchemaRefusal):
        take(many, {"it": [[[[[[1] * 20] * 20]]]]})


def test_a_schema_that_refers_to_itself_is_followed() -> None:
    tree = {**schema(it={"$ref": "#/$defs/n"}), "$defs": {"n": schema(left={"$ref": "#/$defs/n"}, key=HIDDEN)}}
    check_type(tree)
    data = {"it": {"left": {"left": {"key": "hush"}}}}
    assert take(tree, data).secrets == {"/it/left/left/key": "hush"}
