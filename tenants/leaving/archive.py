"""The zip of an export: JSON Lines, one file a table, written as it is read, a few rows at a time.

What is read and what is not is decided here, for tables of today and of tomorrow: every table with an organization's
rows but for those named below, every column but for those named below and those of bytes, which are hashes, sealed
secrets and keys. Code is the exception: bundles are written as they are.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils.timezone import now

from tenants.errors import TooLarge
from tenants.leaving.tables import Table, tables
from tenants.scope import tenant_scope

PIECE = 1 << 20  # bytes
FETCHED = 100  # rows in memory; one may have a megabyte
PAGE = 5_000  # rows of one transaction
LEFT_OUT = frozenset({
    "organization_key",  # keys
    "outbox_message", "lease", "slot", "journal_stream", "threshold_told",  # the installation's own marks
    "usage_delta",  # on its way into usage_day
    "export", "export_chunk", "departure",
})  # fmt: skip
HIDDEN = {"organization_id", "token"}
README = """An export of one organization of Orchestrator.

Each .jsonl file is a table, each line of it one row as a JSON object, in no order that means anything. Ids are UUIDs
and refer to `id` in the file of the thing: `flow_id` to flow.jsonl, and so on; `user_id` to people.jsonl. Times are ISO
8601, durations microseconds unless said otherwise. bundles/ holds code, by its SHA-256. Secrets, keys and hashes are
left out; `{"$secret": true}` stands where a secret was. docs/people.md of Orchestrator describes the files.
"""

Lines = Iterator[list[str]]
Reader = Callable[[UUID], Lines]
_readers: dict[str, Reader] = {}


def reads(table: str) -> Callable[[Reader], Reader]:
    """Register what reads a table that can't be read by id: it is partitioned."""

    def register(reader: Reader) -> Reader:
        _readers[table] = reader
        return reader

    return register


class Pieces:
    """A file that can only be written to, and hands on what was written in pieces of 1 MiB."""

    def __init__(self, keep: Callable[[int, bytes], None], most: int) -> None:
        self._keep, self._most = keep, most
        self._buffer = bytearray()
        self._hash = hashlib.sha256()
        self.number = self.size = 0

    def write(self, data: Any) -> int:
        self._buffer += data
        while len(self._buffer) >= PIECE:
            self._hand_on(PIECE)
        return len(data)

    def flush(self) -> None:
        """Asked by zipfile; pieces are handed on when they are whole."""

    def end(self) -> str:
        """Hand on the rest; answer the SHA-256 of all."""
        self._hand_on(len(self._buffer))
        return self._hash.hexdigest()

    def _hand_on(self, length: int) -> None:
        piece = bytes(self._buffer[:length])
        del self._buffer[:length]
        self.size += len(piece)
        if self.size > self._most:
            raise TooLarge(f"The export is larger than the {self._most:,} bytes that this installation keeps.")
        self._hash.update(piece)
        if piece:
            self._keep(self.number, piece)
            self.number += 1


def write(organization_id: UUID, pieces: Pieces) -> dict[str, int]:
    """Write the zip; answer how many rows went into each file. Opens scopes of its own."""
    counts: dict[str, int] = {}
    with zipfile.ZipFile(pieces, "w", zipfile.ZIP_DEFLATED) as zip:
        zip.writestr("README.txt", README)
        for name, lines in _files(organization_id):
            counts[name] = _write_lines(zip, name, lines)
        _write_code(zip, organization_id)
        zip.writestr("counts.json", json.dumps(counts, indent=1))
    return counts


def _write_lines(zip: zipfile.ZipFile, name: str, lines: Lines) -> int:
    number = 0
    with closing(lines), zip.open(_entry(f"{name}.jsonl"), "w", force_zip64=True) as file:
        for some in lines:
            file.write("".join(f"{line}\n" for line in some).encode())
            number += len(some)
    return number


def _entry(name: str, packed: int = zipfile.ZIP_DEFLATED) -> zipfile.ZipInfo:
    """An entry of today. By its name alone it would be of 1980."""
    entry = zipfile.ZipInfo(name, now().timetuple()[:6])
    entry.compress_type = packed
    return entry


def _files(organization_id: UUID) -> Iterator[tuple[str, Lines]]:
    with tenant_scope(organization_id):
        known = tables()
    yield "organization", fetched(organization_id, "SELECT to_jsonb(each)::text FROM organization each", [])
    yield "people", fetched(organization_id, _PEOPLE, [])
    for name, table in sorted(known.items()):
        if name in _readers:
            yield name, _readers[name](organization_id)
        elif name not in LEFT_OUT:
            yield name, _by_id(organization_id, table)


_PEOPLE = """
    SELECT json_build_object('id', p.id, 'email', p.email, 'name', p.name)::text
    FROM membership m JOIN person p ON p.id = m.user_id
"""


def columns_of(table: Table) -> str:
    """The SQL that makes JSON of a row called `each` (a name that no column has), without what is not told."""
    hidden = sorted(name for name, type in table.columns.items() if type == "bytea" or name in HIDDEN)
    return f"(to_jsonb(each) - ARRAY[{', '.join(repr(name) for name in hidden)}])::text"


def _by_id(organization_id: UUID, table: Table) -> Lines:
    """All rows of an ordinary table, page by page, so that no transaction lasts."""
    after = UUID(int=0)
    while after is not None:
        last = None
        statement = f"SELECT {columns_of(table)}, id FROM {table.name} each WHERE id > %s ORDER BY id LIMIT %s"
        for rows in _rows(organization_id, statement, [after, PAGE]):
            last = rows[-1][1]
            yield [text for text, _ in rows]
        after = last


def fetched(organization_id: UUID, statement: str, values: list[Any]) -> Lines:
    """The first column of what a statement answers, some rows at a time, in one transaction of the tenant's."""
    for rows in _rows(organization_id, statement, values):
        yield [row[0] for row in rows]


def _rows(organization_id: UUID, statement: str, values: list[Any]) -> Iterator[list[tuple]]:
    with tenant_scope(organization_id), connection.chunked_cursor() as cursor:
        cursor.execute(statement, values)
        while rows := cursor.fetchmany(FETCHED):
            yield rows


def _write_code(zip: zipfile.ZipFile, organization_id: UUID) -> None:
    """Bundles, one at a time. They are zips already."""
    after = ""
    while after is not None:
        with tenant_scope(organization_id), connection.cursor() as cursor:
            cursor.execute("SELECT sha256, content FROM bundle WHERE sha256 > %s ORDER BY sha256 LIMIT 1", [after])
            found = cursor.fetchone()
        after = found[0] if found else None
        if found:
            zip.writestr(_entry(f"bundles/{found[0]}.zip", zipfile.ZIP_STORED), bytes(found[1]))
