"""The types of secret fields, and what is in them.

pydantic's `SecretStr` and `SecretBytes` are secret fields, and so are these. Pages and `repr` never show their values;
`get_secret_value()` does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pydantic
from pydantic import BaseModel, SecretBytes, SecretStr

_WRITE_ONLY = {"writeOnly": True, "format": "password"}


class SecretDict(pydantic.Secret[dict[str, Any]]):
    """A dictionary whose values are all secret, such as the headers of a request."""

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: Any, _handler: Any) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": True, **_WRITE_ONLY}


class SecretValue(pydantic.Secret[Any]):
    """Any JSON value, secret as a whole."""

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: Any, _handler: Any) -> dict[str, Any]:
        return {"description": "A text, or any other JSON value.", **_WRITE_ONLY}


HIDDEN = (SecretStr, SecretBytes, pydantic.Secret)
_SCHEME = re.compile(r"(?:bearer|basic|token|apikey)\s+(\S.*)", re.IGNORECASE)
_MEDIA_TYPE = re.compile(r"(?:application|text|multipart)/[\w.+-]+")


def secrets_in(value: Any) -> Iterator[str]:
    """The texts of all secret fields of a block, and of those that are nested in it."""
    if isinstance(value, HIDDEN):
        yield from _texts(value.get_secret_value())
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from secrets_in(getattr(value, name, None))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from secrets_in(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from secrets_in(item)


def _texts(value: Any) -> Iterator[str]:
    """The texts and numbers of a secret value, and the parts that libraries show by themselves."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str) and not _MEDIA_TYPE.fullmatch(value):
        yield value
        yield from _parts(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)


def _parts(text: str) -> Iterator[str]:
    """The token behind `Bearer`, and the password of an address."""
    if scheme := _SCHEME.fullmatch(text):
        yield scheme[1]
    if "://" in text and "@" in text:
        from urllib.parse import unquote, urlsplit

        try:
            password = urlsplit(text).password
        except ValueError:
            return
        if password:
            yield unquote(password)
