"""Buckets: S3 and what speaks its protocol, Google's and Azure's. obstore does the work; a put is there whole."""

from __future__ import annotations

import io
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from orchestrator.blocks.needs import needed
from orchestrator.blocks.paths import key_below
from orchestrator.result_storage.base import Listed, ResultStorage
from orchestrator.result_storage.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterable

SCHEMES = frozenset({"s3", "s3a", "gs", "az", "abfs", "abfss"})
_CHUNK = 1 << 20


class Bucket(ResultStorage):
    """Objects of a bucket.

    Args:
        store: A store of obstore.
        base: Its address for people.
        folder: All paths are below it.
    """

    def __init__(self, store: Any, base: str, folder: str = "") -> None:
        self._store = store
        self._base = base.rstrip("/")
        self._folder = folder

    @classmethod
    def at(cls, url: str) -> Bucket:
        """The one of an address such as `s3://bucket/folder`. Keys and regions come from the environment."""
        needed("obstore")
        from obstore.store import from_url

        scheme, _, rest = url.partition("://")
        bucket, _, folder = rest.partition("/")
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
        # Variables of this name are boto3's; obstore knows them, but for the permission to do without TLS.
        options: Any = {"allow_http": True} if scheme in ("s3", "s3a") and endpoint.startswith("http://") else None
        config: Any = {"endpoint": endpoint} if scheme in ("s3", "s3a") and endpoint else None
        return cls(from_url(f"{scheme}://{bucket}", config=config, client_options=options), url, folder)

    def url(self, path: str) -> str:
        return f"{self._base}/{key_below('', path)}"

    @contextmanager
    def writing(self, path: str) -> Generator[BinaryIO]:
        key = key_below(self._folder, path)
        with Spool() as spool:
            yield cast("BinaryIO", spool)
            with _as_os_errors():
                self._put(key, spool)

    def _put(self, key: str, spool: Spool) -> None:
        if spool.is_small:
            self._store.put(key, spool.content())
            return
        spool.seek(0)
        self._store.put(key, spool)

    @contextmanager
    def reading(self, path: str) -> Generator[BinaryIO]:
        with _as_os_errors():
            chunks = self._store.get(key_below(self._folder, path)).stream(_CHUNK)
        yield io.BufferedReader(_Chunks(chunks), _CHUNK)

    def delete(self, path: str) -> bool:
        key = key_below(self._folder, path)
        try:
            with _as_os_errors():
                self._store.head(key)
                self._store.delete(key)
        except FileNotFoundError:
            return False
        return True

    def list(self, folder: str = "") -> Iterator[Listed]:
        below = key_below(self._folder, "")
        prefix = key_below(self._folder, folder)
        with _as_os_errors():
            for batch in self._store.list(prefix=f"{prefix}/" if prefix else None):
                for each in batch:
                    path = each["path"].removeprefix(f"{below}/") if below else each["path"]
                    yield Listed(path, each["size"], each["last_modified"].timestamp(), each["e_tag"] or "")


class _Chunks(io.RawIOBase):
    """A file that is read from what a download brings."""

    def __init__(self, chunks: Iterable[Any]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        if not self._rest:
            with _as_os_errors():
                self._rest = memoryview(next(self._chunks, b""))
        taken = min(len(buffer), len(self._rest))
        buffer[:taken] = self._rest[:taken]
        self._rest = self._rest[taken:]
        return taken


@contextmanager
def _as_os_errors() -> Generator[None]:
    """What a store refuses, as exceptions that others raise too."""
    from obstore.exceptions import BaseError

    try:
        yield
    except (FileNotFoundError, BaseError) as error:
        kind = FileNotFoundError if isinstance(error, FileNotFoundError) else OSError
        raise kind(str(error).partition("\n\nDebug source:")[0]) from error
