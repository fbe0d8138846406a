"""Schemas and parameters of tenants, checked as `orchestrator.schema` does; refused in the API's shape."""

from __future__ import annotations

from typing import Any

from orchestrator import schema as shared
from tenants.errors import Invalid


def check_schema(schema: Any) -> None:
    """Refuse what is no JSON Schema of an object.

    Raises:
        Invalid: With the reason.
    """
    try:
        shared.check_schema(schema)
    except shared.SchemaRefusal as refusal:
        raise Invalid(str(refusal), fields=refusal.fields) from refusal


def check_parameters(schema: dict[str, Any], parameters: dict[str, Any]) -> None:
    """Refuse parameters that the schema does not allow.

    Raises:
        Invalid: `fields` maps `parameters.name.0.inner` to what is wrong there.
    """
    try:
        shared.check_parameters(schema, parameters)
    except shared.SchemaRefusal as refusal:
        raise Invalid(str(refusal), fields=refusal.fields) from refusal
