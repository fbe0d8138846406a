"""For tests of flows: read what they tell, give them a server in memory, take the time into your own hands.

    recorded()      what flows tell, without any server
    server()        the API in memory: triggers, agents, schedules, variables, and all that runs told
    time_control()  a clock that moves when you say so; retries wait no more

>>> from orchestrator import flow, task, testing
>>> @task(retries=2, retry_delay_seconds=3600)
... def fetch(answers=iter([ConnectionError("no"), ConnectionError("not yet"), 7])):
...     if isinstance(answer := next(answers), Exception):
...         raise answer
...     return answer
>>> @flow
... def nightly(day: str):
...     return fetch()
>>> with testing.time_control() as clock, testing.server() as server:
...     id = nightly.deploy("prod")
...     run = server.trigger("nightly/prod", {"day": "monday"})
...     done = server.work()
...     server.assert_completed(run).run_count, clock.waits
(1, [3600.0, 3600.0])

The names load when they are asked for: importing this costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator import lazy

if TYPE_CHECKING:
    from orchestrator.testing.harness import Server, server
    from orchestrator.testing.timing import Clock, time_control
    from orchestrator.testing.told import Told, recorded

__all__ = ["Clock", "Server", "Told", "recorded", "server", "time_control"]

_HOME = {
    "Clock": "timing",
    "Server": "harness",
    "Told": "told",
    "recorded": "told",
    "server": "harness",
    "time_control": "timing",
}

__getattr__ = lazy(__name__, _HOME)
