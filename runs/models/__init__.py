"""What to run, and what happened."""

from runs.models.artifacts import Artifact, Asset, AssetEdge, Materialization
from runs.models.automations import Automation, Firing, Notification
from runs.models.backfills import Backfill, BackfillPlace
from runs.models.bulk import BulkOperation
from runs.models.cache import CacheEntry
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
from runs.models.deleted import DeletedRun
from runs.models.executions import LATE_AFTER, Attempt, FlowRun, FoldedTrigger, JournalQuarantine, JournalStream, Lease
from runs.models.inputs import InputAnswer, InputRequest, RunMessage
from runs.models.results import StoredResult
from runs.models.slots import NamedLimit, Slot
from runs.models.tall import EventRow, LogLine, TaskRun, UsageDelta
from runs.models.versions import DeploymentVersion
from runs.models.webhooks import Webhook, WebhookDelivery

__all__ = [
    "LATE_AFTER",
    "Agent",
    "AgentLogLine",
    "Artifact",
    "Asset",
    "AssetEdge",
    "Attempt",
    "Automation",
    "Backfill",
    "BackfillPlace",
    "BulkOperation",
    "Bundle",
    "CacheEntry",
    "DeletedRun",
    "Deployment",
    "DeploymentVersion",
    "EventRow",
    "Firing",
    "Flow",
    "FlowRun",
    "FoldedTrigger",
    "InputAnswer",
    "InputRequest",
    "JournalQuarantine",
    "JournalStream",
    "Lease",
    "Limit",
    "LogLine",
    "Materialization",
    "NamedLimit",
    "Notification",
    "RunMessage",
    "Schedule",
    "Slot",
    "StoredResult",
    "TaskRun",
    "UsageDelta",
    "Webhook",
    "WebhookDelivery",
    "WorkPool",
    "WorkQueue",
]
