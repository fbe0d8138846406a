"""Secrets of parameters that are given by the name of a block: `{"$block": "secret/name"}` where a secret belongs.

The server keeps the name alone; the process of the run reads the secret by the run's own token.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.block_data import blocks_in, pointer
from orchestrator.block_data.places import TooComplex, secret_places
from orchestrator.schema import SchemaRefusal, check_parameters

SECRET_BLOCK = "secret/"
_STANDS_IN = "********"


def secrets_by_block(schema: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, str]:
    """The blocks that stand where the schema has a secret, by the place of each (a JSON pointer).

    Raises:
        SchemaRefusal: The schema is too complex to tell.
    """
    named = blocks_in(dict(parameters))
    if not named:
        return {}
    try:
        places = secret_places(schema, parameters)
    except (TooComplex, RecursionError):
        raise SchemaRefusal("The schema is too complex to say where its secrets are.") from None
    return {place: named[place] for place in sorted(places & named.keys())}


def check_with_blocks(schema: dict[str, Any], parameters: dict[str, Any]) -> None:
    """As `check_parameters`; a secret may be given by the name of a Secret block. What it holds, nobody knows here.

    Raises:
        SchemaRefusal: `fields` maps `parameters.name.0.inner` to what is wrong there.
    """
    by_block = secrets_by_block(schema, parameters)
    if not by_block:
        return check_parameters(schema, parameters)
    wrong = {_field(place): path for place, path in by_block.items() if not path.startswith(SECRET_BLOCK)}
    if wrong:
        told = {
            field: f"A secret is taken from a Secret block, like secret/name; not {path}."
            for field, path in wrong.items()
        }
        raise SchemaRefusal("A secret can't be taken from this block.", fields=told)
    try:
        check_parameters(schema, _stood_in(parameters, by_block, ""))
    except SchemaRefusal as refusal:
        fields = {at: told for at, told in (refusal.fields or {}).items() if at not in map(_field, by_block)}
        if fields or not refusal.fields:
            raise SchemaRefusal(str(refusal), fields=fields) from refusal


def _field(place: str) -> str:
    return ".".join(["parameters", *_steps(place)])


def _steps(place: str) -> Iterator[str]:
    return (step.replace("~1", "/").replace("~0", "~") for step in place.split("/")[1:])


def _stood_in(value: Any, by_block: Mapping[str, str], at: str) -> Any:
    if at in by_block:
        return _STANDS_IN
    if isinstance(value, dict):
        return {name: _stood_in(item, by_block, pointer(at, name)) for name, item in value.items()}
    if isinstance(value, list):
        return [_stood_in(item, by_block, pointer(at, index)) for index, item in enumerate(value)]
    return value
