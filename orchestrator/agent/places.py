"""Where a deployment's code is on this machine: a directory, or a copy of what is kept elsewhere.

What is elsewhere is opened with a block that is read by the token of the run that it is for: the agent's own key may
read none.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.agent import bundles
from orchestrator.client import Client
from orchestrator.code_sources import wrong_in_source
from orchestrator.config import Api
from orchestrator.exceptions import LoadError

if TYPE_CHECKING:
    from orchestrator.git import Credentials
    from orchestrator.result_storage.base import ResultStorage


class Place(NamedTuple):
    """A directory, and the commit that it holds, if it came from a repository."""

    directory: str
    commit: str = ""


def place_of(source: dict[str, Any], client: Client, token: str = "") -> Place:
    """The directory that holds a deployment's code on this machine.

    Args:
        client: Asks for bundles.
        token: Asks for blocks; the client's own key does where there is none.

    Raises:
        LoadError: It is not there, is not what its address says, or can't be fetched.
        ApiError: The server can't be asked.
    """
    kind = source.get("type")
    if kind == "path":
        return Place(_directory(source.get("path", "")))
    if kind == "bundle":
        return Place(str(bundles.unpacked(source["sha256"], client)))
    # A server may be of another version, and is not asked what git is to be given.
    if wrong := wrong_in_source(source):
        raise LoadError(f"The source of this deployment is not taken here: {wrong}.")
    if kind == "git":
        return _from_git(source, client, token)
    if kind == "remote":
        return Place(_from_storage(source, client, token))
    raise LoadError(f"Agents of this version find no code in a source of the type {kind}.")


def _directory(path: str) -> str:
    if not os.path.isdir(path):
        raise LoadError(f"There is no directory {path} on this machine. Deploy a bundle, or put the code there.")
    return path


def _from_git(source: dict[str, Any], client: Client, token: str) -> Place:
    from orchestrator.git import Credentials, Repository, copy_of

    block = _block(source.get("credentials"), client, token)
    repository = Repository(
        source["url"],
        revision_of(source),
        tuple(source.get("directories") or ()),
        bool(source.get("submodules")),
        credentials_in(block["data"]) if block else Credentials(),
    )
    directory, commit = copy_of(repository)
    return Place(str(directory), commit)


def revision_of(source: dict[str, Any]) -> str:
    """What git is asked for."""
    if source.get("branch"):
        return f"refs/heads/{source['branch']}"
    return f"refs/tags/{source['tag']}" if source.get("tag") else source.get("commit") or ""


def credentials_in(data: dict[str, Any]) -> Credentials:
    """The credentials that a block holds: of git, a secret, or another one with a token."""
    from orchestrator import masking
    from orchestrator.git import Credentials

    value = data.get("value", data)
    told = value if isinstance(value, dict) else {"token": value}
    token = str(told.get("token") or told.get("access_token") or told.get("password") or "")
    key = str(told.get("private_key") or "")
    masking.hide({text for text in (token, key) if text})
    if not token and not key:
        raise LoadError("The block of the source's credentials has no token, no password and no private_key.")
    return Credentials(str(told.get("username") or ""), token, key)


def _from_storage(source: dict[str, Any], client: Client, token: str) -> str:
    from orchestrator.remote_code import copy_of

    block = _block(source.get("block"), client, token)
    name = f"{source['url']} {source.get('block') or ''}".strip()
    try:
        return str(copy_of(_storage(source["url"], block), name))
    except ValueError as error:
        raise LoadError(f"The code at {source['url']} can't be fetched: {error}") from error


def _storage(url: str, block: dict[str, Any] | None) -> ResultStorage:
    from orchestrator.result_storage.choice import storage_of

    if block is None:
        return storage_of(url)
    from orchestrator.blocks import Block

    return storage_at(url, Block._made_from(block))


def storage_at(url: str, block: Any) -> ResultStorage:
    """The storage at an address, opened with what a block says.

    Raises:
        ValueError: The block opens no such address.
    """
    from orchestrator.blocks import AwsCredentials, RemoteFileSystem, S3Bucket
    from orchestrator.result_storage.addresses import Address
    from orchestrator.result_storage.choice import storage_of

    bucket, _, folder = url.partition("://")[2].partition("/")
    if isinstance(block, AwsCredentials):
        told = {"bucket_name": bucket, "bucket_folder": folder, "credentials": block}
        return storage_of(S3Bucket.model_validate(told))
    if isinstance(block, S3Bucket):
        return storage_of(block.model_copy(update={"bucket_name": bucket, "bucket_folder": folder}))
    if isinstance(block, RemoteFileSystem):
        return Address(url, block.settings.get_secret_value())
    raise ValueError(f"A block of the type {block.get_block_type_slug()} opens no addresses.")


def _block(reference: str | None, client: Client, token: str) -> dict[str, Any] | None:
    if reference is None:
        return None
    if not token:
        return _value(reference, client)
    with Client(Api(client.api.url, token)) as asking:
        return _value(reference, asking)


def _value(reference: str, client: Client) -> dict[str, Any]:
    from orchestrator.blocks.documents import path_of

    return client.post(f"{path_of(*reference.split('/'))}/value", {}, again=True)
