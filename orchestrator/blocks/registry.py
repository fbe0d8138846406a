"""Which class a type's slug stands for: those that ship with Orchestrator, and those that were imported."""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING

from orchestrator.exceptions import BlockError

if TYPE_CHECKING:
    from orchestrator.blocks.block import Block

BUILT_IN = {
    "apprise-notification": ("notifications", "AppriseNotification"),
    "aws-credentials": ("aws", "AwsCredentials"),
    "email-server-credentials": ("email", "EmailServerCredentials"),
    "git-credentials": ("git", "GitCredentials"),
    "json": ("values", "JSON"),
    "local-file-system": ("files", "LocalFileSystem"),
    "remote-file-system": ("files", "RemoteFileSystem"),
    "s3-bucket": ("aws", "S3Bucket"),
    "secret": ("values", "Secret"),
    "slack-webhook": ("webhooks", "SlackWebhook"),
    "sqlalchemy-connector": ("database", "SqlAlchemyConnector"),
    "webhook": ("webhooks", "Webhook"),
}
SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")

_imported: dict[str, type[Block]] = {}


def slug_of(class_name: str) -> str:
    """The slug of a class that names none.

    >>> slug_of("S3Bucket"), slug_of("JSONDocument"), slug_of("DbtCloudJob")
    ('s3-bucket', 'json-document', 'dbt-cloud-job')
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_", "-", class_name)
    return words.strip("-").lower()


def note(cls: type[Block]) -> None:
    """A class was defined. The last one of a slug counts, as when a module is loaded again."""
    _imported[cls.get_block_type_slug()] = cls


def built_in(slug: str) -> type[Block]:
    """The class of a type that ships with Orchestrator."""
    module, name = BUILT_IN[slug]
    return getattr(import_module(f"orchestrator.blocks.{module}"), name)


def class_of(slug: str) -> type[Block]:
    """The class of a type.

    Raises:
        BlockError: No class of this type was imported.
    """
    if slug in BUILT_IN:
        return built_in(slug)
    found = _imported.get(slug)
    if found is None:
        known = ", ".join(sorted({*BUILT_IN, *_imported}))
        raise BlockError(
            f"There is no class for blocks of the type {slug!r} here. Import the module that defines it, then load the "
            f"block again. Known are: {known}."
        )
    return found
