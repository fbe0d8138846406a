"""S3Bucket against a server that speaks S3's protocol, in a process of its own."""

from __future__ import annotations

import asyncio
import pickle
import sys

import pytest

from examples.lake import load_orders
from orchestrator import testing
from orchestrator.blocks import AwsCredentials, S3Bucket, SqlAlchemyConnector
from orchestrator.exceptions import BlockError


@pytest.fixture
def credentials():
    return AwsCredentials(aws_access_key_id="AKIA", aws_secret_access_key="hunter22", region_name="eu-central-1")


@pytest.fixture
def bucket(moto, credentials):
    """An empty bucket, seen through a folder of it."""
    client = credentials.get_client("s3", endpoint_url=moto)
    client.create_bucket(Bucket="lake", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    block = S3Bucket(bucket_name="lake", credentials=credentials, endpoint_url=moto, bucket_folder="raw")
    yield block
    for each in client.list_objects_v2(Bucket="lake").get("Contents", []):
        client.delete_object(Bucket="lake", Key=each["Key"])
    client.delete_bucket(Bucket="lake")


def test_objects_are_written_and_read(bucket):
    assert bucket.write_path("2026/a.txt", b"hello") == "raw/2026/a.txt"
    assert bucket.read_path("2026/a.txt") == b"hello"
    assert bucket.read_path("/2026//./a.txt") == b"hello"
    bucket.write_path("empty", b"")
    assert bucket.read_path("empty") == b""
    with pytest.raises(FileNotFoundError):
        bucket.read_path("none")


def test_coroutines_do_the_same(bucket, tmp_path):
    async def main():
        await asyncio.gather(*(bucket.awrite_path(f"{number}", str(number).encode()) for number in range(5)))
        (tmp_path / "up").write_bytes(b"up")
        await bucket.aupload_from_path(tmp_path / "up", "5")
        await bucket.adownload_to_path("5", tmp_path / "down")
        return [await bucket.aread_path(f"{number}") for number in range(5)], await bucket.alist_objects()

    read, listed = asyncio.run(main())
    assert read == [b"0", b"1", b"2", b"3", b"4"]
    assert len(listed) == 6
    assert (tmp_path / "down").read_bytes() == b"up"


def test_files_go_up_and_down(bucket, tmp_path):
    big = bytes(range(256)) * 40_000  # More than one part of an upload.
    (tmp_path / "big.bin").write_bytes(big)
    assert bucket.upload_from_path(tmp_path / "big.bin") == "raw/big.bin"
    assert bucket.upload_from_path(str(tmp_path / "big.bin"), "other/name") == "raw/other/name"
    target = bucket.download_to_path("other/name", tmp_path / "deep" / "down.bin")
    assert target.read_bytes() == big
    assert [path.name for path in target.parent.iterdir()] == ["down.bin"]
    assert bucket.download_object_to_path("big.bin", str(tmp_path / "again")).read_bytes() == big


def test_a_download_that_fails_leaves_nothing(bucket, tmp_path):
    with pytest.raises(FileNotFoundError):
        bucket.download_to_path("none", tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_objects_are_listed_below_the_folder_and_bounded(bucket):
    for number in range(25):
        bucket.write_path(f"many/{number:02}", b"x" * number)
    bucket.write_path("other", b"")
    bucket.write_path("many-more", b"")
    listed = bucket.list_objects("many")
    assert [each["Key"] for each in listed] == [f"raw/many/{number:02}" for number in range(25)]
    assert (listed[3]["Size"], listed[3]["LastModified"].tzinfo is not None, bool(listed[3]["ETag"])) == (3, True, True)
    assert [bucket.read_path(each["Path"]) for each in listed[:3]] == [b"", b"x", b"xx"]
    assert len(bucket.list_objects()) == 27
    assert len(bucket.list_objects(limit=7)) == 7
    assert bucket.list_objects("nothing") == []
    with pytest.raises(ValueError, match="limit"):
        bucket.list_objects(limit=0)


@pytest.mark.parametrize("path", ["../secret", "a/../../secret", "..", "a/..\\..\\x", "%2e%2e/secret", "a/%2E%2E%2Fx"])
def test_nothing_leads_out_of_the_folder(bucket, path, tmp_path):
    for call in (
        lambda: bucket.read_path(path),
        lambda: bucket.write_path(path, b""),
        lambda: bucket.list_objects(path),
        lambda: bucket.upload_from_path(__file__, path),
        lambda: bucket.download_to_path(path, tmp_path / "x"),
    ):
        with pytest.raises(BlockError, match="not below"):
            call()


def test_what_is_too_large_for_memory_is_refused(bucket, monkeypatch):
    monkeypatch.setattr("orchestrator.blocks.paths.MAX_READ", 4)
    bucket.write_path("large", b"12345")
    with pytest.raises(BlockError, match="Download it"):
        bucket.read_path("large")


def test_a_wrong_address_is_an_error_in_time(credentials):
    block = S3Bucket(
        bucket_name="lake", credentials=credentials, endpoint_url="http://127.0.0.1:9", timeout_seconds=0.5
    )
    with pytest.raises(Exception, match=r"127\.0\.0\.1:9") as refused:
        block.read_path("x")
    assert "hunter22" not in str(refused.value)


@pytest.mark.parametrize("url", ["ftp://x", "x", "http://"])
def test_endpoints_are_addresses(url):
    with pytest.raises(ValueError, match="endpoint_url"):
        S3Bucket(bucket_name="lake", endpoint_url=url)


def test_it_can_be_sent_to_other_processes(bucket):
    bucket.write_path("a", b"hello")
    assert pickle.loads(pickle.dumps(bucket)).read_path("a") == b"hello"


def test_without_the_library_it_says_what_to_install(bucket, monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(BlockError, match=r"pip install 'orchestrator\[blocks\]'"):
        bucket.read_path("a")


def test_a_flow_takes_both_ends_as_parameters(bucket, tmp_path):
    """The example: files of a bucket into a table."""
    with testing.server() as server:
        bucket.credentials.save("prod")
        bucket.save("lake")
        SqlAlchemyConnector(driver="sqlite", database=str(tmp_path / "shop.db")).save("shop")
        bucket.write_path("orders/monday.csv", b"id,customer,cents\n1,ann,500\n2,bob,1250\n")
        load_orders.deploy("prod")
        given = {"bucket": {"$block": "s3-bucket/lake"}, "database": {"$block": "sqlalchemy-connector/shop"}}
        first = server.trigger("load_orders/prod", given)
        server.work()
        server.assert_logged(first, "2 orders are in the table")
        bucket.write_path("orders/tuesday.csv", b"id,customer,cents\n2,bob,1250\n3,eve,99\n")
        second = server.trigger("load_orders/prod", given)
        server.work()
        server.assert_logged(second, "3 orders are in the table")
        server.assert_completed(second)
