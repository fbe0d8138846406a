"""Variables: small named JSON values of the workspace, for code, templates and forms."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from orchestrator.client import Client, in_context
from orchestrator.exceptions import Conflict, NotFound


class Variable:
    """Read and write the workspace's variables.

    In sync code the methods return what they say; in a coroutine they are awaited: `await Variable.get("limit")`.
    """

    @staticmethod
    def get(name: str, default: Any = None) -> Any:
        """The value of a variable, or `default` when there is none.

        Raises:
            NotConfigured: No API is known.
            ApiError: The API refused, or could not be reached.
        """
        return in_context(_get, name, default)

    @staticmethod
    def set(name: str, value: Any, *, tags: Iterable[str] | None = None, overwrite: bool = True) -> Any:
        """Give a variable a value: anything that JSON can hold.

        Args:
            tags: Words to find it by.
            overwrite: With False an existing variable is an error.

        Raises:
            ValueError: It exists, and overwrite is False.
            ApiError: The API refused, or could not be reached.
        """
        return in_context(_set, name, value, tags, overwrite)

    @staticmethod
    def unset(name: str) -> Any:
        """Remove a variable; True when there was one.

        Raises:
            ApiError: The API refused, or could not be reached.
        """
        return in_context(_unset, name)

    # The names that await in any case, for code that is used to them.

    @staticmethod
    async def aget(name: str, default: Any = None) -> Any:
        """`get()` for code that awaits."""
        return await in_context(_get, name, default)

    @staticmethod
    async def aset(name: str, value: Any, *, tags: Iterable[str] | None = None, overwrite: bool = True) -> None:
        """`set()` for code that awaits."""
        await in_context(_set, name, value, tags, overwrite)

    @staticmethod
    async def aunset(name: str) -> bool:
        """`unset()` for code that awaits."""
        return await in_context(_unset, name)


def _path(name: str) -> str:
    return f"/variables/{quote(name, safe='')}"


def _get(name: str, default: Any) -> Any:
    with Client() as client:
        try:
            return client.get(_path(name))["value"]
        except NotFound:
            return default


def _set(name: str, value: Any, tags: Iterable[str] | None, overwrite: bool) -> None:
    body: dict[str, Any] = {"value": value, "overwrite": overwrite}
    if tags is not None:
        body["tags"] = list(tags)
    with Client() as client:
        try:
            client.put(_path(name), body)
        except Conflict:
            raise ValueError(f"The variable {name!r} exists. Pass overwrite=True to replace it.") from None


def _unset(name: str) -> bool:
    with Client() as client:
        try:
            client.delete(_path(name))
        except NotFound:
            return False
    return True
