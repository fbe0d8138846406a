"""The API in memory: who asks, for what, and the answer."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from orchestrator import clock
from orchestrator.exchange import Reply
from orchestrator.pool_bodies import PoolInput
from orchestrator.testing.memory import (
    agents,
    artifacts,
    assets,
    backfills,
    background,
    blocks,
    bulk,
    cache,
    claims,
    deleting,
    deployments,
    estimates,
    events,
    explaining,
    inputs,
    journal,
    limits,
    pools,
    results,
    retries,
    runs,
    schedule_doors,
    schedules,
    slots,
    variables,
)
from orchestrator.testing.memory.asked import Asked, Refusal
from orchestrator.testing.memory.shown import PORTAL, show_variable
from orchestrator.testing.memory.store import Actor, Store
from orchestrator.wire import WIRE, encode

Handler = Callable[[Store, Asked], Any]

_VIEW = frozenset({"runs.view", "deployments.view", "pools.view", "variables.view", "blocks.view", "limits.view"})
_RUN = _VIEW | {"runs.trigger", "runs.cancel", "runs.pause", "runs.answer"}
_RESULTS = {"results.read", "results.write"}
_AGENT = _RESULTS | {
    "agents.work", "journal.write", "events.write", "slots.take", "deployments.view", "pools.view", "limits.view",
    "bundles.read",
}  # fmt: skip
_EDIT = {
    "deployments.edit",
    "variables.edit",
    "pools.edit",
    "bundles.write",
    "schedules.edit",
    "runs.delete",
    "blocks.edit",
    "cache.edit",
    "limits.edit",
}
_DEVELOP = _RUN | _AGENT | _EDIT | {"blocks.use"}
_OWN_RUN = {
    "journal.write",
    "events.write",
    "slots.take",
    "limits.view",
    "variables.view",
    "variables.edit",
    "runs.view",
    "runs.trigger",
    "runs.pause",
    "runs.answer",
    "blocks.view",
    "blocks.use",
}
ROLES: dict[str, frozenset[str]] = {
    "viewer": _VIEW,
    "runner": _RUN,
    "agent": frozenset(_AGENT),
    "developer": frozenset(_DEVELOP),
    "owner": frozenset(_DEVELOP),
    "run": frozenset(_OWN_RUN | _RESULTS | {"deployments.view", "bundles.read", "blocks.view", "blocks.use"}),
    "run.over": frozenset({"journal.write"}),
}

_ID = r"(?P<id>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"

_SCHEDULE = f"/deployments/{_ID}/schedules/(?P<slug>[^/]+)"
_POOL = "/work-pools/(?P<pool>[^/]+)"
_BLOCK = "/blocks/(?P<type>[^/]+)/(?P<name>[^/]+)"


def _me(store: Store, asked: Asked) -> dict[str, Any]:
    by = asked.by
    named = {"organization": "testing", "workspace": "main", "actor": by.label, "kind": by.kind, "role": by.role}
    named["workspace_id"] = str(store.workspace_id)
    return {**named, "portal_url": f"{PORTAL}/"}


def _variable(store: Store, asked: Asked) -> dict[str, Any]:
    return show_variable(variables.find(store, asked.names["name"]))


def _explain(store: Store, asked: Asked) -> dict[str, Any]:
    return explaining.explain(store, asked, ROLES[asked.by.role])


def _trigger(store: Store, asked: Asked) -> tuple[dict[str, Any], int]:
    return runs.trigger(store, asked, ROLES[asked.by.role])


def _estimate(store: Store, asked: Asked) -> dict[str, Any]:
    return estimates.estimate(store, asked, ROLES[asked.by.role])


def _check(store: Store, asked: Asked) -> dict[str, Any]:
    return estimates.check(store, asked, ROLES[asked.by.role])


_ROUTES: dict[str, dict[str, tuple[str, Handler]]] = {
    "/me": {"GET": ("deployments.view", _me)},
    "/deployments": {
        "GET": ("deployments.view", deployments.page),
        "POST": ("deployments.edit", deployments.deploy),
    },
    "/deployments/by-name/(?P<flow>.+)/(?P<name>[^/]+)": {"GET": ("deployments.view", deployments.by_name)},
    f"/deployments/{_ID}": {
        "GET": ("deployments.view", deployments.by_id),
        "PATCH": ("deployments.edit", deployments.change_limits),
        "DELETE": ("deployments.edit", deployments.remove),
    },
    f"/deployments/{_ID}/estimate": {"GET": ("deployments.view", _estimate), "POST": ("runs.trigger", _check)},
    f"/deployments/{_ID}/versions": {"GET": ("deployments.view", deployments.page_of_versions)},
    f"/deployments/{_ID}/versions/(?P<number>\\d+)": {"GET": ("deployments.view", deployments.version)},
    f"/deployments/{_ID}/versions/(?P<number>\\d+)/diff": {"GET": ("deployments.edit", deployments.difference)},
    f"/deployments/{_ID}/rollback": {"POST": ("deployments.edit", deployments.roll_back)},
    f"/deployments/{_ID}/canary": {"POST": ("deployments.edit", deployments.canary)},
    f"/deployments/{_ID}/promote": {"POST": ("deployments.edit", deployments.promote)},
    f"/deployments/{_ID}/pause": {"POST": ("schedules.edit", deployments.pause)},
    f"/deployments/{_ID}/resume": {"POST": ("schedules.edit", deployments.resume)},
    f"/deployments/{_ID}/schedules": {
        "GET": ("deployments.view", schedule_doors.of_deployment),
        "POST": ("deployments.edit", schedule_doors.create),
    },
    _SCHEDULE: {
        "GET": ("deployments.view", schedule_doors.one),
        "PATCH": ("deployments.edit", schedule_doors.change),
        "DELETE": ("deployments.edit", schedule_doors.remove),
    },
    f"{_SCHEDULE}/pause": {"POST": ("schedules.edit", schedule_doors.pause)},
    f"{_SCHEDULE}/resume": {"POST": ("schedules.edit", schedule_doors.resume)},
    "/schedules": {"GET": ("deployments.view", schedule_doors.page)},
    "/schedules/preview": {"POST": ("deployments.view", schedule_doors.preview)},
    "/bundles/(?P<sha256>[^/]+)": {
        "PUT": ("bundles.write", deployments.put_bundle),
        "GET": ("bundles.read", deployments.get_bundle),
        "HEAD": ("bundles.read", deployments.get_bundle),
    },
    "/results/(?P<key>.+)": {
        "PUT": ("results.write", results.put),
        "GET": ("results.read", results.get),
        "HEAD": ("results.read", results.get),
        "DELETE": ("results.write", results.remove),
    },
    "/flow-runs": {"GET": ("runs.view", runs.page), "POST": ("runs.trigger", _trigger)},
    "/flow-runs/cancel": {"POST": ("runs.cancel", bulk.cancel_many)},
    "/flow-runs/retry": {"POST": ("runs.trigger", bulk.retry_many)},
    "/flow-runs/delete": {"POST": ("runs.delete", bulk.delete_many)},
    "/flow-runs/pause": {"POST": ("runs.pause", bulk.pause_many)},
    "/flow-runs/resume": {"POST": ("runs.answer", bulk.resume_many)},
    "/backfills": {"GET": ("runs.view", backfills.page), "POST": ("runs.trigger", backfills.begin)},
    f"/backfills/{_ID}": {"GET": ("runs.view", backfills.one), "PATCH": ("runs.trigger", backfills.change)},
    f"/backfills/{_ID}/places": {"GET": ("runs.view", backfills.places)},
    f"/backfills/{_ID}/pause": {"POST": ("runs.trigger", backfills.pause)},
    f"/backfills/{_ID}/resume": {"POST": ("runs.trigger", backfills.resume)},
    f"/backfills/{_ID}/cancel": {"POST": ("runs.cancel", backfills.cancel)},
    "/bulk-operations": {"GET": ("runs.view", bulk.page)},
    f"/bulk-operations/{_ID}": {"GET": ("runs.view", bulk.one)},
    f"/bulk-operations/{_ID}/cancel": {"POST": ("runs.cancel", bulk.cancel)},
    "/flow-runs/wait": {"POST": ("runs.view", background.wait)},
    "/background-runs": {"POST": ("runs.trigger", background.delay)},
    "/background-runs/arguments": {"POST": ("runs.view", background.needed)},
    f"/flow-runs/{_ID}": {"GET": ("runs.view", runs.one), "DELETE": ("runs.delete", deleting.delete)},
    f"/flow-runs/{_ID}/explain": {"GET": ("runs.view", _explain)},
    f"/flow-runs/{_ID}/cancel": {"POST": ("runs.cancel", runs.cancel)},
    f"/flow-runs/{_ID}/retry": {"GET": ("runs.view", retries.plan), "POST": ("runs.trigger", retries.retry)},
    f"/flow-runs/{_ID}/retry/calls": {"GET": ("runs.view", retries.calls)},
    f"/flow-runs/{_ID}/logs": {"GET": ("runs.view", runs.lines)},
    f"/flow-runs/{_ID}/task-runs": {"GET": ("runs.view", runs.tasks)},
    f"/flow-runs/{_ID}/task-runs/{_ID.replace('<id>', '<task>')}": {"GET": ("runs.view", runs.one_task)},
    f"/flow-runs/{_ID}/pause": {"POST": ("runs.pause", inputs.pause)},
    f"/flow-runs/{_ID}/suspend": {"POST": ("runs.pause", inputs.suspend)},
    f"/flow-runs/{_ID}/resume": {"POST": ("runs.answer", inputs.resume)},
    f"/flow-runs/{_ID}/inputs": {"GET": ("runs.view", inputs.of_run)},
    f"/flow-runs/{_ID}/inputs/(?P<key>.+)": {"GET": ("runs.view", inputs.of_key)},
    f"/flow-runs/{_ID}/messages": {
        "GET": ("runs.view", inputs.messages),
        "POST": ("runs.answer", inputs.send),
    },
    "/inputs": {"GET": ("runs.view", inputs.waiting)},
    f"/inputs/{_ID}/answer": {"POST": ("runs.answer", inputs.answer)},
    "/work-pools": {"GET": ("pools.view", pools.page), "POST": ("pools.edit", pools.create_pool)},
    _POOL: {"GET": ("pools.view", pools.one), "PATCH": ("pools.edit", pools.change)},
    f"{_POOL}/queues": {"GET": ("pools.view", pools.queues), "POST": ("pools.edit", pools.create_queue)},
    f"{_POOL}/queues/(?P<queue>[^/]+)": {
        "GET": ("pools.view", pools.one_queue),
        "PATCH": ("pools.edit", pools.change_queue),
        "DELETE": ("pools.edit", pools.delete_queue),
    },
    "/artifacts": {"GET": ("runs.view", artifacts.page)},
    f"/artifacts/{_ID}": {"GET": ("runs.view", artifacts.one)},
    "/artifacts/by-key/(?P<key>[^/]+)": {"GET": ("runs.view", artifacts.of_key)},
    "/assets": {"GET": ("runs.view", assets.page)},
    f"/assets/{_ID}": {"GET": ("runs.view", assets.one)},
    f"/assets/{_ID}/materializations": {"GET": ("runs.view", assets.makings)},
    "/cache-entries": {"GET": ("runs.view", cache.page)},
    f"/cache-entries/{_ID}": {"GET": ("runs.view", cache.one)},
    "/cache-entries/by-key/(?P<key>[^/]+)": {"GET": ("runs.view", cache.of_key)},
    "/cache-entries/invalidate": {
        "GET": ("runs.view", cache.last_invalidation),
        "POST": ("cache.edit", cache.invalidate),
    },
    "/events": {"GET": ("runs.view", events.page), "POST": ("events.write", events.emit)},
    f"/events/{_ID}": {"GET": ("runs.view", events.one)},
    "/limits": {"GET": ("limits.view", limits.page)},
    "/limits/(?P<name>.+)/reset": {"POST": ("limits.edit", limits.reset)},
    "/limits/(?P<name>.+)": {
        "GET": ("limits.view", limits.one),
        "PUT": ("limits.edit", limits.put),
        "DELETE": ("limits.edit", limits.remove),
    },
    "/slots": {"POST": ("slots.take", slots.exchange)},
    "/agents": {"GET": ("pools.view", agents.page), "POST": ("agents.work", claims.register)},
    f"/agents/{_ID}": {"GET": ("pools.view", agents.one)},
    f"/agents/{_ID}/log": {"GET": ("pools.view", agents.log)},
    f"/agents/{_ID}/claim": {"POST": ("agents.work", claims.claim)},
    f"/agents/{_ID}/heartbeat": {"POST": ("agents.work", claims.heartbeat)},
    f"/agents/{_ID}/ended": {"POST": ("agents.work", claims.end_attempt)},
    "/block-types": {"GET": ("blocks.view", blocks.types_page)},
    "/block-types/(?P<slug>[^/]+)": {
        "GET": ("blocks.view", blocks.one_type),
        "PUT": ("blocks.edit", blocks.register),
    },
    "/blocks": {"GET": ("blocks.view", blocks.page)},
    _BLOCK: {
        "GET": ("blocks.view", blocks.one),
        "PUT": ("blocks.edit", blocks.save),
        "DELETE": ("blocks.edit", blocks.remove),
    },
    f"{_BLOCK}/value": {"POST": ("blocks.use", blocks.value)},
    f"{_BLOCK}/versions": {"GET": ("blocks.view", blocks.versions)},
    f"{_BLOCK}/users": {"GET": ("blocks.view", blocks.users)},
    f"{_BLOCK}/rename": {"POST": ("blocks.edit", blocks.rename)},
    f"{_BLOCK}/rollback": {"POST": ("blocks.edit", blocks.roll_back)},
    "/variables": {"GET": ("variables.view", variables.page)},
    "/variables/(?P<name>[^/]+)": {
        "GET": ("variables.view", _variable),
        "PUT": ("variables.edit", variables.put),
        "DELETE": ("variables.edit", variables.remove),
    },
}


class Memory:
    """One workspace of an API, in memory.

    Args:
        lease_seconds: For how long a holder may be silent.
        wait_seconds: For how long an agent's wait is held.
    """

    def __init__(self, lease_seconds: float = 60.0, wait_seconds: float = 45.0) -> None:
        self.store = Store(lease_seconds, wait_seconds)
        self.flows: dict[UUID, Any] = {}
        self.refusals: list[Refusal] = []
        self._routes = [(re.compile(pattern), by_method) for pattern, by_method in _ROUTES.items()]
        wait: Handler = lambda store, asked: claims.wait(store, asked, self.tick)  # noqa: E731
        self._routes.append((re.compile(f"/agents/{_ID}/wait"), {"GET": ("agents.work", wait)}))
        wait_for_slots: Handler = lambda store, asked: slots.wait(store, asked, self.tick)  # noqa: E731
        self._routes.append((re.compile("/slots/wait"), {"GET": ("slots.take", wait_for_slots)}))
        bell: Handler = lambda store, asked: inputs.wait(store, asked, self.tick)  # noqa: E731
        self._routes.append((re.compile(f"/flow-runs/{_ID}/wait"), {"GET": ("runs.view", bell)}))
        post: Handler = lambda store, asked: journal.receive(store, asked, clock.now())  # noqa: E731
        self._routes.append((re.compile("/journal"), {"POST": ("journal.write", post)}))
        pools.add_pool(self.store, PoolInput(pools.DEFAULT))

    def key(self, role: str = "developer", label: str = "") -> str:
        """A new key of this role."""
        secret = f"orc_{secrets.token_urlsafe(32)}"
        self.store.keys[secret] = Actor("key", role, label or role)
        return secret

    def deployed(self, id: UUID, flow: Any) -> None:
        """Note which object a deployment of this process was made from."""
        self.flows[id] = flow

    def delayed(self, flow: str, name: str, task: Any) -> None:
        """Note which object is called by what was queued for a deployment."""
        for deployment in self.store.deployments.values():
            if (deployment.flow, deployment.name) == (flow, name):
                self.flows[deployment.id] = task

    # Requests.

    def request(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> Reply:
        """Answer a request, as any server's client would make it."""
        sent = {name.lower(): value for name, value in headers.items()}
        with self.store.changed:
            try:
                self.tick()
                told = self._answer(method, path, query, sent, body)
            except Refusal as refusal:
                more = {"WWW-Authenticate": "Bearer"} if refusal.status == 401 else {}
                return _json(refusal.body(), refusal.status, more)
        if isinstance(told, bytes):
            headers = {"Content-Type": "application/octet-stream", "X-Size": str(len(told))}
            return Reply(200, headers, b"" if method == "HEAD" else told)
        content, status = told if isinstance(told, tuple) else (told, 200)
        return _json(content, status, {}) if content is not None else Reply(status, {}, b"")

    def _answer(self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes) -> Any:
        if self.refusals:
            raise self.refusals.pop(0)
        found = next(((match, by) for route, by in self._routes if (match := route.fullmatch(path))), None)
        if found is None:
            raise Refusal("not_found", "There is no such address in this API. docs/api.md lists them.")
        match, by_method = found
        actor = self._actor(headers.get("authorization", ""))
        verb, handler = by_method.get(method, ("", None))
        if handler is not None and verb not in ROLES.get(actor.role, ()):
            message = f"Your role ({actor.role}) may not do this ({verb}). Ask an owner of the workspace."
            raise Refusal("forbidden", message)
        _check_wire(headers.get("orchestrator-wire"))
        if handler is None:
            raise Refusal("method_not_allowed", f'Method "{method}" not allowed.')
        encoding = headers.get("content-encoding", "").strip().lower()
        return handler(self.store, Asked(actor, body, query, match.groupdict(), encoding))

    def _actor(self, authorization: str) -> Actor:
        scheme, _, secret = authorization.partition(" ")
        if not authorization:
            raise Refusal("unauthorized", "Authentication credentials were not provided.")
        held = self.store.tokens.get(secret)
        if held is not None:
            run, attempt = held
            held = run.lease is not None and run.lease.attempt == attempt
            live = held or run.attempts[attempt].hooks_until > clock.now()
            return Actor("run", "run" if live else "run.over", "run", run.id, attempt)
        actor = self.store.keys.get(secret) if scheme.lower() == "bearer" else None
        if actor is None:
            message = (
                "This key is unknown, expired or revoked. Make a new one in the portal, then `orchestrator login`."
            )
            raise Refusal("unauthorized", message)
        return actor

    # Time.

    def tick(self) -> None:
        """Do what time has brought: judge silent holders, make scheduled runs, wake who waits."""
        with self.store.changed:
            claims.expire(self.store, self.store.roots())
            slots.hand_on(self.store)
            inputs.expire(self.store)
            runs.make_scheduled(self.store)
            runs.skip_late(self.store)
            runs.look_at_due(self.store)
            bulk.work(self.store)
            backfills.work(self.store)

    def next_event(self) -> int | None:
        """When (µs UTC) something is to be done next."""
        with self.store.changed:
            leases = [run.lease.expires_at + 1 for run in self.store.runs.values() if run.lease is not None]
            late = [each.expires_at + 1 for each in self.store.inputs.values() if each.expires_at is not None]
            due = [run.due_at for run in self.store.runs.values() if run.state_type == "SCHEDULED" and run.due_at]
            every = [each for deployment in self.store.deployments.values() for each in deployment.schedules.values()]
            made = [each.next_at - schedules.AHEAD for each in every if each.next_at is not None]
            made += [run.start_by + 1 for run in self.store.runs.values() if run.start_by is not None]
            silent = [ask.expires_at for ask in self.store.asks.values() if ask.expires_at]
            bulks = [each.begins_at for each in self.store.bulk.values() if each.state == "waiting"]
            bulks += [at for at in [backfills.next_look(self.store)] if at is not None]
            now = clock.now()
            return min((at for at in [*leases, *late, *due, *made, *silent, *bulks] if at > now), default=None)


def _check_wire(spoken: str | None) -> None:
    if spoken is None:
        return
    if not spoken.isdecimal() or int(spoken) < WIRE - 1 or int(spoken) < 1:
        message = f"This server speaks wire version {WIRE}. Upgrade with `pip install -U orchestrator`."
        raise Refusal("wire_version", message)
    if int(spoken) > WIRE:
        message = f"This server speaks wire version {WIRE} at most. Upgrade the server, or use an older SDK."
        raise Refusal("wire_version", message)


def _json(content: Any, status: int, headers: dict[str, str]) -> Reply:
    return Reply(status, {"Content-Type": "application/json", **headers}, encode(content))
