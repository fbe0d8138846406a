"""Values that templates make: of the body of a delivery, or of an event."""

from __future__ import annotations

from typing import Any

import msgspec

from orchestrator.block_data import blocks_in
from orchestrator.storable import json_value
from runs.automations import templates
from runs.models import Deployment
from tenants.errors import Invalid


def text(field: str, source: str, values: dict[str, Any], names: tuple[str, ...]) -> str:
    """What a template makes, without white space around it.

    Raises:
        Invalid: It can't be rendered; `fields` names the field that it stands in.
    """
    try:
        return templates.render(source, values, names).strip()
    except templates.BadTemplate as error:
        raise _wrong(field, f"The template can't be rendered: {error}") from error


def parameters(field: str, source: str, values: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """The parameters of a run, of a template that makes a JSON object.

    Raises:
        Invalid: It makes none; `fields` names the field that it stands in.
    """
    made = text(field, source, values, names)
    try:
        told = json_value(msgspec.json.decode(made))
    except (msgspec.DecodeError, RecursionError) as error:
        raise _wrong(field, f"The template made no JSON: {error}.") from error
    if not isinstance(told, dict):
        raise _wrong(field, "The template made no object of parameters.")
    return told


def check_blocks(made: dict[str, Any], source: str, deployment: Deployment) -> None:
    """Let who sends a delivery, or tells of an event, name no blocks: they would choose among all that the maker of the
    template may use, and send them where they like.

    Those that stand in the template, or in the deployment at the same place, were named by who may.

    Raises:
        Invalid: There are others.
    """
    own = blocks_in(deployment.parameters)
    named = blocks_in(made)
    strange = [place for place, path in named.items() if own.get(place) != path and f'"{path}"' not in source]
    if strange:
        told = "What comes from outside names no blocks. Name it in the template, or in the deployment."
        raise Invalid(told, fields={f"parameters{place.replace('/', '.')}": told for place in strange})


def _wrong(field: str, told: str) -> Invalid:
    return Invalid(told, fields={field: told})
