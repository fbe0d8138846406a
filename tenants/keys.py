"""API keys and run tokens: made once, shown once, stored as SHA-256.

A secret looks like `orc_8fK2…`: a visible prefix, 256 random bits, and six characters of CRC-32, so that scanners
recognise a leaked key and a mistyped one is refused without asking the database.
"""

from __future__ import annotations

import hashlib
import secrets
import zlib
from datetime import datetime

from django.db import IntegrityError, transaction
from django.utils import timezone

from tenants.errors import Invalid
from tenants.models import ApiKey, User, Workspace, WorkspaceRole
from tenants.roles.offered import check

KEY_PREFIX = "orc_"
RUN_PREFIX = "orr_"


def new_secret(prefix: str) -> str:
    """Make a secret of 256 random bits with its prefix and checksum."""
    body = prefix + secrets.token_urlsafe(32)
    return body + _checksum(body)


def has_form(secret: str) -> bool:
    """Say whether prefix and checksum fit."""
    return secret.startswith((KEY_PREFIX, RUN_PREFIX)) and len(secret) < 100 and _checksum(secret[:-6]) == secret[-6:]


def digest(secret: str) -> bytes:
    """What is stored of a secret. It has 256 random bits, so a plain hash is enough."""
    return hashlib.sha256(secret.encode()).digest()


def create_key(
    *,
    workspace: Workspace,
    name: str,
    role: str = WorkspaceRole.DEVELOPER,
    user: User | None = None,
    created_by: User | None = None,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Make a key, a personal one of `user` if they are given; the secret is returned this once.

    Raises:
        Invalid: The workspace has a key of this name, or the role is unknown.
    """
    check([role], for_people=False)
    secret = new_secret(KEY_PREFIX)
    key = ApiKey(
        organization_id=workspace.organization_id,
        workspace=workspace,
        name=name,
        role=role,
        prefix=secret[:10],
        hash=digest(secret),
        user=user,
        created_by=created_by,
        expires_at=expires_at,
    )
    try:
        with transaction.atomic():
            key.save(force_insert=True)
    except IntegrityError as error:
        raise Invalid("A key of this name exists.", fields={"name": "Choose another name."}) from error
    return key, secret


def revoke_key(key: ApiKey) -> None:
    """End a key. Effective everywhere within the 5 s for which a process trusts what it has looked up."""
    ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now())


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"[:6]
