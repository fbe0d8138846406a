"""From a bearer secret to an actor. What is found is trusted for 5 s, so that a busy agent costs no query a request."""

from __future__ import annotations

import time
from typing import Any

from django.db import connection
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed

from tenants.keys import KEY_PREFIX, digest, has_form
from tenants.models import ApiKey
from tenants.permissions import Actor
from tenants.roles.offered import verbs_of
from tenants.scope import tenant_scope
from tenants.standing import Standing, present

TRUST_SECONDS = 5.0
REMEMBERED = 10_000  # secrets held in memory at most
LAST_USED_EVERY = 60.0  # seconds between two writes of a key's last use

_known: dict[bytes, tuple[float, Actor | None]] = {}


class KeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer orc_…` (a key) or `orr_…` (the token of one run)."""

    def authenticate(self, request: Any) -> tuple[Actor, Actor] | None:
        words = get_authorization_header(request).split()
        if not words:
            return None
        secret = words[1].decode("ascii", "replace") if len(words) == 2 and words[0].lower() == b"bearer" else ""
        actor = actor_of(secret)
        if actor is None:
            raise AuthenticationFailed(
                "This key is unknown, expired or revoked. Make a new one in the portal, then `orchestrator login`."
            )
        return actor, actor

    def authenticate_header(self, request: Any) -> str:
        return "Bearer"


def actor_of(secret: str) -> Actor | None:
    """Who a secret stands for; None for an unknown one."""
    if not has_form(secret):
        return None
    hash, now = digest(secret), time.monotonic()
    found = _known.get(hash)
    if found is None or found[0] < now:
        found = (now + TRUST_SECONDS, _key_actor(hash) if secret.startswith(KEY_PREFIX) else _run_actor(hash))
        if len(_known) >= REMEMBERED:
            _known.clear()
        _known[hash] = found
    return found[1]


def forget_secrets() -> None:
    """Trust nothing that was looked up before (after a revocation in this process, and between tests)."""
    _known.clear()


def _key_actor(hash: bytes) -> Actor | None:
    row = _call("find_api_key", hash)
    if row is None:
        return None
    with tenant_scope(row[0]):
        key = ApiKey.objects.get(id=row[1])
        found = actor_of_key(key)
        if found is not None:
            _note_use(key)
    return found


def actor_of_key(key: ApiKey) -> Actor | None:
    """Who a key stands for at this moment; None where that is nobody any more."""
    here = _standing(key)
    if here is None or not here.verbs:
        return None
    return Actor(
        "key", key.organization_id, key.workspace_id, here.role, key.name, user_id=key.user_id, key_id=key.id,
        granted=here.verbs,
    )  # fmt: skip


def _standing(key: ApiKey) -> Standing | None:
    """What a key may do now: a personal one no more than its person. None when that person has no part any more."""
    own = Standing(key.role, verbs_of([key.role])[key.role])
    if key.user_id is None:
        return own
    persons = present(key.user_id, key.workspace_id)
    return own.within(persons) if persons else None


def _note_use(key: ApiKey) -> None:
    now = timezone.now()
    if key.last_used_at is None or (now - key.last_used_at).total_seconds() > LAST_USED_EVERY:
        ApiKey.objects.filter(id=key.id).update(last_used_at=now)


def _run_actor(hash: bytes) -> Actor | None:
    """The run whose attempt has this token. Whether its lease still lives is asked where it matters."""
    row = _call("find_run_token", hash)
    if row is None:
        return None
    organization_id, workspace_id, run_id, attempt, live, deployment_id = row
    return Actor(
        "run", organization_id, workspace_id, "run" if live else "run.over", "run", run_id=run_id, attempt=attempt,
        deployment_id=deployment_id,
    )  # fmt: skip


def _call(function: str, hash: bytes) -> tuple | None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {function}(%s)", [hash])
        return cursor.fetchone()
