"""The form of a backfill: what stands in its controls, and what they say together.

Whether a backfill can be taken is the operation's to say (`runs.backfills`), here as in the API.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from blocks.forms import moments
from orchestrator.backfills import AT_ONCE, PRIORITY, BackfillInput, TimesInput, formats
from orchestrator.parameter_sets import read_sets
from orchestrator.schedules import check_timezone
from runs.backfills import operations, planning
from runs.backfills.planning import Plan
from runs.models import Deployment
from tenants.errors import Conflict, Invalid
from tenants.permissions import Actor
from tenants.whole_numbers import whole_number

CONTROLS = (
    "of", "cron", "timezone", "since", "until", "sets", "parameters", "time_parameter", "next_parameter", "existing",
    "order", "at_once", "per_minute", "pause_after_failures", "priority", "tags", "name",
)  # fmt: skip
NEW = {
    "timezone": "UTC", "existing": "skip", "order": "oldest", "at_once": str(AT_ONCE), "priority": str(PRIORITY),
}  # fmt: skip
LABELS = {
    "of": "Runs for", "cron": "Cron expression", "timezone": "Time zone", "since": "From", "until": "To",
    "sets": "Parameter sets", "parameters": "Parameters", "at_once": "At once", "per_minute": "Per minute",
    "pause_after_failures": "Pause after failures", "priority": "Priority", "tags": "Tags", "name": "Name",
}  # fmt: skip
NUMBERS = ("at_once", "per_minute", "pause_after_failures", "priority")
LONGEST = 4 << 20  # characters of all sets
SHOWN = 5  # places at each end of a preview
SCHEDULE = "schedule:"  # + slug: what `of` says of one


def posted(data: Mapping[str, str]) -> dict[str, str]:
    """What stands in the controls as they were posted."""
    return {name: str(data.get(name, ""))[: LONGEST if name == "sets" else 10_000] for name in CONTROLS}


def new(deployment: Deployment) -> dict[str, str]:
    """What stands in the controls of a new one: the first schedule, if there is one."""
    slug = deployment.schedules.order_by("slug").values_list("slug", flat=True).first()
    start = {"of": f"{SCHEDULE}{slug}" if slug else "times", "time_parameter": _time_parameter(deployment)}
    return {name: (NEW | start).get(name, "") for name in CONTROLS}


def _time_parameter(deployment: Deployment) -> str:
    """The only parameter that takes a date or a time; nothing, where there are several."""
    names = deployment.parameter_schema.get("properties") or {}
    found = [name for name in names if formats(deployment.parameter_schema, name) & {"date", "date-time"}]
    return found[0] if len(found) == 1 else ""


def zone_of(typed: Mapping[str, str], deployment: Deployment) -> str:
    """By whose clock the range is told."""
    if typed["of"].startswith(SCHEDULE):
        own = deployment.schedules.filter(slug=typed["of"].removeprefix(SCHEDULE))
        return own.values_list("timezone", flat=True).first() or "UTC"
    zone = typed["timezone"].strip() or "UTC"
    try:
        check_timezone(zone)
    except ValueError:
        return "UTC"  # What is wrong with it is said beside it.
    return zone


def told(typed: Mapping[str, str], deployment: Deployment) -> BackfillInput:
    """What the form says, as the API takes it.

    Raises:
        Invalid: Something typed means nothing.
    """
    wrong: dict[str, str] = {}
    wanted: dict[str, Any] = {name: _number(typed, name, wrong) for name in NUMBERS}
    wanted = {name: value for name, value in wanted.items() if value is not None}
    wanted |= {name: typed[name].strip() for name in ("name", "time_parameter", "next_parameter", "existing", "order")}
    wanted |= {"tags": [tag.strip() for tag in typed["tags"].split(",") if tag.strip()]}
    wanted |= {"parameters": _parameters(typed, wrong)}
    if typed["of"] == "sets":
        wanted |= {"sets": _sets(typed, deployment, wrong), "time_parameter": "", "next_parameter": ""}
    else:
        wanted |= _times(typed) | _range(typed, zone_of(typed, deployment), wrong)
    if wanted["existing"] not in {"skip", "failed", "all"} or wanted["order"] not in {"oldest", "newest"}:
        wrong["existing"] = "Choose one."
    if wrong:
        raise Invalid("Some fields can't be taken.", fields=wrong)
    return BackfillInput(deployment=str(deployment.id), **wanted)


def _number(typed: Mapping[str, str], name: str, wrong: dict[str, str]) -> int | None:
    text = typed[name].strip()
    if not text:
        return None
    number = whole_number(text.removeprefix("-"))
    if number is None:
        wrong[name] = "Enter a whole number."
        return None
    return -number if text.startswith("-") else number


def _parameters(typed: Mapping[str, str], wrong: dict[str, str]) -> dict[str, Any]:
    text = typed["parameters"].strip()
    try:
        read = json.loads(text) if text else {}
    except (ValueError, RecursionError) as error:
        read = wrong["parameters"] = f"This is no JSON: {error}"
    if not isinstance(read, dict):
        wrong.setdefault("parameters", 'A JSON object, such as {"n": 3}.')
        return {}
    return read


def _sets(typed: Mapping[str, str], deployment: Deployment, wrong: dict[str, str]) -> list[dict[str, Any]]:
    try:
        return read_sets(typed["sets"], deployment.parameter_schema)
    except ValueError as error:
        wrong["sets"] = str(error)
        return []


def _times(typed: Mapping[str, str]) -> dict[str, Any]:
    if typed["of"].startswith(SCHEDULE):
        return {"schedule": typed["of"].removeprefix(SCHEDULE)}
    return {"times": TimesInput(cron=" ".join(typed["cron"].split()), timezone=typed["timezone"].strip() or "UTC")}


def _range(typed: Mapping[str, str], zone: str, wrong: dict[str, str]) -> dict[str, datetime]:
    found: dict[str, datetime] = {}
    for name in ("since", "until"):
        if text := typed[name].strip():
            try:
                moment = datetime.fromisoformat(moments.join(text, zone))
                found[name] = moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))
            except ValueError:
                wrong[name] = "Enter a date and a time."
    return found


# ── the preview ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Preview:
    """What a backfill would make, or why that can't be said. Neither, as long as too little was typed."""

    zone: str
    plan: Plan | None = None
    seconds: float | None = None
    wrong: Mapping[str, str] = field(default_factory=dict)

    @property
    def problems(self) -> str:
        """What is wrong by field, as JSON for the page's script."""
        return json.dumps(dict(self.wrong)) if self.wrong else ""

    @property
    def warnings(self) -> list[str]:
        """What somebody should know beforehand."""
        return planning.warnings(self.plan) if self.plan else []

    @property
    def ends(self) -> list[dict[str, Any]]:
        """The first places and the last ones, with what they have already; between them how many are not shown."""
        if self.plan is None:
            return []
        places, skipped = self.plan.places, self.plan.skipped
        shown = places if len(places) <= 2 * SHOWN else [*places[:SHOWN], *places[-SHOWN:]]
        clock = ZoneInfo(self.zone)
        rows = [
            {
                "place": each, "local": each.time.astimezone(clock).replace(tzinfo=None) if each.time else None,
                "there": self.plan.there.get(each.ordinal), "skipped": each.ordinal in skipped, "hidden": 0,
            }
            for each in shown
        ]  # fmt: skip
        if len(places) > len(shown):
            rows[SHOWN - 1]["hidden"] = len(places) - len(shown)
        return rows

    @property
    def rows(self) -> list[tuple[int, dict[str, str]]]:
        """The sets that can't be taken, by their numbers from 1 on."""
        return [(row + 1, fields) for row, fields in sorted(self.plan.wrong.items())][:10] if self.plan else []

    @property
    def wrong_rows(self) -> int:
        """How many sets can't be taken."""
        return len(self.plan.wrong) + self.plan.more_wrong if self.plan else 0


def preview(typed: Mapping[str, str], deployment: Deployment, *, by: Actor) -> Preview:
    """What the controls describe."""
    zone = zone_of(typed, deployment)
    if typed["of"] == "sets" and not typed["sets"].strip():
        return Preview(zone)
    if typed["of"] != "sets" and (not typed["since"].strip() or (typed["of"] == "times" and not typed["cron"].strip())):
        return Preview(zone)
    try:
        plan = operations.preview(told(typed, deployment), by=by)
    except (Invalid, Conflict) as problem:
        return Preview(zone, wrong=of_controls(problem.fields or {"of": problem.message}))
    return Preview(zone, plan, planning.seconds(plan))


def of_controls(fields: Mapping[str, str]) -> dict[str, str]:
    """What is wrong, by the names of the controls."""
    found: dict[str, str] = {}
    for name, what in fields.items():
        head, _, rest = name.partition(".")
        control = rest if head == "times" else {"schedule": "of", "times": "cron", "interval": "cron"}.get(head, head)
        label = f"{rest}: " if rest and head in {"parameters", "sets"} else ""
        found.setdefault(control if control in CONTROLS else "of", f"{label}{what}")
    return found
