"""The stack that runs from wheels: PostgreSQL, Valkey and our own processes under one supervisor.

Nothing here needs Django's settings: these modules run before there is a database to configure.
"""


class StackError(Exception):
    """The embedded stack can't go on. The message is shown to a person as it is and says what to do."""
