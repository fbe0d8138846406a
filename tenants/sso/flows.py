"""A log-in that is under way at a provider: kept in the browser's session, good for ten minutes and for one answer.

Only the session that began a log-in can end it, so nobody can be made to log in as somebody else, and an answer that
was overheard is good for nothing.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils.http import url_has_allowed_host_and_scheme

from tenants.errors import Problem

FLOWS = "sso_flows"  # in the session: flow by state
SECONDS = 600
MOST = 10  # tabs in which one person logs in at once


class Refused(Problem):
    """The provider's answer opens nothing. The message says why, and to whom to turn."""

    status, code = 403, "sso_refused"


@dataclass(frozen=True, slots=True)
class Flow:
    """What was asked of the provider, to compare its answer with, and where the person wants to go."""

    organization_id: str
    next: str = ""
    tests: str = ""  # the id of the owner who tests the connection; nobody is logged in then
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))  # PKCE, RFC 7636
    begun_at: float = field(default_factory=time.time)


def begin(session: Any, flow: Flow, state: str = "") -> str:
    """Remember a flow; answers the state by which its answer is found."""
    kept = {key: each for key, each in session.get(FLOWS, {}).items() if each["begun_at"] > time.time() - SECONDS}
    for oldest in sorted(kept, key=lambda key: kept[key]["begun_at"])[: max(0, len(kept) - MOST + 1)]:
        del kept[oldest]
    state = state or secrets.token_urlsafe(32)
    session[FLOWS] = kept | {state: asdict(flow)}
    return state


def end(session: Any, organization_id: UUID, state: str) -> Flow:
    """Take the flow that an answer belongs to. It can't be taken twice.

    Raises:
        Refused: This session began none, or of another organization, or too long ago.
    """
    known = dict(session.get(FLOWS, {}))
    found = known.pop(state, None)
    if found is not None:
        session[FLOWS] = known
        session.save()
        flow = Flow(**found)
        if flow.organization_id == str(organization_id) and flow.begun_at > time.time() - SECONDS:
            return flow
    raise Refused("This log-in was not begun in this browser, is used up, or took longer than 10 minutes. Begin again.")


def inner(address: str) -> str:
    """An address of ours to go to afterwards; empty for any other."""
    host = settings.PUBLIC_URL.partition("://")[2]
    fits = url_has_allowed_host_and_scheme(address, allowed_hosts={host}, require_https=settings.SECURE)
    return address if fits and len(address) <= 2_000 else ""
