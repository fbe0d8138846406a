"""The measured user process of Celery: it sends tasks to the worker."""

import time

from asked import serve
from celery import group
from celery_workloads import app, nothing

RESULT_SECONDS = 300


def record(mode, count):
    """Send many tasks. `run` is the number of results that there were before; the seconds are those of this thread."""
    before = app.backend.client.dbsize()
    began = time.perf_counter()
    if mode == "call":
        for number in range(count):
            nothing.delay(number)
    elif mode == "submit":
        for result in [nothing.delay(number) for number in range(count)]:
            result.get(timeout=RESULT_SECONDS)
    else:
        group([nothing.s(number) for number in range(count)]).apply_async().get(timeout=RESULT_SECONDS)
    inside = time.perf_counter() - began
    return {"run": str(before), "inside": inside, "flow": inside}


def flows(count):
    """It has none; a task sent and waited for opens the connections as well."""
    for number in range(count):
        nothing.delay(number).get(timeout=RESULT_SECONDS)


def deploy(flow, way, pool):
    """Its worker knows its tasks by name."""
    return flow


if __name__ == "__main__":
    serve({"record": record, "flows": flows, "deploy": deploy, "cpu": time.process_time})
