"""What a delivery would do: it is read and checked as one that came, and nothing is made, kept or counted."""

from __future__ import annotations

from collections.abc import Mapping

from runs import debounce, trigger
from runs.models import Webhook
from runs.webhooks import edit
from runs.webhooks.reading import MAX_BODY, Read, read
from runs.webhooks.receiving import acting, request_of
from tenants.errors import TooLarge
from tenants.permissions import Actor


def with_saved(webhook: Webhook, body: bytes, headers: Mapping[str, str]) -> Read:
    """What a webhook would make of a body and its headers, by their names in small letters. No signature is asked for.

    Raises:
        Problem: What its sender would be told instead.
    """
    return _tried(webhook, body, headers, acting(webhook))


def with_wanted(wanted: edit.Wanted, body: bytes, headers: Mapping[str, str], *, by: Actor) -> Read:
    """What the webhook that somebody is about to save would make of them.

    Raises:
        Problem: As above, or the webhook can't be.
    """
    return _tried(edit.unsaved(wanted, by=by), body, headers, by)


def _tried(webhook: Webhook, body: bytes, headers: Mapping[str, str], by: Actor) -> Read:
    if len(body) > MAX_BODY:
        raise TooLarge(f"A delivery has {MAX_BODY >> 10} KiB at most.")
    asked = read(webhook, body, headers)
    if asked.wanted:
        trigger.check_request(request_of(webhook, asked), by)
    if asked.debounce is not None:
        debounce.check(asked.debounce, None)
    return asked
