"""Code that is kept elsewhere: a directory as it is, a git repository as a copy on this machine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

from orchestrator.code_sources import is_commit
from orchestrator.exceptions import LoadError
from orchestrator.git import Credentials, Repository, copy_of

if TYPE_CHECKING:
    from orchestrator.runner.storage import CodeSource

_GIT = re.compile(r"(https?|ssh|git|file)://|[\w.-]+@[\w.-]+:|.*\.git(@[^/@]+)?$")
_REVISION = re.compile(r"(?P<address>.+?[^/:@])@(?P<revision>[^/@:]+(?:/[^/@:]+)*)$")


def fetched(source: str | Path | CodeSource) -> Path:
    """The directory in which the code is.

    Args:
        source: A directory, the address of a git repository, with `@revision` behind it or not, or a GitRepository or
            RemoteStorage of `orchestrator.runner.storage`.

    Raises:
        LoadError: There is no such directory, or the repository can't be fetched.
    """
    if not isinstance(source, str | Path):
        return source.fetch()
    if isinstance(source, str) and _GIT.match(source):
        address, revision = split(source)
        return copy_of(_opened(address, revision))[0]
    directory = Path(source).expanduser()
    if not directory.is_dir():
        raise LoadError(f"{directory} is no directory. Give one, or the address of a git repository.")
    return directory.resolve()


def kept_in(source: str | Path | CodeSource, entrypoint: str) -> tuple[CodeSource, str] | None:
    """From where agents fetch the code themselves; None for what only this machine can reach, which is packed.

    Raises:
        ValueError: The address holds a password.
    """
    if not isinstance(source, str | Path):
        return source, entrypoint
    if not isinstance(source, str) or not _GIT.match(source) or source.startswith(("file://", "git://", "/", ".")):
        return None
    from orchestrator.runner.storage import GitRepository

    address, revision = split(source)
    # A name may be a branch or a tag: git is asked for whatever it is.
    return GitRepository(
        address,
        branch=revision if revision and not is_commit(revision) else None,
        commit_sha=revision if is_commit(revision) else None,
    ), entrypoint


def split(source: str) -> tuple[str, str]:
    """An address, and the revision behind it, if there is one.

    >>> split("https://git.example/team/flows.git@release/7")
    ('https://git.example/team/flows.git', 'release/7')
    >>> split("git@git.example:team/flows.git")
    ('git@git.example:team/flows.git', '')
    >>> split("https://user:secret@git.example/flows")
    ('https://user:secret@git.example/flows', '')
    """
    scheme, mark, rest = source.rpartition("://")
    host, slash, path = rest.partition("/") if mark else rest.partition(":")
    match = _REVISION.match(path)
    if match is None:
        return source, ""
    return f"{scheme}{mark}{host}{slash}{match['address']}", match["revision"]


def _opened(address: str, revision: str) -> Repository:
    """The repository at an address that may hold a user and a password: git is given these in another way."""
    if not address.startswith(("https://", "http://")):
        return Repository(address, revision)
    parts = urlsplit(address)
    place = parts.netloc.rpartition("@")[2]
    user, token = unquote(parts.username or ""), unquote(parts.password or "")
    # `https://TOKEN@host/…` is how many write it.
    known = Credentials(user, token) if token else Credentials("", user)
    return Repository(urlunsplit(parts._replace(netloc=place)), revision, credentials=known)
