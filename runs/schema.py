"""Schemas and parameters of tenants, checked as `orchestrator.schema` does; refused in the API's shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestrator import schema as shared
from orchestrator.block_data import in_parameters
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


def secrets_by_block(schema: dict[str, Any], parameters: dict[str, Any]) -> dict[str, str]:
    """The blocks that stand where the schema has a secret, by the place of each (a JSON pointer)."""
    try:
        return in_parameters.secrets_by_block(schema, parameters)
    except shared.SchemaRefusal as refusal:
        raise Invalid(str(refusal)) from refusal


def check_parameters(schema: dict[str, Any], parameters: dict[str, Any]) -> None:
    """Refuse parameters of a run that the schema does not allow. A secret may be given by the name of its block.

    Raises:
        Invalid: `fields` maps `parameters.name.0.inner` to what is wrong there.
    """
    _check(in_parameters.check_with_blocks, schema, parameters)


def check_answer(schema: dict[str, Any], value: dict[str, Any]) -> None:
    """Refuse what somebody answers a run, if its schema does not allow it.

    Raises:
        Invalid: As above.
    """
    _check(shared.check_parameters, schema, value)


def _check(
    check: Callable[[dict[str, Any], dict[str, Any]], None], schema: dict[str, Any], value: dict[str, Any]
) -> None:
    try:
        check(schema, value)
    except shared.SchemaRefusal as refusal:
        raise Invalid(str(refusal), fields=refusal.fields) from refusal
