"""People are asked to join, by a link that works for seven days and for their address alone.

The token in the link has 256 random bits; its SHA-256 is stored. Whoever opens the link signed in with another address
is told so and can't join by it: a forwarded mail gives nobody a part. For a new person the link proves the address.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, connection, transaction
from django.db.models import QuerySet
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.timezone import now

from tenants import audit, mail, people
from tenants.billing.subscriptions import demand_seat
from tenants.errors import Conflict, Invalid, NotFound, RateLimited
from tenants.keys import digest
from tenants.models import AuditEntry, Invitation, Membership, Organization, User, Workspace
from tenants.permissions import ORGANIZATION_VERBS, Actor, require
from tenants.roles.offered import check_parts
from tenants.scope import tenant_scope

DAYS = 7
MAX_DAYS = 14  # after the first mail, however often it is sent again
MAX_OPEN = 500  # of one organization
MAX_A_DAY = 200  # mails of one organization
MAX_A_DAY_OF_ONE = 300  # mails of one person, over all organizations
MAX_SENDINGS = 5  # of one invitation, and invitations of one address a day
BETWEEN_MAILS = timedelta(minutes=1)
SENT_AGAIN = "invitation.sent_again"
NO_LONGER_GOOD = "This invitation was used, revoked or is older than a week. Ask for another one."


@transaction.atomic
def invite(*, email: str, role: str, parts: dict[UUID, str], by: Actor) -> tuple[Invitation, str]:
    """Ask somebody to join; answer the invitation and its link, which is shown or mailed this once.

    Args:
        role: The role in the organization.
        parts: Roles in workspaces, by their ids.

    Raises:
        Invalid: The address or a role can't be taken, or the person is a member.
        Conflict: The address is invited already.
        Forbidden: Only owners invite owners.
        LimitReached: The plan has no seat left.
        RateLimited: The organization has sent very many invitations today.
    """
    require(by, "people.edit")
    email = clean_email(email)
    people.check_role(role, by=by)
    workspaces = {str(id): chosen for id, chosen in check_parts(parts).items()}
    _check_new(email)
    demand_seat(by.organization_id, invited=open_ones().filter(expires_at__gt=now()).count())
    token = secrets.token_urlsafe(32)
    invitation = Invitation(
        organization_id=by.organization_id, email=email, role=role, workspaces=workspaces, hash=digest(token),
        created_by_id=by.user_id, expires_at=_expiry(),
    )  # fmt: skip
    try:
        with transaction.atomic():
            invitation.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict(f"{email} is invited already. Send that invitation again, or revoke it.") from error
    _count(by)
    audit.record(by, "person.invited", invitation, details={"role": role, "workspaces": workspaces})
    return invitation, _send(invitation, token, by=by)


def _check_new(email: str) -> None:
    if Membership.objects.filter(user__email=email).exists():
        raise Invalid(f"{email} is a member.", fields={"email": "This person belongs to the organization already."})
    # One whose time is over makes room for the next.
    Invitation.objects.filter(email=email, expires_at__lte=now(), accepted_at=None, revoked_at=None).update(
        revoked_at=now()
    )
    _check_day()
    if Invitation.objects.filter(email=email, created_at__gt=now() - timedelta(days=1)).count() >= MAX_SENDINGS:
        raise RateLimited(f"{email} was invited {MAX_SENDINGS} times today. Go on tomorrow.")
    if open_ones().count() >= MAX_OPEN:
        raise Conflict(f"{MAX_OPEN} invitations are open. Revoke some that nobody follows.")


def _check_day() -> None:
    day = now() - timedelta(days=1)
    made = Invitation.objects.filter(created_at__gt=day).count()
    if made + _sendings().filter(at__gt=day).count() >= MAX_A_DAY:
        raise RateLimited(f"An organization sends {MAX_A_DAY} invitations a day at most. Go on tomorrow.")


def _sendings() -> QuerySet[AuditEntry]:
    """The times that invitations were sent again."""
    return AuditEntry.objects.filter(action=SENT_AGAIN)


def _count(by: Actor) -> None:
    """Founding more organizations gives nobody more mails."""
    key = f"invitations/{by.user_id or by.organization_id}/{now():%Y-%m-%d}"
    cache.add(key, 0, timeout=86_400)
    if cache.incr(key) > MAX_A_DAY_OF_ONE:
        raise RateLimited(f"One person sends {MAX_A_DAY_OF_ONE} invitations a day at most. Go on tomorrow.")


def clean_email(email: str) -> str:
    """An address as it is kept.

    Raises:
        Invalid: It is none.
    """
    email = email.strip().lower()
    try:
        if len(email) > 254:
            raise ValidationError("too long")
        validate_email(email)
    except ValidationError as error:
        told = "An address like ada@example.com."
        raise Invalid(f"{email[:254]!r} is no e-mail address.", fields={"email": told}) from error
    return email


@transaction.atomic
def send_again(*, id: UUID, by: Actor) -> tuple[Invitation, str]:
    """Send the mail again, with a new link; the one before stops working. Answers as `invite`.

    Raises:
        NotFound: There is no such open invitation.
        Forbidden: It is an owner's, which is not for admins.
        Conflict: It was sent five times, or first two weeks ago.
        RateLimited: The last mail left within this minute, or very many left today.
    """
    require(by, "people.edit")
    invitation = _open(id)
    people.check_role(invitation.role, by=by)
    if invitation.sent_at > now() - BETWEEN_MAILS:
        raise RateLimited(f"{invitation.email} was written to within this minute. Wait a little.", retry_after=60)
    last = invitation.created_at + timedelta(days=MAX_DAYS)
    if last <= now() or _sendings().filter(object_id=id).count() + 1 >= MAX_SENDINGS:
        raise Conflict(f"{invitation.email} was written to often enough. Revoke this invitation, and make another one.")
    _check_day()
    _count(by)
    token = secrets.token_urlsafe(32)
    invitation.hash, invitation.sent_at, invitation.expires_at = digest(token), now(), min(_expiry(), last)
    invitation.save(update_fields=["hash", "sent_at", "expires_at"])
    audit.record(by, SENT_AGAIN, invitation)
    return invitation, _send(invitation, token, by=by)


@transaction.atomic
def revoke(*, id: UUID, by: Actor) -> Invitation:
    """Take an invitation back.

    Raises:
        NotFound: There is no such open invitation.
        Forbidden: It is an owner's, which is not for admins.
    """
    require(by, "people.edit")
    invitation = _open(id)
    people.check_role(invitation.role, by=by)
    invitation.revoked_at = now()
    invitation.save(update_fields=["revoked_at"])
    audit.record(by, "invitation.revoked", invitation)
    return invitation


def open_ones():
    """Invitations that nobody has followed or taken back yet, also those whose time is over, the newest first."""
    return Invitation.objects.filter(accepted_at=None, revoked_at=None).order_by("-created_at")


def _open(id: UUID) -> Invitation:
    invitation = open_ones().select_for_update().filter(id=id).first()
    if invitation is None:
        raise NotFound("There is no such open invitation.")
    return invitation


def find(token: str) -> tuple[Organization, Invitation]:
    """What a link leads to, before it is known who follows it.

    Raises:
        NotFound: It is good for nothing.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT organization_id, id FROM find_invitation(%s)", [digest(token)])
        row = cursor.fetchone()
    if row is None:
        raise NotFound(NO_LONGER_GOOD)
    with tenant_scope(row[0]):
        invitation = Invitation.objects.select_related("organization", "created_by").get(id=row[1])
    if invitation.organization.deleted_at:
        raise NotFound(NO_LONGER_GOOD)
    return invitation.organization, invitation


def accept(*, token: str, user: User) -> tuple[Organization, Workspace | None]:
    """Join; answer where to, and the first workspace that the person may enter.

    Raises:
        NotFound: The link is good for nothing any more.
        Conflict: It is for another address.
        LimitReached: The plan became smaller, and has no seat left.
    """
    organization, found_then = find(token)
    with tenant_scope(organization.id):
        invitation = _open(found_then.id)
        if not _stands(invitation):
            raise NotFound(NO_LONGER_GOOD)
        if invitation.email != user.email:
            raise Conflict(f"This invitation is for {invitation.email}; you are signed in as {user.email}.")
        if not Membership.objects.filter(user=user).exists():
            demand_seat(organization.id)
        invitation.accepted_at = now()
        invitation.save(update_fields=["accepted_at"])
        by = Actor("user", organization.id, None, "", user.email, user_id=user.id, organization_role=invitation.role)
        own = {"organization": organization, "user": user}
        membership, new = Membership.objects.get_or_create(**own, defaults={"role": invitation.role})
        if new:
            people.set_parts(user_id=user.id, parts=_present_parts(invitation), by=by, name=user.email)
        audit.record(by, "person.joined", invitation, details={"role": membership.role})
        return organization, _first_workspace(membership)


def _stands(invitation: Invitation) -> bool:
    """Whether who sent it could send it today: an invitation is worth no more than the word behind it."""
    sender = Membership.objects.filter(user_id=invitation.created_by_id, user__is_active=True).first()
    if sender is None:
        return False
    allowed = ORGANIZATION_VERBS.get(sender.role, frozenset())
    return "people.edit" in allowed and (invitation.role != "owner" or sender.role == "owner")


def _present_parts(invitation: Invitation) -> dict[UUID, str]:
    present = Workspace.objects.filter(id__in=list(invitation.workspaces), deleted_at=None)
    return {id: invitation.workspaces[str(id)] for id in present.values_list("id", flat=True)}


def _first_workspace(membership: Membership) -> Workspace | None:
    visible = Workspace.objects.filter(deleted_at=None).order_by("name")
    if membership.role not in people.OWNS_ALL_WORKSPACES:
        visible = visible.filter(id__in=[part.workspace_id for part in people.find(membership.user_id).parts])
    return visible.first()


def _expiry() -> datetime:
    return now() + timedelta(days=DAYS)


def _send(invitation: Invitation, token: str, *, by: Actor) -> str:
    link = settings.PUBLIC_URL + reverse("invitation", args=[token])
    if settings.MAIL_CONFIGURED:
        organization = Organization.objects.get(id=invitation.organization_id)
        context = {"organization": organization, "by": by.label, "link": link, "days": DAYS, "email": invitation.email}
        mail.send(
            organization_id=organization.id,
            to=invitation.email,
            subject=f"{by.label} invites you to {organization.name}",
            text=render_to_string("tenants/mails/invitation.txt", context),
            html=render_to_string("tenants/mails/invitation.html", context),
        )
    return link
