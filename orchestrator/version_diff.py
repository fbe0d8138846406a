"""What differs between two versions of a deployment: settings by name, code file by file.

A bundle is opened as a list of texts: nothing is imported, nothing unpickled, and no more is read than is shown.
Shared by every server that answers the API.
"""

from __future__ import annotations

import difflib
import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

Contents = Callable[[str], bytes | None]
"""The bytes of a bundle, by its SHA-256; None where it is not kept."""

MAX_FILES = 2_000  # of a bundle that are looked at
MAX_FILE = 256 << 10  # bytes; of larger ones is told only that they differ
MAX_READ = 8 << 20  # bytes of one bundle that are unpacked at all
MAX_COMPARED = 5_000  # lines of a file: comparing takes time by their square
MAX_SHOWN = 50  # files with their lines
MAX_LINES = 2_000  # in all
MAX_SETTINGS = 500
TEXTS = (".py", ".pyi", ".toml", ".cfg", ".ini", ".yaml", ".yml", ".json", ".sql", ".txt", ".md", ".sh", ".csv")


class Setting(msgspec.Struct):
    """A setting that differs. `before` and `after` are JSON texts; null where it is in one of both only."""

    name: str
    before: str | None
    after: str | None


class File(msgspec.Struct):
    """A file that differs: `added`, `removed` or `changed`; its lines as in a unified diff, or why there are none."""

    name: str
    change: str
    lines: list[str] = []
    note: str = ""


class Difference(msgspec.Struct):
    """All that differs. `note`: why the code could not be compared, or not whole."""

    settings: list[Setting]
    files: list[File]
    note: str = ""


def difference(before: Mapping[str, Any], after: Mapping[str, Any], contents: Contents) -> Difference:
    """What one definition of a deployment has changed of another; of nothing, where there is none before it."""
    files, note = _files(before.get("source") or {}, after.get("source") or {}, contents)
    return Difference(settings(before, after), files, note)


def settings(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Setting]:
    """The settings that differ, by name."""
    flat, flat_after = dict(_flat("", before)), dict(_flat("", after))
    names = sorted({*flat, *flat_after})
    found = ((name, flat.get(name), flat_after.get(name)) for name in names)
    return [Setting(name, one, other) for name, one, other in found if one != other][:MAX_SETTINGS]


def _flat(place: str, value: Any) -> Iterator[tuple[str, str]]:
    """Each leaf of nested objects by its dotted place, as JSON. What is empty is no setting."""
    if isinstance(value, dict) and value:
        for name in value:
            yield from _flat(f"{place}.{name}" if place else name, value[name])
    elif value not in ({}, [], "", None):
        yield place, json.dumps(value, ensure_ascii=False)[:2_000]


def _files(before: Mapping[str, Any], after: Mapping[str, Any], contents: Contents) -> tuple[list[File], str]:
    if before.get("sha256") == after.get("sha256"):
        return [], "" if after.get("type") == "bundle" else "The server has no copy of this code: agents fetch it."
    try:
        former, latter = _unpacked(before, contents), _unpacked(after, contents)
    except zipfile.BadZipFile:
        return [], "A bundle of these is no zip file that can be read."
    names = [name for name in sorted({*former, *latter}) if former.get(name) != latter.get(name)]
    left = MAX_LINES
    files: list[File] = []
    for name in names[:MAX_SHOWN]:
        file = _compared(name, former.get(name), latter.get(name), left)
        left -= len(file.lines)
        files.append(file)
    more = len(names) - len(files)
    return files, f"{more} more files differ." if more else ""


def _unpacked(source: Mapping[str, Any], contents: Contents) -> dict[str, str]:
    """The files of a bundle by name: texts, or, for what is no text or too large, their checksum after a NUL."""
    if source.get("type") != "bundle":
        return {}
    content = contents(str(source.get("sha256")))
    if content is None:
        return {}
    found: dict[str, str] = {}
    left = MAX_READ
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for member in archive.infolist()[:MAX_FILES]:
            if member.is_dir():
                continue
            text = _text(archive, member, min(MAX_FILE, left))
            found[member.filename[:500]] = text if text is not None else f"\0{member.CRC}"
            left -= len(text or "")
    return found


def _text(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> str | None:
    """A member's text; None for what is none, or has more than `most` bytes, whatever its header says."""
    if not member.filename.endswith(TEXTS) or member.flag_bits & 1:
        return None
    try:
        with archive.open(member) as file:
            content = file.read(most + 1)
        return None if len(content) > most else content.decode()
    except (UnicodeDecodeError, NotImplementedError, zipfile.BadZipFile, EOFError, OSError, ValueError):
        return None
    except Exception as error:  # zlib.error, lzma.LZMAError: of whatever a stranger has packed
        if type(error).__name__ in {"error", "LZMAError"}:
            return None
        raise


def _compared(name: str, before: str | None, after: str | None, most: int) -> File:
    change = "added" if before is None else "removed" if after is None else "changed"
    if any(text is not None and text.startswith("\0") for text in (before, after)):
        return File(name, change, note="No text, or too large to be shown.")
    former, latter = (before or "").splitlines(), (after or "").splitlines()
    if max(len(former), len(latter)) > MAX_COMPARED:
        return File(name, change, note=f"More than {MAX_COMPARED:,} lines.")
    lines: list[str] = []
    for line in list(difflib.unified_diff(former, latter, lineterm=""))[2:]:
        if len(lines) >= most:
            return File(name, change, lines, note="The rest is not shown.")
        lines.append(line[:1_000])
    return File(name, change, lines)
