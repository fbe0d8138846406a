"""Buckets of S3, and of whatever speaks its protocol: MinIO, Ceph, R2, B2. obstore does the work."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, SecretStr, field_validator

from orchestrator.blocks.block import Block
from orchestrator.blocks.needs import needed
from orchestrator.blocks.paths import check_size, key_below

if TYPE_CHECKING:
    from obstore.store import S3Store

MAX_LISTED = 1_000_000


class AwsCredentials(Block):
    """A key of AWS, or of a service that speaks its protocol.

    Without a key the environment decides: variables, the role of the instance or of the container.
    """

    _block_type_name = "AWS Credentials"
    _icon = "key"

    aws_access_key_id: str | None = Field(None, title="Access key ID")
    aws_secret_access_key: SecretStr | None = Field(None, title="Secret access key")
    aws_session_token: SecretStr | None = Field(None, title="Session token", description="Of temporary credentials.")
    region_name: str | None = Field(None, title="Region", examples=["eu-central-1"])

    def get_boto3_session(self) -> Any:
        """A session of boto3, if that is installed."""
        return needed("boto3", "boto3").Session(
            aws_access_key_id=self.aws_access_key_id,
            aws_secret_access_key=_clear(self.aws_secret_access_key),
            aws_session_token=_clear(self.aws_session_token),
            region_name=self.region_name,
        )

    def get_client(self, client_type: str, **options: Any) -> Any:
        """A client of boto3, such as `get_client("sqs")`."""
        return self.get_boto3_session().client(client_type, **options)


class S3Bucket(Block):
    """A bucket of S3, or of a store that is compatible with it, or a folder in one."""

    _block_type_name = "S3 Bucket"
    _icon = "bucket"

    bucket_name: str = Field(title="Bucket", min_length=3, max_length=255)
    credentials: AwsCredentials | None = Field(None, description="Without any the environment decides.")
    bucket_folder: str = Field("", title="Folder", description="All paths are below it.", max_length=1_000)
    endpoint_url: str | None = Field(
        None, title="Endpoint", description="Of a compatible store; AWS itself by default.",
        examples=["https://minio.example:9000"],
    )  # fmt: skip
    region_name: str | None = Field(None, title="Region", description="The one of the credentials by default.")
    path_style: bool | None = Field(
        None, description="Put the bucket's name into the path of addresses; so by default where there is an endpoint."
    )
    timeout_seconds: float = Field(60.0, gt=0, le=3_600, description="For one request.")

    @field_validator("endpoint_url")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        if value and not re.fullmatch(r"https?://[^\s/]+(/[^\s]*)?", value):
            raise ValueError("An address that begins with http:// or https://.")
        return value or None

    def read_path(self, path: str) -> bytes:
        """The content of an object.

        Raises:
            FileNotFoundError: There is none.
            BlockError: It leads out of the folder, or has more than 1 GiB.
        """
        key = self._key(path)
        found = self._store().get(key)
        check_size(found.meta["size"], key)
        return bytes(found.bytes())

    def write_path(self, path: str, content: bytes) -> str:
        """Write an object; its key."""
        key = self._key(path)
        self._store().put(key, content)
        return key

    def list_objects(self, folder: str = "", *, limit: int = 10_000) -> list[dict[str, Any]]:
        """The objects below a folder, as {"Key", "Path", "Size", "LastModified", "ETag"}, `limit` of them at most.

        A key is the bucket's own; the path is the one below the block's folder, which the other methods take.
        """
        if not 0 < limit <= MAX_LISTED:
            raise ValueError(f"limit is 1 to {MAX_LISTED:,}.")
        prefix = self._key(folder)
        found: list[dict[str, Any]] = []
        for batch in self._store().list(prefix=f"{prefix}/" if prefix else None):
            found += [self._listed(each) for each in batch]
            if len(found) >= limit:
                break
        return found[:limit]

    def upload_from_path(self, from_path: str | Path, to_path: str | None = None) -> str:
        """Upload a file, under its own name by default; its key."""
        source = Path(from_path)
        key = self._key(to_path or source.name)
        self._store().put(key, source)
        return key

    def download_to_path(self, from_path: str, to_path: str | Path | None = None) -> Path:
        """Download an object, to its own name in the working directory by default; where it is now.

        The file appears when it is whole.
        """
        key = self._key(from_path)
        target = Path(to_path or key.rpartition("/")[2])
        found = self._store().get(key)
        part = target.with_name(f"{target.name}.part")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as file:
                for chunk in found.stream():
                    file.write(chunk)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return target

    download_object_to_path = download_to_path

    async def aread_path(self, path: str) -> bytes:
        """`read_path` for coroutines."""
        return await asyncio.to_thread(self.read_path, path)

    async def awrite_path(self, path: str, content: bytes) -> str:
        """`write_path` for coroutines."""
        return await asyncio.to_thread(self.write_path, path, content)

    async def alist_objects(self, folder: str = "", *, limit: int = 10_000) -> list[dict[str, Any]]:
        """`list_objects` for coroutines."""
        return await asyncio.to_thread(self.list_objects, folder, limit=limit)

    async def aupload_from_path(self, from_path: str | Path, to_path: str | None = None) -> str:
        """`upload_from_path` for coroutines."""
        return await asyncio.to_thread(self.upload_from_path, from_path, to_path)

    async def adownload_to_path(self, from_path: str, to_path: str | Path | None = None) -> Path:
        """`download_to_path` for coroutines."""
        return await asyncio.to_thread(self.download_to_path, from_path, to_path)

    def _listed(self, told: Any) -> dict[str, Any]:
        base = self._key("")
        path = told["path"].removeprefix(f"{base}/") if base else told["path"]
        names = {"Size": "size", "LastModified": "last_modified", "ETag": "e_tag"}
        return {"Key": told["path"], "Path": path, **{name: told[own] for name, own in names.items()}}

    def _key(self, path: str) -> str:
        return key_below(self.bucket_folder, path)

    def _store(self) -> S3Store:
        needed("obstore")
        from obstore.store import S3Store

        key = self.credentials
        config: dict[str, Any] = {
            "access_key_id": key and key.aws_access_key_id,
            "secret_access_key": key and _clear(key.aws_secret_access_key),
            "session_token": key and _clear(key.aws_session_token),
            "region": self.region_name or (key and key.region_name),
            "endpoint": self.endpoint_url,
            "virtual_hosted_style_request": not (self.endpoint_url if self.path_style is None else self.path_style),
        }
        return S3Store(
            self.bucket_name,
            config={name: value for name, value in config.items() if value is not None},  # pyright: ignore
            client_options={
                "allow_http": (self.endpoint_url or "").startswith("http://"),
                "timeout": timedelta(seconds=self.timeout_seconds),
                "connect_timeout": timedelta(seconds=min(10.0, self.timeout_seconds)),
            },
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=2 * self.timeout_seconds)},
        )


def _clear(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
