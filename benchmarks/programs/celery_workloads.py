"""The tasks of `workloads.py` for Celery, which has no flows around them."""

import os
import time
from pathlib import Path

from celery import Celery

app = Celery("celery_workloads", broker=os.environ["BENCHMARK_BROKER"], backend=os.environ["BENCHMARK_BACKEND"])


@app.task
def nothing(number):
    return number


@app.task
def beacon(path):
    """Say by a file when user code began to run: nanoseconds of the system's clock."""
    stamp = time.time_ns()
    draft = Path(f"{path}.new")
    draft.write_text(str(stamp))
    os.replace(draft, path)


def fibonacci(number):
    return number if number < 2 else fibonacci(number - 1) + fibonacci(number - 2)


@app.task
def fibonacci_task(number):
    return fibonacci(number)
