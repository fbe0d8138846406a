"""Code that is kept elsewhere: a directory as it is, a git repository as a copy on this machine."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from orchestrator.config import home
from orchestrator.exceptions import LoadError

FETCH_SECONDS = 300.0
_GIT = re.compile(r"(https?|ssh|git|file)://|[\w.-]+@[\w.-]+:|.*\.git(@[^/@]+)?$")
_REVISION = re.compile(r"(?P<address>.+?[^/:@])@(?P<revision>[^/@:]+(?:/[^/@:]+)*)$")


def fetched(source: str | Path) -> Path:
    """The directory in which the code is.

    Args:
        source: A directory, or the address of a git repository, with `@revision` behind it or not.

    Raises:
        LoadError: There is no such directory, or the repository can't be fetched.
    """
    if isinstance(source, str) and _GIT.match(source):
        return _cloned(*split(source))
    directory = Path(source).expanduser()
    if not directory.is_dir():
        raise LoadError(f"{directory} is no directory. Give one, or the address of a git repository.")
    return directory.resolve()


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


def _cloned(address: str, revision: str) -> Path:
    """A fresh copy, in place of the one that was fetched before. The address may hold a password: it is not told."""
    if shutil.which("git") is None:
        raise LoadError("git is not installed here: install it, or give a directory.")
    kept = home() / "sources" / hashlib.sha256(f"{address}@{revision}".encode()).hexdigest()[:16]
    kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
        draft = Path(folder, "code")
        _git(address, "init", "--quiet", str(draft))
        _git(address, "-C", str(draft), "fetch", "--quiet", "--depth", "1", "--", address, revision or "HEAD")
        _git(address, "-C", str(draft), "checkout", "--quiet", "FETCH_HEAD")
        shutil.rmtree(kept, ignore_errors=True)
        draft.rename(kept)
    return kept


def _git(address: str, *arguments: str) -> None:
    from orchestrator.masking import MASK

    command = ["git", "-c", "core.hooksPath=/dev/null", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False, env=_quiet())
    except subprocess.TimeoutExpired:
        raise LoadError(f"The repository did not answer within {FETCH_SECONDS:.0f} seconds.") from None
    if done.returncode:
        reason = re.sub(r"://[^/@\s]+@", f"://{MASK}@", done.stderr.strip())
        raise LoadError(f"The repository can't be fetched: {reason.replace(address, _shown(address))}")


def _shown(address: str) -> str:
    return re.sub(r"://[^/@\s]+@", "://", address)


def _quiet() -> dict[str, str]:
    """Git may not ask for a password where nobody would see the question."""
    import os

    return {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
