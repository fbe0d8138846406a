"""Who the servers run as. PostgreSQL refuses to run as root, so root starts them as `nobody`."""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAME = "nobody"


@dataclass(frozen=True)
class Account:
    """A system user that owns nothing else of ours."""

    uid: int
    gid: int

    def process_options(self) -> dict[str, Any]:
        """The arguments by which `subprocess` starts a process as this user."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def account() -> Account | None:
    """The user to change to, or None where we are an ordinary user already."""
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam(NAME)
    return Account(uid=entry.pw_uid, gid=entry.pw_gid)


def reachable(path: Path) -> bool:
    """Say whether everybody may pass through `path` and each directory above it. What is missing counts as passable."""
    path = path.resolve()
    return all(_passable(each) for each in (path, *path.parents))


def _passable(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return True
    return bool(mode & stat.S_IXOTH)


def own(path: Path, owner: Account | None) -> None:
    """Give `path` to the servers' user, where there is one."""
    if owner is not None:
        os.chown(path, owner.uid, owner.gid)
