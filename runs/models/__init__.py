"""What to run, and what happened."""

from runs.models.definitions import (
    Agent,
    AgentLogLine,
    Bundle,
    Deployment,
    Flow,
    Limit,
    Schedule,
    WorkPool,
    WorkQueue,
)
from runs.models.executions import LATE_AFTER, Artifact, Attempt, FlowRun, JournalQuarantine, JournalStream, Lease
from runs.models.tall import EventRow, LogLine, TaskRun, UsageDelta

__all__ = [
    "LATE_AFTER",
    "Agent",
    "AgentLogLine",
    "Artifact",
    "Attempt",
    "Bundle",
    "Deployment",
    "EventRow",
    "Flow",
    "FlowRun",
    "JournalQuarantine",
    "JournalStream",
    "Lease",
    "Limit",
    "LogLine",
    "Schedule",
    "TaskRun",
    "UsageDelta",
    "WorkPool",
    "WorkQueue",
]
