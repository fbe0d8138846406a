"""`manage.py quarantine`: entries of journals that were received and could not be taken."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from orchestrator.wire import REJECTIONS
from runs import quarantine
from runs.models import JournalQuarantine
from tenants.models import Organization, Workspace
from tenants.permissions import Actor
from tenants.scope import system_scope, tenant_scope


class Command(BaseCommand):
    """Lists by default; `--replay` after an upgrade, `--drop` for what nobody needs."""

    help = "List, replay or drop journal entries that could not be taken."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("workspace", help="like acme/main")
        parser.add_argument("--code", default="", choices=["", *REJECTIONS], help="of this code only")
        parser.add_argument("--limit", type=int, default=quarantine.AT_ONCE, help="so many at most")
        action = parser.add_mutually_exclusive_group()
        action.add_argument("--replay", action="store_true", help="apply them once more")
        action.add_argument("--drop", action="store_true", help="delete them")

    def handle(self, *args: Any, **options: Any) -> None:
        organization_id, workspace_id = find_workspace(options["workspace"])
        with tenant_scope(organization_id):
            entries = list(quarantine.listed(workspace_id=workspace_id, code=options["code"])[: options["limit"]])
        ids = [entry.id for entry in entries]
        if options["replay"]:
            self._replay(organization_id, workspace_id, ids)
        elif options["drop"]:
            by = command(organization_id, workspace_id)
            with tenant_scope(organization_id):
                self.stdout.write(f"{quarantine.drop(workspace_id=workspace_id, ids=ids, by=by)} entries are gone.")
        else:
            self._list(entries)

    def _replay(self, organization_id: UUID, workspace_id: UUID, ids: list[UUID]) -> None:
        taken, left, by = 0, 0, command(organization_id, workspace_id)
        for first in range(0, len(ids), quarantine.AT_ONCE):
            with tenant_scope(organization_id):
                some = ids[first : first + quarantine.AT_ONCE]
                more_taken, more_left = quarantine.replay(workspace_id=workspace_id, ids=some, by=by)
            taken, left = taken + more_taken, left + more_left
        self.stdout.write(f"{taken} entries were taken, {left} stay.")

    def _list(self, entries: list[JournalQuarantine]) -> None:
        for entry in entries:
            stream = f"{entry.root_id}.{entry.attempt}.{entry.writer}"
            text = entry.entry[:200].replace("\n", " ")
            self.stdout.write(
                f"{entry.created_at:%Y-%m-%d %H:%M:%S}  {stream}  {entry.seq:>6}  {entry.code:12}  {text}"
            )
        if not entries:
            self.stdout.write("Nothing is in quarantine.")


def command(organization_id: UUID, workspace_id: UUID) -> Actor:
    """Who acts when an operator of the installation does, by this command."""
    return Actor("system", organization_id, workspace_id, "", "manage.py quarantine")


def find_workspace(path: str) -> tuple[UUID, UUID]:
    """The ids behind `organization/workspace`."""
    organization, _, workspace = path.partition("/")
    with system_scope():
        found = Organization.objects.filter(slug=organization).values_list("id", flat=True).first()
    if found is not None:
        with tenant_scope(found):
            id = Workspace.objects.filter(slug=workspace).values_list("id", flat=True).first()
        if id is not None:
            return found, id
    raise CommandError(f"There is no workspace {path}. Name it like its address: /o/acme/main/ is acme/main.")
