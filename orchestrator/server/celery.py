"""The Celery application. Beat drives the ticks; other work has a queue of its own."""

import os

from celery import Celery, signals
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orchestrator.server.settings")

app = Celery("orchestrator")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@signals.task_prerun.connect
def name_the_log(task_id: str, **_: object) -> None:
    """Lines of a task carry its id, as those of a request do."""
    from tenants.trace import request_id

    request_id.set(task_id)


def _tick(task: str, seconds: float) -> dict:
    """Every `seconds`; a tick that comes late by its own period is not worth running."""
    return {"task": task, "schedule": seconds, "options": {"queue": "ticks", "expires": max(seconds * 2, 5)}}


app.conf.beat_schedule = {
    "expire leases": _tick("runs.tasks.expire_leases", settings.TICK_SECONDS),
    "hand on slots": _tick("runs.tasks.hand_on_slots", settings.TICK_SECONDS),
    "expire inputs": _tick("runs.tasks.expire_inputs", settings.TICK_SECONDS),
    "create scheduled runs": _tick("runs.tasks.create_scheduled_runs", settings.TICK_SECONDS),
    "skip late runs": _tick("runs.tasks.skip_late_runs", settings.TICK_SECONDS),
    "cancel surplus runs": _tick("runs.tasks.cancel_surplus_runs", settings.TICK_SECONDS),
    "find bulk operations": _tick("runs.tasks.find_bulk_operations", settings.TICK_SECONDS),
    "find backfills": _tick("runs.tasks.find_backfills", settings.TICK_SECONDS),
    "find missed backfills": _tick("runs.tasks.find_missed_backfills", 30),
    "find deleted runs": _tick("runs.tasks.find_deleted_runs", 5),
    "mark late runs": _tick("runs.tasks.mark_late_runs", 5),
    "notice agents": _tick("runs.tasks.notice_agents", 10),
    "notify of firings": _tick("runs.tasks.notify_of_firings", settings.TICK_SECONDS),
    "forget firings": _tick("runs.tasks.forget_firings", 3600),
    "forget artifacts": _tick("runs.tasks.forget_artifacts", 3600),
    "forget backfills": _tick("runs.tasks.forget_backfills", 3600),
    "forget bulk operations": _tick("runs.tasks.forget_bulk_operations", 3600),
    "forget deleted runs": _tick("runs.tasks.forget_deleted_runs", 3600),
    "forget cache entries": _tick("runs.tasks.forget_cache_entries", 3600),
    "seal audit": _tick("tenants.tasks.seal_audit", 5),
    "truncate audit": _tick("tenants.tasks.truncate_audit", 3600),
    "find messages": _tick("tenants.tasks.find_messages", settings.TICK_SECONDS),
    "forget messages": _tick("tenants.tasks.forget_messages", 3600),
    "find departures": _tick("tenants.tasks.find_departures", 60),
    "find exports": _tick("tenants.tasks.find_exports", 10),
    "forget exports": _tick("tenants.tasks.forget_exports", 3600),
    "roll up usage": _tick("runs.tasks.roll_up_usage", 15),
    "add up API calls": _tick("runs.tasks.add_up_api_calls", 15),
    "note seats": _tick("runs.tasks.note_seats", 60),
    "find storage to measure": _tick("runs.tasks.find_storage_to_measure", 900),
    "close months": _tick("runs.tasks.close_months", 900),
    "find usage to seal": _tick("runs.tasks.find_usage_to_seal", 900),
    "keep partitions": _tick("runs.tasks.keep_partitions", 3600),
}
app.conf.task_routes = {entry["task"]: {"queue": "ticks"} for entry in app.conf.beat_schedule.values()}
