"""What is told of work pools and their queues. Shared by every server."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from orchestrator.bodies import MAX_LIMIT
from orchestrator.wire import MAX_DESCRIPTION

MAX_QUEUE_PRIORITY = 32_767


class PoolInput(msgspec.Struct, forbid_unknown_fields=True):
    """A new pool. Without a `concurrency_limit` as many of its runs go on at once as its agents have slots; without a
    `base_job_template` that of its `type` counts.
    """

    name: str
    description: str = ""
    concurrency_limit: int | None = None
    type: str = "process"
    base_job_template: dict[str, Any] | None = None


class PoolChange(msgspec.Struct, forbid_unknown_fields=True):
    """What of a pool changes; what is left out stays as it is. A `base_job_template` of null is that of its type."""

    description: str | UnsetType = UNSET
    concurrency_limit: int | UnsetType | None = UNSET
    paused: bool | UnsetType = UNSET
    base_job_template: dict[str, Any] | UnsetType | None = UNSET


class QueueInput(msgspec.Struct, forbid_unknown_fields=True):
    """A new work queue of a pool. Lower `priority` numbers go first."""

    name: str
    priority: int = 100
    description: str = ""
    concurrency_limit: int | None = None
    paused: bool = False


class QueueChange(msgspec.Struct, forbid_unknown_fields=True):
    """What of a work queue changes; what is left out stays as it is."""

    priority: int | UnsetType = UNSET
    description: str | UnsetType = UNSET
    concurrency_limit: int | UnsetType | None = UNSET
    paused: bool | UnsetType = UNSET


def wrong_of_pool(told: PoolInput | PoolChange | QueueInput | QueueChange) -> dict[str, str]:
    """What of a pool or a work queue can't be taken, by field. What is not told is not judged."""
    fields: dict[str, str] = {}
    name, priority = getattr(told, "name", "-").strip(), getattr(told, "priority", UNSET)
    if not 0 < len(name) <= 200 or "/" in name:
        fields["name"] = "1 to 200 characters without a slash."
    if priority is not UNSET and not 0 <= priority <= MAX_QUEUE_PRIORITY:
        fields["priority"] = f"0 to {MAX_QUEUE_PRIORITY:,}; lower numbers go first."
    if told.description is not UNSET and len(told.description) > MAX_DESCRIPTION:
        fields["description"] = f"{MAX_DESCRIPTION:,} characters at most."
    limit = told.concurrency_limit
    if limit is not UNSET and limit is not None and not 0 < limit <= MAX_LIMIT:
        fields["concurrency_limit"] = f"1 to {MAX_LIMIT:,}, or none."
    return fields
