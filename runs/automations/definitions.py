"""What an automation's trigger and action may say: JSON that people and programs write, checked field by field."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import msgspec
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from orchestrator.bodies import BLOCK_NAME
from orchestrator.debouncing import Debounce
from orchestrator.storable import clean_text
from orchestrator.wire import MAX_EVENT, MAX_LABEL, MAX_TAG, MAX_TAGS, wrong_in_event
from runs.automations import templates
from runs.events import CHANGES, KNOWN_EVENTS
from tenants.errors import Invalid

MAX_NAME = 200
MAX_EVENTS = 50
MAX_NAMES = 50  # flows, deployments, tags, …
MAX_RECIPIENTS = 20
MOST_PER_MINUTE = 60  # messages
MOST_RUNS_PER_MINUTE = 600
BLOCK_TYPES = ("apprise-notification", "email-server-credentials", "slack-webhook", "webhook")


class Trigger(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """An event, and what it has to be about. A list that is empty asks for nothing."""

    events: list[str]
    flows: list[str] = []
    deployments: list[str] = []  # flow/name
    tags: list[str] = []
    match_tags: str = "any"
    pools: list[str] = []
    states: list[str] = []  # names, as TimedOut
    resources: list[str] = []  # ids; * and ? stand for any characters
    run_name: str = ""  # * and ? stand for any characters, and for any one

    def is_about(self, kind: str) -> bool:
        """True where every event is of a kind: `flow-run`, `agent`, `deployment`."""
        return all(event.startswith(f"{kind}.") for event in self.events)


class RunDeployment(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """Trigger a run. `parameters` is a template that makes a JSON object; `debounce_key` is one, too."""

    deployment: str  # flow/name
    parameters: str = ""
    tags: list[str] = []  # besides those of the deployment
    debounce: float | None = None  # seconds
    debounce_key: str = ""


class Action(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """Tell somebody, by a block or by mail to members of the organization; or `run` a deployment."""

    block: str = ""  # type/name
    to: list[str] = []
    subject: str = ""
    body: str = ""
    run: RunDeployment | None = None


@dataclass(slots=True)
class Wanted:
    """An automation as somebody wants it."""

    name: str
    trigger: Trigger
    action: Action
    enabled: bool = True
    most_per_minute: int = 5
    fields: dict[str, str] = field(default_factory=dict)


def checked(wanted: Wanted) -> Wanted:
    """The automation in its final form.

    Raises:
        Invalid: `fields` says what can't be taken.
    """
    wanted.name = clean_text(wanted.name.strip())
    if not 0 < len(wanted.name) <= MAX_NAME or "/" in wanted.name:
        wanted.fields["name"] = f"1 to {MAX_NAME} characters, without a slash."
    most = MOST_PER_MINUTE if wanted.action.run is None else MOST_RUNS_PER_MINUTE
    if not 1 <= wanted.most_per_minute <= most:
        wanted.fields["most_per_minute"] = f"1 to {most}."
    wanted.fields |= _wrong_in_trigger(wanted.trigger) | _wrong_in_action(wanted.action)
    if wanted.fields:
        raise Invalid("The automation can't be taken; see fields.", fields=wanted.fields)
    return wanted


def _wrong_in_trigger(trigger: Trigger) -> dict[str, str]:
    wrong: dict[str, str] = {}
    trigger.events = list(dict.fromkeys(trigger.events))
    if not trigger.events:
        wrong["events"] = "Choose at least one."
    elif unknown := [event for event in trigger.events if not _can_happen(event)]:
        wrong["events"] = (
            f"There is no event {unknown[0][:60]!r}. There are: {', '.join(KNOWN_EVENTS)}; and those of your code, as "
            "order.paid or order.*."
        )
    elif len(trigger.events) > MAX_EVENTS:
        wrong["events"] = f"{MAX_EVENTS} at most."
    for name in ("flows", "deployments", "tags", "pools", "states", "resources"):
        values = list(dict.fromkeys(clean_text(value.strip()) for value in getattr(trigger, name)))
        setattr(trigger, name, [value for value in values if value])
        if len(values) > MAX_NAMES or any(len(value) > MAX_LABEL for value in values):
            wrong[name] = f"{MAX_NAMES} names of {MAX_LABEL:,} characters at most."
    if any("/" not in name for name in trigger.deployments):
        wrong["deployments"] = "Each as flow/deployment."
    if trigger.match_tags not in {"any", "all"}:
        wrong["match_tags"] = "any or all."
    trigger.run_name = clean_text(trigger.run_name.strip())
    if len(trigger.run_name) > 200:
        wrong["run_name"] = "200 characters at most."
    return wrong | _without_meaning(trigger)


def _can_happen(event: str) -> bool:
    """The platform tells of it, or code may; of a pattern, that something fits it."""
    if event in KNOWN_EVENTS:
        return True
    named = event.replace("*", "x").replace("?", "x")
    if event != named and any(fnmatchcase(known, event) for known in KNOWN_EVENTS):
        return len(event) <= MAX_EVENT
    own = named.startswith(("asset.", *CHANGES))
    return not wrong_in_event(named, {"id": "any"}, [], b"", own=own)


def split_events(events: list[str]) -> tuple[list[str], list[str]]:
    """Those that are names, and those that are patterns, as LIKE knows them.

    >>> split_events(["agent.gone", "order.*"])
    (['agent.gone'], ['order.%'])
    """
    patterns = [event for event in events if set(event) & {"*", "?"}]
    return [event for event in events if event not in patterns], [as_like(pattern) for pattern in patterns]


def _without_meaning(trigger: Trigger) -> dict[str, str]:
    """What would keep an automation from ever firing: an agent has no flow."""
    wrong = {}
    if trigger.is_about("agent"):
        names = ("flows", "deployments", "tags", "states", "run_name")
        wrong |= {name: "Agents have none." for name in names if getattr(trigger, name)}
    return wrong


def _wrong_in_action(action: Action) -> dict[str, str]:
    wrong: dict[str, str] = {}
    action.to = list(dict.fromkeys(address.strip().lower() for address in action.to if address.strip()))
    if [bool(action.block), bool(action.to), action.run is not None].count(True) != 1:
        wrong["action"] = "One of these: a block that tells, addresses that a mail goes to, a deployment to run."
    type, _, name = action.block.partition("/")
    if action.block and (type not in BLOCK_TYPES or not BLOCK_NAME.fullmatch(name)):
        wrong["block"] = f"A block of the type {', '.join(BLOCK_TYPES)}, as type/name."
    if len(action.to) > MAX_RECIPIENTS or not all(map(_is_address, action.to)):
        wrong["to"] = f"{MAX_RECIPIENTS} addresses at most, like ada@example.com."
    for name in ("subject", "body"):
        if problem := templates.problem(getattr(action, name)):
            wrong[name] = problem
    return wrong | (_wrong_in_run(action) if action.run else {})


def _wrong_in_run(action: Action) -> dict[str, str]:
    wrong, run = {}, action.run
    assert run is not None
    run.tags = list(dict.fromkeys(clean_text(tag.strip()) for tag in run.tags if tag.strip()))
    if "/" not in run.deployment:
        wrong["run.deployment"] = "Choose one, as flow/deployment."
    if len(run.tags) > MAX_TAGS or any(len(tag) > MAX_TAG for tag in run.tags):
        wrong["run.tags"] = f"{MAX_TAGS} tags of {MAX_TAG} characters at most."
    if run.debounce:
        wrong |= {f"run.{name}": text for name, text in Debounce(run.debounce).wrong().items()}
    elif run.debounce_key:
        wrong["run.debounce"] = "A key gathers nothing without a window. Give seconds."
    for name in ("parameters", "debounce_key"):
        if problem := templates.unreadable(getattr(run, name), templates.RUN_VALUES):
            wrong[f"run.{name}"] = problem
    wrong |= {name: "A run has none." for name in ("subject", "body") if getattr(action, name)}
    return wrong


def _is_address(text: str) -> bool:
    try:
        validate_email(text)
    except ValidationError:
        return False
    return len(text) <= 254


def as_like(pattern: str) -> str:
    r"""A pattern with * and ? as LIKE knows it.

    >>> as_like("50%_nightly-*")
    '50\\%\\_nightly-%'
    """
    escaped = re.sub(r"([\\%_])", r"\\\1", pattern)
    return escaped.replace("*", "%").replace("?", "_")


def as_json(told: Trigger | Action) -> dict[str, Any]:
    """As it is stored: what is not asked for is not there."""
    return msgspec.to_builtins(told)
