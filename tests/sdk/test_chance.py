"""What users draw from `random` is theirs: names of runs and delays of ours take nothing of it."""

from __future__ import annotations

import os
import random

from orchestrator import flow, task
from orchestrator.chance import chance
from orchestrator.testing import server


def test_a_seeded_flow_draws_what_it_would_draw_alone() -> None:
    """1.1, 1.4: with names made, journals shipped and retries spread meanwhile."""
    random.seed(7)
    alone = [random.random() for _ in range(4)]

    @task(retries=1, retry_delay_seconds=0.001, retry_jitter_factor=1)
    def draws(tries: list[int]) -> float:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError
        return random.random()

    @flow
    def draws_four() -> list[float]:
        return [draws([]) for _ in range(4)]

    with server() as here:
        random.seed(7)
        assert draws_four() == alone
        here.assert_completed(here.runs("draws_four")[0])


def test_a_forked_process_has_chances_of_its_own() -> None:
    """2.5: two runs of one template don't wait for the same time, and have different names."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, chance.randbytes(16))
        os._exit(0)
    os.wait()
    assert os.read(reading, 16) != chance.randbytes(16)
