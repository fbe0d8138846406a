"""Whether a body was signed by who knows the webhook's secret."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping

from runs.models import Webhook
from tenants import encryption

OLDEST = 300  # seconds, of Stripe's time
GITHUB, STRIPE = "x-hub-signature-256", "stripe-signature"


def place_of(webhook: Webhook) -> str:
    """What a webhook's sealed secret is bound to."""
    return f"webhook/{webhook.id}/secret"


def seal(webhook: Webhook, secret: str) -> bytes:
    """The secret as the row keeps it."""
    return encryption.seal(webhook.organization_id, secret.encode(), place_of(webhook))


def is_signed(webhook: Webhook, body: bytes, headers: Mapping[str, str]) -> bool:
    """Say whether a body may have come from whom the webhook is for."""
    if not webhook.signature:
        return True
    secret = encryption.unseal(webhook.organization_id, bytes(webhook.sealed or b""), place_of(webhook))
    if webhook.signature == Webhook.Signature.STRIPE:
        return _is_stripes(secret, body, headers.get(webhook.signature_header.lower() or STRIPE, ""))
    if webhook.signature == Webhook.Signature.GITHUB:
        return _same(f"sha256={_hmac(secret, body)}", headers.get(webhook.signature_header.lower() or GITHUB, ""))
    return hmac.compare_digest(secret, headers.get(webhook.signature_header.lower(), "").encode())


def _is_stripes(secret: bytes, body: bytes, header: str) -> bool:
    """`t=…,v1=…`: the time is signed with the body, so that what was overheard is no good later."""
    parts = [part.strip().partition("=") for part in header.split(",")[:20]]
    times = [value for name, _, value in parts if name == "t"]
    if len(times) != 1 or not times[0].isascii() or not times[0].isdecimal() or len(times[0]) > 12:
        return False
    if abs(time.time() - int(times[0])) > OLDEST:
        return False
    wanted = _hmac(secret, times[0].encode() + b"." + body)
    return any(_same(wanted, value) for name, _, value in parts if name == "v1")


def _hmac(secret: bytes, body: bytes) -> str:
    return hmac.new(secret, body, hashlib.sha256).hexdigest()


def _same(wanted: str, given: str) -> bool:
    return hmac.compare_digest(wanted.encode(), given.encode())
