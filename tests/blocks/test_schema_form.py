"""Forms from JSON Schema: values go in and come back, whatever schemas and texts look like."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.http import QueryDict
from django.template.loader import render_to_string

from blocks.forms import Context, Field, SchemaForm
from orchestrator.schema import SchemaRefusal, check_parameters


def of(properties: dict[str, Any], required: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
        **more,
    }


def html(form: SchemaForm) -> str:
    return render_to_string("components/schema_form/form.html", {"form": form})


def sent(form: SchemaForm) -> QueryDict:
    """What a browser sends of a form as it was rendered, untouched."""
    from tests.blocks.controls import successful

    query = QueryDict(mutable=True)
    for name, text in successful(html(form)):
        query.appendlist(name, text)
    return query


def back(schema: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    form = SchemaForm.of_post(schema, sent(SchemaForm.of_values(schema, values)))
    assert form.problems == {}
    return form.value


def named(form: SchemaForm, path: str) -> Field:
    return next(each for each in form.root.walk() if each.path == path)


PARTS: list[tuple[dict[str, Any], list[Any]]] = [
    ({"type": "string"}, ["", "a", " a b ", "two\nlines", "a\r\nb", '"', "<script>"]),
    ({"anyOf": [{"type": "string"}, {"type": "null"}]}, [None, "a", ""]),
    ({"type": "integer"}, [0, -3, 2**60]),
    ({"type": "number"}, [0, 1.5, 1e300, 5, 2.0]),
    ({"type": ["integer", "null"]}, [None, 4]),
    ({"type": "boolean"}, [True, False]),
    ({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, [True, False, None]),
    ({"enum": ["a", 1, None, True, ""]}, ["a", 1, None, True, ""]),
    ({"enum": [f"choice {number}" for number in range(1000)]}, ["choice 7", "choice 999"]),
    ({"type": "string", "format": "date"}, ["2026-05-19"]),
    ({"type": "string", "format": "time"}, ["15:30:00", "15:30:00+02:00"]),
    (
        {"type": "string", "format": "date-time"},
        [
            "2026-05-19T15:30:00Z", "2026-05-19T15:30:00+02:00", "2026-05-19T15:30:00", "2026-05-19T15:30:00.123456Z",
            "2026-05-19T15:30:00+00:00", "2026-05-19T15:30Z",
        ],
    ),
    ({"type": "string", "format": "duration"}, ["PT5M", "P1DT2H30M", "P1Y", "PT0.5S"]),
    ({"anyOf": [{"type": "number"}, {"type": "string", "format": "decimal"}]}, ["1.50", "-0.001"]),
    ({}, [None, 1, "x", [1, {"a": None}], {}]),
    ({"type": "array", "items": {"type": "string"}}, [[], ["a", ""], ["x"] * 100]),
    ({"type": "array", "items": {"type": "array", "items": {"type": "integer"}}}, [[], [[1], [], [2, 3]]]),
    ({"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "null"}]}, [None, [], [1]]),
    (
        {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2, "maxItems": 2},
        [[1, "a"]],
    ),
    ({"type": "object", "additionalProperties": {"type": "integer"}}, [{}, {"a.b": 1, "~": 2, "ü x": 3}]),
    ({"type": "object"}, [{}, {"a": 1}]),
    ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, [1, "1", ""]),
    ({"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]}, [1, "x", None]),
    (
        {"oneOf": [
            of({"kind": {"const": "a"}, "size": {"type": "integer"}}, ("kind",)),
            of({"kind": {"const": "b"}, "size": {"type": "string"}}, ("kind",)),
        ]},
        [{"kind": "a", "size": 1}, {"kind": "b", "size": "1"}, {"kind": "b"}],
    ),
    (of({"a.b": {"type": "integer"}, "c~d": {"type": "string"}}, ("a.b",)), [{"a.b": 1, "c~d": "x"}, {"a.b": 2}]),
    (
        {"type": "object", "properties": {"$block": {"type": "string"}}, "required": ["$block"], "x-block-type": "s3"},
        [{"$block": "s3/lake"}],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("part", "value"), [(part, value) for part, values in PARTS for value in values])
def test_a_value_comes_back_as_it_was(part: dict[str, Any], value: Any) -> None:
    for schema in (
        of({"x": part}, ("x",)),
        of({"x": part}),
        of({"x": {"type": "array", "items": part}}, ("x",)),
        of({"x": of({"y": part}, ("y",))}, ("x",)),
    ):
        inner = schema["properties"]["x"]
        given = (
            [value] if inner.get("items") is part else {"y": value} if inner.get("properties", {}).get("y") else value
        )
        assert json.dumps(back(schema, {"x": given})) == json.dumps({"x": given})


@pytest.mark.parametrize("part", [part for part, _ in PARTS])
@pytest.mark.parametrize("value", [None, 1, 1.5, True, "x", [], [1], {"a": {}}, {}])
def test_a_value_that_does_not_fit_is_shown_and_kept(part: dict[str, Any], value: Any) -> None:
    got = back(of({"x": part}, ("x",)), {"x": value})["x"]
    if "decimal" in str(part) and type(value) in {int, float}:
        value = str(value)  # The same number to the engine; a text keeps its last zeros.
    if "oneOf" in part and value == {}:
        value = {"kind": "a"}  # A constant is filled in.
    assert json.dumps(got) == json.dumps(value)


def test_a_form_of_many_kinds_renders() -> None:
    schema = of({f"x{number}": part for number, (part, _) in enumerate(PARTS)})
    page = html(SchemaForm.of_values(schema, {}))
    assert page.count("<option") > 1000
    assert "data-searchable" in page


def test_what_can_not_be_read_is_told_and_kept_in_its_control() -> None:
    schema = of({"days": {"type": "integer"}, "when": {"type": "string", "format": "date"}, "any": {}})
    form = SchemaForm.of_post(schema, {"p.days": "many", "p.when": "soon", "p.any": "{"})
    assert form.problems["parameters.days"] == "Enter a whole number."
    assert form.problems["parameters.when"] == "A date, as 2026-05-19."
    assert form.problems["parameters.any"].startswith("This is no JSON")
    page = html(form.with_errors(form.problems))
    assert 'value="many"' in page
    assert page.count('aria-invalid="true"') == 3


def test_emptied_controls() -> None:
    schema = of(
        {
            "needed": {"type": "string"},
            "number": {"type": "integer"},
            "given": {"type": "integer", "default": 7},
            "named": {"type": "string", "default": "x"},
            "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": 5},
            "legacy": {"type": "integer", "default": None},
            "items": {"type": "array", "items": {"type": "string"}, "default": None},
            "flag": {"type": "boolean", "default": True},
        },
        ("needed", "number"),
    )
    names = ["needed", "number", "given", "named", "maybe", "legacy"]
    form = SchemaForm.of_post(schema, {**{f"p.{name}": "" for name in names}, "p.flag": "false"})
    assert form.value == {"needed": "", "named": "", "maybe": None, "flag": False}
    untouched = SchemaForm.of_post(schema, sent(SchemaForm.of_values(schema, {})))
    assert untouched.value == {"needed": "", "given": 7, "named": "x", "maybe": 5, "flag": True}


def test_errors_stand_beside_the_innermost_field() -> None:
    schema = of({"sources": {"type": "array", "items": of({"url": {"type": "string", "minLength": 3}}, ("url",))}})
    assert "sources" not in schema["required"]  # So that it is also a choice between set and not set.
    values = {"sources": [{"url": "long enough"}, {"url": "x"}]}
    with pytest.raises(SchemaRefusal) as refused:
        check_parameters(schema, values)
    form = SchemaForm.of_values(schema, values).with_errors(refused.value.fields or {})
    assert [each.full_label for each in form.wrong] == ["Sources, 2, Url"]
    elsewhere = SchemaForm.of_values(schema, values).with_errors({"parameters.sources.1.gone": "No.", "name": "Odd."})
    assert [each.error for each in elsewhere.wrong] == ["gone: No."]
    both = SchemaForm.of_values(schema, values).with_errors({f"parameters.sources.1.{name}": "No." for name in "ab"})
    assert [each.error for each in both.wrong] == ["a: No.\nb: No."], "each on a line of its own"
    assert elsewhere.unplaced == {"name": "Odd."}


def press(schema: dict[str, Any], form: SchemaForm, do: str) -> SchemaForm:
    query = sent(form)
    query["_do"] = do
    again = SchemaForm.of_post(schema, query)
    assert again.rearranged
    return again


def test_items_are_added_moved_and_removed() -> None:
    schema = of({"names": {"type": "array", "items": {"type": "string"}}}, ("names",))
    form = SchemaForm.of_values(schema, {"names": ["a", "b", "c"]})
    form = press(schema, form, "up:p.names.2")
    assert form.value == {"names": ["a", "c", "b"]}
    form = press(schema, form, "remove:p.names.0")
    assert form.value == {"names": ["c", "b"]}
    form = press(schema, form, "add:p.names")
    assert form.value == {"names": ["c", "b", ""]}
    for nonsense in ("add:", "up:p.names.9", "remove:q", "down:", "json:p.nothing", "form:p", "no such"):
        assert press(schema, form, nonsense).value == form.value


def test_a_branch_that_is_chosen_anew_brings_its_fields_and_the_other_keeps_its_own() -> None:
    node = of({"name": {"type": "string"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}, ("name",))
    schema = of({"root": {"$ref": "#/$defs/node"}}, ("root",), **{"$defs": {"node": node}})
    values = {"root": {"name": "a", "next": {"name": "b", "next": {"name": "c", "next": None}}}}
    form = SchemaForm.of_values(schema, values)
    assert form.value == values
    query = sent(form)
    query["p.root.next~branch"] = "0"
    assert SchemaForm.of_post(schema, query).value == {"root": {"name": "a", "next": None}}
    query["p.root.next~branch"] = "1"
    assert SchemaForm.of_post(schema, query).value == values


def test_what_was_not_set_shows_its_fields_when_it_is() -> None:
    window = of({"start": {"type": "string"}, "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}], "default": None}})
    schema = of({"window": {"anyOf": [window, {"type": "null"}], "default": None}})
    form = SchemaForm.of_values(schema, {})
    assert form.value == {"window": None}
    assert 'name="p.window~b1.start"' in html(form)
    query = sent(form)
    query["p.window~branch"], query["p.window~b1.start"] = "1", "today"
    assert SchemaForm.of_post(schema, query).value["window"]["start"] == "today"


def test_any_field_is_edited_as_json_and_back() -> None:
    schema = of({"names": {"type": "array", "items": {"type": "string"}}, "size": {"type": "integer"}}, ("names",))
    values = {"names": ["a"], "size": 3}
    for name in ("p", "p.names", "p.size"):
        form = press(schema, SchemaForm.of_values(schema, values), f"json:{name}")
        assert next(each for each in form.root.walk() if each.name == name).kind == "json"
        assert form.value == values
        form = press(schema, form, f"form:{name}")
        assert "textarea" not in html(form)
        assert form.value == values
    form = SchemaForm.of_post(schema, {"p": "[1]", "p~mode": "json"})
    assert form.problems == {"parameters": 'Enter an object, as {"name": 1}.'}


SECRET = of({"user": {"type": "string"}, "key": {"type": "string", "writeOnly": True, "format": "password"}}, ("key",))


def test_a_secret_is_never_in_the_page() -> None:
    form = SchemaForm.of_values(SECRET, {"user": "a", "key": {"$secret": True}})
    assert "Replace" in html(form)
    assert back(SECRET, {"user": "a", "key": {"$secret": True}})["key"] == {"$secret": True}
    query = sent(form)
    query["p.key"] = "new-secret"
    posted = SchemaForm.of_post(SECRET, query)
    assert posted.value["key"] == "new-secret"
    again = posted.with_errors({"parameters.user": "No."})
    assert "new-secret" not in html(again)
    assert named(again, "parameters.key").error == "Type it again: a secret is not sent back."
    query["_do"] = "json:p"
    assert "new-secret" not in html(SchemaForm.of_post(SECRET, query))


def test_blocks_are_asked_for_once_and_a_lost_one_is_still_shown() -> None:
    part = {
        "type": "object", "properties": {"$block": {"type": "string"}}, "required": ["$block"], "x-block-type": "s3",
    }  # fmt: skip
    asked: list[str] = []

    def known(type: str) -> list[str]:
        asked.append(type)
        return ["s3/lake", "s3/cold"]

    schema = of({f"b{number}": part for number in range(300)})
    context = Context(blocks=known, new_block=lambda type: f"/new/{type}")
    form = SchemaForm.of_values(schema, {"b0": {"$block": "s3/gone"}}, context=context)
    page = html(form)
    assert asked == ["s3"]
    assert "s3/gone (there is none)" in page
    assert 'href="/new/s3"' in page
    assert form.value == {"b0": {"$block": "s3/gone"}}


def test_date_times_have_a_zone() -> None:
    schema = of({"when": {"type": "string", "format": "date-time"}})
    posted = {"p.when": "2026-07-01T12:00", "p.when~zone": "Europe/Oslo"}
    assert SchemaForm.of_post(schema, posted).value == {"when": "2026-07-01T12:00:00+02:00"}
    assert SchemaForm.of_post(schema, {"p.when": "2026-07-01T12:00"}).value == {"when": "2026-07-01T12:00:00Z"}
    skipped = {"p.when": "2026-03-29T02:30", "p.when~zone": "Europe/Oslo"}
    assert "does not exist" in SchemaForm.of_post(schema, skipped).problems["parameters.when"]
    nowhere = {"p.when": "2026-03-29T02:30", "p.when~zone": "../../etc/passwd"}
    assert "time zone" in SchemaForm.of_post(schema, nowhere).problems["parameters.when"]


HOSTILE = [
    {"$ref": "#"},
    {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
    of({"x": {"$ref": "#/$defs/a"}}, ("x",), **{"$defs": {"a": of({"y": {"$ref": "#/$defs/a"}}, ("y",))}}),
    of({"x": {"$ref": "#/$defs/u"}}, ("x",), **{"$defs": {"u": {"anyOf": [{"$ref": "#/$defs/u"}] * 15}}}),
    of(
        {"x": {"$ref": "#/$defs/u"}}, ("x",),
        **{"$defs": {"u": {"anyOf": [of({f"k{n}": {"$ref": "#/$defs/u"}}, (f"k{n}",)) for n in range(15)]}}},
    ),
    of({f"x{number}": {"type": "string"} for number in range(10_000)}),
    of({f"x{number}": of({f"y{other}": {"type": "string"} for other in range(95)}) for number in range(95)}),
    of({"x": {"type": "string", "title": '"><script>alert(1)</script>', "description": "</textarea><b>" * 900}}),
    of({'"><img src=x onerror=alert(1)>': {"type": "boolean"}, "": {"type": "integer"}, "a b": True, "c": False}),
    of({"x": {"type": "object", "properties": {"position": {"position": "x"}}, "position": []}}),
    of({"x": {"enum": []}, "y": {"const": None}, "z": {"type": []}, "v": {"anyOf": []}, "w": {"allOf": []}}),
    of({"x": {"type": "array", "items": {"type": "integer"}, "minItems": 10**9}}),
]  # fmt: skip


@pytest.mark.parametrize("schema", HOSTILE)
def test_hostile_schemas_give_a_bounded_form(schema: dict[str, Any]) -> None:
    form = SchemaForm.of_values(schema, {})
    page = html(form)
    assert sum(1 for _ in form.root.walk()) < 7_000
    assert len(page) < 20_000_000
    assert "<script>alert" not in page
    assert "<img" not in page
    SchemaForm.of_post(schema, sent(form))


def test_a_value_that_is_nested_for_ever() -> None:
    value: Any = 1
    for _ in range(500):
        value = [value]
    tree = {"type": "array", "items": {"$ref": "#/$defs/tree"}}
    for part in ({}, {"$ref": "#/$defs/tree"}):
        schema = of({"x": part}, ("x",), **{"$defs": {"tree": tree}})
        assert back(schema, {"x": value}) == {"x": value}


def test_a_long_list_is_a_form_and_a_longer_one_is_json() -> None:
    schema = of({"x": {"type": "array", "items": of({"a": {"type": "integer"}, "b": {"type": "string"}})}}, ("x",))
    values = {"x": [{"a": number, "b": "b"} for number in range(100)]}
    assert html(SchemaForm.of_values(schema, values)).count("data-remove") == 100
    assert back(schema, values) == values
    values = {"x": [{"a": number, "b": "b"} for number in range(5_000)]}
    assert back(schema, values) == values
    query = QueryDict(mutable=True)
    query.setlist("p.x~item", [str(number) for number in range(5_000)])
    query["p.x~mode"] = "form"
    assert "Edit this as JSON" in SchemaForm.of_post(schema, query).problems["parameters.x"]
