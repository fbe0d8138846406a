"""`manage.py audit`: is the trail of an organization what was sealed?"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants import audit
from tenants.models import Organization
from tenants.scope import system_scope


class Command(BaseCommand):
    """Walks the chain of hashes of one organization, or of all; ends with 1 when one is broken."""

    help = "Verify the audit trail: every entry, its number and the chain of hashes."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("organization", nargs="?", default="", help="its slug; all of them without one")

    def handle(self, *args: Any, **options: Any) -> None:
        slug = options["organization"]
        with system_scope():
            found = list(Organization.objects.filter(**{"slug": slug} if slug else {}).order_by("slug"))
        if slug and not found:
            raise CommandError(f"There is no organization {slug}.")
        broken = [organization.slug for organization in found if not self._is_sound(organization)]
        if broken:
            raise CommandError(f"Broken: {', '.join(broken)}. Compare with an export or a backup from before.")

    def _is_sound(self, organization: Organization) -> bool:
        verdict = audit.verify(organization.id)
        if verdict.broken_at is not None:
            self.stdout.write(f"{organization.slug}: entry {verdict.broken_at:,} is not what was sealed")
            return False
        head = verdict.head.hex() if verdict.sealed else "nothing sealed yet"
        self.stdout.write(f"{organization.slug}: {verdict.sealed:,} sealed, {verdict.unsealed:,} not yet, head {head}")
        if verdict.dropped:
            anchor = verdict.anchor.hex()
            self.stdout.write(f"{organization.slug}: {verdict.dropped:,} before them not kept, the last was {anchor}")
        return True
