"""Where the code of a deployment is, as the API keeps it: what a source may say. Shared by every server.

| type | says |
|---|---|
| `path` | `path`: a directory of the agents' machines |
| `bundle` | `sha256`: of an uploaded zip |
| `git` | `url`, one of `branch`, `tag`, `commit`, `credentials` (type/name of a block), `directories`, `submodules` |
| `remote` | `url` that fsspec knows, `block` (type/name of a file system or of credentials) |
| `image` | `image`: in which the code is, `path` within it |

Agents fetch, with the credentials of a block that they read by the run's own token. No source holds a secret, and none
has words that git would take for an option or a command.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from orchestrator.storable import clean_text

MAX_ADDRESS = 2_000
MAX_PATH = 4_096
MAX_DIRECTORIES = 100
ALLOWED = (
    '{"type": "bundle", "sha256": …}, {"type": "path", "path": …}, {"type": "git", "url": …} or'
    ' {"type": "remote", "url": …}.'
)
_KEYS = {
    "path": {"type", "path"},
    "bundle": {"type", "sha256"},
    "git": {"type", "url", "branch", "tag", "commit", "credentials", "directories", "submodules"},
    "remote": {"type", "url", "block"},
    "image": {"type", "image", "path"},
}
_SCP = re.compile(r"\w[\w.-]*@[\w][\w.-]*:[^\s:][^\s]*")
_REVISION = re.compile(r"[\w][\w./+@#=-]{0,249}")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_BLOCK = re.compile(r"[a-z0-9][a-z0-9-]{0,99}/[a-z0-9][a-z0-9-]{0,99}")
_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*://\S+")
_IMAGE = re.compile(r"[\w][\w./:@-]{0,499}")


def checkout_of(told: dict[str, Any] | None) -> dict[str, Any] | None:
    """What who deploys has said of their checkout of git, bounded."""
    if not told or not isinstance(told.get("commit"), str):
        return None
    branch = told.get("branch")
    return {
        "commit": clean_text(told["commit"], 64),
        "branch": clean_text(branch, 250) if isinstance(branch, str) else "",
        "dirty": told.get("dirty") is True,
    }


def wrong_in_source(source: dict[str, Any]) -> dict[str, str]:
    """What of a source can't be taken, by field; nothing, if all of it can.

    >>> wrong_in_source({"type": "git", "url": "https://git.example/team/flows.git", "branch": "main"})
    {}
    >>> wrong_in_source({"type": "git", "url": "ext::sh -c whoami"})
    {'source.url': 'https://…, http://…, ssh://… or user@host:path, without blanks.'}
    """
    kind = source.get("type")
    if not isinstance(kind, str) or kind not in _KEYS:
        return {"source": ALLOWED}
    if kind in ("path", "bundle"):
        return {} if _is_text(source.get("path" if kind == "path" else "sha256"), MAX_PATH) else {"source": ALLOWED}
    wrong = {f"source.{name}": f"Not known of a source of type {kind}." for name in sorted(source.keys() - _KEYS[kind])}
    return wrong | {"git": _wrong_in_git, "remote": _wrong_in_remote, "image": _wrong_in_image}[kind](source)


def _wrong_in_git(source: dict[str, Any]) -> dict[str, str]:
    wrong = wrong_in_address(source.get("url"))
    named = [name for name in ("branch", "tag", "commit") if source.get(name) is not None]
    if len(named) > 1:
        wrong[f"source.{named[1]}"] = "One of branch, tag and commit."
    for name in named:
        if not is_revision(source[name]):
            wrong[f"source.{name}"] = f"The name of a {name}, 250 characters at most."
    if source.get("commit") is not None and not is_commit(source["commit"]):
        wrong["source.commit"] = "The whole id: 40 or 64 hexadecimal digits."
    if not _is_block(source.get("credentials")):
        wrong["source.credentials"] = "type/name of a block, such as git-credentials/ours or secret/token."
    directories = source.get("directories")
    if directories is not None and not _are_directories(directories):
        wrong["source.directories"] = f"Up to {MAX_DIRECTORIES} directories below the top of the repository."
    if not isinstance(source.get("submodules", False), bool):
        wrong["source.submodules"] = "true or false."
    return wrong


def wrong_in_address(url: Any) -> dict[str, str]:
    """What is wrong with the address of a repository."""
    told = "https://…, http://…, ssh://… or user@host:path, without blanks."
    if not _is_text(url, MAX_ADDRESS) or re.search(r"[\s\\]", url) or not url.isprintable():
        return {"source.url": told}
    if _SCP.fullmatch(url) and "://" not in url:
        return {}
    try:
        parts = urlsplit(url)
        host, password, user = parts.hostname or "", parts.password, parts.username
    except ValueError:
        return {"source.url": told}
    if parts.scheme not in ("https", "http", "ssh") or not re.match(r"[\w\[]", host) or host.startswith("-"):
        return {"source.url": told}
    if password or (user and parts.scheme != "ssh") or (user or "").startswith("-"):
        return {"source.url": "An address holds no user and no password: put them into a block, named by credentials."}
    return {}


def is_revision(name: Any) -> bool:
    """Whether a text can be the name of a branch, a tag or a commit, and nothing else to git."""
    return _matches(_REVISION, name) and ".." not in name and "@{" not in name and not name.endswith((".lock", "/"))


def is_commit(name: Any) -> bool:
    """Whether it is the whole id of a commit."""
    return _matches(_COMMIT, name)


def _wrong_in_remote(source: dict[str, Any]) -> dict[str, str]:
    wrong = {}
    url = source.get("url")
    if not isinstance(url, str) or len(url) > MAX_ADDRESS or not _matches(_REMOTE, url):
        wrong["source.url"] = "An address such as s3://bucket/folder."
    elif re.match(r"[^/]+://[^/@]*:[^/@]*@", url):
        wrong["source.url"] = "An address holds no password: put it into a block."
    if not _is_block(source.get("block")):
        wrong["source.block"] = "type/name of a block, such as remote-file-system/ours."
    return wrong


def _wrong_in_image(source: dict[str, Any]) -> dict[str, str]:
    wrong = {}
    if not _matches(_IMAGE, source.get("image")):
        wrong["source.image"] = "The name of an image, such as registry.example/team/flows:7."
    if source.get("path") is not None and not _is_text(source["path"], MAX_PATH):
        wrong["source.path"] = "A directory within the image."
    return wrong


def _are_directories(told: Any) -> bool:
    return isinstance(told, list) and 0 < len(told) <= MAX_DIRECTORIES and all(map(_is_directory, told))


def _is_directory(path: Any) -> bool:
    if not _is_text(path, MAX_PATH) or not path.isprintable() or path.startswith(("-", "/", ":", "!", "#")):
        return False
    return not any(letter in path for letter in '*?[]\\"') and ".." not in path.split("/")


def _is_block(reference: Any) -> bool:
    return reference is None or _matches(_BLOCK, reference)


def _matches(pattern: re.Pattern[str], text: Any) -> bool:
    return isinstance(text, str) and pattern.fullmatch(text) is not None


def _is_text(text: Any, most: int) -> bool:
    return isinstance(text, str) and 0 < len(text) <= most
