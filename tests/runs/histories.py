"""Random histories of journals, written by a dice of hypothesis: what holders tell, in which batches it arrives, and
what is lost on the way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

from orchestrator.ids import uuid7
from orchestrator.wire import Answer, Dropped, Usage
from tests.cast import Company
from tests.contract.journals import Journal
from tests.runs import work
from tests.threads import at_once

WORDS = (
    "task begins", "task ends", "task is cached", "task is replayed", "task retries", "short task", "log", "dropped",
    "usage", "subflow", "lost subflow", "subflow ends", "subflow is cached", "flow retries", "subflow retries",
)  # fmt: skip

TAGS: list[list[str]] = [["nightly", "etl"], [], ["etl"]]  # of local runs, in turn


@dataclass
class Writer:
    """One stream: all that was written, and how far the server has heard it."""

    journal: Journal
    entries: list[Any] = field(default_factory=list)
    acked: int = 0

    def body(self, first: int, last: int) -> bytes:
        return self.journal.body(self.entries[first:last], from_seq=first + 1)


@dataclass
class Holder:
    """One attempt of a root: its writers, and the tasks and subflows that it began."""

    root: UUID
    writers: list[Writer]
    execution: int = 1
    flows: list[UUID] = field(default_factory=list)
    runs: dict[UUID, int] = field(default_factory=dict)  # how often each subflow's function was called
    tasks: list[tuple[UUID, UUID, int]] = field(default_factory=list)

    def say(self, word: str, draw: Any) -> None:
        """Write one word. Only writer 0 speaks of flow runs."""
        writer = self.writers[draw(len(self.writers)) if "flow" not in word else 0]
        entry = self._entry(word, writer.journal, draw)
        if entry is not None:
            writer.entries.append(entry)

    def _entry(self, word: str, journal: Journal, draw: Any) -> Any:
        if word in {"task begins", "short task"}:
            run = ([self.root, *self.flows])[draw(len(self.flows) + 1)]
            self.tasks.append((uuid7(), run, 1))
            return journal.task("RUNNING" if word == "task begins" else "COMPLETED", id=self.tasks[-1][0], run=run)
        if word.startswith("task"):
            return self._about_a_task(word, journal, draw)
        if word == "log":
            return journal.log("ümlaut" * (1 + draw(3)))
        if word in {"dropped", "usage"}:
            own = journal._next()
            return Usage(**own, cpu=1_000, memory=5) if word == "usage" else Dropped(**own, last=own["seq"], why="test")
        return self._about_a_flow(word, journal, draw)

    def _about_a_task(self, word: str, journal: Journal, draw: Any) -> Any:
        if not self.tasks:
            return None
        place = draw(len(self.tasks))
        id, run, count = self.tasks[place]
        own = {"id": id, "run": run}
        if word == "task retries":
            self.tasks[place] = (id, run, count + 1)
            return journal.task("RUNNING", name="Retrying", run_count=count + 1, **own)
        name = {"task is cached": "Cached", "task is replayed": "Replayed"}.get(word)
        return journal.task("COMPLETED", name=name, run_count=count, **own)

    def _about_a_flow(self, word: str, journal: Journal, draw: Any) -> Any:
        if word == "flow retries":
            self.execution += 1
            return journal.state("RUNNING", name="Retrying", run_count=self.execution, duration=100)
        if word in {"subflow", "lost subflow"}:
            id = uuid7()
            parent = uuid7() if word == "lost subflow" else ([self.root, *self.flows])[draw(len(self.flows) + 1)]
            entry = journal.subflow(id)
            entry.about.parent = parent
            self.flows.append(id)
            self.runs[id] = 1
            return entry
        if not self.flows:
            return None
        id = self.flows[draw(len(self.flows))]
        if word == "subflow retries":
            self.runs[id] += 1
            return journal.state("RUNNING", run=id, run_count=self.runs[id], duration=10)
        name = "Cached" if word == "subflow is cached" else None
        return journal.state("COMPLETED", run=id, name=name, run_count=self.runs[id], duration=10)


def apply(body: bytes, actor: Any) -> Answer:
    """Receive a batch, in whatever process."""
    from runs.ingest import apply_batch

    return apply_batch(body, actor=actor)


class History:
    """A company's runs while their journals arrive.

    Args:
        elsewhere: Has another process call something (`tests/processes.py`).
    """

    def __init__(self, company: Company, elsewhere: Callable[..., Any]) -> None:
        self.company, self.actor, self.elsewhere = company, company.actor(), elsewhere
        self.agent = work.agent(company)
        self.deployment = work.deploy(company, retries=5)
        self.holders: list[Holder] = []

    def begin_local(self) -> None:
        journal = Journal(None)
        self._hold(journal, journal.begin(tags=TAGS[len(self.holders) % len(TAGS)]))

    def begin_claimed(self) -> None:
        work.trigger(self.company, self.deployment)
        self._take_over(work.claim(self.company, self.agent, 1))

    def _take_over(self, claims: list[Any]) -> None:
        for each in claims:
            journal = Journal(None, root=each.run, token=each.token, attempt=each.attempt)
            self._hold(journal, journal.state("RUNNING", run_count=each.run_count + 1), each.run_count + 1)

    def _hold(self, journal: Journal, first: Any, execution: int = 1) -> None:
        others = Journal(None, root=journal.root, token=journal.token, attempt=journal.attempt, writer=7)
        holder = Holder(journal.root, [Writer(journal, [first]), Writer(others)], execution)
        self.holders.append(holder)

    def crash(self, holder: Holder) -> None:
        """It falls silent; the next attempt takes over, and the old one may still speak."""
        if not holder.writers[0].acked or work.state(self.company, holder.root)[0] != "RUNNING":
            return
        work.silence(self.company, holder.root)
        work.sweep(self.company, holder.root)
        work.make_due(self.company, holder.root)
        self._take_over(work.claim(self.company, self.agent))

    def send(self, writer: Writer, *, back: int, ahead: int, number: int) -> None:
        """A batch that begins somewhat before, or after, what was acked."""
        first = min(max(writer.acked - back + ahead, 0), len(writer.entries))
        self._hear(writer, apply(writer.body(first, first + number), self.actor))

    def send_at_once(self, writer: Writer, number: int) -> None:
        """The answer was lost, and repetitions meet the batch itself: in another thread, and in another process."""
        body = writer.body(writer.acked, writer.acked + number)
        told = [partial(apply, body, self.actor)] * 2 + [partial(self.elsewhere, apply, body, self.actor)]
        for answer in at_once(*told):
            assert isinstance(answer, Answer), answer
            self._hear(writer, answer)

    def send_all(self, holders: list[Holder]) -> None:
        """Everything that is left, of writer 0 first, or there would be no run."""
        for holder in holders:
            for writer in holder.writers:
                self.send(writer, back=0, ahead=0, number=len(writer.entries))

    @staticmethod
    def _hear(writer: Writer, answer: Answer) -> None:
        writer.acked = max(writer.acked, answer.acked.get(writer.journal.stream, 0))
