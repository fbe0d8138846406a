"""`manage.py up`: the whole platform on this machine, from one terminal."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from orchestrator.server import local
from orchestrator.server.embedded import StackError


class Command(BaseCommand):
    help = "Starts the stores, the web server, the workers and an agent, and looks after them until Ctrl-C."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="where the web server listens (default: 127.0.0.1)")
        parser.add_argument("--port", type=int, help=f"its port (default: the first free one from {local.FIRST_PORT})")
        parser.add_argument("--no-agent", action="store_true", help="start no agent of the default pool")
        parser.add_argument("--open", action="store_true", help="open the portal in a browser")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            local.up(
                host=options["host"],
                port=options["port"],
                with_agent=not options["no_agent"],
                open_browser=options["open"],
            )
        except StackError as error:
            raise CommandError(str(error)) from error
