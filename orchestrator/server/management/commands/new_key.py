"""`manage.py new_key`: a master key for MASTER_KEYS."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from orchestrator.server.embedded.stack import new_master_key


class Command(BaseCommand):
    """Prints a new key, to be put in front of the others in MASTER_KEYS."""

    help = "Print a new master key. Put it in front of MASTER_KEYS, restart, then run rotate_keys."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(new_master_key())
