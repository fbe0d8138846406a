"""The part of the run form for job variables: it shows those of pool and deployment, and asks for what differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from django.http import QueryDict

from blocks.forms import SchemaForm
from orchestrator.job_templates import values
from orchestrator.job_variables import MAX_DEPTH, changes, is_deeper, patched
from runs.models import Deployment, FlowRun

PREFIX = "v"
SHOWN = "variables_of"
"""The control with the variables from which the form was made: what they were then is what a change is told from."""
NAMES = {"prefix": PREFIX, "root": "job_variables", "label": "Job variables"}


@dataclass(frozen=True, slots=True)
class Variables:
    """The fields, what they ask for, and what they were made from. `touched`: a button among them was pressed."""

    form: SchemaForm
    asked: dict[str, Any]
    shown: str
    touched: bool = False

    @property
    def is_open(self) -> bool:
        """Whether there is something to be seen in them."""
        return bool(self.asked or self.touched or self.form.wrong or self.form.problems)

    @property
    def listed(self) -> list[tuple[str, str, str]]:
        """What is wrong with them: the id of a control or nothing, its label, the error."""
        fields = [(each.id, each.full_label, each.error) for each in self.form.wrong]
        return fields + [("", "Job variables", told) for told in self.form.unplaced.values()]

    def with_errors(self, errors: Mapping[str, str]) -> Variables:
        """The same with those of these errors beside its fields that are about it."""
        own = {path: told for path, told in errors.items() if is_about(path)}
        return Variables(self.form.with_errors(own), self.asked, self.shown, self.touched)


def is_about(path: str) -> bool:
    """Whether an error is about job variables."""
    return path.partition(".")[0] == NAMES["root"]


def of_deployment(deployment: Deployment, former: FlowRun | None = None) -> Variables:
    """The variables of the pool and the deployment, with what a former run of it changed in them."""
    own = _given(deployment)
    asked = (former.job_variables or {}) if former and former.deployment_id == deployment.id else {}
    form = SchemaForm.of_values(deployment.pool.template["variables"], patched(own, asked), **NAMES)
    return Variables(form, asked, msgspec.json.encode(own).decode())


def posted(deployment: Deployment, data: QueryDict) -> Variables:
    """The fields as they were posted; the deployment's where none were."""
    if f"{PREFIX}~mode" not in data:
        return of_deployment(deployment)
    form, shown = SchemaForm.of_post(deployment.pool.template["variables"], data, **NAMES), str(data.get(SHOWN, ""))
    button = str(data.get("_do", "")).partition(":")[2]
    touched = button == PREFIX or button.startswith((f"{PREFIX}.", f"{PREFIX}~"))
    return Variables(form, _asked(form.value, _shown(shown, deployment)), shown, touched)


def _asked(value: dict[str, Any], shown: dict[str, Any]) -> dict[str, Any]:
    return value if is_deeper(value, MAX_DEPTH) else changes(shown, value)  # What is too deep is refused anyway.


def _shown(text: str, deployment: Deployment) -> dict[str, Any]:
    """What stood in the fields at first: a deploy in between changes nothing that nobody has touched."""
    try:
        told = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        told = None
    return told if isinstance(told, dict) and not is_deeper(told, MAX_DEPTH) else _given(deployment)


def _given(deployment: Deployment) -> dict[str, Any]:
    return values(deployment.pool.template, deployment.job_variables)
