"""Who asks: people, organizations, workspaces, memberships, API keys."""

from __future__ import annotations

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.utils.timezone import now

from orchestrator.ids import uuid7
from tenants.billing import models as billing  # noqa: F401 - Django looks for models here
from tenants.leaving.models import Departure, Export, ExportChunk  # noqa: F401 - models are looked for here
from tenants.owned import TenantManager, TenantOwned, same_tenant
from tenants.restrictions.models import AccessRule  # noqa: F401 - models are looked for here
from tenants.roles.models import CustomRole  # noqa: F401 - models are looked for here
from tenants.sso.models import SsoDomain, SsoIdentity, SsoProvider  # noqa: F401 - models are looked for here
from tenants.teams.models import Team, TeamMember, TeamPart  # noqa: F401 - models are looked for here


class UserManager(BaseUserManager):
    """People are known by their e-mail address, in lower case."""

    def create_user(self, email: str, password: str | None = None, **attributes) -> User:
        user = self.model(email=email.strip().lower(), **attributes)
        user.set_password(password)
        user.save()
        return user

    def create_superuser(self, email: str, password: str | None = None, **attributes) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **attributes)

    def get_by_natural_key(self, username: str) -> User:
        return self.get(email=username.strip().lower())


class User(AbstractBaseUser, PermissionsMixin):
    """A person. Belongs to no tenant; memberships say what they may see."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    email = models.EmailField(unique=True)
    name = models.CharField(max_length=150, blank=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    date_joined = models.DateTimeField(default=now)

    objects = UserManager()
    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"

    class Meta:
        db_table = "person"

    def __str__(self) -> str:
        return self.name or self.email

    def get_full_name(self) -> str:
        return str(self)

    def get_short_name(self) -> str:
        return self.name.split(" ")[0] or self.email.split("@")[0]


class Retention(models.IntegerChoices):
    """How many days the tall tables keep a run's rows. Each is a class of partitions."""

    WEEK = 7
    MONTH = 30
    QUARTER = 90
    YEAR = 365


class Organization(models.Model):
    """A company: it pays, owns people and workspaces. The tenant."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=120)
    retention = models.SmallIntegerField(choices=Retention.choices, default=Retention.MONTH)
    requires_sso = models.BooleanField(default=False)  # Its pages open only to who came by its own log-in.
    created_at = models.DateTimeField(default=now)
    deleted_at = models.DateTimeField(null=True)  # Nobody enters any more; its rows go when the grace period is over.
    purged_at = models.DateTimeField(null=True)  # They are gone. Its id stays for its invoices, without a name.

    objects = TenantManager()

    class Meta:
        db_table = "organization"
        indexes = [
            models.Index(
                fields=["deleted_at"],
                condition=models.Q(deleted_at__isnull=False, purged_at=None),
                name="organization_leaving",
            )
        ]

    def __str__(self) -> str:
        return self.name


class Workspace(TenantOwned):
    """Where an organization's work lives. Owns everything but people and money."""

    slug = models.SlugField(max_length=60)
    name = models.CharField(max_length=120)
    created_at = models.DateTimeField(default=now)
    deleted_at = models.DateTimeField(null=True)
    archived_at = models.DateTimeField(null=True)  # Its work went on elsewhere: it is looked at, nothing runs here.

    class Meta:
        db_table = "workspace"
        constraints = [models.UniqueConstraint(fields=["organization", "slug"], name="workspace_slug")]
        indexes = [
            models.Index(fields=["deleted_at"], condition=models.Q(deleted_at__isnull=False), name="workspace_leaving")
        ]

    def __str__(self) -> str:
        return self.name


class OrganizationRole(models.TextChoices):
    """What a person is to the organization."""

    OWNER = "owner"
    ADMIN = "admin"
    BILLING = "billing"
    MEMBER = "member"


class WorkspaceRole(models.TextChoices):
    """What a person or a key may do in a workspace. Beside these stand the roles of an organization's own."""

    OWNER = "owner"
    DEVELOPER = "developer"
    RUNNER = "runner"
    VIEWER = "viewer"
    AGENT = "agent"


class Membership(TenantOwned):
    """A person belongs to an organization. Owners and admins own all of its workspaces."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=20, choices=OrganizationRole.choices, default=OrganizationRole.MEMBER)
    created_at = models.DateTimeField(default=now)

    class Meta:
        db_table = "membership"
        constraints = [models.UniqueConstraint(fields=["organization", "user"], name="membership_once")]


class WorkspaceMembership(TenantOwned):
    """A member's role in one workspace."""

    workspace = same_tenant("tenants.Workspace")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    role = models.CharField(max_length=40, choices=WorkspaceRole.choices, default=WorkspaceRole.VIEWER)
    created_at = models.DateTimeField(default=now)

    class Meta:
        db_table = "workspace_membership"
        constraints = [
            models.UniqueConstraint(fields=["organization", "workspace", "user"], name="workspace_membership_once")
        ]


class ApiKey(TenantOwned):
    """A program's way in, for one workspace. Only the SHA-256 of the key is stored.

    A personal key has a `user`: it may do no more than that person may at this moment, and ends when they leave. One
    without is a service account's.
    """

    workspace = same_tenant("tenants.Workspace")
    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True, related_name="+", db_index=False)
    name = models.CharField(max_length=120)
    role = models.CharField(max_length=40, choices=WorkspaceRole.choices, default=WorkspaceRole.DEVELOPER)
    prefix = models.CharField(max_length=16)
    hash = models.BinaryField(max_length=32)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+", db_index=False)
    created_at = models.DateTimeField(default=now)
    expires_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "api_key"
        constraints = [
            # Looked up before the tenant is known; 256 random bits tell nothing about other tenants.
            models.UniqueConstraint(fields=["hash"], name="api_key_hash"),
            models.UniqueConstraint(
                fields=["organization", "workspace", "user", "name"],
                condition=models.Q(revoked_at=None),
                nulls_distinct=False,
                name="api_key_name",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class Invitation(TenantOwned):
    """A person is asked to join. The link carries a token, of which only the SHA-256 is stored."""

    email = models.EmailField()
    role = models.CharField(max_length=20, choices=OrganizationRole.choices, default=OrganizationRole.MEMBER)
    workspaces = models.JSONField(default=dict)  # Roles by the workspace's id. One that is gone by then is passed over.
    hash = models.BinaryField(max_length=32)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+", db_index=False)
    created_at = models.DateTimeField(default=now)
    sent_at = models.DateTimeField(default=now)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "invitation"
        constraints = [
            # Looked up before the tenant is known; 256 random bits tell nothing about other tenants.
            models.UniqueConstraint(fields=["hash"], name="invitation_hash"),
            models.UniqueConstraint(
                fields=["organization", "email"],
                condition=models.Q(accepted_at=None, revoked_at=None),
                name="invitation_open",
            ),
        ]
        indexes = [models.Index(fields=["organization", "-created_at"], name="invitation_made")]

    def __str__(self) -> str:
        return self.email


class FormerSlug(TenantOwned):
    """A slug that an organization or, if one is named, a workspace had before. It stays theirs and leads to them."""

    workspace = same_tenant("tenants.Workspace", null=True)
    slug = models.SlugField(max_length=60)
    created_at = models.DateTimeField(default=now)

    class Meta:
        db_table = "former_slug"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "slug"],
                condition=models.Q(workspace__isnull=False),
                name="former_workspace_slug",
            ),
            # As an organization's slug of today: an address, looked up before the tenant is known.
            models.UniqueConstraint(
                fields=["slug"], condition=models.Q(workspace=None), name="former_organization_slug"
            ),
        ]


class OrganizationKey(TenantOwned):
    """A data key that seals an organization's secrets, itself sealed ("wrapped") by a master key. See encryption.py."""

    number = models.PositiveIntegerField()
    master = models.CharField(max_length=40)  # The name of the master key that wraps it.
    wrapped = models.BinaryField()
    created_at = models.DateTimeField(default=now)

    class Meta:
        db_table = "organization_key"
        constraints = [models.UniqueConstraint(fields=["organization", "number"], name="organization_key_number")]


class AuditEntry(TenantOwned):
    """Who did what to which object, from where. Written with the change, never altered; see audit.py.

    `number` and `hash` are given by the tick that seals: the hash covers the entry and the hash before it.
    """

    workspace_id = models.UUIDField(null=True)  # No foreign key: the entry outlives what it tells of.
    at = models.DateTimeField(default=now)
    action = models.CharField(max_length=60)
    actor_kind = models.CharField(max_length=10)
    actor = models.CharField(max_length=254)
    user_id = models.UUIDField(null=True)
    object_type = models.CharField(max_length=40, blank=True)
    object_id = models.UUIDField(null=True)
    object_name = models.CharField(max_length=500, blank=True)
    details = models.JSONField(default=dict)
    address = models.CharField(max_length=45, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    number = models.BigIntegerField(null=True)
    hash = models.BinaryField(max_length=32, null=True)

    class Meta:
        db_table = "audit_entry"
        constraints = [models.UniqueConstraint(fields=["organization", "number"], name="audit_entry_number")]
        indexes = [
            models.Index(fields=["organization", "-at", "-id"], name="audit_entry_list"),
            models.Index(fields=["organization", "object_id", "-at"], name="audit_entry_of_object"),
            models.Index(fields=["organization", "action", "-at"], name="audit_entry_by_action"),
            models.Index(fields=["organization", "at"], condition=models.Q(number=None), name="audit_entry_unsealed"),
        ]

    def __str__(self) -> str:
        return f"{self.action} by {self.actor}"


class StaffEntry(models.Model):
    """What the installation's staff looked at or changed, of whomever. Written with the change, never altered: the
    database lets no serving role do that, nor let `app` read it.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    at = models.DateTimeField(default=now)
    action = models.CharField(max_length=60)
    actor = models.CharField(max_length=254)
    user_id = models.UUIDField()
    object_type = models.CharField(max_length=40, blank=True)
    object_id = models.UUIDField(null=True)
    object_name = models.CharField(max_length=500, blank=True)
    details = models.JSONField(default=dict)
    address = models.CharField(max_length=45, blank=True)
    request_id = models.CharField(max_length=64, blank=True)

    class Meta:
        db_table = "staff_entry"
        verbose_name_plural = "staff entries"
        indexes = [models.Index(fields=["-at", "-id"], name="staff_entry_list")]

    def __str__(self) -> str:
        return f"{self.action} by {self.actor}"


class OutboxMessage(TenantOwned):
    """Something to be sent to the world outside. Written and read by `tenants/outbox.py`."""

    kind = models.CharField(max_length=40)
    key = models.CharField(max_length=200, null=True)  # noqa: DJ001 - null: none was given
    payload = models.JSONField(default=dict)
    sealed = models.BinaryField(null=True)  # The part of the payload that nobody may read here.
    created_at = models.DateTimeField(default=now)
    next_try_at = models.DateTimeField(default=now)  # While it is claimed: when the claim runs out.
    claimed_at = models.DateTimeField(null=True)
    tries = models.PositiveSmallIntegerField(default=0)
    done_at = models.DateTimeField(null=True)
    failed = models.BooleanField(default=False)
    error = models.TextField(blank=True)

    class Meta:
        db_table = "outbox_message"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "key"], condition=models.Q(key__isnull=False), name="outbox_message_key"
            )
        ]
        indexes = [
            models.Index(
                fields=["organization", "next_try_at"],
                condition=models.Q(done_at__isnull=True),
                name="outbox_message_open",
            ),
            models.Index(
                fields=["organization"],
                condition=models.Q(claimed_at__isnull=False, done_at__isnull=True),
                name="outbox_message_claimed",
            ),
            models.Index(fields=["done_at"], condition=models.Q(done_at__isnull=False), name="outbox_message_done"),
        ]
