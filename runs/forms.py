"""The form that triggers a run: the deployment's parameters, and what else a run may be told.

Whether parameters fit is the one check's to say (`runs.schema`), here as in the API.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from blocks.blocks import in_workspace
from blocks.forms import Context, SchemaForm, moments
from orchestrator.storable import json_value
from orchestrator.wire import MAX_PARAMETERS
from runs import trigger
from runs.debounce import asked_of
from runs.job_variables_form import Variables
from runs.models import Deployment, FlowRun, WorkQueue
from runs.schema import check_parameters
from tenants.errors import Invalid
from tenants.permissions import Actor, can

MASK = "********"  # what `orchestrator.masking` puts where a secret was
CUT = "…"  # what stands for parameters that were too large or too deep
MASKED = "A secret was masked here. Enter it again, or choose a block that holds it."
_OBJECT = re.compile(r"<[\w.]+( object)?( at 0x[0-9a-f]+)?>")
MAX_BLOCKS = 1_000  # to choose from
MAX_QUEUES = 1_000
RECENT = 200  # runs that suggest tags
LABELS = {
    "file": "JSON file",
    "name": "Name of the run", "tags": "Tags", "priority": "Priority", "work_queue": "Queue",
    "scheduled_at": "Start later", "concurrency_key": "Concurrency key", "idempotency_key": "Idempotency key",
    "debounce": "Debounce", "debounce_key": "Debounce key", "debounce_max": "Debounce at most",
}  # fmt: skip
OPTIONS = (*(name for name in LABELS if name != "file"), "scheduled_at~zone")


def context(by: Actor, new_block: str = "") -> Context:
    """The workspace's blocks that this person may use, to be chosen from, and where a new one is made, if they may."""

    def blocks(type: str) -> list[str]:
        if not can(by, "blocks.view"):
            return []
        rows = in_workspace(by).allowing(by, "blocks.use")
        rows = rows.filter(type=type) if type else rows
        return [f"{kind}/{name}" for kind, name in rows.values_list("type", "name")[:MAX_BLOCKS]]

    return Context(
        blocks=blocks,
        new_block=lambda type: f"{new_block}?type={type}" if new_block and type else new_block,
        by_block=True,
    )


def refusals(deployment: Deployment, parameters: Mapping[str, Any]) -> dict[str, str]:
    """What the deployment's schema says of these parameters, by path."""
    try:
        check_parameters(deployment.parameter_schema, {**deployment.parameters, **parameters})
    except Invalid as problem:
        return problem.fields or {"parameters": problem.message}
    return {}


@dataclass(frozen=True, slots=True)
class Former:
    """A former run's parameters in today's form. `gone` has no place any more, `unfit` is what doesn't fit, or is not
    what the run had. `lost` says that none of them were kept.
    """

    run: FlowRun
    values: dict[str, Any]
    gone: dict[str, Any]
    unfit: dict[str, str]
    lost: str


def of_former_run(deployment: Deployment, run: FlowRun) -> Former:
    """Fill the form from a run, of this deployment or of another, or one that was called by hand."""
    schema = deployment.parameter_schema
    known = schema.get("properties") or {}
    takes_more = schema.get("additionalProperties", True) is not False
    kept = {name: value for name, value in run.parameters.items() if name != CUT}
    values = {name: value for name, value in kept.items() if takes_more or name in known}
    gone = {name: value for name, value in kept.items() if name not in values}
    return Former(run, values, gone, refusals(deployment, values) | spoiled(values), str(run.parameters.get(CUT, "")))


def spoiled(values: Mapping[str, Any]) -> dict[str, str]:
    """Where parameters are not what the run had, by path: what is shown of them hides, leaves out or describes it."""
    return {path: why for path, text in _texts(values, "parameters") if (why := _why_spoiled(text))}


def masked(values: Mapping[str, Any]) -> dict[str, str]:
    """Where a secret was masked: no run may be begun with what stands there instead."""
    return {path: MASKED for path, text in _texts(values, "parameters") if MASK in text}


def _why_spoiled(text: str) -> str:
    if MASK in text:
        return MASKED
    if text == CUT:
        return "What was here was nested too deeply to be kept. Enter it again."
    return "This is how Python shows an object, not its value. Enter the value." if _OBJECT.fullmatch(text) else ""


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for name, part in value.items():
            yield from _texts(part, f"{path}.{name}")
    elif isinstance(value, list):
        for place, part in enumerate(value):
            yield from _texts(part, f"{path}.{place}")


def form(deployment: Deployment, values: Mapping[str, Any], context: Context) -> SchemaForm:
    """The fields of a deployment's parameters with its own values, and these over them."""
    return SchemaForm.of_values(deployment.parameter_schema, {**deployment.parameters, **values}, context=context)


def from_file(deployment: Deployment, content: bytes, context: Context) -> SchemaForm:
    """The fields with the parameters of a JSON file, and what the schema says of them.

    Raises:
        Invalid: It holds no parameters.
    """
    if len(content) > MAX_PARAMETERS:
        raise Invalid(f"A file has {MAX_PARAMETERS >> 10} KiB at most.")
    try:
        values = json_value(msgspec.json.decode(content.removeprefix(codecs.BOM_UTF8)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"The file is no JSON: {error}.") from error
    if not isinstance(values, dict):
        raise Invalid('The file holds no parameters: a JSON object maps their names to values, like {"day": "monday"}.')
    return form(deployment, values, context).with_errors(refusals(deployment, values))


def posted(deployment: Deployment, data: Any, context: Context) -> SchemaForm:
    """The fields as they were posted."""
    return SchemaForm.of_post(deployment.parameter_schema, data, context=context)


def options(data: Mapping[str, str]) -> dict[str, str]:
    """What stands in the controls of the run's own options."""
    return {name.replace("~", "_"): str(data.get(name, ""))[:10_000] for name in OPTIONS}


def request(
    deployment: Deployment,
    form: SchemaForm,
    typed: Mapping[str, str],
    former: Former | None = None,
    variables: Variables | None = None,
) -> trigger.RunRequest:
    """What the form asks for; `former` is the run that it was filled from.

    Raises:
        Invalid: Something typed means nothing; `fields` has that, and what the schema says of the rest.
    """
    wrong = masked(form.value) if former else {}
    found = {}
    for name, read in READ.items():
        try:
            found[name] = read(typed)
        except ValueError as error:
            wrong[name] = str(error)
    wrong |= variables.form.problems if variables else {}
    if form.problems or wrong:
        told = refusals(deployment, form.value)
        raise Invalid("Some fields can't be taken.", fields={**told, **form.problems, **wrong})
    return trigger.RunRequest(
        deployment=deployment,
        parameters=form.value,
        name=typed["name"],
        tags=[tag.strip() for tag in typed["tags"].split(",") if tag.strip()],
        scheduled_at=found["scheduled_at"],
        idempotency_key=typed["idempotency_key"].strip() or None,
        priority=found["priority"],
        concurrency_key=typed["concurrency_key"].strip() or None,
        work_queue=typed["work_queue"] or None,
        debounce=asked_of(
            deployment,
            found["debounce"],
            typed["debounce_key"],
            found["debounce_max"],
            scheduled_at=found["scheduled_at"],
        ),
        job_variables=variables.asked if variables else {},
        retry_of=_retried(deployment, former),
    )


def _retried(deployment: Deployment, former: Former | None) -> UUID | None:
    """The run of the same flow that is run again, once it has ended."""
    run = former.run if former else None
    return run.id if run and run.is_final and run.flow_id == deployment.flow_id else None


def _scheduled_at(typed: Mapping[str, str]) -> datetime | None:
    text = typed["scheduled_at"].strip()
    if not text:
        return None
    moment = datetime.fromisoformat(moments.join(text, typed["scheduled_at_zone"]))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _priority(typed: Mapping[str, str]) -> int:
    text = typed["priority"].strip()
    try:
        return int(text or 0)
    except ValueError:
        raise ValueError("Enter a whole number.") from None


def _seconds(name: str) -> Callable[[Mapping[str, str]], float | None]:
    def read(typed: Mapping[str, str]) -> float | None:
        try:
            return float(typed[name]) if typed[name].strip() else None
        except ValueError:
            raise ValueError("Enter a number of seconds.") from None

    return read


READ: dict[str, Callable[[Mapping[str, str]], Any]] = {
    "scheduled_at": _scheduled_at,
    "priority": _priority,
    "debounce": _seconds("debounce"),
    "debounce_max": _seconds("debounce_max"),
}


def queues(deployment: Deployment) -> list[str]:
    """The queues of the deployment's pool."""
    return list(
        WorkQueue.objects.filter(pool_id=deployment.pool_id)
        .order_by("priority", "name")
        .values_list("name", flat=True)[:1_000]
    )


def suggested_tags(deployment: Deployment) -> list[str]:
    """Tags of the deployment's last runs that it doesn't give by itself, the usual ones first."""
    rows = FlowRun.objects.filter(deployment_id=deployment.id).order_by("-created_at").values_list("tags", flat=True)
    counts: dict[str, int] = {}
    for tags in rows[:RECENT]:
        for tag in tags:
            counts[tag] = counts.get(tag, 0) + 1
    own = set(deployment.tags)
    return sorted((tag for tag in counts if tag not in own), key=lambda tag: (-counts[tag], tag))[:12]
