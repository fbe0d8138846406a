"""Code that is kept elsewhere: a directory as it is, a git repository as a copy on this machine."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from orchestrator.config import home
from orchestrator.exceptions import LoadError
from orchestrator.masking import MASK

FETCH_SECONDS = 300.0
KEPT_SECONDS = 30 * 86_400.0  # after the last fetch
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
    """A copy of one commit, in a directory that no later one replaces: another process may be running it.

    The address may hold a password: it is not told.
    """
    if shutil.which("git") is None:
        raise LoadError("git is not installed here: install it, or give a directory.")
    sources = home() / "sources"
    sources.mkdir(parents=True, exist_ok=True, mode=0o700)
    _forget_old(sources)
    with tempfile.TemporaryDirectory(dir=sources) as folder:
        draft = Path(folder, "code")
        _git("init", "--quiet", str(draft))
        _git("-C", str(draft), "fetch", "--quiet", "--depth", "1", "--", address, revision or "HEAD")
        _git("-C", str(draft), "checkout", "--quiet", "FETCH_HEAD")
        commit = _git("-C", str(draft), "rev-parse", "HEAD")
        kept = sources / f"{hashlib.sha256(address.encode()).hexdigest()[:16]}-{commit[:16]}"
        with contextlib.suppress(OSError):  # Another process has it there already, and may be running it.
            draft.rename(kept)
    kept.touch()
    return kept


def _forget_old(sources: Path) -> None:
    """Remove what nobody has fetched for a long time."""
    for path in sources.iterdir():
        with contextlib.suppress(FileNotFoundError):  # Another process does the same.
            if path.stat().st_mtime < time.time() - KEPT_SECONDS:
                shutil.rmtree(path, ignore_errors=True)


def _git(*arguments: str) -> str:
    """Run git; what it says."""
    command = ["git", "-c", "core.hooksPath=/dev/null", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False, env=_quiet())
    except subprocess.TimeoutExpired:
        raise LoadError(f"The repository did not answer within {FETCH_SECONDS:.0f} seconds.") from None
    if done.returncode:
        reason = re.sub(r"://[^/@\s]+@", f"://{MASK}@", done.stderr.strip())
        raise LoadError(f"The repository can't be fetched: {reason}")
    return done.stdout.strip()


def _quiet() -> dict[str, str]:
    """Git may not ask for a password where nobody would see the question."""
    return {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
