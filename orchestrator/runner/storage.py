"""Code that is kept elsewhere, for `Flow.from_source(…)` and the `source` of a deployment.

Agents fetch it when a run needs it. What opens it is a block, by its name: a deployment holds no secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.code_sources import wrong_in_source
from orchestrator.exceptions import LoadError

if TYPE_CHECKING:
    from orchestrator.blocks import Block

__all__ = ["CodeSource", "GitRepository", "RemoteStorage"]

_REFERENCE = re.compile(r"[a-z0-9-]+/[a-z0-9-]+")


class CodeSource:
    """What all of them can do."""

    def to_json(self) -> dict[str, Any]:
        """The source as a deployment keeps it.

        Raises:
            ValueError: A server would not take it; the message says why.
        """
        told = {name: value for name, value in self._facts().items() if value}
        if wrong := wrong_in_source(told):
            raise ValueError(" ".join(f"{name}: {what}" for name, what in wrong.items()))
        return told

    def fetch(self) -> Path:
        """A directory of this machine with the code, as it is there now.

        Raises:
            LoadError: It can't be fetched.
        """
        raise NotImplementedError

    def _facts(self) -> dict[str, Any]:
        raise NotImplementedError


class GitRepository(CodeSource):
    """A repository, or a part of it, at a branch, a tag or a commit.

    Args:
        url: `https://…`, `http://…`, `ssh://…` or `user@host:path`, without user and password for https.
        credentials: A block with what opens it, or its name: `git-credentials/ours`, `secret/token`. A mapping of
            `username`, `token` and `private_key` opens it here, and can't be deployed.
        branch: The default branch of the repository, where none of these is given.
        tag: A tag.
        commit_sha: The whole id of a commit.
        directories: Only these, and the files at the top.
        include_submodules: Fetch its submodules too.

    >>> GitRepository("https://git.example/team/flows.git", branch="main", credentials="secret/token").to_json()
    {'type': 'git', 'url': 'https://git.example/team/flows.git', 'branch': 'main', 'credentials': 'secret/token'}
    """

    def __init__(
        self,
        url: str,
        credentials: Block | str | dict[str, Any] | None = None,
        *,
        branch: str | None = None,
        tag: str | None = None,
        commit_sha: str | None = None,
        directories: Iterable[str] | None = None,
        include_submodules: bool = False,
    ) -> None:
        if sum(map(bool, (branch, tag, commit_sha))) > 1:
            raise ValueError("A repository is taken at one of branch, tag and commit_sha.")
        self.url = url
        self.credentials = credentials
        self.branch, self.tag, self.commit_sha = branch, tag, commit_sha
        self.directories = list(directories or ())
        self.include_submodules = include_submodules

    def __repr__(self) -> str:
        return f"GitRepository({self.url!r})"

    def fetch(self) -> Path:
        from orchestrator.agent.places import credentials_in, revision_of
        from orchestrator.git import Credentials, Repository, copy_of

        known = credentials_in(_data(self.credentials)) if self.credentials else Credentials()
        # Of an address that no deployment may have, such as a repository on this machine, all the same.
        wanted = Repository(
            self.url, revision_of(self._facts()), tuple(self.directories), self.include_submodules, known
        )
        return copy_of(wanted)[0]

    def _facts(self) -> dict[str, Any]:
        return {
            "type": "git",
            "url": self.url,
            "branch": self.branch,
            "tag": self.tag,
            "commit": self.commit_sha,
            "credentials": _name_of(self.credentials, "GitCredentials"),
            "directories": self.directories,
            "submodules": self.include_submodules,
        }


class RemoteStorage(CodeSource):
    """A folder of a bucket, or of whatever fsspec has an address for. It is fetched anew when something changes there.

    Args:
        url: `s3://bucket/folder`, `gs://…`, `sftp://…`, `file://…`.
        block: What opens it, or its name: an S3Bucket, AwsCredentials or a RemoteFileSystem. Without any, the
            environment of the agent decides.

    >>> RemoteStorage("s3://flows/nightly", block="aws-credentials/ours").to_json()
    {'type': 'remote', 'url': 's3://flows/nightly', 'block': 'aws-credentials/ours'}
    """

    def __init__(self, url: str, block: Block | str | None = None) -> None:
        self.url = url
        self.block = block

    def __repr__(self) -> str:
        return f"RemoteStorage({self.url!r})"

    def fetch(self) -> Path:
        from orchestrator.agent.places import storage_at
        from orchestrator.blocks import Block
        from orchestrator.remote_code import copy_of
        from orchestrator.result_storage.choice import storage_of

        block = Block._load(self.block) if isinstance(self.block, str) else self.block
        return copy_of(storage_of(self.url) if block is None else storage_at(self.url, block), self.url)

    def _facts(self) -> dict[str, Any]:
        return {"type": "remote", "url": self.url, "block": _name_of(self.block, "block")}


def _name_of(given: Any, what: str) -> str | None:
    """The name under which a block is kept."""
    if given is None or isinstance(given, str):
        return given
    reference = None if isinstance(given, dict) else given.get_reference()
    if reference is None:
        raise ValueError(f"A deployment holds no secrets: save the {what} under a name, and give that block.")
    return reference


def _data(given: Any) -> dict[str, Any]:
    """What a block holds, in clear."""
    if isinstance(given, dict):
        return {name: _clear(value) for name, value in given.items()}
    if isinstance(given, str):
        if not _REFERENCE.fullmatch(given):
            raise LoadError(f"{given!r:.100} is no name of a block, such as git-credentials/ours.")
        from orchestrator.blocks import Block

        given = Block._load(given)
    return {name: _clear(getattr(given, name)) for name in type(given).model_fields}


def _clear(value: Any) -> Any:
    if hasattr(value, "get_secret_value"):
        return value.get_secret_value()
    return value.get() if hasattr(value, "get") and not isinstance(value, dict) else value
