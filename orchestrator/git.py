"""A copy of one commit of a repository on this machine, made by git.

Credentials go by the environment of git's own process, for one host: they are in no argument, no file that stays, no
address and no message. Only https, http, ssh and, for what is called by hand, files of this machine are spoken.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from orchestrator import copies
from orchestrator.code_sources import is_commit
from orchestrator.config import home
from orchestrator.copies import FETCH_SECONDS
from orchestrator.exceptions import LoadError
from orchestrator.masking import MASK

_SSH = "-o BatchMode=yes -o StrictHostKeyChecking=accept-new -o ConnectTimeout=30"
LEFT_SECONDS = 3 * FETCH_SECONDS  # after which no git can be at work with a key any more
_TRACES = re.compile(r"GIT_(TRACE|CURL_VERBOSE|REDIRECT|DIR$|WORK_TREE$|INDEX_FILE$|ASKPASS$)")


@dataclass(frozen=True, slots=True)
class Credentials:
    """By what a repository is opened: a user and a token over https, a private key over ssh."""

    username: str = ""
    token: str = field(default="", repr=False)
    private_key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository and what of it is wanted.

    Args:
        revision: `refs/heads/…`, `refs/tags/…`, a commit, any name that the other side knows, or nothing for its HEAD.
        directories: Only these, and the files at the top; all, where there are none.
    """

    url: str
    revision: str = ""
    directories: tuple[str, ...] = ()
    submodules: bool = False
    credentials: Credentials = Credentials()

    @property
    def key(self) -> str:
        """What copies of it have in common."""
        told = "\0".join([self.url, str(self.submodules), *sorted(self.directories)])
        return hashlib.sha256(told.encode()).hexdigest()[:16]


@dataclass(slots=True)
class _Seen:
    """Which commit a revision was, when somebody asked last."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    asked_at: float = 0.0
    commit: str = ""


_seen: dict[tuple[str, str, Credentials], _Seen] = {}
_seen_lock = threading.Lock()


def copy_of(repository: Repository) -> tuple[Path, str]:
    """The directory of a copy of the revision, and its commit.

    Raises:
        LoadError: git is not installed, or the repository can't be fetched.
    """
    if shutil.which("git") is None:
        raise LoadError("git is not installed here: install it, or deploy a bundle.")
    commit = repository.revision if is_commit(repository.revision) else _resolved(repository)
    copy = copies.place_of(repository.key, commit)
    if not copy.is_dir():
        with copies.locked(repository.key):
            if not copy.is_dir():
                commit = _cloned(repository, commit)
    return copies.use(copies.place_of(repository.key, commit)), commit


def _resolved(repository: Repository) -> str:
    """The commit that the revision is now. Those who ask while somebody else asks share the next answer."""
    asked_at = time.monotonic()
    with _seen_lock:
        seen = _seen.setdefault((repository.url, repository.revision, repository.credentials), _Seen())
    with seen.lock:
        if seen.asked_at <= asked_at:
            seen.asked_at = time.monotonic()
            seen.commit = _asked(repository)
        return seen.commit


def _asked(repository: Repository) -> str:
    wanted = repository.revision or "HEAD"
    with _environment(repository) as environment:
        told = _git(["ls-remote", "--quiet", "--", repository.url, wanted, f"{wanted}^{{}}"], environment)
    found = {name: commit for commit, _, name in (line.partition("\t") for line in told.splitlines())}
    for name in (f"refs/tags/{wanted}^{{}}", f"{wanted}^{{}}", f"refs/tags/{wanted}", f"refs/heads/{wanted}", wanted):
        if name in found:
            return found[name]
    raise LoadError(f"The repository has no {wanted.removeprefix('refs/heads/').removeprefix('refs/tags/')!r}.")


def _cloned(repository: Repository, commit: str) -> str:
    with copies.draft() as draft, _environment(repository) as known:
        _git(["init", "--quiet", str(draft)], known)

        def git(*arguments: str) -> str:
            return _git(["-C", str(draft), *arguments], known)

        git("remote", "add", "origin", repository.url)
        commit = _fetched(git, repository, commit)
        if repository.directories:
            git("sparse-checkout", "set", "--cone", *repository.directories)
        git("checkout", "--quiet", "--detach", commit)
        if repository.submodules:
            git("submodule", "--quiet", "update", "--init", "--recursive", "--depth", "1")
        copies.keep(draft, copies.place_of(repository.key, commit))
    return commit


def _fetched(git: Callable[..., str], repository: Repository, commit: str) -> str:
    """Fetch one commit, without its past; which one it was.

    Where the other side gives out no commit by its id, its branch is fetched, which may have gone on; or everything,
    when nothing but the id is known.
    """
    few = ["--depth", "1", *(["--filter=blob:none"] if repository.directories else [])]
    with contextlib.suppress(LoadError):
        git("fetch", "--quiet", "--no-tags", *few, "origin", commit)
        return commit
    if is_commit(repository.revision):
        git("fetch", "--quiet", "--tags", "origin", "+refs/heads/*:refs/remotes/origin/*")
        return commit
    git("fetch", "--quiet", "--no-tags", *few, "origin", repository.revision or "HEAD")
    return git("rev-parse", "FETCH_HEAD^{commit}")


@contextlib.contextmanager
def _environment(repository: Repository) -> Generator[dict[str, str]]:
    """The environment of git's process. It may not ask for a password where nobody would see the question."""
    known = {name: value for name, value in os.environ.items() if not _TRACES.match(name)}
    known |= {"GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": "https:http:ssh:file", "LC_ALL": "C"}
    settings = {
        "core.hooksPath": "/dev/null", "core.fsmonitor": "false", "http.lowSpeedLimit": "1000",
        "http.lowSpeedTime": "60", "protocol.file.allow": "always" if _is_local(repository.url) else "never",
    }  # fmt: skip
    given = repository.credentials
    parts = urlsplit(repository.url)
    if given.token and parts.scheme in ("https", "http"):
        place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/"
        pair = base64.b64encode(f"{given.username or 'x-access-token'}:{given.token}".encode()).decode()
        settings[f"http.{place}.extraHeader"] = f"Authorization: Basic {pair}"
    with contextlib.ExitStack() as stack:
        if given.private_key:
            file = shlex.quote(str(stack.enter_context(_key_file(given.private_key))))
            known["GIT_SSH_COMMAND"] = f"ssh -i {file} -o IdentitiesOnly=yes {_SSH}"
        else:
            known.setdefault("GIT_SSH_COMMAND", f"ssh {_SSH}")
        known["GIT_CONFIG_COUNT"] = str(len(settings))
        for number, (name, value) in enumerate(settings.items()):
            known |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
        yield known


@contextlib.contextmanager
def _key_file(private_key: str) -> Generator[Path]:
    """A file with the key, since ssh takes it from nowhere else: for this user alone, and for as long as git runs.

    What a process has left that was killed meanwhile goes with the next one.
    """
    keys = home() / "keys"
    keys.mkdir(parents=True, exist_ok=True, mode=0o700)
    for left in keys.iterdir():
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > LEFT_SECONDS:
                shutil.rmtree(left)
    with tempfile.TemporaryDirectory(dir=keys, ignore_cleanup_errors=True) as folder:
        file = Path(folder, "key")
        file.touch(mode=0o600)
        file.write_text("\n".join([*private_key.strip().splitlines(), ""]))  # A form gives CRLF, which ssh can't read.
        yield file


def _is_local(url: str) -> bool:
    return url.startswith(("file://", "/"))


def _git(arguments: list[str], environment: dict[str, str]) -> str:
    """Run git; what it says. Past its time it is killed with all processes that it started."""
    process = subprocess.Popen(
        ["git", *arguments], env=environment, text=True, errors="replace", start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        told, complaint = process.communicate(timeout=FETCH_SECONDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise LoadError(f"The repository did not answer within {FETCH_SECONDS:.0f} seconds.") from None
    if process.returncode:
        raise LoadError(f"The repository can't be fetched: {_without_secrets(complaint.strip(), environment)}")
    return told.strip()


def _without_secrets(text: str, environment: dict[str, str]) -> str:
    for name, value in environment.items():
        if name.startswith("GIT_CONFIG_VALUE_") and value.startswith("Authorization: Basic "):
            pair = value.removeprefix("Authorization: Basic ")
            for secret in (pair, base64.b64decode(pair).decode().partition(":")[2]):
                text = text.replace(secret, MASK)
    return re.sub(r"://[^/@\s]+@", f"://{MASK}@", text)[-2_000:]
