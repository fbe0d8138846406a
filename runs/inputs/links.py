"""Addresses of forms that carry their own right: who has the link answers one request, without an account.

Only where the flow asks for that (`link="anyone"`). A link is signed with the installation's key and stored nowhere, so
that it can be made again wherever somebody is told of it; it works while its request is open, MOST_DAYS at most.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.core.signing import BadSignature, TimestampSigner
from django.urls import reverse

from runs.inputs import requests
from runs.inputs.answers import BY_LINK
from runs.models import FlowRun, InputRequest
from tenants import visits
from tenants.errors import NotFound
from tenants.permissions import Actor
from tenants.scope import tenant_scope

MOST_DAYS = 30
A_MINUTE = 60  # visits from one address
ANYONE = "anyone"
_SIGNER = TimestampSigner(salt="runs.inputs.links", sep=".")
_NOTHING = "This link is good for nothing, or no longer."


def address(request: InputRequest) -> str:
    """The link of a request that anyone may answer; nothing for others."""
    if request.link != ANYONE:
        return ""
    named = base64.urlsafe_b64encode(request.organization_id.bytes + request.id.bytes).decode().rstrip("=")
    return settings.PUBLIC_URL + reverse("input-link", args=[_SIGNER.sign(named)])


@contextmanager
def followed(token: str) -> Generator[tuple[InputRequest, Actor]]:
    """What a link leads to, inside its tenant's transaction, and whoever follows it.

    Raises:
        NotFound: The link is wrong or too old, or its request is answered, over, or gone: the same for all.
        RateLimited: Very many were followed from this address within a minute.
    """
    visits.count_visit("input-link", most=A_MINUTE, told="Too many links were followed from your address.")
    organization_id, id = _named(token)
    with tenant_scope(organization_id):
        rows = InputRequest.objects.filter(id=id, link=ANYONE, workspace__deleted_at=None)
        found = rows.filter(workspace__organization__deleted_at=None).select_related("run__flow").first()
        if found is None or not requests.is_open(found, FlowRun.objects.get(id=found.root_id)):
            raise NotFound(_NOTHING)
        yield found, Actor(BY_LINK, organization_id, found.workspace_id, "", "somebody with the link")


def _named(token: str) -> tuple[UUID, UUID]:
    """The organization and the request that a token is of."""
    try:
        named = _SIGNER.unsign(token, max_age=timedelta(days=MOST_DAYS))
        ids = base64.urlsafe_b64decode(named + "=")
        return UUID(bytes=ids[:16]), UUID(bytes=ids[16:])
    except (BadSignature, binascii.Error, ValueError) as error:
        raise NotFound(_NOTHING) from error
