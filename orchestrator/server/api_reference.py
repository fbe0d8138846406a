"""The API's description as people read it: by subject, each operation with what it takes, answers and refuses by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import slugify

from orchestrator.server.openapi import PREFIX, description

COMPONENT = "#/components/schemas/"


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an object, or a parameter."""

    name: str
    kind: SafeString
    required: bool
    text: SafeString
    default: str


@dataclass(frozen=True, slots=True)
class Struct:
    """An object that operations take or answer."""

    name: str
    text: SafeString
    fields: list[Field]


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, what it means, and what comes with it."""

    status: str
    text: SafeString
    kind: SafeString


@dataclass(frozen=True, slots=True)
class Operation:
    """A method of an address."""

    id: str
    method: str
    path: str
    summary: str
    text: SafeString
    parameters: list[Field]
    body: SafeString
    media: str
    answers: list[Answer]
    refusals: list[Answer]


@dataclass(frozen=True, slots=True)
class Subject:
    """The operations on one kind of things, and the objects that they name."""

    name: str
    operations: list[Operation] = field(default_factory=list)
    structs: list[Struct] = field(default_factory=list)

    @property
    def slug(self) -> str:
        """Its part of the address."""
        return slugify(self.name)


@cache
def subjects() -> dict[str, Subject]:
    """All of them, by slug, in the order of the alphabet."""
    found: dict[str, Subject] = {}
    named: dict[str, set[str]] = {}
    for path, methods in description()["paths"].items():
        for method, told in methods.items():
            subject = found.setdefault(slugify(told["tags"][0]), Subject(told["tags"][0]))
            subject.operations.append(_operation(path, method, told))
            named.setdefault(subject.slug, set()).update(_named(told))
    for slug, subject in found.items():
        subject.structs.extend(_struct(name) for name in sorted(_with_inner(named[slug])))
    return dict(sorted(found.items()))


def _operation(path: str, method: str, told: dict[str, Any]) -> Operation:
    body = told.get("requestBody", {}).get("content", {})
    media, content = next(iter(body.items()), ("", {}))
    answers = [_answer(status, answer) for status, answer in told["responses"].items()]
    return Operation(
        id=told["operationId"],
        method=method.upper(),
        path=path.removeprefix(f"/{PREFIX}"),
        summary=told["summary"],
        text=_words(told["description"]),
        parameters=[_parameter(each) for each in told["parameters"]],
        body=_kind(content["schema"]) if content else SafeString(),
        media=media,
        answers=[each for each in answers if each.status < "4"],
        refusals=[each for each in answers if each.status >= "4"],
    )


def _answer(status: str, told: dict[str, Any]) -> Answer:
    schema = next(iter(told.get("content", {}).values()), {}).get("schema")
    return Answer(status, _words(told["description"]), _kind(schema) if schema else SafeString())


def _parameter(told: dict[str, Any]) -> Field:
    text = told.get("description", "") or "In the address."
    return _field(told["name"], {**told["schema"], "description": text}, told["required"])


def _struct(name: str) -> Struct:
    schema = description()["components"]["schemas"][name]
    required = schema.get("required", [])
    fields = [_field(each, told, each in required) for each, told in schema.get("properties", {}).items()]
    return Struct(name, _words(schema.get("description", "")), fields)


def _field(name: str, schema: dict[str, Any], required: bool) -> Field:
    default = schema.get("default")
    shown = "" if default in (None, "", [], {}) else str(default).lower() if isinstance(default, bool) else str(default)
    return Field(name, _kind(schema), required, _words(schema.get("description", "")), shown)


def _kind(schema: dict[str, Any]) -> SafeString:
    """What a value is, in words; objects are links to where they are described on the page."""
    if ref := schema.get("$ref"):
        name = ref.removeprefix(COMPONENT)
        return format_html('<a class="link" href="#{}">{}</a>', name, name)
    if several := schema.get("anyOf") or schema.get("allOf"):
        return format_html_join(mark_safe(" or "), "{}", ((_kind(each),) for each in several))
    if values := schema.get("enum"):
        return format_html_join(", ", "<code>{}</code>", ((str(value) or '""',) for value in values))
    if schema.get("type") == "array":
        return format_html("list of {}", _kind(schema.get("items", {})))
    if isinstance(inner := schema.get("additionalProperties"), dict):
        return format_html("object of {}", _kind(inner))
    return format_html("{}{}", schema.get("format") or schema.get("type") or "anything", _bounds(schema))


def _bounds(schema: dict[str, Any]) -> str:
    least, most = schema.get("minimum"), schema.get("maximum", schema.get("maxLength"))
    if most is None or most >= 10**15:
        return ""
    return f", {least or 0:,} to {most:,}" if "maximum" in schema else f", {most:,} characters at most"


def _words(text: str) -> SafeString:
    """A text with what stands between backticks as code."""
    parts = enumerate((text[:1].upper() + text[1:]).split("`"))
    return format_html_join(
        "", "{}", ((format_html("<code>{}</code>", part) if at % 2 else part,) for at, part in parts)
    )


def _named(schema: Any) -> Iterator[str]:
    """The objects that a part of the description names."""
    if isinstance(schema, dict):
        if isinstance(ref := schema.get("$ref"), str):
            yield ref.removeprefix(COMPONENT)
        for value in schema.values():
            yield from _named(value)
    elif isinstance(schema, list):
        for each in schema:
            yield from _named(each)


def _with_inner(names: set[str]) -> set[str]:
    """They, and those that they name."""
    schemas, found = description()["components"]["schemas"], set[str]()
    left = set(names)
    while left:
        found |= left
        left = {inner for name in left for inner in _named(schemas[name])} - found
    return found
