"""`manage.py bootstrap`: the first person, organization, workspace and key. For scripts, the demo, and a new server."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any

from allauth.account.models import EmailAddress
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.timezone import now

from runs.agents import DEFAULT, create_pool
from runs.models import WorkPool
from tenants.errors import Problem
from tenants.keys import create_key, digest, revoke_key
from tenants.models import ApiKey, Organization, Workspace, WorkspaceRole
from tenants.provisioning import create_organization, create_workspace, find_or_create_user, find_organization
from tenants.scope import tenant_scope

KEY_NAME = "bootstrap"
KEYS_FILE = "bootstrap-keys.json"
AGENT_FILE = "agent.json"


class Command(BaseCommand):
    """Idempotent: what is there is found, not made again. The key is kept in the data directory (0600)."""

    help = "Create or find a person, an organization, a workspace, its default pool and an API key."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--email", required=True)
        parser.add_argument("--organization", required=True)
        parser.add_argument("--workspace", required=True)
        parser.add_argument("--password", help="for a new person; made up when not given")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            facts = bootstrap(options["email"], options["organization"], options["workspace"], options["password"])
        except Problem as problem:
            raise CommandError(problem.message) from problem
        if options["json"]:
            self.stdout.write(json.dumps(facts))
        else:
            self.stdout.write("\n".join(f"{name:13} {value}" for name, value in facts.items()))


def bootstrap(email: str, organization_name: str, workspace_name: str, password: str | None) -> dict[str, str]:
    """Make or find all of it; answer what a script needs to go on."""
    chosen = password or secrets.token_urlsafe(12)
    user, new = find_or_create_user(email=email, password=chosen)
    if new:  # Who runs the installation vouches for the address: no mail has to confirm it.
        EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=True)
    organization = find_organization(name=organization_name, member=user)
    organization = organization or create_organization(name=organization_name, owner=user)
    with tenant_scope(organization.id):
        workspace = _workspace(organization, workspace_name)
        if not WorkPool.objects.filter(workspace=workspace, name=DEFAULT).exists():
            create_pool(workspace=workspace, name=DEFAULT)
        key = _key(workspace, KEY_NAME, WorkspaceRole.DEVELOPER)
        agent_key = _key(workspace, "agent", WorkspaceRole.AGENT)
    api_url = f"{settings.PUBLIC_URL}/api/v1"
    _write_private(Path(settings.DATA_DIR) / AGENT_FILE, {"api_url": api_url, "api_key": agent_key})
    facts = {
        "api_url": api_url,
        "api_key": key,
        "organization": organization.slug,
        "workspace": workspace.slug,
        "portal_url": f"{settings.PUBLIC_URL}/o/{organization.slug}/{workspace.slug}/",
        "email": user.email,
    }
    return {**facts, "password": chosen} if new else facts


def _workspace(organization: Organization, name: str) -> Workspace:
    found = Workspace.objects.filter(name=name).first() or Workspace.objects.filter(slug=name).first()
    return found or create_workspace(organization=organization, name=name)


def _key(workspace: Workspace, name: str, role: str) -> str:
    """The key that an earlier call left in the data directory, as long as it is good; else a new one."""
    path = Path(settings.DATA_DIR) / KEYS_FILE
    keys = json.loads(path.read_text()) if path.exists() else {}
    place = f"{workspace.id}/{name}"
    secret = keys.get(place, "")
    present = ApiKey.objects.filter(workspace=workspace, name=name).first()
    if present and not present.revoked_at and bytes(present.hash) == digest(secret):
        return secret
    if present:
        revoke_key(present)
        ApiKey.objects.filter(pk=present.pk).update(name=f"{name} until {now():%Y-%m-%d %H:%M:%S.%f}")
    _, secret = create_key(workspace=workspace, name=name, role=role)
    _write_private(path, {**keys, place: secret})
    return secret


def _write_private(path: Path, content: dict[str, str]) -> None:
    """Write whole or not at all, readable by us alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file)
    draft.replace(path)
