"""What an API request says of a schedule: its form, how it is read, and what of it can't be taken.

Shared by every server that answers the API, as `bodies.py` is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec
from msgspec import UNSET, UnsetType

from orchestrator.bodies import BadBody, read_body
from orchestrator.rrule import parse
from orchestrator.schedule_times import ScheduleRefusal, Times, check
from orchestrator.schedules import CATCH_UPS, LONGEST, MAX_CAUGHT_UP, MAX_SCHEDULES, SHORTEST, check_slug
from orchestrator.storable import clean_text, json_value
from orchestrator.wire import MAX_PARAMETERS, encode

MAX_PREVIEW = 100
FIRST_SLUG = "default"
DEPLOYED = "the deploy"
"""Who paused a schedule that the code deploys paused."""
WAYS = ("cron", "interval", "rrule")


class ScheduleInput(msgspec.Struct):
    """When a deployment is to run by itself: one of `cron`, `interval` and `rrule`."""

    cron: str | None = None
    day_or: bool = True
    interval: float | None = None
    anchor: datetime | None = None
    rrule: str | None = None
    timezone: str | None = None
    slug: str | None = None
    parameters: dict[str, Any] = {}
    active: bool = True
    catch_up: str = "skip"
    catch_up_max: int = 100
    skip_if_late: float | None = None


class ScheduleChange(msgspec.Struct):
    """What of a schedule is to be another; what is left out stays. A way to tell times takes the place of another."""

    cron: str | UnsetType | None = UNSET
    day_or: bool | UnsetType = UNSET
    interval: float | UnsetType | None = UNSET
    anchor: datetime | UnsetType | None = UNSET
    rrule: str | UnsetType | None = UNSET
    timezone: str | UnsetType | None = UNSET
    slug: str | UnsetType | None = UNSET
    parameters: dict[str, Any] | UnsetType = UNSET
    active: bool | UnsetType = UNSET
    catch_up: str | UnsetType = UNSET
    catch_up_max: int | UnsetType = UNSET
    skip_if_late: float | UnsetType | None = UNSET


class PreviewInput(ScheduleInput):
    """Of which schedule how many times are asked, from when on."""

    number: int = 10
    after: datetime | None = None


class Present(Protocol):
    """A schedule that is there."""

    slug: str
    parameters: Any

    @property
    def times(self) -> Times:
        """When it is due."""
        ...


def read_schedule(told: Mapping[str, Any], at: datetime) -> tuple[ScheduleInput, Times]:
    """What is told of a schedule, checked as far as it can be without its deployment.

    Raises:
        ScheduleRefusal: `fields` says what can't be taken.
    """
    try:
        read = read_body(msgspec.json.encode(told), ScheduleInput)
    except BadBody as error:
        raise ScheduleRefusal(error.message, **error.fields or {}) from error
    return read, times_of(read, at)


def times_of(told: ScheduleInput, at: datetime) -> Times:
    """When it is due.

    Raises:
        ScheduleRefusal: It is never, or something else of it can't be taken.
    """
    given = [way for way in WAYS if getattr(told, way) is not None]
    if len(given) != 1:
        raise ScheduleRefusal(
            "A schedule is a cron, an interval or an rrule.", **{"": "Give one of `cron`, `interval` and `rrule`."}
        )
    if told.anchor is not None and told.anchor.tzinfo is None:
        raise ScheduleRefusal("The anchor has no zone.", anchor="ISO 8601 with a zone.")
    times = _times(given[0], told)
    check(times, at)
    if wrong := _wrong_options(told):
        raise ScheduleRefusal("The schedule can't be taken; see fields.", **wrong)
    return times


def _times(way: str, told: ScheduleInput) -> Times:
    zone = clean_text(told.timezone or "", 60) if told.timezone is not None else None
    if way == "cron":
        cron = clean_text(told.cron or "").strip()
        if len(cron) > 200:
            raise ScheduleRefusal("This cron is too long.", cron="200 characters at most.")
        return Times("cron", cron=cron, day_or=told.day_or, timezone="UTC" if zone is None else zone)
    if way == "interval":
        return Times("interval", interval=told.interval, anchor=told.anchor, timezone="UTC" if zone is None else zone)
    rule = clean_text(told.rrule or "").strip()
    return Times("rrule", rrule=rule, timezone=_zone_of(rule) if zone is None else zone)


def _zone_of(rule: str) -> str:
    try:
        return parse(rule).zone or "UTC"
    except ValueError:
        return "UTC"  # What is wrong with the rule is said when it is checked.


def _wrong_options(told: ScheduleInput) -> dict[str, str]:
    wrong: dict[str, str] = {}
    if told.slug is not None:
        try:
            check_slug(told.slug)
        except ValueError as error:
            wrong["slug"] = str(error)
    if told.catch_up not in CATCH_UPS:
        wrong["catch_up"] = f"One of {', '.join(CATCH_UPS)}."
    if not 1 <= told.catch_up_max <= MAX_CAUGHT_UP:
        wrong["catch_up_max"] = f"1 to {MAX_CAUGHT_UP}."
    if told.skip_if_late is not None and not SHORTEST <= told.skip_if_late <= LONGEST:
        wrong["skip_if_late"] = f"Seconds, 1 to {LONGEST:.0f}."
    if len(encode(json_value(told.parameters))) > MAX_PARAMETERS:
        wrong["parameters"] = "Too large."
    return wrong


def merged(present: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """A schedule as it is to be: a way to describe its times takes the place of another.

    >>> merged({"cron": "0 6 * * *", "timezone": "UTC"}, {"interval": 60})
    {'timezone': 'UTC', 'interval': 60}
    """
    other = any(change.get(way) is not None for way in WAYS)
    kept = {name: value for name, value in present.items() if not (other and name in {*WAYS, "anchor", "day_or"})}
    return {**kept, **change}


def matched(wanted: Sequence[tuple[ScheduleInput, Times]], present: Sequence[Present]) -> list[str]:
    """The slugs of the schedules of a deployment, in their order.

    Who gives none has the one of the schedule that it is already, else the next one: `default`, `default-2`, …

    Raises:
        ScheduleRefusal: Two have one slug, or there are too many.
    """
    given = [told.slug for told, _ in wanted if told.slug is not None]
    if len(set(given)) < len(given) or len(wanted) > MAX_SCHEDULES:
        message = f"{MAX_SCHEDULES} schedules at most, each with a slug of its own."
        raise ScheduleRefusal("These schedules can't be taken together.", **{"": message})
    taken = set(given)
    slugs: list[str | None] = [told.slug for told, _ in wanted]
    for place, (told, times) in enumerate(wanted):
        same = (each.slug for each in present if each.times == times and each.parameters == told.parameters)
        slug = next((each for each in same if each not in taken), None)
        if slugs[place] is None and slug is not None:
            slugs[place] = slug
            taken.add(slug)
    free = (slug for slug in _slugs() if slug not in taken)
    return [slug if slug is not None else next(free) for slug in slugs]


def paused_after_deploy(paused_by: str | None, active: bool) -> str:
    """Who keeps a schedule paused that is deployed: a person, whatever the code says, else the code; "" for nobody.

    Args:
        paused_by: Who has paused the one that is there; None where it goes on, or there is none.
        active: Whether the code has it go on.

    >>> paused_after_deploy("bob@acme.example", True), paused_after_deploy(None, False), paused_after_deploy(None, True)
    ('bob@acme.example', 'the deploy', '')
    """
    if paused_by is None or paused_by == DEPLOYED:
        return "" if active else DEPLOYED
    return paused_by


def free_slug(taken: set[str]) -> str:
    """The first slug that nobody has.

    >>> free_slug({"default", "default-2"})
    'default-3'
    """
    return next(slug for slug in _slugs() if slug not in taken)


def _slugs() -> Any:
    yield FIRST_SLUG
    for number in range(2, 2 * MAX_SCHEDULES + 3):
        yield f"{FIRST_SLUG}-{number}"


def shown(times: Times) -> dict[str, Any]:
    """What of a schedule's times the API tells."""
    if times.kind == "cron":
        return {"cron": times.cron, "day_or": times.day_or}
    return {"rrule": times.rrule} if times.kind == "rrule" else {"interval": times.interval, "anchor": times.anchor}
