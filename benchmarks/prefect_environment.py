"""Prefect's own virtual environment, below `.work/`: nothing of it comes into ours."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.site import CHECKOUT

DIRECTORY = Path(__file__).parent / ".work" / "prefect"
PYTHON = DIRECTORY / "bin" / "python"
PINS = ("prefect==3.8.8", "fastapi>=0.139,<0.145", "sqlalchemy<2.1", "asyncpg")
"""With what its own requirements choose today its server dies at import (FastAPI), its scheduler later (SQLAlchemy)."""
MADE = DIRECTORY / "pins.json"
INSTALL_SECONDS = 900


def make() -> None:
    """Make the environment unless it is there with these pins."""
    if MADE.exists() and json.loads(MADE.read_text()) == list(PINS):
        return
    print(f"Installing {PINS[0]} into {DIRECTORY.relative_to(CHECKOUT)} …", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", DIRECTORY], check=True, timeout=INSTALL_SECONDS)
    install = [PYTHON, "-m", "pip", "install", "-qq", "--disable-pip-version-check", *PINS]
    subprocess.run([CHECKOUT / "deploy" / "retry.sh", *install], check=True, timeout=INSTALL_SECONDS)
    MADE.write_text(json.dumps(PINS))
