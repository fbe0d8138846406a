"""The load: flows of all kinds deployed, triggered, triggered again, cancelled; and a ledger of what was answered."""

from __future__ import annotations

import inspect
import itertools
import random
import threading
import time
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg

from orchestrator.config import Api, use_api
from orchestrator.flows import Flow
from tests import alone
from tests.chaos.installation import Installation

flows = alone.load(Path(__file__).with_name("mixed_flows.py"))
MOST_WAITING = 20  # unfinished runs; more are not triggered, so that the end comes soon after the load
MOST_WAITING_WHEN_SMALL = 8
POOL_SLOTS = 8
ORGANIZATION_SLOTS = 7
KEYS = ("ada", "ada", "bob", "eve", "")
ASKERS = 3
GIVE_UP = 120.0  # seconds for one question


@dataclass(frozen=True)
class Kind:
    """A deployment, and how often it is chosen."""

    name: str
    flow: Flow[..., Any]
    weight: int
    process: str = "warm"
    limit: int | None = None
    on_limit: str = "ENQUEUE"
    key_slots: int | None = None
    crash_retries: int | None = None
    every: float | None = None  # seconds: a schedule


KINDS = [
    Kind("quick", flows.quick, 6, crash_retries=3),
    Kind("quick-fresh", flows.quick, 2, process="fresh"),
    Kind("quick-reuse", flows.quick, 3, process="reuse", crash_retries=2),
    Kind("wide", flows.wide, 3, crash_retries=3),
    Kind("chatty", flows.chatty, 3),
    Kind("chatty-again", flows.chatty, 2, process="reuse", crash_retries=5),
    Kind("nested", flows.nested, 3, crash_retries=2),
    Kind("stubborn", flows.stubborn, 3),
    Kind("failing", flows.failing, 2, crash_retries=2),
    Kind("gentle", flows.gentle, 3, crash_retries=1),
    Kind("stream", flows.stream, 2, crash_retries=3),
    Kind("sleeper", flows.sleeper, 4, crash_retries=3),
    Kind("narrow", flows.narrow, 4, limit=2, crash_retries=4),
    Kind("keyed", flows.narrow, 4, key_slots=1, crash_retries=4),
    Kind("newest", flows.narrow, 2, limit=1, on_limit="CANCEL_OLD", crash_retries=2),
    Kind("only-one", flows.narrow, 2, limit=1, on_limit="CANCEL_NEW", crash_retries=2),
    Kind("ticking", flows.quick, 0, crash_retries=2, every=4.0),
]


MANY = {
    "cancel": {"state": "SCHEDULED"},
    "retry": {"state": "FAILED,CRASHED,CANCELLED", "origin": "api"},
    "delete": {"state": "COMPLETED,FAILED,CRASHED,CANCELLED", "origin": "retry"},
}
"""What is done to many runs at once. Only retries are deleted: what was promised to a key has to be there."""


@dataclass
class Ledger:
    """What we asked for, and what we were answered."""

    asked: dict[str, str] = field(default_factory=dict)  # idempotency key → deployment
    answered: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # key → run ids
    cancelled: set[str] = field(default_factory=set)  # runs whose cancel was answered by yes
    overfull: list[str] = field(default_factory=list)  # moments in which a limit was exceeded
    many: dict[str, str] = field(default_factory=dict)  # bulk operations → what they do
    refusals: Counter[str] = field(default_factory=Counter)  # answers that nobody expects


class Load:
    """Triggers and cancels in some threads, watches limits in another, until stopped."""

    def __init__(self, installation: Installation, seed: int) -> None:
        self.installation = installation
        self.ledger = Ledger()
        self.deployments: dict[str, str] = {}
        self._seed = seed
        self._askers = 1 if installation.small else ASKERS
        self._most_waiting = MOST_WAITING_WHEN_SMALL if installation.small else MOST_WAITING
        self._numbers = itertools.count()
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []
        self._folder = str(installation.folder / "diaries")

    def deploy(self) -> None:
        """Make all kinds of flows known, and limit the pool and the organization."""
        (self.installation.folder / "diaries").mkdir()
        use_api(Api(self.installation.api_url, self.installation.keys.person))
        try:
            for kind in KINDS:
                self.deployments[kind.name] = self._deploy(kind)
        finally:
            use_api(None)
        with self._rows() as rows:
            rows.execute(
                "INSERT INTO concurrency_limit (organization_id, id, workspace_id, kind, target_id, slots)"
                " SELECT organization_id, gen_random_uuid(), workspace_id, 'pool', id, %s FROM work_pool",
                [POOL_SLOTS],
            )
            rows.execute(
                "INSERT INTO concurrency_limit (organization_id, id, kind, target_id, slots)"
                " SELECT id, gen_random_uuid(), 'organization', id, %s FROM organization",
                [ORGANIZATION_SLOTS],
            )

    def _deploy(self, kind: Kind) -> str:
        options = {
            "crash_retries": kind.crash_retries,
            "concurrency_limit": kind.limit,
            "on_limit": kind.on_limit,
            "key_slots": kind.key_slots,
            "interval": kind.every,
            "process": kind.process,
            "parameters": {"folder": self._folder},
        }
        known = inspect.signature(kind.flow.deploy).parameters
        return str(kind.flow.deploy(kind.name, **{name: v for name, v in options.items() if name in known}))

    def begin(self) -> None:
        """Start triggering and watching."""
        askers = [threading.Thread(target=self._ask, args=(number,), daemon=True) for number in range(self._askers)]
        self._threads = [*askers, threading.Thread(target=self._watch, daemon=True)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Trigger no more: pause what is scheduled, and wait for the last answers. The installation is healed."""
        self._ended.set()
        for thread in self._threads:
            thread.join(GIVE_UP + 10)
        with self._client() as client:
            self._insist(client, "POST", f"/deployments/{self.deployments['ticking']}/pause", {})

    # Asking.

    def _ask(self, number: int) -> None:
        dice = random.Random(f"load {self._seed} {number}")
        with self._client() as client:
            while not self._ended.wait(dice.uniform(0.1, 0.8)):
                chance = dice.random()
                if chance < 0.12:
                    self._cancel_one(client, dice)
                elif chance < 0.16 and not self.installation.small:  # There, nobody works on them.
                    self._hit_many(client, dice)
                elif chance < 0.26 and self.ledger.asked:
                    self._trigger(client, dice.choice(list(self.ledger.asked)), dice)  # again
                elif self._waiting(client) < self._most_waiting:
                    self._trigger(client, f"key-{next(self._numbers)}", dice)

    def _trigger(self, client: httpx.Client, key: str, dice: random.Random) -> None:
        chosen = dice.choices(KINDS, [kind.weight for kind in KINDS])[0]
        name = self.ledger.asked.setdefault(key, chosen.name)
        asked = {"deployment": self.deployments[name], "idempotency_key": key, "concurrency_key": dice.choice(KEYS)}
        told = self._insist(client, "POST", "/flow-runs", asked)
        if told is not None:
            self.ledger.answered[key].add(told["id"])

    def _cancel_one(self, client: httpx.Client, dice: random.Random) -> None:
        told = self._once(client, "GET", "/flow-runs?state=SCHEDULED,PENDING,RUNNING&limit=100", None)
        found = [run["id"] for run in (told or {}).get("items", []) if run["id"] == run["root"]]
        if found:
            id = dice.choice(found)
            told = self._once(client, "POST", f"/flow-runs/{id}/cancel", {})
            if told is not None and told["state"]["type"] in ("CANCELLING", "CANCELLED"):
                self.ledger.cancelled.add(id)

    def _hit_many(self, client: httpx.Client, dice: random.Random) -> None:
        """Cancel what waits of one kind, retry each run that did not end well, delete what retries have left."""
        kind = dice.choice(list(MANY))
        filter = dict(MANY[kind])
        if kind == "cancel":
            filter["deployment"] = self.deployments[dice.choice(KINDS).name]
        body = {"filter": filter, "delay": dice.choice([0, 0, 2])}
        told = self._once(client, "POST", f"/flow-runs/{kind}", body)
        if told is not None:
            self.ledger.many[told["operation"]["id"]] = kind

    def _waiting(self, client: httpx.Client) -> int:
        told = self._once(client, "GET", "/flow-runs?state=SCHEDULED,PENDING,RUNNING,CANCELLING&limit=100", None)
        return self._most_waiting if told is None else len(told["items"])

    def _insist(self, client: httpx.Client, method: str, path: str, body: Any) -> Any:
        """Ask until there is an answer."""
        until = time.monotonic() + GIVE_UP
        while time.monotonic() < until:
            if (told := self._once(client, method, path, body)) is not None:
                return told
            time.sleep(0.2)
        self.ledger.refusals[f"{method} {path.split('?')[0]}: no answer for {GIVE_UP:.0f} s"] += 1
        return None

    def _once(self, client: httpx.Client, method: str, path: str, body: Any) -> Any:
        """The answer, or None: out of reach, unavailable, or a conflict."""
        try:
            answer = client.request(method, path, json=body)
        except httpx.HTTPError:
            return None
        if answer.status_code >= 400:
            if answer.status_code not in (409, 429, 503):
                self.ledger.refusals[f"{answer.status_code} to {method}: {answer.text[:200]}"] += 1
            return None
        return answer.json()

    def _client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.installation.keys.person}"}
        return httpx.Client(base_url=self.installation.api_url, headers=headers, timeout=5)

    # Watching.

    def _watch(self) -> None:
        while not self._ended.wait(0.25):
            with suppress(psycopg.Error), self._rows() as rows:
                for id, kind, slots, key, held in rows.execute(_HELD).fetchall():
                    if held > slots:
                        self.installation.log(f"LIMIT EXCEEDED: {kind} {id} {key}: {held} of {slots}")
                        self.ledger.overfull.append(f"{held} live leases under the limit of {slots} of a {kind}")

    def _rows(self) -> psycopg.Connection:
        return psycopg.connect(self.installation.database_url, autocommit=True, connect_timeout=2)


_HELD = """
    SELECT l.id, l.kind, l.slots, s.key, count(*) FROM concurrency_limit l JOIN lease s ON s.limit_id = l.id
    WHERE s.expires_at > now() GROUP BY 1, 2, 3, 4
"""
