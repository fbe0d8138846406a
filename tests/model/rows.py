"""What the server holds, read from its tables: to be compared with the model, and to be judged by laws of its own."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any
from uuid import UUID

from orchestrator.states import TERMINAL, TRANSITIONS, StateType, is_held
from runs.usage.recount import METERS, Bucket, recount
from tests.model.leases import Target
from tests.model.model import Model
from tests.sql import ask

FACTS = ("root", "type", "name", "attempt", "run_count", "crashes", "claims_lost", "suspensions")
RUNS = """
    SELECT id, root_id, state_type, state_name, attempt, run_count, crashes, claims_lost, suspensions, due_at,
        retries, crash_retries, pool_id, started_at, history, ended_at, error::text, state_at, state_message
    FROM flow_run
"""
PLACES = "SELECT retention, bucket FROM flow_run UNION SELECT retention, bucket FROM deleted_run"
LEASES = """
    SELECT l.run_id, l.attempt, l.agent_id, c.kind, c.target_id, l.key, l.expires_at
    FROM lease l LEFT JOIN concurrency_limit c ON c.organization_id = l.organization_id AND c.id = l.limit_id
"""


def runs() -> dict[UUID, dict[str, Any]]:
    """All runs of the company whose scope is open."""
    names = (
        "id", *FACTS, "due", "retries", "crash_retries", "pool", "started", "history", "ended", "error", "state_at",
        "message",
    )  # fmt: skip
    return {row[0]: dict(zip(names, row, strict=True)) for row in ask(RUNS)}


def leases() -> list[tuple]:
    """Its leases: (run, attempt, agent, target of the limit or None, until)."""
    found = ask(LEASES)
    return [(*own, (kind, target, key) if kind else None, until) for *own, kind, target, key, until in found]


def compare(model: Model, found: dict[UUID, dict[str, Any]], leases: list[tuple]) -> None:
    """The server's runs and leases are the model's."""
    assert found.keys() == model.runs.keys()
    for run in model.runs.values():
        _same(tuple(found[run.id][name] for name in FACTS), tuple(getattr(run, name) for name in FACTS))
        if run.type == "SCHEDULED":
            _same(found[run.id]["due"], run.due)
    wanted = set()
    for run in model.runs.values():
        own = [(None, run.until)] if run.until else []
        for target, until in [*own, *run.slots.items()]:
            wanted.add((run.id, run.attempt, run.attempts[run.attempt].agent, target, until))
    _same(set(leases), wanted)


def _same(is_so: Any, should_be: Any) -> None:
    assert is_so == should_be, f"the server has\n{is_so}\nand should have\n{should_be}"


def judge(found: dict[UUID, dict[str, Any]], leases: list[tuple]) -> None:
    """The laws, whatever the model says."""
    main = [id for id, _, _, target, _ in leases if target is None]
    held = {id for id, row in found.items() if is_held(row["type"], row["name"]) and id == row["root"]}
    assert sorted(main) == sorted(held), "every held run has one lease, and no other run has any"
    for id, attempt, *_ in leases:
        assert id in held
        assert found[id]["attempt"] == attempt, "a lease is of the newest attempt of a held run"
    for row in found.values():
        _judge_run(row, found[row["root"]])


def _judge_run(row: dict[str, Any], root: dict[str, Any]) -> None:
    history = json.loads(row["history"])
    states = [StateType(type) for _, type, *_ in history]
    for before, after in pairwise(states):
        assert (before, after) in TRANSITIONS, (before, after)
    assert not states or states[-1] == row["type"]
    attempts = [attempt for *_, attempt in history]
    assert attempts == sorted(attempts)
    assert row["claims_lost"] <= 3
    assert row["crashes"] <= max(row["retries"], row["crash_retries"] or 0) + 1
    if row["type"] == "SCHEDULED":
        assert None not in (row["due"], row["pool"]), "somebody will take it, at a time that is known"
    if row["type"] not in TERMINAL:
        alive = is_held(root["type"], root["name"])
        assert alive or root["type"] in {"PAUSED", "SCHEDULED"}
        assert row is root or alive, "no subflow outlives the attempt in which it ran"
    assert (row["ended"] is not None) == (row["type"] in TERMINAL)


def compare_journals(model: Model) -> None:
    """Everything that was told was recorded, once."""
    roots = [run for run in model.runs.values() if run.id == run.root]
    heard = {(run.id, n, w): m[0] for run in roots for n, a in run.attempts.items() for w, m in a.marks.items()}
    marks = ask("SELECT root_id, attempt, writer, applied_seq FROM journal_stream")
    _same({tuple(key): applied for *key, applied in marks}, heard)
    lines = ask("SELECT root_id, line_no, message FROM log_line ORDER BY root_id, line_no")
    told = [(run.id, n, text) for run in sorted(roots, key=lambda run: run.id) for n, text in enumerate(run.lines, 1)]
    _same(lines, told)
    tasks = {(run, id): state for run, id, *state in ask("SELECT run_id, id, attempt, state_type FROM task_run")}
    begun = [(run.id, id, *task) for run in model.runs.values() for id, task in run.tasks.items()]
    _same(tasks, {(run, id): [attempt, state] for run, id, attempt, _, state in begun})


def compare_usage(found: dict[UUID, dict[str, Any]], model: Model) -> None:
    """Everything is metered once, and what an execution repeats not at all: as a recount of the rows says, too."""
    sums = ", ".join(f"coalesce(sum({meter}), 0)::bigint" for meter in METERS)
    [metered] = ask(f"SELECT {sums} FROM usage_delta")
    buckets = [Bucket(*place) for place in ask(PLACES)]
    rows = [meters for bucket in buckets for meters in recount(bucket).values()]
    _same(metered, tuple(sum(meters[name] for meters in rows) for name in METERS))
    every = [*model.runs.values(), *model.gone]
    text = sum(len(line.encode()) for run in every for line in run.lines)
    begun = sum(row["started"] is not None for row in found.values()) + model.begun_of_gone
    tasks = sum(len(run.tasks) for run in every)
    counted = dict(zip(METERS, metered, strict=True))
    assert counted["log_bytes"] == text
    assert (counted["flow_runs"] <= begun, counted["task_runs"] <= tasks) == (True, True)


def compare_operations(model: Model) -> None:
    """Each has ended, and did what it should; what was deleted has left nothing."""
    found = {
        id: (state, done, refused)
        for id, state, done, refused in ask(
            "SELECT id, state, done, (SELECT coalesce(sum(value::int), 0) FROM jsonb_each_text(refused))"
            " FROM bulk_operation"
        )
    }
    _same(found, {each.id: ("completed", each.done, each.refused) for each in model.operations})
    gone = [run.id for run in model.gone]
    for table, of in (("task_run", "run_id"), ("log_line", "root_id"), ("event", "run_id"), ("attempt", "run_id")):
        assert not ask(f"SELECT {of} FROM {table} WHERE {of} = ANY(%s) LIMIT 1", gone), table
    _same({id for (id,) in ask("SELECT id FROM deleted_run WHERE cleared_at IS NOT NULL")}, model.deleted)


def over_the_limit(model: Model, at: Any) -> set[Target]:
    """Limits with more live leases than slots, of each key: a claim may add to none of them."""
    held = {target for run in model.runs.values() for target in run.slots}
    return {target for target in held if model.taken(target, at) > model.limits[target[:2]]}
