"""From the body of a delivery to what it triggers, by the webhook's templates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from orchestrator.debouncing import Debounce
from orchestrator.storable import json_value
from runs.automations import making
from runs.debounce import asked_of
from runs.models import Webhook
from tenants.errors import Invalid

MAX_BODY = 512 << 10  # bytes
MAX_FIELDS = 1_000  # of a form
MAX_KEPT = 4 << 10  # characters of a body that are kept
NAMES = ("body", "headers")
DELIVERY_IDS = ("idempotency-key", "x-github-delivery", "webhook-id", "x-request-id")
"""What senders call the id of a delivery, which they keep when they send it once more."""
TRUE = ("true", "yes", "1")
_HIDDEN = re.compile(r"authorization|cookie|signature|token|secret|password|api-?key", re.IGNORECASE)
_SECRET = re.compile(
    r'("[^"]*(?:secret|token|password|passwd|api_?key|authorization|credential)[^"]*"\s*:\s*)'
    r'("(?:[^"\\]|\\.)*"?|[^,}\]\s]+)',
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Read:
    """What a delivery asks for; `wanted` is false where the filter skips it."""

    wanted: bool
    parameters: dict[str, Any] = field(default_factory=dict)
    idempotency_key: str | None = None
    debounce: Debounce | None = None


def read(webhook: Webhook, body: bytes, headers: Mapping[str, str]) -> Read:
    """What a body asks for.

    Args:
        headers: By their names in small letters.

    Raises:
        Invalid: It can't be read, or a template makes nothing of it.
    """
    told = body_of(body, headers.get("content-type", ""))
    values = {"body": told, "headers": {name: text for name, text in headers.items() if not _HIDDEN.search(name)}}
    if webhook.filter and _render("filter", webhook.filter, values).lower() not in TRUE:
        return Read(wanted=False)
    parameters = _parameters(webhook, told, values)
    making.check_blocks(parameters, webhook.parameters, webhook.deployment)
    return Read(
        wanted=True,
        parameters=parameters,
        idempotency_key=_key(webhook, values),
        debounce=_debounce(webhook, values),
    )


def body_of(body: bytes, content_type: str) -> Any:
    """JSON, or the fields of a form; one that holds `payload` alone, as GitHub's can, is the JSON within.

    Raises:
        Invalid: It is neither.
    """
    if content_type.partition(";")[0].strip().lower() == "application/x-www-form-urlencoded":
        try:
            fields = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS))
        except ValueError as error:
            raise Invalid(f"The body is no form: {error}") from error
        if fields.keys() != {"payload"}:
            return fields
        body = fields["payload"].encode()
    try:
        return json_value(msgspec.json.decode(body or b"{}"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"The body is no JSON: {error}.") from error


def _parameters(webhook: Webhook, body: Any, values: dict[str, Any]) -> dict[str, Any]:
    if webhook.parameter:
        return {webhook.parameter: body}
    if not webhook.parameters:
        if isinstance(body, dict):
            return body
        raise Invalid("The body is no object of parameters. Give the webhook a template, or one parameter for it.")
    return making.parameters("parameters", webhook.parameters, values, NAMES)


def _key(webhook: Webhook, values: dict[str, Any]) -> str | None:
    """Of this webhook alone: two may hear of the same delivery."""
    named = (values["headers"].get(name, "") for name in DELIVERY_IDS)
    key = _render("idempotency", webhook.idempotency, values) if webhook.idempotency else next(filter(None, named), "")
    return f"hook {webhook.id} {key}"[:200] if key else None


def _debounce(webhook: Webhook, values: dict[str, Any]) -> Debounce | None:
    source = webhook.debounce_key if webhook.debounce else ""
    key = _render("debounce_key", source, values) if source else ""
    return asked_of(webhook.deployment, webhook.debounce, key)


def _render(name: str, source: str, values: dict[str, Any]) -> str:
    return making.text(name, source, values, NAMES)


def kept(body: bytes) -> str:
    """What is kept of a body: its begin, without the values of names that sound like secrets."""
    text = body[: 4 * MAX_KEPT].decode("utf-8", "replace").replace("\0", "�")
    text = _SECRET.sub(r'\1"********"', text)
    return text if len(text) <= MAX_KEPT else text[: MAX_KEPT - 1] + "…"
