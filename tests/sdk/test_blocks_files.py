"""LocalFileSystem and RemoteFileSystem."""

from __future__ import annotations

import asyncio
import sys

import fsspec
import pytest

from orchestrator.blocks import LocalFileSystem, RemoteFileSystem
from orchestrator.exceptions import BlockError


@pytest.fixture(params=["local", "memory"])
def files(request, tmp_path):
    if request.param == "local":
        yield LocalFileSystem(basepath=str(tmp_path / "base"))
        return
    memory = fsspec.filesystem("memory")
    yield RemoteFileSystem(basepath="memory://bucket/base", settings={"skip_instance_cache": True})
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]


def test_files_are_written_read_and_listed(files):
    files.write_path("a/b/c.txt", b"hello")
    files.write_path("d.bin", bytes(range(256)))
    assert files.read_path("a/b/c.txt") == b"hello"
    assert files.read_path("a//b/./c.txt") == b"hello"
    files.write_path("d.bin", b"")
    assert files.read_path("d.bin") == b""
    assert sorted(files.list_paths()) == ["a/b/c.txt", "d.bin"]
    assert files.list_paths("a") == ["a/b/c.txt"]
    assert len(files.list_paths(limit=1)) == 1
    with pytest.raises(FileNotFoundError):
        files.read_path("none")
    with pytest.raises(ValueError, match="limit"):
        files.list_paths(limit=0)


def test_coroutines_do_the_same(files):
    async def main():
        await asyncio.gather(*(files.awrite_path(f"x/{number}", b"y") for number in range(5)))
        return await files.alist_paths("x"), await files.aread_path("x/3")

    listed, read = asyncio.run(main())
    assert (len(listed), read) == (5, b"y")


@pytest.mark.parametrize("path", ["../x", "a/../../x", "a/b/../../../x"])
def test_nothing_leads_out_of_the_base(files, path):
    for call in (lambda: files.read_path(path), lambda: files.write_path(path, b""), lambda: files.list_paths(path)):
        with pytest.raises(BlockError, match="not below"):
            call()


def test_no_link_leads_out_of_the_base(tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    (tmp_path / "secret").write_text("hush")
    (base / "link").symlink_to(tmp_path / "secret")
    (base / "up").symlink_to(tmp_path)
    (base / "own").symlink_to(base / "there")
    files = LocalFileSystem(basepath=str(base))
    for path in ("link", "up/secret", str(tmp_path / "secret"), "up/new"):
        with pytest.raises(BlockError, match="not below"):
            files.read_path(path)
        with pytest.raises(BlockError, match="not below"):
            files.write_path(path, b"x")
    assert (tmp_path / "secret").read_text() == "hush"
    files.write_path("there", b"fine")
    assert files.read_path("own") == b"fine"
    assert files.read_path(str(base / "there")) == b"fine"


def test_the_working_directory_by_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    LocalFileSystem().write_path("a", b"x")
    assert (tmp_path / "a").read_bytes() == b"x"
    with pytest.raises(BlockError):
        LocalFileSystem().read_path("/etc/hostname")


def test_what_is_too_large_for_memory_is_refused(files, monkeypatch):
    monkeypatch.setattr("orchestrator.blocks.paths.MAX_READ", 4)
    files.write_path("large", b"12345")
    with pytest.raises(BlockError, match="5 bytes"):
        files.read_path("large")


@pytest.mark.parametrize("url", ["bucket/folder", "file:///tmp", "local:///tmp", "simplecache::file:///tmp", "://x"])
def test_addresses_that_are_not_remote(url):
    with pytest.raises(ValueError, match="basepath"):
        RemoteFileSystem(basepath=url)


def test_a_scheme_that_needs_a_package_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(BlockError, match=r"gs:// needs a package: .*gcsfs"):
        RemoteFileSystem(basepath="gs://bucket").read_path("x")
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(BlockError, match=r"orchestrator\[blocks\]"):
        RemoteFileSystem(basepath="memory://bucket").read_path("x")
