"""How senders reach a webhook: its address, and a command that sends it an example."""

from __future__ import annotations

import json
import shlex
from typing import Any

from django.conf import settings

from runs.models import Webhook
from runs.webhooks.signatures import GITHUB, STRIPE

MOST_FIELDS = 4  # of an example
_EXAMPLES: dict[str, Any] = {"integer": 1, "number": 1.5, "boolean": True, "array": [], "object": {}}
_HMAC = 'openssl dgst -sha256 -hmac "$SECRET" -r | cut -d" " -f1'


def address_of(token: str) -> str:
    """Where deliveries go to."""
    return f"{settings.PUBLIC_URL}/hooks/{token}"


def command(webhook: Webhook, address: str) -> str:
    """What a shell sends an example by. The secret is none of it: it is taken from the environment."""
    lines = [f"BODY={shlex.quote(json.dumps(example(webhook), ensure_ascii=False))}", *_before(webhook)]
    headers = ["Content-Type: application/json", *_signed(webhook)]
    told = [f"curl {shlex.quote(address)}", *(f'  -H "{header}"' for header in headers), '  -d "$BODY"']
    return "\n".join([*lines, " \\\n".join(told)])


def example(webhook: Webhook) -> dict[str, Any]:
    """A body of the first parameters; an empty one where a template makes them of something else."""
    if webhook.parameters or webhook.parameter:
        return {}
    properties = webhook.deployment.parameter_schema.get("properties")
    known = properties if isinstance(properties, dict) else {}
    return {name: _value(each) for name, each in list(known.items())[:MOST_FIELDS] if not _is_secret(each)}


def _is_secret(described: Any) -> bool:
    return isinstance(described, dict) and bool(described.get("writeOnly"))


def _value(described: Any) -> Any:
    if not isinstance(described, dict):
        return None
    kind = described.get("type")
    return described.get("default", _EXAMPLES.get(kind if isinstance(kind, str) else "", "text"))


def _before(webhook: Webhook) -> list[str]:
    """What a signature is made of."""
    if webhook.signature == Webhook.Signature.GITHUB:
        return [f'SIGNED=$(printf %s "$BODY" | {_HMAC})']
    if webhook.signature == Webhook.Signature.STRIPE:
        return ["T=$(date +%s)", f'SIGNED=$(printf %s "$T.$BODY" | {_HMAC})']
    return []


def _signed(webhook: Webhook) -> list[str]:
    header = webhook.signature_header
    if webhook.signature == Webhook.Signature.GITHUB:
        return [f"{header or GITHUB}: sha256=$SIGNED"]
    if webhook.signature == Webhook.Signature.STRIPE:
        return [f"{header or STRIPE}: t=$T,v1=$SIGNED"]
    return [f"{header}: $SECRET"] if webhook.signature else []
