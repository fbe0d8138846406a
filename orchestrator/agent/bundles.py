"""Bundles of code, by their hash: fetched once, verified, unpacked once."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from orchestrator.client import Client
from orchestrator.config import home
from orchestrator.exceptions import LoadError
from orchestrator.sources import MAX_BUNDLE

MAX_UNPACKED = 8 * MAX_BUNDLE
MAX_FILES = 20_000


def unpacked(sha256: str, client: Client) -> Path:
    """The directory of a bundle; fetched and unpacked if it is new here."""
    if len(sha256) != 64 or not all(letter in "0123456789abcdef" for letter in sha256):
        raise LoadError(f"{sha256!r} is no address of a bundle.")
    target = home() / "bundles" / sha256
    if target.is_dir():
        return target
    content = client.get(f"/bundles/{sha256}")
    if not isinstance(content, bytes) or hashlib.sha256(content).hexdigest() != sha256:
        raise LoadError(f"The bundle {sha256[:12]} is not what its address says. Deploy again.")
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=target.parent))
    try:
        extract(content, fresh)
        os.replace(fresh, target)
    except OSError:
        if not target.is_dir():  # Else somebody else was faster.
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return target


def extract(content: bytes, target: Path) -> None:
    """Unpack a zip, none of whose members may land outside of `target`.

    Raises:
        LoadError: It is no zip, too large, or has a member that means harm.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except zipfile.BadZipFile:
        raise LoadError("The bundle is no zip file. Deploy again.") from None
    with archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        if len(members) > MAX_FILES or sum(member.file_size for member in members) > MAX_UNPACKED:
            raise LoadError("The bundle is too large when unpacked.")
        for member in members:
            path = _inside(target, member)
            path.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as packed, path.open("wb") as file:
                shutil.copyfileobj(packed, file)


def _inside(target: Path, member: zipfile.ZipInfo) -> Path:
    parts = PurePosixPath(member.filename.replace("\\", "/"))
    link = stat.S_ISLNK(member.external_attr >> 16)
    if parts.is_absolute() or ".." in parts.parts or link or not parts.parts or ":" in parts.parts[0]:
        raise LoadError(f"The bundle has a member that is not taken: {member.filename!r}.")
    return target.joinpath(*parts.parts)
