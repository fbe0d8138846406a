"""Two servers that keep the same promises: the real one through its HTTP doors, and the one in memory.

A scenario asks for `world` and is run against both. It talks to the API; the few things that the API does not tell, or
that nobody can ask for, such as the passing of time, are the world's own words.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, unquote
from uuid import UUID

from orchestrator.testing import Clock, Server
from orchestrator.testing.memory.rows import Run
from tests.cast import Api, Company

FACTS = {"pool": "default", "name": "box-1", "slots": 10, "version": "1.0", "host": "box", "python": "3.11.9"}
SOURCE = {"type": "path", "path": "/flows"}


@dataclass
class Answer:
    """What the API in memory answers, read as Django's test client has it."""

    status_code: int
    headers: dict[str, str]
    content: bytes

    def json(self) -> Any:
        return json.loads(self.content)


class MemoryApi:
    """The API in memory as a program with one key sees it."""

    def __init__(self, server: Server, key: str) -> None:
        self.server, self.key = server, key

    def get(self, path: str, **query: Any) -> Answer:
        return self._send("GET", path, None, {}, query)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self._send("POST", path, body, headers)

    def put(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self._send("PUT", path, body, headers)

    def patch(self, path: str, body: Any = None) -> Answer:
        return self._send("PATCH", path, body, {})

    def delete(self, path: str) -> Answer:
        return self._send("DELETE", path, None, {})

    def _send(self, method: str, path: str, body: Any, headers: dict[str, str], query: Any = None) -> Answer:
        data = body if isinstance(body, bytes) else json.dumps(body if body is not None else {}).encode()
        sent = {"Authorization": f"Bearer {self.key}", "Orchestrator-Wire": "1", **headers}
        path, _, asked = path.partition("?")
        texts = {**dict(parse_qsl(asked)), **{name: str(value) for name, value in (query or {}).items()}}
        reply = self.server.memory.request(method, unquote(path), texts, sent, b"" if method == "GET" else data)
        return Answer(reply.status, dict(reply.headers), reply.body)


class World:
    """What both servers have in common."""

    name: str
    api: Any

    def as_role(self, role: str) -> Any:
        """The API with a key of another role."""
        raise NotImplementedError

    def with_key(self, key: str) -> Any:
        """The API with any secret, such as a run's token."""
        raise NotImplementedError

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and do what it brings."""
        raise NotImplementedError

    def history(self, run: UUID | str) -> list[str]:
        """The names of the states that a run went through."""
        raise NotImplementedError

    def is_held(self, run: UUID | str) -> bool:
        """Say whether there is a lease on a run that has not run out."""
        raise NotImplementedError

    def late_words(self, run: UUID | str, attempt: int = 1) -> list[str]:
        """States that an attempt told of after its time."""
        raise NotImplementedError

    def quarantine(self) -> list[tuple[int, str, str]]:
        """Entries that could not be taken: number, code, text."""
        raise NotImplementedError

    def wait(self, agent: str, since: int = -1, key: str = "") -> tuple[int, Any]:
        """An agent's wait: status and answer. It is held for a moment only."""
        raise NotImplementedError

    def wait_for_slots(self, api: Any, session: UUID, since: str) -> Any:
        """What a process hears that waits for its slots. It is held for a moment only."""
        raise NotImplementedError

    # By the API alone.

    def deploy(self, name: str = "nightly", *, flow: str = "etl", **more: Any) -> dict[str, Any]:
        body = {"flow": flow, "name": name, "entrypoint": "flows.py:etl", "source": SOURCE, **more}
        made = self.api.post("/deployments", body)
        assert made.status_code in (200, 201), made.content
        return made.json()

    def trigger(self, deployment: str = "etl/nightly", **more: Any) -> str:
        made = self.api.post("/flow-runs", {"deployment": deployment, **more})
        assert made.status_code == 201, made.content
        return made.json()["id"]

    def agent(self, **facts: Any) -> HandAgent:
        """An agent that has registered."""
        own = self.as_role("agent")
        told = own.post("/agents", {**FACTS, **facts})
        assert told.status_code == 200, told.content
        return HandAgent(self, own, told.json()["id"])

    def run(self, id: UUID | str) -> dict[str, Any]:
        """A run as the API shows it."""
        told = self.api.get(f"/flow-runs/{id}")
        assert told.status_code == 200, told.content
        return told.json()

    def state(self, id: UUID | str) -> tuple[str, str]:
        told = self.run(id)["state"]
        return told["type"], told["name"]

    def tasks(self, id: UUID | str) -> list[dict[str, Any]]:
        return self.api.get(f"/flow-runs/{id}/task-runs", limit=1_000).json()["items"]

    def lines(self, id: UUID | str) -> list[str]:
        return [line["message"] for line in self.api.get(f"/flow-runs/{id}/logs", limit=5_000).json()["items"]]


@dataclass
class HandAgent:
    """An agent, move by move."""

    world: World
    api: Any
    id: str

    def claim(self, slots: int = 10) -> list[dict[str, Any]]:
        return self.api.post(f"/agents/{self.id}/claim", {"slots": slots}).json()["runs"]

    def beat(self, *claims: dict[str, Any]) -> dict[str, Any]:
        leases = [{"run": claim["run"], "attempt": claim["attempt"]} for claim in claims]
        return self.api.post(f"/agents/{self.id}/heartbeat", {"leases": leases}).json()

    def tell_end(self, claim: dict[str, Any], **more: Any) -> Any:
        return self.api.post(f"/agents/{self.id}/ended", {"run": claim["run"], "attempt": claim["attempt"], **more})


class MemoryWorld(World):
    """`orchestrator.testing.server`."""

    name = "memory"

    def __init__(self, server: Server, clock: Clock) -> None:
        self.server, self.clock = server, clock
        self.api = MemoryApi(server, server.key)

    def as_role(self, role: str) -> MemoryApi:
        return MemoryApi(self.server, self.server.new_key(role))

    def with_key(self, key: str) -> MemoryApi:
        return MemoryApi(self.server, key)

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def _row(self, run: UUID | str) -> Run:
        return self.server.run(run)

    def history(self, run: UUID | str) -> list[str]:
        return self._row(run).states

    def is_held(self, run: UUID | str) -> bool:
        return self.server.memory.store.held(self._row(run))

    def late_words(self, run: UUID | str, attempt: int = 1) -> list[str]:
        return [state for _, state, _ in self._row(run).attempts[attempt].history]

    def quarantine(self) -> list[tuple[int, str, str]]:
        return [(each["seq"], each["code"], each["entry"]) for each in self.server.memory.store.quarantine]

    def wait(self, agent: str, since: int = -1, key: str = "") -> tuple[int, Any]:
        told = MemoryApi(self.server, key or self.server.new_key()).get(f"/agents/{agent}/wait", since=since)
        return told.status_code, told.json()

    def wait_for_slots(self, api: Any, session: UUID, since: str) -> Any:
        return api.get("/slots/wait", session=session, since=since).json()


class CommittingApi(Api):
    """The real API; what waits for a commit happens after each request, as it does outside of tests."""

    def __init__(self, key: str, committed: Callable[..., Any]) -> None:
        super().__init__(key)
        self._committed = committed

    def _send(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Any:
        with self._committed(execute=True):
            return super()._send(method, path, body, headers)

    def delete(self, path: str) -> Any:
        with self._committed(execute=True):
            return super().delete(path)


class RealWorld(World):
    """The Django server and its database."""

    name = "real"

    def __init__(self, company: Company, committed: Callable[..., Any]) -> None:
        self.company, self._committed = company, committed
        self.api = CommittingApi(company.key("developer"), committed)
        self._keys = 0

    def _key(self, role: str) -> str:
        self._keys += 1
        return self.company.key(f"{role}-{self._keys}", role)

    def as_role(self, role: str) -> CommittingApi:
        return CommittingApi(self._key(role), self._committed)

    def with_key(self, key: str) -> CommittingApi:
        return CommittingApi(key, self._committed)

    def pass_time(self, seconds: float) -> None:
        """Whatever has a time moves back by so much, which is the same; then the ticks do their work."""
        from django.db.models import F
        from django.utils.timezone import now

        from runs import claims, emptying, scheduling, tasks
        from runs.backfills import working as backfills
        from runs.bulk import working
        from runs.inputs import requests
        from runs.models import (
            Agent,
            Attempt,
            Backfill,
            BulkOperation,
            FlowRun,
            InputRequest,
            Lease,
            NamedLimit,
            Schedule,
            Slot,
        )
        from runs.slots import queue
        from tenants.authentication import forget_secrets

        by = timedelta(seconds=seconds)
        with self._committed(execute=True), self.company.scope():
            Lease.objects.update(expires_at=F("expires_at") - by)
            Slot.objects.filter(expires_at__isnull=False).update(expires_at=F("expires_at") - by)
            NamedLimit.objects.filter(reserved_until__isnull=False).update(reserved_until=F("reserved_until") - by)
            FlowRun.objects.filter(due_at__isnull=False).update(
                due_at=F("due_at") - by, start_by=F("start_by") - by, debounce_until=F("debounce_until") - by
            )
            Attempt.objects.update(
                created_at=F("created_at") - by, ended_at=F("ended_at") - by, hooks_until=F("hooks_until") - by
            )
            Schedule.objects.filter(next_at__isnull=False).update(next_at=F("next_at") - by)
            Agent.objects.update(last_seen_at=F("last_seen_at") - by)
            InputRequest.objects.filter(expires_at__isnull=False).update(expires_at=F("expires_at") - by)
            requests.expire(list(FlowRun.objects.values_list("id", flat=True)))
            claims.expire(list(FlowRun.objects.values_list("id", flat=True)))
            scheduling.create_due_runs(
                self.company.organization.id, list(Schedule.objects.values_list("id", flat=True))
            )
            scheduling.skip(list(FlowRun.objects.filter(start_by__lt=now()).values_list("id", flat=True)))
            late = FlowRun.objects.filter(state_type="SCHEDULED", state_name="Scheduled")
            queue.clear(Slot.objects.values_list("workspace_id", "kind", "name").distinct())
            tasks.mark_late(list(late.values_list("id", flat=True)))
            for id in Backfill.objects.values_list("id", flat=True):
                while backfills.work(id):
                    pass
            BulkOperation.objects.update(begins_at=F("begins_at") - by)
            for id in BulkOperation.objects.values_list("id", flat=True):
                while working.work(id):
                    pass
            while emptying.empty(self.company.organization.id) is not None:
                pass
        forget_secrets()  # They are trusted for five seconds, which are over.

    def _row(self, run: UUID | str) -> Any:
        from runs.models import FlowRun

        return FlowRun.objects.get(id=run)

    def history(self, run: UUID | str) -> list[str]:
        with self.company.scope():
            return [name for _, _, name, *_ in self._row(run).history]

    def is_held(self, run: UUID | str) -> bool:
        from django.utils.timezone import now

        from runs.models import Lease

        with self.company.scope():
            return Lease.objects.filter(run_id=run, limit=None, expires_at__gt=now()).exists()

    def late_words(self, run: UUID | str, attempt: int = 1) -> list[str]:
        from runs.models import Attempt

        with self.company.scope():
            return [state for _, state, *_ in Attempt.objects.get(run_id=run, number=attempt).history]

    def quarantine(self) -> list[tuple[int, str, str]]:
        from runs.models import JournalQuarantine

        with self.company.scope():
            return list(JournalQuarantine.objects.order_by("seq").values_list("seq", "code", "entry"))

    def wait(self, agent: str, since: int = -1, key: str = "") -> tuple[int, Any]:
        from tests.runs.doors import run
        from tests.runs.test_waiting import wait

        return run(wait(agent, key or self._key("agent"), since))[0]

    def wait_for_slots(self, api: Any, session: UUID, since: str) -> Any:
        from runs.messenger import messenger
        from runs.slots.waiting import wait_app
        from tests.runs.doors import ask, run

        messenger.flush()
        query = f"session={session}&since={since}"
        [(status, told)] = run(lambda: ask(wait_app, "/api/v1/slots/wait", api.key, query))
        assert status == 200, told
        return told
