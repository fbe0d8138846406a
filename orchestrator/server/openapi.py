"""The API's description (OpenAPI 3.1), from what the views declare: `tenants/declared.py`.

It is made once a process, when somebody asks for it for the first time: the library that makes it is imported then.
"""

from __future__ import annotations

import re
from functools import cache
from inspect import cleandoc
from typing import Any

import msgspec
from django.urls import URLPattern, get_resolver
from django.urls.converters import IntConverter, UUIDConverter
from drf_spectacular.generators import EndpointEnumerator, SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent

from tenants.declared import Operation, operation_of, refusals, said_of
from tenants.errors import ErrorAnswer

PREFIX = "api/v1/"
REF = "#/components/schemas/{name}"
SIZE = {"X-Size": {"description": "Bytes.", "schema": {"type": "string"}}}
RETRY = {"Retry-After": {"description": "Seconds.", "schema": {"type": "string"}}}
BYTES = "application/octet-stream"
LONGEST = 1_001  # characters of a name in an address; `flow/name` is the longest one


class Undeclared(Exception):
    """A view doesn't say what a method takes and answers, or not clearly: see `tenants/declared.py`."""


class Methods(EndpointEnumerator):
    """The methods for which views name a verb; HEAD, too."""

    def get_allowed_methods(self, callback: Any) -> list[str]:
        return sorted(callback.cls.verbs)


class Generator(SchemaGenerator):
    """Names things as the code does, but for what only code has to tell apart."""

    endpoint_inspector_cls = Methods


class Described(AutoSchema):
    """One operation, from the declaration of its handler."""

    def get_operation(self, path: str, path_regex: str, path_prefix: str, method: str, registry: Any) -> dict[str, Any]:
        self.registry, self.path, self.path_regex, self.method = registry, path, path_regex, method
        view, method = type(self.view), method.upper()
        known, said = operation_of(view, method), said_of(view, method)
        if known is None or not said:
            what = "has no @operation" if known is None else "is not told of in the docstring of its view"
            raise Undeclared(f"{view.__module__}.{view.__name__}: {method} {what}.")
        pattern = patterns()[path_regex]
        described = {
            "operationId": f"{method.lower()}_{pattern.name.removeprefix('api-').replace('-', '_')}",
            "summary": _summary(said),
            "description": f"{said}\n\nNeeds `{view.verbs[method]}`.",
            "tags": [tag_of(path)],
            "parameters": [*_of_address(pattern), *self._of_query(known)],
            "security": [{"key": []}],
            "responses": self._responses(known, method, pattern),
        }
        if known.body is not None:
            described["requestBody"] = self._body(known)
        return described

    def _of_query(self, known: Operation) -> list[dict[str, Any]]:
        if known.query is None:
            return []
        _, components = msgspec.json.schema_components([known.query], ref_template=REF)
        whole = components.pop(known.query.__name__)
        self._register(components)
        required = whole.get("required", [])
        return [
            {
                "name": name,
                "in": "query",
                "required": name in required,
                "description": schema.pop("description", ""),
                "schema": schema,
            }
            for name, schema in whole["properties"].items()
        ]

    def _body(self, known: Operation) -> dict[str, Any]:
        content = {known.media: {"schema": self._schema(known.body)}}
        return {"required": not known.optional and _has_required(known.body), "content": content}

    def _responses(self, known: Operation, method: str, pattern: URLPattern) -> dict[str, Any]:
        answers = {str(status): self._answer(known, status, method) for status in known.statuses}
        error = {"application/json": {"schema": self._schema(ErrorAnswer)}}
        for status, problems in refusals(known, pattern.pattern.converters).items():
            text = " ".join(f"`{problem.code}`: {cleandoc(problem.__doc__ or '')}" for problem in problems)
            told = {"description": text} if method == "HEAD" else {"description": text, "content": error}
            answers[str(status)] = told | ({"headers": RETRY} if status in {429, 503} else {})
        return answers

    def _answer(self, known: Operation, status: int, method: str) -> dict[str, Any]:
        words = {200: "Done.", 201: "Made.", 202: "Will be done.", 204: "Gone."}
        told: dict[str, Any] = {"description": words[status]}
        if known.answers is bytes:
            told["headers"] = SIZE
        if known.answers is not None and method != "HEAD":
            media = BYTES if known.answers is bytes else "application/json"
            told["content"] = {media: {"schema": self._schema(known.answers)}}
        return told

    def _schema(self, kind: Any) -> dict[str, Any]:
        """The schema of a type; what it refers to becomes a component."""
        if kind is bytes:
            return {"type": "string", "format": "binary"}
        (schema,), components = msgspec.json.schema_components([kind], ref_template=REF)
        self._register(components)
        return _plainly_named(schema)

    def _register(self, components: dict[str, Any]) -> None:
        for name, schema in components.items():
            component = ResolvedComponent(_plain(name), ResolvedComponent.SCHEMA, _plainly_named(schema), name)
            if component in self.registry and self.registry[component].schema != component.schema:
                raise Undeclared(f"Two different structs are called {component.name} in the API's description.")
            self.registry.register_on_missing(component)


def tag_of(path: str) -> str:
    """The subject of an address: `Flow runs`."""
    return path.strip("/").removeprefix(PREFIX).split("/")[0].replace("-", " ").capitalize()


@cache
def patterns() -> dict[str, URLPattern]:
    """The routes of the API, by how they are written."""
    found: dict[str, URLPattern] = {}

    def walk(resolver: Any, path: str) -> None:
        for each in resolver.url_patterns:
            whole = path + str(each.pattern)
            if isinstance(each, URLPattern):
                found[whole] = each
            else:
                walk(each, whole)

    walk(get_resolver(), "")
    return {f"/{path}": each for path, each in found.items()} | found


def _of_address(pattern: URLPattern) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": _of_converter(kind),
        }
        for name, kind in pattern.pattern.converters.items()
    ]


def _of_converter(kind: Any) -> dict[str, Any]:
    if isinstance(kind, IntConverter):
        return {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
    if isinstance(kind, UUIDConverter):
        return {"type": "string", "format": "uuid"}
    return {"type": "string", "minLength": 1, "maxLength": LONGEST}


def _summary(said: str) -> str:
    """The first sentence, without its stop."""
    first = re.split(r"(?<=[a-z`)])[.;:](?:\s|$)", said, maxsplit=1)[0]
    return first[:1].upper() + first[1:].replace("\n", " ")


def _has_required(body: Any) -> bool:
    return body is bytes or bool(msgspec.json.schema_components([body])[1][body.__name__].get("required"))


def _plain(name: str) -> str:
    """`Page_FlowRunShown_` is a `PageOfFlowRun`."""
    if inner := re.fullmatch(r"(\w+?)_(\w+)_", name):
        return f"{inner[1]}Of{_plain(inner[2])}"
    return name.removesuffix("Shown")


def _plainly_named(schema: Any) -> Any:
    """A schema with such names, and without titles of its own; a property may well be called so."""
    if isinstance(schema, list):
        return [_plainly_named(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    named = {key: _plainly_named(value) for key, value in schema.items() if key != "title" or isinstance(value, dict)}
    if isinstance(ref := schema.get("$ref"), str):
        place, _, name = ref.rpartition("/")
        named["$ref"] = f"{place}/{_plain(name)}"
    return named


@cache
def description() -> dict[str, Any]:
    """The whole description."""
    return Generator().get_schema(public=True)


@cache
def written(form: str) -> bytes:
    """The same as a file: `json` or `yaml`."""
    if form == "json":
        return msgspec.json.encode(description())
    from drf_spectacular.renderers import OpenApiYamlRenderer

    return OpenApiYamlRenderer().render(description(), renderer_context={})
