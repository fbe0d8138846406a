"""Blocks: settings and secrets of the workspace under a name, with methods that work against the real thing.

    block.py       Block: save, load, nest
    fields.py      the types of secret fields
    documents.py   blocks as the API keeps them
    schema.py      a class as a JSON Schema
    registry.py    which class a type's slug stands for

The types themselves are in modules of their own. Nothing is imported until it is asked for: pydantic comes with the
first class, a type's library with the first call of a method that needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator import lazy

if TYPE_CHECKING:
    from orchestrator.blocks.aws import AwsCredentials, S3Bucket
    from orchestrator.blocks.block import Block
    from orchestrator.blocks.database import SqlAlchemyConnector
    from orchestrator.blocks.email import EmailServerCredentials
    from orchestrator.blocks.fields import SecretDict
    from orchestrator.blocks.files import LocalFileSystem, RemoteFileSystem
    from orchestrator.blocks.git import GitCredentials
    from orchestrator.blocks.notifications import AppriseNotification
    from orchestrator.blocks.values import JSON, Secret
    from orchestrator.blocks.webhooks import SlackWebhook, Webhook

__all__ = [
    "JSON",
    "AppriseNotification",
    "AwsCredentials",
    "Block",
    "EmailServerCredentials",
    "GitCredentials",
    "LocalFileSystem",
    "RemoteFileSystem",
    "S3Bucket",
    "Secret",
    "SecretDict",
    "SlackWebhook",
    "SqlAlchemyConnector",
    "Webhook",
]

_HOME = {
    "JSON": "values",
    "AppriseNotification": "notifications",
    "AwsCredentials": "aws",
    "Block": "block",
    "EmailServerCredentials": "email",
    "GitCredentials": "git",
    "LocalFileSystem": "files",
    "RemoteFileSystem": "files",
    "S3Bucket": "aws",
    "Secret": "values",
    "SecretDict": "fields",
    "SlackWebhook": "webhooks",
    "SqlAlchemyConnector": "database",
    "Webhook": "webhooks",
}


__getattr__ = lazy(__name__, _HOME)


def __dir__() -> list[str]:
    return sorted(__all__)
