"""The Celery application. Beat drives the ticks; other work has a queue of its own."""

import logging
import os
from typing import Any

from celery import Celery, signals
from django.conf import settings

from orchestrator.server.steady import Every

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orchestrator.server.settings")

logger = logging.getLogger(__name__)
app = Celery("orchestrator")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.conf.include = ["orchestrator.server.hearing"]


@signals.task_prerun.connect
def name_the_log(task_id: str, **_: object) -> None:
    """Lines of a task carry its id, as those of a request do."""
    from tenants.trace import request_id

    request_id.set(task_id)


TICKS: dict[str, float] = {
    "runs.tasks.expire_leases": settings.TICK_SECONDS,
    "runs.tasks.hand_on_slots": settings.TICK_SECONDS,
    "runs.tasks.expire_inputs": settings.TICK_SECONDS,
    "runs.tasks.create_scheduled_runs": settings.TICK_SECONDS,
    "runs.tasks.skip_late_runs": settings.TICK_SECONDS,
    "runs.tasks.cancel_surplus_runs": settings.TICK_SECONDS,
    "runs.tasks.find_bulk_operations": settings.TICK_SECONDS,
    "runs.tasks.find_backfills": settings.TICK_SECONDS,
    "runs.tasks.find_missed_backfills": 30,
    "runs.tasks.find_deleted_runs": 5,
    "runs.tasks.mark_late_runs": 5,
    "runs.tasks.notice_agents": 10,
    "runs.tasks.notify_of_firings": settings.TICK_SECONDS,
    "runs.tasks.forget_firings": 3600,
    "runs.tasks.forget_artifacts": 3600,
    "runs.tasks.forget_backfills": 3600,
    "runs.tasks.forget_bulk_operations": 3600,
    "runs.tasks.forget_deleted_runs": 3600,
    "runs.tasks.forget_cache_entries": 3600,
    "tenants.tasks.seal_audit": 5,
    "tenants.tasks.truncate_audit": 3600,
    "tenants.tasks.find_messages": settings.TICK_SECONDS,
    "tenants.tasks.forget_messages": 3600,
    "tenants.tasks.find_departures": 60,
    "tenants.tasks.find_exports": 10,
    "tenants.tasks.forget_exports": 3600,
    "runs.tasks.roll_up_usage": 15,
    "runs.tasks.add_up_api_calls": 15,
    "runs.tasks.note_seats": 60,
    "runs.tasks.find_storage_to_measure": 900,
    "runs.tasks.close_months": 900,
    "runs.tasks.find_usage_to_seal": 900,
    "runs.tasks.keep_partitions": 3600,
}
"""Every so many seconds. Those of one period are one message: a worker that takes it, and the beat that sends it, cost
more than most ticks that find nothing to do."""

BY_DATE = frozenset(
    name for name in TICKS if name.rpartition(".")[2].startswith(("forget_", "truncate_", "find_departures"))
) | {"runs.tasks.close_months", "runs.tasks.find_usage_to_seal"}
"""What nobody can undo, and is done because of the date. They wait while the clock is in doubt."""


@app.task
def take_turns(seconds: float) -> None:
    """Run the ticks of this period one after the other. One that fails keeps none of the others from its turn."""
    for name in (name for name, period in TICKS.items() if period == seconds):
        try:
            _take_turn(name)
        except Exception:
            logger.exception("the tick %s failed", name)


def _take_turn(name: str) -> None:
    from runs import outages

    if name not in BY_DATE or not outages.clock_is_in_doubt():
        app.tasks[name]()


def _every(seconds: float) -> dict[str, Any]:
    """What comes late by its own period is not worth running."""
    options = {"queue": "ticks", "expires": max(seconds * 2, 5)}
    return {"task": take_turns.name, "schedule": Every(seconds), "args": [seconds], "options": options}


app.conf.beat_schedule = {f"every {seconds:g} s": _every(seconds) for seconds in set(TICKS.values())}
app.conf.task_routes = {name: {"queue": "ticks"} for name in (take_turns.name, *TICKS)}
