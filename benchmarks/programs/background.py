"""A background task: `serve` executes its calls, `queue COUNT` queues some and prints figures.

The same code under either product, whichever this interpreter has.
"""

import json
import sys
import time

try:
    from orchestrator import serve, task
except ImportError:
    from prefect import task
    from prefect.task_worker import serve

TIMEOUT = 900
SINGLE = 20


@task(persist_result=True)
def stamp(began: float) -> float:
    """Seconds from the call to here."""
    return time.time() - began


def queue(count: int) -> dict[str, object]:
    """Some calls, each awaited before the next one, and then `count` at once."""
    stamp.delay(time.time()).result(timeout=TIMEOUT)
    starts = [stamp.delay(time.time()).result(timeout=TIMEOUT) for _ in range(SINGLE)]
    began = time.perf_counter()
    futures = [stamp.delay(time.time()) for _ in range(count)]
    queued = time.perf_counter() - began
    for future in futures:
        future.result(timeout=TIMEOUT)
    return {"starts": starts, "queued": queued, "ended": time.perf_counter() - began}


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(stamp)
    else:
        print(json.dumps(queue(int(sys.argv[2]))))
