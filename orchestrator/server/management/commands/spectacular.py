"""`manage.py spectacular`: print the API's description. Needs no database."""

from drf_spectacular.management.commands.spectacular import Command as Spectacular


class Command(Spectacular):
    """Print the description of the API, or say what is wrong with it."""

    help = "Print the API's description as OpenAPI (--validate --fail-on-warn: check it)."
    requires_system_checks: list[str] = []
