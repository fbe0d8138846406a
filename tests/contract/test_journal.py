"""The journal's protocol (design §4): whatever a client sends, nothing is lost or doubled."""

from __future__ import annotations

import pytest

from orchestrator.ids import uuid7
from tests.contract.journals import Journal
from tests.contract.worlds import World

# ── what a local run makes ───────────────────────────────────────────────────────────────────────


def test_the_first_batch_makes_the_run(world: World, journal: Journal) -> None:
    answer = journal.send(journal.begin(tags=["nightly"]), journal.log(), journal.task())

    assert answer == {"acked": {journal.stream: 3}, "expected": {}, "rejected": [], "signals": []}
    run = world.run(journal.root)
    assert (run["flow"], run["name"], run["origin"], run["deployment"]) == ("etl", "brave-otter", "local", None)
    assert (run["state"]["type"], run["state"]["name"]) == ("RUNNING", "Running")
    assert (run["parameters"], run["tags"], run["attempt"]) == ({"day": "monday"}, ["nightly"], 1)
    assert (run["run_count"], run["root"], run["parent"]) == (1, run["id"], None)
    assert world.is_held(journal.root)
    assert [task["name"] for task in world.tasks(journal.root)] == ["extract-1"]


def test_a_run_may_speak_before_it_runs(world: World, journal: Journal) -> None:
    """4: what says who it is comes first; its true name may come later."""
    child = uuid7()
    journal.send(journal.begin(state="PENDING"), journal.log("early"))
    assert (world.state(journal.root), world.is_held(journal.root)) == (("PENDING", "Pending"), True)
    journal.send(journal.state("RUNNING", run_count=1, label="monday"), journal.subflow(child, state="PENDING"))
    journal.send(journal.log("early, too", run=child), journal.state("FAILED", run=child, run_count=1))

    assert world.run(journal.root)["name"] == "monday"
    assert (world.history(journal.root), world.history(child)) == (["Running"], ["Failed"])
    assert (world.lines(journal.root), world.lines(child)) == (["early", "early, too"], ["early, too"])


def test_a_whole_life_in_one_batch(world: World, journal: Journal) -> None:
    journal.send(journal.begin(), journal.log(), journal.state("COMPLETED", run_count=1, duration=2_000_000))

    run = world.run(journal.root)
    assert (run["state"]["name"], run["duration"], run["error"]) == ("Completed", 2.0, None)
    assert run["ended_at"] >= run["started_at"]
    assert world.history(journal.root) == ["Running", "Completed"]
    assert not world.is_held(journal.root)


def test_an_error_is_told_until_the_run_completes(world: World, journal: Journal) -> None:
    error = {"type": "ValueError", "message": "no", "traceback": "Traceback …"}
    journal.send(journal.begin(), journal.state("FAILED", run_count=1, message="ValueError: no", error=error))
    run = world.run(journal.root)
    assert (run["error"], run["state"]["message"]) == (error, "ValueError: no")


def test_subflows_share_the_execution(world: World, journal: Journal) -> None:
    child = uuid7()
    journal.send(journal.begin(), journal.subflow(child), journal.task(run=child), journal.log("in it", run=child))
    journal.send(journal.log("around it"), journal.state("COMPLETED", run=child, run_count=1))

    run = world.run(child)
    assert (run["root"], run["parent"], run["origin"]) == (str(journal.root), str(journal.root), "subflow")
    assert (run["flow"], run["state"]["type"], run["tasks"]) == ("part", "COMPLETED", {"COMPLETED": 1})
    assert (world.lines(child), world.lines(journal.root)) == (["in it"], ["in it", "around it"])
    assert world.state(journal.root) == ("RUNNING", "Running")


def test_the_end_of_a_root_ends_what_it_left_open(world: World, journal: Journal) -> None:
    child = uuid7()
    open_task = journal.begin(), journal.subflow(child), journal.task("RUNNING", run=child, ended=None, duration=None)
    journal.send(*open_task)
    journal.send(journal.state("FAILED", run_count=1, message="ValueError: no"))

    assert world.state(child) == ("CRASHED", "Crashed")
    (task,) = world.tasks(child)
    assert (task["state"]["type"], task["state"]["message"]) == ("CRASHED", "Its run ended (Failed) before it did.")


def test_a_task_that_speaks_after_it_was_given_up_is_believed(world: World, journal: Journal) -> None:
    begin = journal.begin()
    running = journal.task("RUNNING", ended=None, duration=None)
    journal.send(begin, running)
    journal.send(journal.state("COMPLETED", run_count=1))
    journal.send(journal.task("COMPLETED", id=running.id))

    assert [task["state"]["type"] for task in world.tasks(journal.root)] == ["COMPLETED"]


def test_what_is_left_open_after_the_end_is_closed(world: World, journal: Journal) -> None:
    child = uuid7()
    journal.send(journal.begin(), journal.state("COMPLETED", run_count=1))
    journal.send(journal.subflow(child), journal.task("RUNNING", ended=None, duration=None))

    assert world.state(child) == ("CRASHED", "Crashed")
    (task,) = world.tasks(journal.root)
    assert task["state"]["type"] == "CRASHED"
    assert task["state"]["message"] == "Its attempt had ended before this was told."


# ── everything may happen twice ──────────────────────────────────────────────────────────────────


def test_a_replayed_batch_changes_nothing(world: World, journal: Journal) -> None:
    body = journal.body([journal.begin(), journal.log("once"), journal.task()])
    first, second = (journal.api.post("/journal", body).json() for _ in range(2))

    assert first["acked"] == second["acked"] == {journal.stream: 3}
    assert world.lines(journal.root) == ["once"]
    assert world.run(journal.root)["tasks"] == {"COMPLETED": 1}
    assert world.history(journal.root) == ["Running"]


def test_a_batch_that_overlaps_is_applied_from_where_it_is_new(world: World, journal: Journal) -> None:
    entries = [journal.begin(), journal.log("one"), journal.log("two"), journal.log("three")]
    journal.send(*entries[:3], from_seq=1)
    answer = journal.send(*entries, from_seq=1)

    assert answer["acked"] == {journal.stream: 4}
    assert world.lines(journal.root) == ["one", "two", "three"]


def test_a_gap_is_answered_with_what_is_expected(world: World, journal: Journal) -> None:
    journal.send(journal.begin())
    journal.seq += 1  # An entry that never arrived.
    answer = journal.send(journal.log("too early"))

    assert (answer["expected"], answer["acked"]) == ({journal.stream: 2}, {})
    assert world.lines(journal.root) == []


def test_a_gap_inside_a_batch_applies_what_comes_before_it(world: World, journal: Journal) -> None:
    begin, first = journal.begin(), journal.log("first")
    journal.seq += 1
    answer = journal.send(begin, first, journal.log("behind the gap"), from_seq=1)

    assert (answer["acked"], answer["expected"]) == ({journal.stream: 2}, {journal.stream: 3})
    assert world.lines(journal.root) == ["first"]


def test_an_empty_batch_renews_the_lease_and_brings_signals(world: World, journal: Journal) -> None:
    journal.send(journal.begin())
    for _ in range(3):
        world.pass_time(40)
        assert journal.send(from_seq=2)["acked"] == {journal.stream: 1}
    assert world.history(journal.root) == ["Running"]
    world.api.post(f"/flow-runs/{journal.root}/cancel")
    assert journal.send(from_seq=2)["signals"] == [{"run": str(journal.root), "signal": "cancel"}]


def test_the_latest_word_about_a_task_wins_whatever_the_order(world: World, journal: Journal) -> None:
    task = uuid7()
    journal.send(
        journal.begin(), journal.task("FAILED", id=task, run_count=1), journal.task("RUNNING", id=task, run_count=2)
    )
    journal.send(journal.task("COMPLETED", id=task, run_count=2))
    journal.send(journal.task("RUNNING", id=task, run_count=1))

    (told,) = world.tasks(journal.root)
    assert (told["state"]["type"], told["run_count"]) == ("COMPLETED", 2)


# ── who may write ────────────────────────────────────────────────────────────────────────────────


def test_a_stale_token_is_refused(world: World, journal: Journal) -> None:
    journal.send(journal.begin())
    answer = journal.send(journal.log("not mine"), head={"token": "somebody else's"})

    assert answer["acked"] == {}
    assert answer["rejected"] == [{"stream": journal.stream, "seq": 0, "code": "stale_token"}]
    assert world.lines(journal.root) == []


def test_of_two_clients_with_one_id_the_first_token_counts(world: World, journal: Journal) -> None:
    second = Journal(world.api, root=journal.root)
    journal.send(journal.begin())
    answer = second.send(second.begin(flow="another"))

    assert answer["rejected"][0]["code"] == "stale_token"
    assert world.run(journal.root)["flow"] == "etl"


def test_a_stream_that_nobody_began_is_unknown(world: World) -> None:
    unknown = Journal(world.api, seq=1)
    answer = unknown.send(unknown.log())
    assert answer["rejected"] == [{"stream": unknown.stream, "seq": 0, "code": "unknown_run"}]
    assert (answer["acked"], answer["expected"]) == ({}, {})


def test_an_entry_may_not_name_a_run_of_another_execution(world: World, journal: Journal) -> None:
    other = Journal(world.api)
    other.send(other.begin())
    entries = journal.begin(), journal.log("here"), journal.log("there", run=other.root), journal.task(run=other.root)
    answer = journal.send(*entries)

    assert [(r["seq"], r["code"]) for r in answer["rejected"]] == [(3, "unknown_run"), (4, "unknown_run")]
    assert answer["acked"] == {journal.stream: 4}
    assert world.lines(other.root) == []


def test_one_execution_says_nothing_of_anothers_subflows(world: World, journal: Journal) -> None:
    """Both are its own, in one batch: still one lease says nothing about the other."""
    other, child = Journal(world.api), uuid7()
    other.send(other.begin(), other.subflow(child))
    body = journal.body([journal.begin(), journal.state("FAILED", run=child, run_count=1), journal.log("x", run=child)])
    body += b"\n" + other.body([other.log("here", run=child)]).split(b"\n", 1)[1]
    answer = world.api.post("/journal", body).json()

    assert {(r["stream"], r["seq"], r["code"]) for r in answer["rejected"]} == {
        (journal.stream, 2, "unknown_run"),
        (journal.stream, 3, "unknown_run"),
    }
    assert world.state(child) == ("RUNNING", "Running")


def test_only_writer_0_reports_states_of_runs(world: World, journal: Journal) -> None:
    journal.send(journal.begin())
    second = Journal(world.api, root=journal.root, token=journal.token, writer=77)
    answer = second.send(second.log("from a worker"), second.state("COMPLETED", run_count=1))

    assert answer["acked"] == {second.stream: 2}
    assert [(r["seq"], r["code"]) for r in answer["rejected"]] == [(2, "not_writer_0")]
    assert world.lines(journal.root) == ["from a worker"]
    assert world.state(journal.root) == ("RUNNING", "Running")


def test_two_streams_of_one_run_in_one_batch(world: World, journal: Journal) -> None:
    second = Journal(world.api, root=journal.root, token=journal.token, writer=5)
    body = journal.body([journal.begin(), journal.log("a")])
    body += b"\n" + second.body([second.log("b")]).split(b"\n", 1)[1]
    answer = world.api.post("/journal", body).json()

    assert answer["acked"] == {journal.stream: 2, second.stream: 1}
    assert sorted(world.lines(journal.root)) == ["a", "b"]


@pytest.mark.parametrize("overlap", [True, False])
def test_a_stream_comes_once_in_a_batch(world: World, journal: Journal, overlap: bool) -> None:
    first = journal.body([journal.begin(), journal.log("one")])
    if overlap:
        journal.seq = 0
        second = journal.body([journal.begin(), journal.log("twice")])
    else:
        second = journal.body([journal.log("two")])
    response = world.api.post("/journal", first + b"\n" + second.split(b"\n", 1)[1])

    assert response.status_code == 400
    assert "once" in response.json()["error"]["message"]
    assert world.api.get(f"/flow-runs/{journal.root}").status_code == 404


def test_an_attempt_is_sealed_after_seven_days(world: World, journal: Journal) -> None:
    journal.send(journal.begin(), journal.state("COMPLETED", run_count=1))
    world.pass_time(6 * 86_400)
    journal.send(journal.log("late"))
    world.pass_time(2 * 86_400)
    answer = journal.send(journal.log("much too late"))

    assert [r["code"] for r in answer["rejected"]] == ["sealed"]
    assert world.lines(journal.root) == ["late"]


def test_a_finished_run_stays_finished(world: World, journal: Journal) -> None:
    journal.send(journal.begin(), journal.state("COMPLETED", run_count=1))
    answer = journal.send(journal.state("RUNNING", run_count=2), journal.log("after the end"))

    assert [r["code"] for r in answer["rejected"]] == ["refused"]
    assert answer["signals"] == [{"run": str(journal.root), "signal": "over"}]
    assert world.state(journal.root) == ("COMPLETED", "Completed")
    assert world.lines(journal.root) == ["after the end"]
    assert world.late_words(journal.root) == ["RUNNING"]


def test_a_local_run_is_never_handed_to_an_agent(world: World, journal: Journal) -> None:
    answer = journal.send(journal.begin(retries=3), journal.state("SCHEDULED", name="AwaitingRetry", run_count=1))
    assert [r["code"] for r in answer["rejected"]] == ["refused"]
    world.pass_time(61)
    assert world.state(journal.root) == ("RUNNING", "Unreachable")
    assert world.agent().claim() == []
    world.pass_time(86_400)
    assert world.state(journal.root) == ("CRASHED", "Crashed")


def test_a_viewer_and_nobody_may_not_write(world: World, journal: Journal) -> None:
    body = journal.body([journal.begin()])
    assert world.as_role("viewer").post("/journal", body).status_code == 403
    assert world.with_key("orc_nonsense").post("/journal", b"").status_code == 401
    assert world.api.get(f"/flow-runs/{journal.root}").status_code == 404
