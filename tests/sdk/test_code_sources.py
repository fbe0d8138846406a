"""2.2: code that is kept elsewhere: repositories of git, buckets and folders, and what opens them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator import Flow, copies, deploy, git, remote_code, testing
from orchestrator.agent.launchers import Claimed
from orchestrator.agent.places import place_of
from orchestrator.agent.templates import key_of
from orchestrator.blocks import GitCredentials, RemoteFileSystem, Secret
from orchestrator.client import Client
from orchestrator.code_sources import wrong_in_source
from orchestrator.config import Api
from orchestrator.exceptions import BundleError, LoadError
from orchestrator.git import Credentials, Repository
from orchestrator.runner.storage import GitRepository, RemoteStorage
from tests.sdk.repositories import GitServer, commit
from tests.sdk.repositories import git as run_git

PASSWORD = "correct-horse-battery"
ROOT = Path(__file__).resolve().parents[2]
FLOW = "from orchestrator import flow\n\n@flow\ndef answer() -> int:\n    print({0})\n    return {0}\n"


@pytest.fixture
def hosted(tmp_path):
    """A repository `flows` with two commits, on a server that wants a password."""
    repository = tmp_path / "hosted" / "flows"
    first = commit(repository, flows=FLOW.format(1), other__more="x = 1\n")
    run_git(repository, "tag", "-a", "v1", "-m", "v1")
    run_git(repository, "branch", "old")
    commit(repository, flows=FLOW.format(2), team__a="a = 1\n")
    server = GitServer(repository.parent, PASSWORD)
    server.repository, server.first = repository, first
    yield server
    server.close()


def repository(hosted, **more) -> Repository:
    return Repository(f"{hosted.url}/flows", credentials=Credentials("bot", PASSWORD), **more)


def value(directory) -> str:
    return (Path(directory) / "flows.py").read_text().split("return ")[1].strip()


def test_a_branch_a_tag_a_commit_and_the_default(hosted):
    copied = {
        name: git.copy_of(repository(hosted, revision=name))
        for name in ("", "refs/heads/old", "refs/tags/v1", hosted.first)
    }
    assert {name: value(directory) for name, (directory, _) in copied.items()} == {
        "": "2", "refs/heads/old": "1", "refs/tags/v1": "1", hosted.first: "1",
    }  # fmt: skip
    assert [commit for _, commit in copied.values()][1:] == [hosted.first] * 3
    with pytest.raises(LoadError, match="has no 'gone'"):
        git.copy_of(repository(hosted, revision="refs/heads/gone"))


def test_what_was_fetched_is_not_fetched_again(hosted):
    """A commit needs no request; a branch needs the one that says which commit it is."""
    git.copy_of(repository(hosted))
    hosted.asked.clear()
    directory, head = git.copy_of(repository(hosted))
    assert {path for _, path, _ in hosted.asked} == {"/flows/info/refs", "/flows/git-upload-pack"}
    hosted.asked.clear()
    assert git.copy_of(repository(hosted, revision=head)) == (directory, head)
    assert hosted.asked == []
    newest = commit(hosted.repository, flows=FLOW.format(3))
    assert git.copy_of(repository(hosted))[1] == newest
    assert value(directory) == "2", "who runs the former commit keeps it"


def test_only_some_directories(hosted):
    directory, _ = git.copy_of(repository(hosted, directories=("team",)))
    assert sorted(path.name for path in directory.iterdir() if path.name != ".git") == ["flows.py", "team"]


def test_submodules_come_when_they_are_asked_for(hosted, tmp_path):
    commit(hosted.repository.parent / "lib", lib="y = 1\n")
    run_git(hosted.repository, "-c", "protocol.file.allow=always", "submodule", "add", "../lib", "lib")
    run_git(hosted.repository, "commit", "-m", "lib")
    assert not (git.copy_of(repository(hosted))[0] / "lib" / "lib.py").exists()
    assert (git.copy_of(repository(hosted, submodules=True))[0] / "lib" / "lib.py").exists()


def test_the_password_is_in_no_argument_no_file_and_no_message(hosted, monkeypatch, home):
    ran = []
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda command, **more: ran.append(command) or popen(command, **more))
    git.copy_of(repository(hosted))
    wrong = Repository(f"{hosted.url}/flows", credentials=Credentials("bot", "no-such-password"))
    with pytest.raises(LoadError) as refused:
        git.copy_of(wrong)

    assert ran
    assert PASSWORD not in str(ran)
    assert "no-such-password" not in str(refused.value)
    assert PASSWORD not in repr(repository(hosted))
    written = [path for path in home.rglob("*") if path.is_file()]
    assert written
    assert not [path for path in written if PASSWORD.encode() in path.read_bytes()]
    assert {user for _, _, user in hosted.asked} == {"bot"}


def test_another_host_is_not_told_the_password(hosted, tmp_path):
    """A submodule that lies elsewhere is asked for as a stranger asks."""
    other = GitServer(tmp_path / "elsewhere")
    commit(tmp_path / "elsewhere" / "lib", lib="y = 1\n")
    (hosted.repository / ".gitmodules").write_text(f'[submodule "lib"]\n\tpath = lib\n\turl = {other.url}/lib\n')
    lib = run_git(tmp_path / "elsewhere" / "lib", "rev-parse", "HEAD")
    run_git(hosted.repository, "update-index", "--add", "--cacheinfo", f"160000,{lib},lib")
    run_git(hosted.repository, "add", ".gitmodules")
    run_git(hosted.repository, "commit", "-m", "lib")
    git.copy_of(repository(hosted, submodules=True))
    other.close()
    assert {user for _, _, user in other.asked} == {""}


# An ssh that reaches this machine: it notes what it is given, and lets in whoever has the right key.
SSH = """#!/bin/sh
env > {noted}/environment; echo "$@" >> {noted}/arguments
while [ $# -gt 2 ]; do
    [ "$1" = -i ] && stat -c %a "$2" "$(dirname "$2")" > {noted}/modes && cp "$2" {noted}/key
    shift
done
cmp -s {noted}/key {noted}/wanted || {{ echo "git@box.example: Permission denied (publickey)." >&2; exit 255; }}
cd {hosted} && exec sh -c "$2"
"""
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n-----END OPENSSH PRIVATE KEY-----\n"


@pytest.fixture
def noted(hosted, tmp_path, monkeypatch):
    """Where the stand-in for ssh notes what it was given."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ssh").write_text(SSH.format(noted=tmp_path, hosted=hosted.repository.parent))
    (tmp_path / "bin" / "ssh").chmod(0o755)
    (tmp_path / "wanted").write_text(KEY)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return tmp_path


def test_a_key_opens_a_repository_over_ssh(noted, home):
    """2.2: it is a file for its user alone while git runs, and in no argument and no environment; as a form gave it."""
    directory, _ = git.copy_of(
        Repository("git@box.example:flows", credentials=Credentials("", "", KEY.replace("\n", "\r\n")))
    )
    assert value(directory) == "2"
    assert (noted / "modes").read_text().split() == ["600", "700"]
    arguments = (noted / "arguments").read_text()
    for option in ("IdentitiesOnly=yes", "BatchMode=yes", "StrictHostKeyChecking=accept-new", "git@box.example"):
        assert option in arguments
    for told in (arguments, (noted / "environment").read_text()):
        assert "b3BlbnNzaC1rZXktdjEA" not in told
    assert not [path for path in home.rglob("*") if path.is_file() and b"b3Blbn" in path.read_bytes()]


def test_a_wrong_key_is_refused_and_not_told(noted):
    """2.2: nor does it profit from what was asked with the right one."""
    right = Repository("git@box.example:flows", credentials=Credentials("", "", KEY))
    git.copy_of(right)
    with pytest.raises(LoadError, match="Permission denied") as refused:
        git.copy_of(Repository(right.url, credentials=Credentials("", "", "wrong-key")))
    assert "wrong-key" not in str(refused.value)


def test_a_key_that_a_killed_process_left_goes(noted, home, monkeypatch):
    left = home / "keys" / "left"
    left.mkdir(parents=True)
    (left / "key").write_text(KEY)
    os.utime(left, (0, 0))
    git.copy_of(Repository("git@box.example:flows", credentials=Credentials("", "", KEY)))
    assert list((home / "keys").iterdir()) == []


def test_a_repository_that_does_not_answer_is_given_up(hosted, monkeypatch, tmp_path):
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nsleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(git, "FETCH_SECONDS", 0.2)
    with pytest.raises(LoadError, match="did not answer"):
        git.copy_of(repository(hosted))


def test_copies_that_nobody_uses_go(hosted, monkeypatch):
    directory, _ = git.copy_of(repository(hosted, revision=hosted.first))
    os.utime(directory, (0, 0))
    git.copy_of(repository(hosted))
    assert not directory.exists()
    kept, _ = git.copy_of(repository(hosted, revision=hosted.first))
    monkeypatch.setattr(copies, "MAX_COPIES", 0)
    git.copy_of(repository(hosted, directories=("team",)))
    assert kept.exists(), "somebody may be running it"


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c touch% /tmp/x", "file:///etc", "--upload-pack=touch /tmp/x", "https://user:secret@host/x", "",
        "-oProxyCommand=x@host:y", "ssh://-oProxyCommand=x/y", "https://token@host/x", "https://host/a b", "fd::17/x",
        "http:///x", "/etc", "https://[::1", "host:path", 7,
    ],
)  # fmt: skip
def test_addresses_that_no_deployment_may_have(url):
    assert list(wrong_in_source({"type": "git", "url": url})) == ["source.url"]


@pytest.mark.parametrize("url", ["https://h/x.git", "ssh://git@h:22/x", "git@h:team/x.git", "http://127.0.0.1:80/x"])
def test_addresses_that_it_may_have(url):
    assert wrong_in_source({"type": "git", "url": url}) == {}


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"branch": "--upload-pack=x"}, "branch"),
        ({"branch": "a..b"}, "branch"),
        ({"branch": "a b"}, "branch"),
        ({"tag": "@{-1}"}, "tag"),
        ({"commit": "abc"}, "commit"),
        ({"branch": "a", "tag": "b"}, "tag"),
        ({"credentials": "no-type"}, "credentials"),
        ({"credentials": {"token": "clear"}}, "credentials"),
        ({"directories": ["../x"]}, "directories"),
        ({"directories": ["--stdin"]}, "directories"),
        ({"directories": []}, "directories"),
        ({"submodules": "yes"}, "submodules"),
        ({"token": "clear"}, "token"),
    ],
)
def test_what_git_is_not_given(more, field):
    assert list(wrong_in_source({"type": "git", "url": "https://h/x", **more})) == [f"source.{field}"]


# ── files elsewhere ──────────────────────────────────────────────────────────────────────────────


def test_a_folder_is_copied_when_something_has_changed_in_it(tmp_path):
    folder = tmp_path / "shared"
    (folder / "deep").mkdir(parents=True)
    (folder / "flows.py").write_text(FLOW.format(1))
    (folder / "deep" / "er.py").write_text("x = 1\n")
    source = RemoteStorage(f"file://{folder}").to_json()
    first = place_of(source, None).directory
    assert (value(first), (Path(first) / "deep" / "er.py").read_text()) == ("1", "x = 1\n")
    assert place_of(source, None).directory == first
    (folder / "flows.py").write_text(FLOW.format(22))
    assert value(place_of(source, None).directory) == "22"
    assert value(first) == "1"
    (folder / "flows.py").unlink()
    (folder / "deep" / "er.py").unlink()
    with pytest.raises(LoadError, match="nothing at"):
        place_of(source, None)


def test_a_file_system_of_fsspec_with_a_block(monkeypatch):
    import fsspec

    with testing.server() as server:
        RemoteFileSystem(basepath="memory://flows", settings={}).save("ours")
        fsspec.filesystem("memory").pipe_file("/flows/flows.py", FLOW.format(7).encode())
        source = RemoteStorage("memory://flows", block="remote-file-system/ours").to_json()
        with Client(Api(server.url, server.key)) as client:
            assert value(place_of(source, client).directory) == "7"
            monkeypatch.setattr(remote_code, "MAX_BYTES", 3)
            with pytest.raises(LoadError, match="more than"):
                place_of(source, client)


def test_templates_of_two_commits_are_two():
    claim = {"run": "r", "attempt": 1, "lease_seconds": 1, "source": {"type": "git"}, "entrypoint": "a.py:b"}
    keys = {key_of(Claimed(claim, directory=directory), "3.11") for directory in ("/c/1", "/c/2", "/c/1")}
    assert len(keys) == 2


# ── as people write it ───────────────────────────────────────────────────────────────────────────


def test_a_flow_from_a_repository_is_called_and_deployed_from_there(hosted):
    with testing.server() as server:
        GitCredentials(username="bot", token=PASSWORD).save("ours")
        taken = Flow.from_source(
            GitRepository(f"{hosted.url}/flows", "git-credentials/ours", branch="old"), "flows.py:answer"
        )
        assert taken.fn() == 1
        taken.with_options(tags=["x"]).deploy("prod")
        told = Client(Api(server.url, server.key)).get("/deployments/by-name/answer/prod")
    assert told["tags"] == ["x"]


def test_an_address_that_only_this_machine_reaches_is_packed(hosted):
    taken = Flow.from_source(f"file://{hosted.repository}", "flows.py:answer")
    assert taken.taken_from is None
    assert taken.to_deployment("prod").source is None


def test_a_source_holds_no_secrets():
    with pytest.raises(ValueError, match="save the GitCredentials"):
        GitRepository("https://h/x", GitCredentials(token="t")).to_json()
    with pytest.raises(ValueError, match="save the GitCredentials"):
        GitRepository("https://h/x", {"token": "t"}).to_json()
    with pytest.raises(ValueError, match="no password"):
        GitRepository("https://a:b@h/x").to_json()
    with pytest.raises(ValueError, match="one of branch"):
        GitRepository("https://h/x", branch="a", tag="b")


def test_a_flow_of_this_checkout_is_deployed_from_its_repository(tmp_path, monkeypatch, server):
    commit(tmp_path / "project", jobs__etl=FLOW.format(1))
    monkeypatch.syspath_prepend(str(tmp_path / "project"))
    from jobs.etl import answer

    from orchestrator.deployments import placed

    source = GitRepository("https://git.example/team/project.git", branch="main")
    told, bundle = placed(answer.to_deployment("prod", source=source))
    assert bundle is None
    assert (told["entrypoint"], told["source"]["branch"]) == ("jobs/etl.py:answer", "main")

    (tmp_path / "project" / ".git").rename(tmp_path / "git")
    with pytest.raises(BundleError, match="no checkout"):
        placed(answer.to_deployment("prod", source=source))


@pytest.fixture
def served():
    with testing.server(serve=True, lease_seconds=20, wait_seconds=1) as server:
        yield server


def test_an_agent_elsewhere_runs_what_it_fetches_by_http_alone(served, hosted, until, tmp_path):
    """From a repository to an agent that shares nothing with who deployed: no directory, no home, no key."""
    Secret(value=PASSWORD).save("token")
    source = GitRepository(f"{hosted.url}/flows", "secret/token", branch="main")
    taken = Flow.from_source(source, "flows.py:answer")
    deploy(taken.to_deployment("prod", process="warm"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {
        name: text for name, text in os.environ.items() if not name.startswith(("ORCHESTRATOR", "GIT_", "PYTHON"))
    }
    environment |= {
        "HOME": str(elsewhere), "ORCHESTRATOR_HOME": str(elsewhere / "o"), "ORCHESTRATOR_API_URL": served.url,
        "ORCHESTRATOR_API_KEY": served.new_key(), "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    with (elsewhere / "log").open("w") as log:
        agent = subprocess.Popen(
            [sys.executable, "-m", "orchestrator.cli", "agent", "start"], cwd=elsewhere, env=environment,
            stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        first = served.trigger("answer/prod")
        until(lambda: first.is_final)
        served.assert_completed(first)
        assert first.commit == run_git(hosted.repository, "rev-parse", "HEAD")
        newest = commit(hosted.repository, flows=FLOW.format(3))
        second = served.trigger("answer/prod")
        until(lambda: second.is_final)
        assert second.commit == newest
        assert PASSWORD not in (elsewhere / "log").read_text()
    finally:
        agent.terminate()
        agent.wait(30)
