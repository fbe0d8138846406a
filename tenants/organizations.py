"""Organizations and workspaces: founding, naming, moving to another address."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from django.db import IntegrityError, connection, models, transaction
from django.utils.text import slugify

from orchestrator.storable import clean_text
from tenants import audit
from tenants.billing.subscriptions import demand_workspace
from tenants.errors import Conflict, Invalid
from tenants.models import FormerSlug, Membership, Organization, OrganizationRole, User, Workspace
from tenants.permissions import Actor, require
from tenants.provisioning import RESERVED_SLUGS, create_organization, create_workspace, slug_of
from tenants.scope import tenant_scope, user_scope

FIRST_WORKSPACE = "Main"
MAX_OWNED = 50  # organizations of one person
MAX_WORKSPACES = 200  # of one organization
MAX_FORMER = 20  # addresses of before, of one organization or workspace
SLUG_TRIES = 10
Furnisher = Callable[[Workspace], object]
_furnishers: list[Furnisher] = []


def furnishes(function: Furnisher) -> Furnisher:
    """Register what a new workspace begins with. Called within the transaction that makes it."""
    _furnishers.append(function)
    return function


def owner_actor(organization: Organization, user: User) -> Actor:
    """A person as the owner of their organization, where no page has asked yet who they are."""
    return Actor(
        "user", organization.id, None, "", user.email, user_id=user.id, organization_role=OrganizationRole.OWNER
    )


def found(*, name: str, owner: User) -> tuple[Organization, Workspace]:
    """Make an organization that `owner` owns, and its first workspace.

    Raises:
        Invalid: The name leaves no address, or the person owns very many organizations.
    """
    name = clean_name(name)
    with user_scope(owner.id):
        owned = Membership.objects.filter(user=owner, role=OrganizationRole.OWNER).count()
    if owned >= MAX_OWNED:
        raise Invalid(f"One person may own {MAX_OWNED} organizations.", fields={"name": "Delete another one first."})
    with transaction.atomic():
        organization = _create(name, owner)
        by = owner_actor(organization, owner)
        with tenant_scope(organization.id):
            audit.record(by, "organization.created", organization)
            workspace = add_workspace(organization=organization, name=FIRST_WORKSPACE, by=by)
    return organization, workspace


def _create(name: str, owner: User) -> Organization:
    """A slug that was free may be taken in the same moment: then the next one is."""
    for _ in range(SLUG_TRIES):
        try:
            with transaction.atomic():
                return create_organization(name=name, owner=owner)
        except IntegrityError:
            continue
    raise Conflict("Many organizations of this name are made in this moment. Try again.")


@transaction.atomic
def add_workspace(*, organization: Organization, name: str, by: Actor) -> Workspace:
    """Make a workspace with what it begins with.

    Raises:
        Invalid: The name is taken or leaves no address, or there are too many.
        LimitReached: The plan has no room for another one.
    """
    require(by, "workspaces.create")
    workspace = empty_workspace(organization=organization, name=name)
    for furnish in _furnishers:
        furnish(workspace)
    audit.record(by, "workspace.created", workspace, workspace_id=workspace.id)
    return workspace


def empty_workspace(*, organization: Organization, name: str) -> Workspace:
    """Make a workspace with nothing in it, where there is room for it. Call it inside the organization's scope.

    Raises:
        Invalid: The name is taken or leaves no address, or there are too many.
        LimitReached: The plan has no room for another one.
    """
    name = clean_name(name)
    demand_workspace(organization.id)
    if Workspace.objects.count() >= MAX_WORKSPACES:
        told = f"{organization.name} has {MAX_WORKSPACES} workspaces, which is the most. Delete one first."
        raise Invalid(told, fields={"name": told})
    if FormerSlug.objects.filter(workspace__isnull=False, slug=slug_of(name)).exists():
        raise Invalid("Another workspace had this address.", fields={"name": "Choose another name."})
    try:
        with transaction.atomic():
            return create_workspace(organization=organization, name=name)
    except IntegrityError as error:
        raise Invalid("A workspace of this name exists.", fields={"name": "Choose another name."}) from error


@transaction.atomic
def rename_organization(*, organization: Organization, name: str, slug: str, by: Actor) -> None:
    """Give an organization another name or address. The old address leads to the new one and stays its own,
    until it has had twenty others since.

    Raises:
        Invalid: The name or the address can't be taken.
    """
    require(by, "organization.edit", organization)
    organization = Organization.objects.select_for_update().get(id=organization.id)
    name, slug, former = clean_name(name), clean_slug(slug), organization.slug
    if slug != former:
        own = FormerSlug.objects.filter(workspace=None, slug=slug)
        if not own.delete()[0] and _organization_slug_taken(slug):
            raise Invalid("This address is taken.", fields={"slug": "Choose another address."})
        FormerSlug.objects.create(organization=organization, slug=former)
        _free_oldest(FormerSlug.objects.filter(workspace=None))
    _save_names(organization, name, slug)
    audit.record(by, "organization.renamed", organization, details={"from": former, "to": slug, "name": name})


@transaction.atomic
def rename_workspace(*, workspace: Workspace, name: str, slug: str, by: Actor) -> None:
    """Give a workspace another name or address. The old address leads to the new one.

    Raises:
        Invalid: The name or the address can't be taken.
    """
    require(by, "workspace.edit", workspace)
    workspace = Workspace.objects.select_for_update().get(id=workspace.id)
    name, slug, former = clean_name(name), clean_slug(slug), workspace.slug
    if slug != former:
        FormerSlug.objects.filter(workspace=workspace, slug=slug).delete()
        others = Workspace.objects.filter(slug=slug).exclude(id=workspace.id)
        if others.exists() or FormerSlug.objects.filter(workspace__isnull=False, slug=slug).exists():
            raise Invalid("This address is taken.", fields={"slug": "Choose another address."})
        FormerSlug.objects.create(organization_id=workspace.organization_id, workspace=workspace, slug=former)
        _free_oldest(FormerSlug.objects.filter(workspace=workspace))
    _save_names(workspace, name, slug)
    details = {"from": former, "to": slug, "name": name}
    audit.record(by, "workspace.renamed", workspace, workspace_id=workspace.id, details=details)


def _free_oldest(former: models.QuerySet[FormerSlug]) -> None:
    """Who changes an address again and again must not keep all of them from others."""
    too_many = former.order_by("-created_at", "-id").values_list("id", flat=True)[MAX_FORMER:]
    FormerSlug.objects.filter(id__in=list(too_many)).delete()


def _save_names(thing: Organization | Workspace, name: str, slug: str) -> None:
    thing.name, thing.slug = name, slug
    try:
        with transaction.atomic():
            thing.save(update_fields=["name", "slug"])
    except IntegrityError as error:
        raise Conflict("This address was taken in this moment. Choose another one.") from error


def _organization_slug_taken(slug: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT organization_slug_taken(%s)", [slug])
        return cursor.fetchone()[0]


def clean_name(name: str) -> str:
    """A name as it is kept.

    Raises:
        Invalid: It is empty or too long.
    """
    name = clean_text(" ".join(name.split()))
    if not 0 < len(name) <= 120:
        raise Invalid("A name has 1 to 120 characters.", fields={"name": "1 to 120 characters."})
    return name


def clean_slug(slug: str) -> str:
    """A part of an address as it is kept.

    Raises:
        Invalid: It isn't made of small letters, digits and hyphens, or is reserved.
    """
    slug = slug.strip().lower()
    if slug in RESERVED_SLUGS:
        raise Invalid(f"The address {slug!r} is reserved.", fields={"slug": "Choose another address."})
    if not slug or len(slug) > 60 or slug != slugify(slug).strip("-"):
        told = "1 to 60 small letters, digits and hyphens."
        raise Invalid(f"An address has {told}", fields={"slug": told})
    return slug


def moved(user_id: UUID, organization: str, workspace: str) -> tuple[str, str] | None:
    """Where an address of before leads: the slugs of today, for who belongs there; `workspace` may be empty."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT former_organization(%s)", [organization])
        former_id = cursor.fetchone()[0]
    with user_scope(user_id):
        own = Membership.objects.filter(user_id=user_id)
        own = own.filter(organization_id=former_id) if former_id else own.filter(organization__slug=organization)
        found = own.select_related("organization").first()
    if found is None:
        return None
    today = found.organization.slug, _workspace_today(found.organization_id, workspace)
    return today if today != (organization, workspace) else None


def _workspace_today(organization_id: UUID, slug: str) -> str:
    if not slug:
        return slug
    with tenant_scope(organization_id):
        if Workspace.objects.filter(slug=slug).exists():
            return slug
        former = FormerSlug.objects.filter(workspace__isnull=False, slug=slug).select_related("workspace").first()
    return former.workspace.slug if former else slug
