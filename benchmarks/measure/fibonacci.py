"""Fibonacci numbers as sequential tasks of one run, a shape that comparisons of orchestrators use.

From the trigger by the API to the end that the server has; beside it the same numbers in bare Python.
"""

import subprocess
import time

from benchmarks.figures import median
from benchmarks.measure.triggers import deploy
from benchmarks.site import PROGRAMS, Site

RUN_SECONDS = 300
SHAPES = {"light": (10, 40), "heavy": (33, 10)}
PROGRAM = """
import time, workloads
began = time.perf_counter()
for _ in range({count}):
    workloads.fibonacci({number})
print(time.perf_counter() - began)
"""


def fibonacci(site: Site) -> dict[str, float]:
    """Seconds; an executor that polls does so often, and one that keeps code warm has it warm."""
    deployment, figures = deploy(site, "fibonaccis", site.swift), {}
    with site.executor(site.swift):
        _run(site, deployment, 1, 1)
        for name, (number, count) in SHAPES.items():
            pairs = [_pair(site, deployment, number, count) for _ in range(site.sizes.fibonacci)]
            figures[f"fibonacci.{name}"] = median([run for run, _ in pairs])
            figures[f"fibonacci.{name}.bare"] = median([bare for _, bare in pairs])
            figures[f"fibonacci.{name}.ratio"] = median([run / bare for run, bare in pairs])
    return figures


def _pair(site: Site, deployment: str, number: int, count: int) -> tuple[float, float]:
    """The run and, right after it, the bare numbers: what else the machine does meets both."""
    return _run(site, deployment, number, count), _bare(site, number, count)


def _run(site: Site, deployment: str, number: int, count: int) -> float:
    began = time.time()
    run = site.trigger(deployment, {"number": number, "count": count})
    return site.database.wait_completed(run, RUN_SECONDS) - began


def _bare(site: Site, number: int, count: int) -> float:
    program = PROGRAM.format(number=number, count=count)
    done = subprocess.run(
        [site.python, "-c", program],
        cwd=PROGRAMS,
        env=dict(site.environment),
        stdout=subprocess.PIPE,
        text=True,
        timeout=RUN_SECONDS,
        check=True,
    )
    return float(done.stdout)
