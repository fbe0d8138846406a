"""SQL as it is, past the ORM."""

from django.db import connection


def ask(statement: str, *values: object) -> list[tuple]:
    """Run one statement on the test's connection; answer its rows."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall()
