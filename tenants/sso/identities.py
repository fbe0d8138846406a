"""Who is linked to whom at the provider, and who could not come by it."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from tenants import audit
from tenants.cursors import newest
from tenants.errors import NotFound
from tenants.models import Membership
from tenants.permissions import Actor, require
from tenants.sso import domains
from tenants.sso.models import SsoIdentity

PAGE = 20
MOST_COUNTED = 1_000


def linked(*, cursor: str) -> tuple[list[SsoIdentity], str | None]:
    """Who came by the provider, the newest link first, and the cursor of what follows."""
    return newest(SsoIdentity.objects.select_related("user"), by="created_at", cursor=cursor, limit=PAGE)


def outside() -> list[str]:
    """Members whose address is of no verified domain: once the log-in is demanded, they can't enter."""
    known = domains.verified_names()
    emails = Membership.objects.order_by("user__email").values_list("user__email", flat=True)[:MOST_COUNTED]
    return [email for email in emails if domains.domain_of(email) not in known]


@transaction.atomic
def unlink(*, identity_id: UUID, by: Actor) -> None:
    """Forget who somebody is at the provider; their next log-in is by their address again.

    Raises:
        NotFound: There is no such link.
    """
    require(by, "sso.edit")
    identity = SsoIdentity.objects.select_related("user").filter(id=identity_id).first()
    if identity is None:
        raise NotFound("There is no such link here.")
    identity.delete()
    audit.record(by, "sso.unlinked", name=identity.user.email, details={"subject": identity.subject})
