"""2.9: threads over committed rows: everybody at once, round after round. The laws hold, and nobody gets an error."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from orchestrator.agent_messages import LeaseRef
from runs import claims, outages, tasks, trigger
from runs.ingest import apply_batch
from runs.limits import set_limit
from runs.models import FlowRun, Lease
from tests.cast import Company
from tests.model import rows
from tests.model.clock import Clock, ruled_by
from tests.model.holders import Holder
from tests.model.profile import ROUNDS, THREADS_SEED
from tests.model.world import Works, equip
from tests.runs.work import trigger as trigger_runs
from tests.threads import at_once


class Storm:
    """What each of the threads does, by a dice of its own."""

    def __init__(self, works: Works, clock: Clock) -> None:
        self.works, self.company, self.clock = works, works.company, clock
        self.holders: list[Holder] = []

    def claim(self, agent: Any) -> None:
        with self.company.scope():
            handed = claims.claim(agent, slots=3)
        self.holders += [Holder(each.run, each.attempt, each.token, agent, each.run_count + 1) for each in handed]

    def renew(self, agent: Any, dice: random.Random) -> None:
        refs = [LeaseRef(each.root, each.attempt) for each in list(self.holders) if each.agent == agent]
        dice.shuffle(refs)
        with self.company.scope():
            claims.heartbeat(agent, refs)

    def write(self, agent: Any, dice: random.Random) -> None:
        """The journals of several processes, some of which end, in one batch after another."""
        for holder in [each for each in list(self.holders) if each.agent == agent][-8:]:
            words = ["log", "task begins", "subflow begins", dice.choice(["log", "COMPLETED", "FAILED", "handed back"])]
            for word in ["RUNNING"] * (not holder.writers[0].entries) + words:
                holder.say(word, 0, self.clock.at)
            letter = holder.letter(0, self.clock.at)
            answer = apply_batch(letter.body, actor=self.company.actor())
            holder.writers[0].acked = answer.acked.get(letter.head.id, holder.writers[0].acked)

    def cancel(self, dice: random.Random) -> None:
        with self.company.scope():
            alive = sorted(FlowRun.objects.filter(ended_at=None).values_list("id", flat=True))
            trigger.cancel_runs(dice.sample(alive, min(2, len(alive))), by=self.company.actor())

    def give_up(self, dice: random.Random) -> None:
        holder = dice.choice(self.holders) if self.holders else None
        if holder is not None:
            ending = {"run_id": holder.root, "attempt": holder.attempt, "started": dice.random() < 0.5}
            with self.company.scope():
                claims.end_attempt(holder.agent, **ending, message="gone")

    def limit(self, dice: random.Random) -> None:
        with self.company.scope():
            set_limit(self.works.deployments[1], dice.choice([None, 1, 2]))

    def calls(self, dice: random.Random) -> list[Callable[[], Any]]:
        """One round: two ticks at once, all agents thrice, people."""

        def own() -> random.Random:
            return random.Random(dice.random())

        near, choosy, far = self.works.agents
        return [
            partial(self.claim, near), partial(self.claim, choosy), partial(self.claim, far),
            partial(self.renew, near, own()), partial(self.renew, near, own()), partial(self.renew, far, own()),
            partial(self.write, near, own()), partial(self.write, far, own()),
            tasks.expire_leases, tasks.expire_leases,
            partial(self.cancel, own()), partial(self.give_up, own()), partial(self.limit, own()),
        ]  # fmt: skip

    def silence(self, dice: random.Random) -> None:
        """Some leases ran out, and sometimes the platform was away."""
        with self.company.scope():
            ids = sorted(Lease.objects.filter(limit=None).values_list("run_id", flat=True))
            lost = dice.sample(ids, len(ids) // 2)
            Lease.objects.filter(run_id__in=lost).update(expires_at=self.clock.at - claims.lease_time())
        self.clock.advance(dice.choice([1, 5, 12]))

    def judge(self) -> None:
        with self.company.scope():
            rows.judge(rows.runs(), rows.leases())


@pytest.mark.django_db(transaction=True)
def test_the_laws_hold_when_all_act_at_once(acme: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    failed: list[Any] = []
    monkeypatch.setattr(tasks.logger, "exception", lambda *arguments: failed.append(arguments))
    works, dice = equip(acme), random.Random(THREADS_SEED)
    with ruled_by(Clock()) as clock:
        outages.note_alive()
        storm = Storm(works, clock)
        for _ in range(ROUNDS):
            for deployment in works.deployments:
                trigger_runs(acme, deployment, 3)
            assert at_once(*storm.calls(dice)) == [None] * 13
            assert failed == []
            storm.judge()
            storm.silence(dice)
