"""Make organizations, workspaces and their first people."""

from __future__ import annotations

from django.db import connection, transaction
from django.utils.text import slugify

from orchestrator.ids import uuid7
from tenants.billing.plans import default_plan
from tenants.errors import Invalid
from tenants.models import Membership, Organization, OrganizationRole, User, Workspace
from tenants.scope import tenant_scope, user_scope

RESERVED_SLUGS = frozenset(
    {"admin", "usage", "billing", "people", "teams", "roles", "keys", "sso", "audit", "settings", "new"}
)


def find_or_create_user(*, email: str, password: str | None = None) -> tuple[User, bool]:
    """The person of this address. A password is set only on a new person.

    Raises:
        Invalid: The address is none.
    """
    email = email.strip().lower()
    if "@" not in email or len(email) > 254:
        raise Invalid(f"{email!r} is no e-mail address.", fields={"email": "An address like ada@example.com."})
    found = User.objects.filter(email=email).first()
    return (found, False) if found else (User.objects.create_user(email, password), True)


@transaction.atomic
def create_organization(*, name: str, owner: User) -> Organization:
    """Make an organization that `owner` owns. Its slug is made of the name and is free."""
    own = {"name": name.strip()[:120], "slug": _free_slug(name)}
    organization = Organization(id=uuid7(), retention=default_plan().retention, **own)
    with tenant_scope(organization.id):
        organization.save(force_insert=True)
        Membership.objects.create(organization=organization, user=owner, role=OrganizationRole.OWNER)
    return organization


def create_workspace(*, organization: Organization, name: str) -> Workspace:
    """Make a workspace. Call it inside the organization's scope.

    Raises:
        Invalid: The name leaves no slug, or the slug is taken or reserved.
    """
    slug = slug_of(name)
    if Workspace.objects.filter(slug=slug).exists():
        raise Invalid("A workspace of this name exists.", fields={"name": "Choose another name."})
    return Workspace.objects.create(organization=organization, name=name.strip()[:120], slug=slug)


def find_organization(*, name: str, member: User) -> Organization | None:
    """The organization of this name or slug that the person belongs to."""
    with user_scope(member.id):
        own = Organization.objects.filter(id__in=Membership.objects.filter(user=member).values("organization_id"))
        return own.filter(name=name).first() or own.filter(slug=slugify(name)).first()


def slug_of(name: str) -> str:
    """The part of an address that a name is made into.

    Raises:
        Invalid: Nothing is left of it, or it is reserved.
    """
    slug = slugify(name)[:60].strip("-")
    if not slug:
        raise Invalid(f"{name!r} has no letters to make an address of.", fields={"name": "Use letters or digits."})
    if slug in RESERVED_SLUGS:
        raise Invalid(f"The name {slug!r} is reserved.", fields={"name": "Choose another name."})
    return slug


def _free_slug(name: str) -> str:
    """The name's slug, or with a number behind it. A function of the database tells whether one is taken, no more."""
    base = slug_of(name)
    with connection.cursor() as cursor:
        for number in range(1, 1_000):
            slug = base if number == 1 else f"{base[:56]}-{number}"
            cursor.execute("SELECT organization_slug_taken(%s)", [slug])
            if not cursor.fetchone()[0]:
                return slug
    raise Invalid("There are very many organizations of this name.", fields={"name": "Choose another name."})
