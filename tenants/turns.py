"""Work that is done by one at a time, whoever does it and in whichever process."""

from __future__ import annotations

from django.db import connection


def take_turn(name: str) -> None:
    """Wait for whoever is at work under this name. It is the caller's until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])
