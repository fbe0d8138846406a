"""The checkout of git that somebody deploys from, if it is one: what is told of it with a deployment."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

PATIENCE = 5.0  # seconds; a deployment does not wait for a slow disk


def facts_of(directory: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The commit, the branch, and whether files differ from it; None outside of a checkout, or without git."""
    commit = _git(directory, "rev-parse", "--verify", "HEAD")
    if not commit:
        return None
    changed = _git(directory, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "branch": _git(directory, "branch", "--show-current") or "", "dirty": changed != ""}


def top_of(directory: str | os.PathLike[str]) -> Path | None:
    """The top of the checkout that a directory is in."""
    found = _git(directory, "rev-parse", "--show-toplevel")
    return Path(found) if found else None


def address_of(directory: str | os.PathLike[str]) -> str | None:
    """Where the checkout's repository was cloned from, without a password."""
    from orchestrator.code_sources import wrong_in_address

    found = _git(directory, "remote", "get-url", "origin")
    return found if found and not wrong_in_address(found) else None


def branch_of(directory: str | os.PathLike[str]) -> str | None:
    """The branch that is checked out."""
    return _git(directory, "branch", "--show-current") or None


def _git(directory: str | os.PathLike[str], *arguments: str) -> str | None:
    """What git says; None when it can't."""
    command = ["git", "-c", "core.fsmonitor=false", "-C", os.fspath(directory), "--no-optional-locks", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False, errors="replace")
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
