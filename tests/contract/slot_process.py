"""A process that takes slots of limits and locks, as the server sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from orchestrator.ids import uuid7
from tests.contract.worlds import World


@dataclass
class Process:
    """A process that takes slots, request by request."""

    world: World
    key: str = ""
    session: UUID = field(default_factory=uuid7)
    since: str = "0-0"

    def __post_init__(self) -> None:
        self.api = self.world.with_key(self.key) if self.key else self.world.as_role("agent")

    def ask(self, **more: Any) -> dict[str, Any]:
        answer = self.api.post("/slots", {"session": str(self.session), **more})
        assert answer.status_code == 200, answer.content
        return answer.json()

    def take(self, *names: str, kind: str = "lock", **more: Any) -> tuple[str, str]:
        """An ask's id, and what became of it."""
        id = str(uuid7())
        told = self.ask(asks=[{"id": id, "names": list(names), "kind": kind, **more}])
        return id, told["asks"][id]["state"]

    def give(self, *ids: str, **more: Any) -> dict[str, Any]:
        return self.ask(release=list(ids), **more)

    def keep(self, *ids: str) -> tuple[list[str], list[str]]:
        told = self.ask(keep=list(ids))
        return told["kept"], told["waiting"]

    def heard(self) -> list[str]:
        """What was granted since it was asked last, by the door at which processes wait."""
        told = self.world.wait_for_slots(self.api, self.session, self.since)
        self.since = told["since"]
        return told["granted"]
