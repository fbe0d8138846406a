"""The journal from the user's thread to a server: batches, acks, gaps, files, signals, recovery."""

import errno
import io
import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
import warnings

import pytest

from orchestrator import clock, flow, get_run_logger, journal, task
from orchestrator.config import Api
from orchestrator.engine.flow_run import Execution
from orchestrator.exceptions import RunCancelled
from orchestrator.ids import uuid7
from orchestrator.journal import recovery, shipper
from orchestrator.journal.file import JournalFile, without
from orchestrator.journal.hub import Hub
from tests.sdk.conftest import ROOT


@task
def add(a, b):
    return a + b


def files(home):
    return sorted((home / "journals").glob("*"))


def test_a_flow_is_told_completely_and_leaves_no_file(server, home):
    @flow(tags=["t"], version="7", retries=2)
    def main(n: int, why="so"):
        get_run_logger().info("at work")
        return add(n, 1)

    main(3)
    assert journal.flush(10)
    first, *_, last = server.all_entries()
    assert first["about"] | {"host": "", "name": ""} == {
        "flow": "main",
        "name": "",
        "version": "7",
        "parameters": {"n": 3, "why": "so"},
        "tags": ["t"],
        "retries": 2,
        "host": "",
        "sdk": first["about"]["sdk"],
    }
    assert server.run_states() == ["RUNNING", "COMPLETED"]
    assert last["state"] == "COMPLETED"
    assert last["duration"] > 0
    assert server.tasks()["add-0"]["state"] == "COMPLETED"
    assert "at work" in server.messages()
    assert set(server.keys) == {"orc_test"}
    assert [entry["seq"] for entry in server.all_entries()] == list(range(1, len(server.all_entries()) + 1))
    assert files(home) == []


def test_a_clock_that_is_set_under_a_run_disorders_nothing(server, home, until, monkeypatch):
    """The next execution takes the time as it is then."""
    true_ns, hour = time.time_ns, 3600 * 1_000_000_000

    @flow
    def main(move: bool):
        get_run_logger().info("before")
        if move:
            monkeypatch.setattr(time, "time_ns", lambda: true_ns() - hour)
        get_run_logger().info("after")

    def times():
        return [entry["t"] for entry in server.all_entries()]

    main(True)
    until(lambda: times() and files(home) == [])
    first = times()
    main(False)
    until(lambda: len(times()) > len(first) and files(home) == [])
    monkeypatch.undo()
    clock.set_anew()
    assert max(first) - min(first) < hour // 2_000
    assert max(first) - max(times()[len(first) :]) > hour // 2_000


def test_subflows_share_the_stream_of_their_root(server):
    @flow
    def child(x):
        return add(x, 1)

    @task
    def calls_a_flow():
        return child(2)

    @flow
    def parent():
        return child(1) + calls_a_flow()

    assert parent() == 5
    assert journal.flush(10)
    assert len(server.entries) == 1
    about = {entry["run"]: entry["about"] for entry in server.all_entries("run.state") if "about" in entry}
    root = next(run for run, told in about.items() if told["flow"] == "parent")
    children = [told for told in about.values() if told["flow"] == "child"]
    assert [told["parent"] for told in children] == [root, root]
    assert children[1]["parent_task"] == server.tasks()["calls_a_flow-0"]["id"]
    assert len(server.run_states()) == 6


def test_a_long_task_is_told_of_while_it_runs(server, until):
    @task
    def naps():
        until(lambda: "naps-0" in server.tasks())
        return 1

    @flow
    def main():
        return naps()

    main()
    assert journal.flush(10)
    told = [entry["state"] for entry in server.all_entries("task.state")]
    assert told == ["RUNNING", "COMPLETED"]


def test_a_root_run_is_told_of_at_once(server, until, monkeypatch):
    """Not when there is company for it."""
    monkeypatch.setattr(shipper, "PATIENCE", 600)

    @flow
    def main():
        return until(lambda: server.run_states())

    assert main() == ["RUNNING"]


def test_ten_thousand_tasks_arrive_once_each(server):
    @flow
    def main():
        for n in range(5_000):
            add(n, 1)
        add.map(range(5_000), 1).wait()

    main()
    assert journal.flush(30)
    # One that is at work when a batch goes is told of twice: that it runs, and then its end.
    ended = [entry["id"] for entry in server.all_entries("task.state") if entry["state"] != "RUNNING"]
    assert (len(ended), len(set(ended))) == (10_000, 10_000)
    assert len(server.batches) < 200


def test_a_restarted_server_asks_for_what_it_lacks(server):
    """The answer to a gap is a rewind."""

    @flow
    def main():
        for _ in range(20):
            add(1, 1)
            time.sleep(0.03)

    forgotten = threading.Event()

    def forget():
        time.sleep(0.3)
        with server.lock:
            for stream in server.applied:
                server.applied[stream] = max(0, server.applied[stream] - 3)
        forgotten.set()

    threading.Thread(target=forget).start()
    main()
    assert forgotten.wait(5)
    assert journal.flush(10)
    stream = next(iter(server.applied))
    assert server.applied[stream] >= 20
    assert server.run_states()[-1] == "COMPLETED"


def test_errors_of_the_server_cost_time_only(server, capfd):
    server.refuse = [(503, "unavailable"), (500, "oops"), (429, "rate_limited")]

    @flow
    def main():
        return add(1, 2)

    main()
    assert journal.flush(20)
    assert server.run_states() == ["RUNNING", "COMPLETED"]


def test_too_large_a_batch_is_sent_in_parts(server):
    server.refuse = [(413, "too_large")] * 3

    @flow
    def main():
        for n in range(500):
            add(n, 1)

    main()
    assert journal.flush(20)
    assert len(server.tasks()) == 500


def test_a_refused_stream_is_set_aside(server, home, until, capfd):
    @flow
    def main():
        server.stale.add(f"{current()}.1.0")
        return add(1, 1)

    def current():
        from orchestrator import runtime

        return runtime.flow_run.id

    assert main() == 2
    until(lambda: [path.suffix for path in files(home)] == [".rejected"])
    until(lambda: "does not take this journal" in capfd.readouterr().err)


def test_nothing_listens_and_the_flow_works_all_the_same(home, monkeypatch):
    monkeypatch.setenv("ORCHESTRATOR_API_URL", "http://127.0.0.1:9/api/v1")
    monkeypatch.setenv("ORCHESTRATOR_API_KEY", "orc_test")

    @flow
    def main():
        return add(1, 2)

    assert main() == 3
    assert not journal.flush(0.3)
    path = files(home)[0]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    header = json.loads(path.read_text().splitlines()[0])
    assert header["api_url"] == "http://127.0.0.1:9/api/v1"
    assert len(header["token"]) >= 32
    journal._hubs.popitem()[1].abandon()


def test_an_unwritable_home_leaves_the_journal_in_memory(server, tmp_path, monkeypatch, capfd):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "file"))

    @flow
    def main():
        return add(1, 2)

    assert main() == 3
    assert journal.flush(10)
    assert server.run_states() == ["RUNNING", "COMPLETED"]
    assert "stays in memory" in capfd.readouterr().err


def test_a_cancel_raises_in_user_code_and_ends_the_run_cancelled(server):
    cleaned = []

    @task
    def naps():
        try:
            time.sleep(30)
        except Exception:
            cleaned.append("swallowed")
        finally:
            cleaned.append(add(1, 1))

    @flow
    def main():
        from orchestrator import runtime

        server.signals.append({"run": runtime.flow_run.id, "signal": "cancel"})
        naps()

    began = time.monotonic()
    with pytest.raises(RunCancelled):
        main()
    assert time.monotonic() - began < 20
    assert cleaned == [2]
    assert journal.flush(10)
    assert server.run_states() == ["RUNNING", "CANCELLED"]
    assert server.tasks()["naps-0"]["state"] == "CANCELLED"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_cancel_ends_async_flows_and_what_threads_run(server):
    import asyncio

    runs = threading.Event()

    @task
    def loops():
        runs.set()
        end = time.monotonic() + 30
        while time.monotonic() < end:
            time.sleep(0.01)

    @flow
    async def main():
        from orchestrator import runtime

        future = loops.submit()
        assert await asyncio.to_thread(runs.wait, 10)
        server.signals.append({"run": runtime.flow_run.id, "signal": "cancel"})
        await asyncio.sleep(30)
        return future

    began = time.monotonic()
    with pytest.raises(RunCancelled):
        asyncio.run(main())
    assert time.monotonic() - began < 20
    assert journal.flush(10)
    assert server.run_states() == ["RUNNING", "CANCELLED"]
    assert server.tasks()["loops-0"]["state"] == "CANCELLED"


def test_a_superseded_run_stops_and_tells_no_state(server):
    from orchestrator.exceptions import RunSuperseded

    @flow
    def main():
        from orchestrator import runtime

        server.signals.append({"run": runtime.flow_run.id, "signal": "superseded"})
        time.sleep(30)

    with pytest.raises(RunSuperseded):
        main()
    assert journal.flush(10)
    assert server.run_states() == ["RUNNING"]


def test_odd_content_is_cleaned_on_the_way(server):
    @task(name="n\x00ul \ud800")
    def odd(x):
        raise ValueError("\x00\udfff")

    @flow
    def main(value, huge, many):
        get_run_logger().info("a\x00b" + "x" * 300_000)
        odd(1, return_state=True)

    main({"nan": float("nan"), 1: object, "big": 2**70}, "y" * 1_000_000, list(range(100_000)))
    assert journal.flush(10)
    about = server.all_entries("run.state")[0]["about"]
    assert about["parameters"]["value"]["nan"] == "nan"
    assert about["parameters"]["value"]["big"] == str(2**70)
    assert len(json.dumps(about["parameters"])) < 512 << 10
    assert next(m for m in server.messages() if m.startswith("a\ufffdb")).endswith("more characters]")
    assert next(iter(server.tasks().values()))["task"] == "n\ufffdul \ufffd"


def test_a_forked_child_tells_nothing_and_the_parent_goes_on(server):
    @flow
    def main():
        add(1, 1)
        pid = os.fork()
        if pid == 0:
            try:
                add(2, 2)
                get_run_logger().info("from the child")
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        add(3, 3)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Later Pythons warn of a fork beside threads.
        main()
    assert journal.flush(10)
    assert sorted(server.tasks()) == ["add-0", "add-1"]
    assert "from the child" not in server.messages()


KILLED = """
    import os, signal, sys, time
    from orchestrator import flow, get_run_logger, task

    @task
    def step(n):
        get_run_logger().info("line %d", n)
        return n

    @flow
    def main():
        for n in range(200):
            step(n)
            time.sleep(0.001)
        time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGKILL)

    main()
"""


def test_what_a_killed_process_wrote_is_sent_by_the_next_flow(server, home, python, until):
    server.refuse = [(503, "unavailable")] * 1000
    done = python(KILLED, check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(files(home)) == 1
    server.refuse.clear()
    seen_before = set(server.messages())

    @flow
    def other():
        return 1

    other()
    assert journal.flush(10)
    until(lambda: files(home) == [])
    lines = {m for m in server.messages() if m.startswith("line ")} - seen_before
    assert lines == {f"line {n}" for n in range(200)}
    assert len([entry for entry in server.all_entries("task.state") if entry["task"] == "step"]) == 200


def test_the_token_of_one_run_is_not_used_for_the_journals_of_others(server, home, until, monkeypatch):
    sent_on = []
    monkeypatch.setattr(recovery, "ship_in_background", sent_on.append)

    @flow
    def claimed():
        return 1

    execution = Execution({"run": "01a204b9-7af9-769e-80b5-977c2ad055b6", "attempt": 1, "token": "orr_token"})
    assert claimed.execute(execution).state_type == "COMPLETED"
    until(lambda: server.all_entries() and files(home) == [])
    assert sent_on == []


def test_what_is_left_is_sent_by_the_clock_it_was_written_by(server, home, monkeypatch):
    """The machine's clock was an hour behind. The server sees by `sent_at` how far it was off."""
    true_ns, hour = time.time_ns, 3600 * 1_000_000_000
    with monkeypatch.context() as behind:
        behind.setattr(time, "time_ns", lambda: true_ns() - hour)
        clock.set_anew()
        header = {**HEADER, "api_url": server.url, "clock": clock.reading()}
    clock.set_anew()
    file = JournalFile(home / "journals" / "j.ndjson", header)
    file.append(line(1, "log", message="said"))
    file.close(remove=False)
    assert recovery.ship_all(Api(server.url, "orc_test")) == 1
    told = server.batches[-1][0]["sent_at"] * 1_000
    expected = true_ns() - hour if os.path.exists("/proc/sys/kernel/random/boot_id") else true_ns()
    assert abs(told - expected) < hour // 2


def test_a_torn_last_line_is_left_out(server, home, python):
    server.refuse = [(503, "unavailable")] * 1000
    python(KILLED, check=False)
    path = files(home)[0]
    with path.open("ab") as file:
        file.write(b'{"kind":"log","seq":9999,"mess')
    server.refuse.clear()
    assert recovery.ship_all(Api(server.url, "orc_test")) == 1
    assert files(home) == []
    assert len([m for m in server.messages() if m.startswith("line ")]) == 200


def test_the_journal_of_another_api_and_of_a_live_writer_stay(server, home, tmp_path):
    header = {"root": "01a204b9-7af9-769e-80b5-977c2ad055b6", "attempt": 1, "writer": 0, "token": "t"}
    live = JournalFile(home / "journals" / "live.ndjson", {**header, "api_url": server.url})
    other = JournalFile(home / "journals" / "other.ndjson", {**header, "api_url": "http://elsewhere/api/v1"})
    other.close(remove=False)
    assert recovery.ship_all(Api(server.url, "k")) == 0
    assert [(left.path.name, left.live) for left in recovery.found()] == [
        ("live.ndjson", True),
        ("other.ndjson", False),
    ]
    live.close(remove=True)


def test_exit_waits_for_the_last_ack(server, python):
    done = python(
        """
        from orchestrator import flow
        @flow
        def main():
            return 1
        main()
        """
    )
    assert "not all was sent" not in done.stderr
    assert server.run_states() == ["RUNNING", "COMPLETED"]


def test_exit_says_where_the_rest_is_when_nobody_answers(home, python):
    done = python(
        "from orchestrator import flow\nflow(lambda: 1)()\n",
        ORCHESTRATOR_API_URL="http://127.0.0.1:9/api/v1",
        ORCHESTRATOR_API_KEY="k",
        ORCHESTRATOR_EXIT_SECONDS="1.5",
    )
    assert "sending the last entries" in done.stderr
    assert f"the rest is in {files(home)[0]}" in done.stderr


def test_sigterm_from_outside_crashes_a_local_run(server, tmp_path):
    script = tmp_path / "sleeps.py"
    script.write_text(
        textwrap.dedent("""
        import time
        from orchestrator import flow
        @flow
        def main():
            print("ready", flush=True)
            time.sleep(30)
        main()
        """)
    )
    process = subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 1
    process.stdout.close()
    assert server.run_states() == ["RUNNING", "CRASHED"]


# The file


HEADER = {"root": "01a204b9-7af9-769e-80b5-977c2ad055b6", "attempt": 1, "writer": 0, "token": "t", "api_url": "u"}


def line(seq, kind="task.state", **more):
    return json.dumps({"kind": kind, "seq": seq, **more}, separators=(",", ":")).encode() + b"\n"


def test_a_file_is_cut_when_its_head_is_acked(tmp_path, monkeypatch):
    monkeypatch.setattr("orchestrator.journal.file._CUT_FROM", 1_000)
    file = JournalFile(tmp_path / "j.ndjson", HEADER)
    for seq in range(1, 201):
        file.append(line(seq))
    place = file.offset_of(151)
    file.trim(place)
    assert file.base == place
    assert file.read(place, 1 << 20).splitlines()[0] == line(151).strip()
    assert (tmp_path / "j.ndjson").stat().st_size < 4_000
    file.append(line(201))
    assert file.read(file.offset_of(201), 100) == line(201)
    file.trim(file.size)
    assert file.all_acked
    file.close(remove=True)
    assert list(tmp_path.iterdir()) == []


def test_a_full_file_gives_up_debug_lines_first_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("ORCHESTRATOR_JOURNAL_BYTES", "100000")
    file = JournalFile(tmp_path / "j.ndjson", HEADER)
    seq = 0
    for _ in range(150):
        for kind, more in (("log", {"level": 10}), ("log", {"level": 10}), ("task.state", {}), ("log", {"level": 20})):
            seq += 1
            file.append(line(seq, kind, **more, message="m" * 200))
    told = [json.loads(each) for each in file.read(file.base, 1 << 20).splitlines()]
    dropped = [entry for entry in told if entry["kind"] == "dropped"]
    assert dropped
    covered = [n for entry in told for n in range(entry["seq"], entry.get("last", entry["seq"]) + 1)]
    assert covered == list(range(1, seq + 1))
    assert sum(1 for entry in told if entry["kind"] == "task.state") == 150
    file.close(remove=True)


@pytest.fixture
def disk(monkeypatch):
    """How many bytes the disk still takes; None: any number."""
    from orchestrator.journal import file as module

    room = {"bytes": None}
    write = module._write_all

    def write_within(file, data):
        if room["bytes"] is not None and not isinstance(file, io.BytesIO):
            room["bytes"] -= len(data)
            if room["bytes"] < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
        write(file, data)

    monkeypatch.setattr(module, "_write_all", write_within)
    return room


def numbers(data):
    return [json.loads(each)["seq"] for each in data.splitlines()]


def test_a_full_disk_costs_nothing_of_what_is_there(home, disk):
    """What is received can't be cut away, since that takes a second file; what is left stays where recovery looks."""
    path = home / "journals" / "j.ndjson"
    file = JournalFile(path, HEADER)
    for seq in range(1, 701):
        file.append(line(seq, message="m" * 10_000))
    disk["bytes"] = 100_000  # An entry has 10,030.
    file.trim(file.size - 100 * len(line(700, message="m" * 10_000)))
    assert numbers(path.read_bytes().partition(b"\n")[2]) == list(range(1, 701))

    for seq in range(701, 721):
        file.append(line(seq, message="m" * 10_000))
    assert file.in_memory
    assert numbers(file.read(file.acked, 1 << 24)) == list(range(601, 721))
    assert [left.live for left in recovery.found()] == [True]
    file.close(remove=True)
    assert files(home) == []


def test_of_a_long_backlog_a_full_disk_leaves_what_memory_may_hold(tmp_path, disk, monkeypatch):
    monkeypatch.setattr("orchestrator.journal.file.MAX_MEMORY", 100_000)
    file = JournalFile(tmp_path / "j.ndjson", HEADER)
    for seq in range(1, 1001):
        file.append(line(seq, "log", level=20, message="m" * 500) if seq % 10 else line(seq))
    before, disk["bytes"] = file.generation, 0
    file.append(line(1001))

    told = [json.loads(each) for each in file.read(file.base, 1 << 20).splitlines()]
    covered = [n for entry in told for n in range(entry["seq"], entry.get("last", entry["seq"]) + 1)]
    assert covered == list(range(1, 1002))
    assert sum(entry["count"]["log"] for entry in told if entry["kind"] == "dropped") == 900
    assert file.size - file.base < 100_000
    assert file.generation > before
    file.close(remove=True)


def test_dropping_keeps_the_states_of_the_run(tmp_path):
    lines = [line(1, "run.state"), line(2), line(3, "log", level=20), line(4, "run.state"), line(5)]
    kept = b"".join(without([b"".join(lines)], lambda each: not each.startswith(b'{"kind":"run.state"'), _root()))
    told = [json.loads(each) for each in kept.splitlines()]
    assert [(entry["kind"], entry["seq"], entry.get("last")) for entry in told] == [
        ("run.state", 1, None),
        ("dropped", 2, 3),
        ("run.state", 4, None),
        ("dropped", 5, 5),
    ]
    assert told[1]["count"] == {"task.state": 1, "log": 1}


def _root():
    from uuid import UUID

    return UUID(HEADER["root"])


def test_roots_that_begin_at_once_in_threads_share_the_two_threads_of_the_hub(monkeypatch):
    """A second pair would number entries twice, and send the same files."""
    made, hub = [], Hub(Api("http://127.0.0.1:1/api/v1", "k"))

    def open_one():
        hub.open(root=uuid7(), attempt=1, writer=0, token="t", stopping=None, local=True)

    class Slow(shipper.Shipper):
        def __init__(self, hub):
            super().__init__(hub)
            made.append(self)
            if len(made) == 1:
                others[0].start()
                others[0].join(0.2)  # It comes in between, unless it is kept waiting.

    others = [threading.Thread(target=open_one)]
    monkeypatch.setattr(shipper, "Shipper", Slow)
    open_one()
    others[0].join(10)
    hub.end()
    assert len(made) == 1
