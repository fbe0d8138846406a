"""The form of a schedule: what stands in its controls, and what they say together.

Whether a schedule can be taken is the operation's to say (`runs.schedules`), here as in the API.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from blocks.forms import Context, SchemaForm, moments
from orchestrator.schedule_bodies import PreviewInput
from orchestrator.schedule_times import Times
from orchestrator.schedule_words import in_words
from orchestrator.schedules import check_timezone
from runs import forms, schedules
from runs.models import Deployment, Schedule
from tenants.errors import Invalid
from tenants.whole_numbers import whole_number

SHOWN = 10  # next times
UNITS = {"s": 1, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}
CONTROLS = (
    "kind", "slug", "cron", "day_or", "interval", "interval_unit", "anchor", "rrule", "timezone", "catch_up",
    "catch_up_max", "skip_if_late", "skip_if_late_unit", "active", "was_active",
)  # fmt: skip
LABELS = {
    "slug": "Name", "cron": "Cron expression", "interval": "Every", "anchor": "Counted from", "rrule": "Rule",
    "timezone": "Time zone", "catch_up": "Make up for", "catch_up_max": "At most", "skip_if_late": "Give up after",
}  # fmt: skip
NEW = {
    "kind": "cron", "day_or": "or", "interval_unit": "min", "timezone": "UTC", "catch_up": "skip",
    "catch_up_max": "100", "skip_if_late_unit": "min", "active": "on",
}  # fmt: skip
LONGEST = 10_000  # characters of a control


@cache
def zones() -> SafeString:
    """The names of all timezones as options, made once: there are 600."""
    names = sorted(available_timezones() - {"localtime", "Factory"})
    return format_html_join("", '<option value="{}"></option>', [(name,) for name in names])


def posted(data: Mapping[str, str]) -> dict[str, str]:
    """What stands in the controls as they were posted."""
    return {name: str(data.get(name, ""))[:LONGEST] for name in CONTROLS}


def of_schedule(schedule: Schedule) -> dict[str, str]:
    """What stands in the controls of a schedule that is there."""
    every, every_unit = _split(schedule.interval)
    late, late_unit = _split(schedule.skip_if_late)
    return {
        "kind": schedule.kind,
        "slug": schedule.slug,
        "cron": schedule.cron,
        "day_or": "or" if schedule.day_or else "and",
        "interval": every,
        "interval_unit": every_unit,
        "anchor": _anchor_text(schedule),
        "rrule": schedule.rrule,
        "timezone": schedule.timezone,
        "catch_up": schedule.catch_up,
        "catch_up_max": str(schedule.catch_up_max),
        "skip_if_late": late,
        "skip_if_late_unit": late_unit,
        "active": "on" if schedule.active else "",
        "was_active": "on" if schedule.active else "",
    }


def _split(seconds: float | None) -> tuple[str, str]:
    """Seconds in the largest unit that they are whole in.

    >>> _split(5400), _split(604_800), _split(90.5), _split(None)
    (('90', 'min'), ('1', 'w'), ('90.5', 's'), ('', 'min'))
    """
    if seconds is None:
        return "", "min"
    unit = next((unit for unit in reversed(UNITS) if seconds % UNITS[unit] == 0), "s")
    return f"{seconds / UNITS[unit]:.10g}", unit


def _anchor_text(schedule: Schedule) -> str:
    if schedule.anchor is None:
        return ""
    local = schedule.anchor.astimezone(ZoneInfo(schedule.timezone)).replace(tzinfo=None)
    return local.isoformat(timespec="milliseconds").removesuffix(".000")


# ── what the controls say ────────────────────────────────────────────────────────────────────────


def times_told(typed: Mapping[str, str], present: Schedule | None = None) -> tuple[dict[str, Any], dict[str, str]]:
    """What is told of the times, as the API takes it, and what can't be read, by field."""
    told: dict[str, Any] = {"timezone": typed["timezone"].strip() or "UTC"}
    if typed["kind"] == "cron":
        return told | {"cron": " ".join(typed["cron"].split()), "day_or": typed["day_or"] != "and"}, {}
    if typed["kind"] == "rrule":
        return told | {"rrule": typed["rrule"].replace("\r\n", "\n").strip()}, {}
    if typed["kind"] != "interval":
        return told, {"kind": "Choose how the times are told."}
    wrong: dict[str, str] = {}
    for name, read in (("interval", _interval), ("anchor", _anchor)):
        try:
            told[name] = read(typed, present)
        except ValueError as error:
            wrong[name] = str(error)
    return told, wrong


def _interval(typed: Mapping[str, str], present: Schedule | None) -> float:
    seconds = _seconds(typed, "interval")
    if seconds is None:
        raise ValueError("How often? Enter a number.")
    return seconds


def _anchor(typed: Mapping[str, str], present: Schedule | None) -> str | None:
    text = typed["anchor"].strip()
    if not text:
        return None
    zone = typed["timezone"].strip() or "UTC"
    if present is not None and present.anchor and (text, zone) == (_anchor_text(present), present.timezone):
        return present.anchor.isoformat()  # To the microsecond, and the right one of two that read the same.
    try:
        check_timezone(zone)
    except ValueError:
        zone = "UTC"  # What is wrong with the zone is said beside it.
    moment = datetime.fromisoformat(moments.join(text, zone))
    return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).isoformat()


def _seconds(typed: Mapping[str, str], name: str) -> float | None:
    text = typed[name].strip().replace(",", ".")
    if not text:
        return None
    try:
        number = float(text) if len(text) < 30 else float("nan")
    except ValueError:
        raise ValueError("Enter a number.") from None
    if not 0 < number < 1e12:
        raise ValueError("Enter a number above 0.")
    return number * UNITS.get(typed[f"{name}_unit"], 1)


def told(typed: Mapping[str, str], form: SchemaForm, deployment: Deployment, present: Schedule | None) -> dict:
    """What the form says, as the API takes it.

    Raises:
        Invalid: Something typed means nothing; `fields` has that, and what the schema says of the parameters.
    """
    wanted, wrong = times_told(typed, present)
    most = typed["catch_up_max"].strip() or "100"
    if whole_number(most) is None:
        wrong["catch_up_max"], most = "Enter a whole number.", "100"
    try:
        late = _seconds(typed, "skip_if_late")
    except ValueError as error:
        wrong["skip_if_late"], late = str(error), None
    if form.problems or wrong:
        problems = {**forms.refusals(deployment, form.value), **form.problems, **wrong}
        raise Invalid("Some fields can't be taken.", fields=problems)
    if present is None or typed["active"] != typed["was_active"]:
        wanted["active"] = typed["active"] == "on"  # Else as it is: somebody may have paused it meanwhile.
    wanted |= {"slug": typed["slug"].strip()} if typed["slug"].strip() and present is None else {}
    return wanted | {
        "parameters": own_parameters(form, deployment, present),
        "catch_up": typed["catch_up"],
        "catch_up_max": int(most),
        "skip_if_late": late,
    }


def own_parameters(form: SchemaForm, deployment: Deployment, present: Schedule | None) -> dict[str, Any]:
    """What the schedule has over its deployment: what differs from that, and what it had so before.

    So that a deploy which changes a parameter changes it for the schedules that never meant to have another one.
    """
    plain = forms.form(deployment, {}, Context()).value
    had = present.parameters if present is not None else {}
    own = {
        name: value
        for name, value in form.value.items()
        if name not in plain or value != plain[name] or had.get(name, ...) == value
    }
    secrets = [field.key for field in form.root.children if field.kind == "secret"]
    return {name: had[name] for name in secrets if name in had} | own


# ── the next times ───────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class NextTime:
    """One of the next times. `local`: what the clock of the zone shows then; `clock`: how it is changed before it."""

    at: datetime
    local: datetime
    zone: str
    clock: str


@dataclass(frozen=True, slots=True)
class Preview:
    """When a schedule would be due, or why that can't be said. Neither, as long as nothing was typed."""

    words: str = ""
    zone: str = "UTC"
    times: tuple[NextTime, ...] = ()
    wrong: Mapping[str, str] | None = None

    @property
    def ends(self) -> bool:
        """Whether that are all times there will be."""
        return 0 < len(self.times) < SHOWN

    @property
    def problems(self) -> str:
        """What is wrong by field, as JSON for the page's script."""
        return json.dumps(self.wrong) if self.wrong else ""


def preview(typed: Mapping[str, str], present: Schedule | None = None) -> Preview:
    """The next times that the controls describe."""
    zone = typed["timezone"].strip() or "UTC"
    if not typed.get(typed["kind"], "").strip():
        return Preview(zone=zone)
    wanted, wrong = times_told(typed, present)
    if wrong:
        return Preview(zone=zone, wrong=wrong)
    try:
        asked = PreviewInput(**_moments(wanted), number=SHOWN)
        found = schedules.preview(asked)
    except Invalid as problem:
        return Preview(zone=zone, wrong=problem.fields or {typed["kind"]: problem.message})
    clock = ZoneInfo(zone)
    times = tuple(_next_time(each, clock) for each in found)
    return Preview(in_words(_times(asked, zone)), zone, times)


def _next_time(told: Mapping[str, Any], clock: ZoneInfo) -> NextTime:
    return NextTime(told["at"], told["at"].astimezone(clock).replace(tzinfo=None), told["zone"], told["clock"])


def _moments(wanted: dict[str, Any]) -> dict[str, Any]:
    anchor = wanted.get("anchor")
    return wanted | ({"anchor": datetime.fromisoformat(anchor)} if anchor else {})


def _times(asked: PreviewInput, zone: str) -> Times:
    kind = "cron" if asked.cron is not None else "rrule" if asked.rrule is not None else "interval"
    return Times(kind, asked.cron or "", asked.day_or, asked.interval, asked.anchor, asked.rrule or "", zone)
