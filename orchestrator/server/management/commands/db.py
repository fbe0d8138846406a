"""`manage.py db init`: make the roles and the database on a PostgreSQL server of your own."""

import json
from argparse import ArgumentParser
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
from django.core.management.base import BaseCommand, CommandError

from orchestrator.server import database_roles, environment


class Command(BaseCommand):
    help = "Makes the database and its five roles, and prints the addresses to serve with. May be run again."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        init = actions.add_parser("init", help="make the roles and the database")
        init.add_argument(
            "--admin-url", required=True, help="postgresql://… of a user that may make roles and databases"
        )
        init.add_argument("--database", default="orchestrator", help="its name (default: orchestrator)")
        init.add_argument("--new-passwords", action="store_true", help="replace the passwords of logins that exist")
        init.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            prepared = database_roles.prepare(
                admin_url=options["admin_url"],
                database=options["database"],
                passwords={} if options["new_passwords"] else _passwords_of_environment(),
                new_passwords=options["new_passwords"],
            )
        except (database_roles.RolesRefused, psycopg.Error) as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(prepared.urls))
            return
        for name, url in prepared.urls.items():
            self.stdout.write(f"{name}={url}")
        if prepared.unknown_passwords:
            names = ", ".join(sorted(prepared.unknown_passwords))
            self.stderr.write(f"These logins existed and keep their passwords: {names}. --new-passwords replaces them.")


def _passwords_of_environment() -> dict[str, str]:
    """Passwords that this installation uses already, from DATABASE_URL and its siblings."""
    urls = {login: environment.text(name) for login, name in database_roles.URL_NAMES.items()}
    return {login: unquote(urlsplit(url).password or "") for login, url in urls.items() if urlsplit(url).password}
