"""From `.delay` to the first line of the task, and many of them to the last value."""

import json
import subprocess

from benchmarks.figures import median, percentile
from benchmarks.processes import Service
from benchmarks.site import PROGRAMS, Site

TIMEOUT = 1_800
PROGRAM = PROGRAMS / "background.py"


def background(site: Site, count: int) -> dict[str, float]:
    """One call at a time, each awaited; then `count` queued by one process, executed by another, and awaited."""
    serve = [site.python, PROGRAM, "serve"]
    with Service(serve, log=site.directory / "serve.log", environment=site.environment, directory=site.directory):
        done = subprocess.run(
            [site.python, PROGRAM, "queue", str(count)],
            env=dict(site.environment),
            cwd=site.directory,
            stdout=subprocess.PIPE,
            timeout=TIMEOUT,
            check=True,
        )
    told = json.loads(done.stdout.splitlines()[-1])
    return {
        "background.start": 1000 * median(told["starts"]),
        "background.start.p95": 1000 * percentile(told["starts"], 0.95),
        "background.queued": told["queued"],
        "background.ended": told["ended"],
    }
