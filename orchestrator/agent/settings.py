"""What can be set about an agent, by options of `orchestrator agent start` or the environment.

| setting | meaning | default |
|---|---|---|
| ORCHESTRATOR_AGENT_NAME | its name; restarted under the same one it goes on as the same agent | host name |
| ORCHESTRATOR_AGENT_LIMIT | how many runs it executes at once | 10 |
| ORCHESTRATOR_AGENT_GRACE_SECONDS | how long a run that was told to stop may take before it is killed | 10 |
| ORCHESTRATOR_AGENT_DRAIN_SECONDS | how long an agent that was told to stop waits for its runs | 60 |
| ORCHESTRATOR_AGENT_HOOKS_SECONDS | how long the hooks of a run whose process is gone may take; 120 at most | 60 |
| ORCHESTRATOR_AGENT_PYTHON | the interpreter for runs | the agent's own |
| ORCHESTRATOR_AGENT_TEMPLATES | how many deployments it keeps warm | 8 |
| ORCHESTRATOR_AGENT_TEMPLATE_IDLE_SECONDS | how long a deployment without runs is kept warm | 600 |
| ORCHESTRATOR_AGENT_TEMPLATE_MEMORY_MIB | how much memory all that is kept warm may use | 1024 |
| ORCHESTRATOR_AGENT_HEALTH | PORT or HOST:PORT at which it answers `/health/live` and `/health/ready` | none |
| ORCHESTRATOR_AGENT_OUTPUT | `off`: what runs print isn't repeated on the agent's own output | on |
"""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass, field

SIGNALS_WITHIN = 2.0
"""Seconds between two heartbeats while runs are held: who cancels a run does not want to wait for long."""


def _name() -> str:
    return os.environ.get("ORCHESTRATOR_AGENT_NAME") or platform.node() or "agent"


def _number(name: str, default: float) -> float:
    text = os.environ.get(f"ORCHESTRATOR_AGENT_{name}")
    try:
        return default if not text else float(text)
    except ValueError:
        raise ValueError(f"ORCHESTRATOR_AGENT_{name} is a number, not {text!r}.") from None


@dataclass(slots=True)
class Settings:
    """An agent's settings. Times are in seconds."""

    pool: str = "default"
    queues: list[str] = field(default_factory=list)
    name: str = field(default_factory=_name)
    limit: int = field(default_factory=lambda: int(_number("LIMIT", 10)))
    grace: float = field(default_factory=lambda: _number("GRACE_SECONDS", 10.0))
    drain: float = field(default_factory=lambda: _number("DRAIN_SECONDS", 60.0))
    hooks: float = field(default_factory=lambda: min(_number("HOOKS_SECONDS", 60.0), 120.0))
    python: str = field(default_factory=lambda: os.environ.get("ORCHESTRATOR_AGENT_PYTHON") or sys.executable)
    templates: int = field(default_factory=lambda: int(_number("TEMPLATES", 8)))
    template_idle: float = field(default_factory=lambda: _number("TEMPLATE_IDLE_SECONDS", 600.0))
    template_memory: int = field(default_factory=lambda: int(_number("TEMPLATE_MEMORY_MIB", 1024)))
    output: bool = field(default_factory=lambda: os.environ.get("ORCHESTRATOR_AGENT_OUTPUT", "on").lower() != "off")
    health: str = field(default_factory=lambda: os.environ.get("ORCHESTRATOR_AGENT_HEALTH", ""))
