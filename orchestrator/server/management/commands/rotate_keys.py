"""`manage.py rotate_keys`: bring what is sealed under the newest keys, while everything serves."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from blocks import rotation
from runs.webhooks import rotation as of_webhooks
from tenants import audit, encryption
from tenants.models import Organization
from tenants.permissions import Actor
from tenants.scope import system_scope, tenant_scope


class Command(BaseCommand):
    """Wraps every data key by the first of MASTER_KEYS; with `--data-keys`, gives each organization a new one first and
    seals the secrets of blocks and webhooks by it.

    May be ended and started again at any time. A master key may leave MASTER_KEYS when this has run to its end.
    """

    help = "Wrap data keys by the newest master key; with --data-keys, begin new ones and seal blocks by them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--data-keys", action="store_true", help="give each organization a new data key, too")

    def handle(self, *args: Any, **options: Any) -> None:
        with system_scope():
            organizations = list(Organization.objects.filter(purged_at=None).values_list("id", flat=True))
        wrapped = sum(self._rotate(id, new=options["data_keys"]) for id in organizations)
        sealed = sum(rotation.reseal(id) for id in organizations)
        hooks = sum(of_webhooks.reseal(id) for id in organizations)
        self.stdout.write(
            f"{len(organizations):,} organizations, {wrapped:,} data keys wrapped again, "
            f"the secrets of {sealed:,} versions of blocks and of {hooks:,} webhooks sealed again."
        )

    def _rotate(self, organization_id: Any, *, new: bool) -> int:
        by = Actor("system", organization_id, None, "", "manage.py rotate_keys")
        with tenant_scope(organization_id):
            wrapped = encryption.wrap_again(organization_id)
            if new:
                encryption.add_data_key(organization_id)
            if wrapped or new:
                audit.record(by, "encryption.rotated", details={"wrapped": wrapped, "new_data_key": new})
        return wrapped
