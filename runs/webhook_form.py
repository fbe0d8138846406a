"""The form of a webhook: what stands in its controls, what they say together, and what they would make of an example.

Whether a webhook can be taken is the operation's to say (`runs.webhooks.edit`), here as in the API.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runs.models import Webhook
from runs.webhooks import edit, trying
from runs.webhooks.edit import Wanted
from runs.webhooks.reading import MAX_BODY, Read
from tenants.errors import Invalid, Problem
from tenants.permissions import Actor

CONTROLS = (
    "name", "deployment", "how", "parameter", "parameters", "filter", "idempotency", "debounce", "debounce_key",
    "signature", "signature_header", "secret", "body", "headers",
)  # fmt: skip
LABELS = {
    "name": "Name", "deployment": "Deployment", "parameter": "Parameter", "parameters": "Template of the parameters",
    "filter": "Only when", "idempotency": "Known by", "debounce": "Gather", "debounce_key": "Gather by",
    "signature": "Signed", "signature_header": "Header", "secret": "Secret", "headers": "Headers",
}  # fmt: skip
NEW = {"how": "body"}
LONGEST = 10_000  # characters of a control, but for the example
MAX_HEADERS = 100


def posted(data: Mapping[str, str]) -> dict[str, str]:
    """What stands in the controls as they were posted."""
    texts = {name: str(data.get(name, ""))[: MAX_BODY if name == "body" else LONGEST] for name in CONTROLS}
    return {name: text.replace("\r\n", "\n") for name, text in texts.items()}


def new(deployment: str = "") -> dict[str, str]:
    """What stands in the controls of a new one."""
    return dict.fromkeys(CONTROLS, "") | NEW | {"deployment": deployment}


def of_webhook(webhook: Webhook, example: str = "") -> dict[str, str]:
    """What stands in the controls of one that is there. Its secret is shown to nobody."""
    same = {name: getattr(webhook, name) for name in edit.TOLD if name != "debounce"}
    seconds = "" if webhook.debounce is None else f"{webhook.debounce:.10g}"
    how = "parameter" if webhook.parameter else "template" if webhook.parameters else "body"
    own = {"name": webhook.name, "deployment": str(webhook.deployment_id), "how": how, "debounce": seconds}
    return new() | same | own | {"body": example}


def told(typed: Mapping[str, str]) -> Wanted:
    """What the form says. What belongs to a choice that was not made is left out.

    Raises:
        Invalid: Something typed means nothing.
    """
    how, signature = typed["how"], typed["signature"]
    wrong = {} if typed["deployment"] else {"deployment": "Choose one."}
    if how == "template" and not typed["parameters"].strip():
        wrong["parameters"] = "Write the template."
    if how == "parameter" and not typed["parameter"].strip():
        wrong["parameter"] = "Name the parameter."
    seconds = _seconds(typed["debounce"], wrong)
    if wrong:
        raise Invalid("Some fields can't be taken.", fields=wrong)
    return Wanted(
        name=typed["name"].strip(),
        deployment=typed["deployment"],
        signature=signature,
        signature_header=typed["signature_header"].strip() if signature else "",
        secret=typed["secret"] or None,
        parameters=typed["parameters"] if how == "template" else "",
        parameter=typed["parameter"].strip() if how == "parameter" else "",
        filter=typed["filter"].strip(),
        idempotency=typed["idempotency"].strip(),
        debounce=seconds,
        debounce_key=typed["debounce_key"].strip(),
    )


def _seconds(text: str, wrong: dict[str, str]) -> float | None:
    try:
        return float(text.strip().replace(",", ".")) if text.strip() else None
    except ValueError:
        wrong["debounce"] = "Enter a number of seconds."
        return None


# ── trying it ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Preview:
    """What an example would do, or why it would be refused; `wrong` is what no example would pass, by control.

    None of them, as long as too little was typed.
    """

    tried: Read | None = None
    refused: Problem | None = None
    wrong: Mapping[str, str] = field(default_factory=dict)

    @property
    def problems(self) -> str:
        """What is wrong by field, as JSON for the page's script."""
        return json.dumps(dict(self.wrong)) if self.wrong else ""

    @property
    def key(self) -> str:
        """By what a delivery that is sent again is known: without the webhook, whose name the form may not have yet."""
        known = self.tried.idempotency_key if self.tried else None
        return known.split(" ", 2)[2] if known else ""

    @property
    def reasons(self) -> list[tuple[str, str]]:
        """Why a delivery is refused, by the parameter."""
        fields = (self.refused.fields or {}) if self.refused else {}
        return [(name.removeprefix("parameters."), what) for name, what in fields.items()]


def preview(typed: Mapping[str, str], *, by: Actor) -> Preview:
    """What the controls would make of the example that stands beside them. Nothing is made."""
    if not typed["deployment"]:
        return Preview()
    try:
        wanted = told(typed)
        if not typed["body"].strip():
            edit.unsaved(wanted, by=by)
            return Preview()
        body, headers = typed["body"].encode(errors="replace"), headers_of(typed["headers"])
        return Preview(tried=trying.with_wanted(wanted, body, headers, by=by))
    except Problem as problem:
        wrong = {name: what for name, what in (problem.fields or {}).items() if name in _shown(typed)}
        return Preview(wrong=wrong) if wrong else Preview(refused=problem)


def _shown(typed: Mapping[str, str]) -> set[str]:
    """The controls that are to be seen: what is wrong with another one could not be said beside it."""
    return set(CONTROLS) - {name for name, how in _OF_HOW.items() if typed["how"] != how}


_OF_HOW = {"parameters": "template", "parameter": "parameter"}


def headers_of(text: str) -> dict[str, str]:
    """Headers as somebody types them, one a line, by their names in small letters.

    Raises:
        Invalid: A line is none, or there are too many.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    parts = [line.partition(":") for line in lines]
    if len(lines) > MAX_HEADERS or any(not name.strip() or not colon for name, colon, _ in parts):
        told = f"One header a line, like X-GitHub-Event: push; {MAX_HEADERS} at most."
        raise Invalid("The headers can't be read.", fields={"headers": told})
    return {name.strip().lower(): value.strip() for name, _, value in parts}


def listed(errors: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Errors with the labels of their controls, for the top of the form."""
    return [(name, LABELS.get(name, ""), what) for name, what in errors.items()]


def example_of(deliveries: Any) -> str:
    """The body that came last, to try with; nothing where it was cut, or nothing came."""
    body = deliveries.exclude(body="").values_list("body", flat=True).first() or ""
    return "" if body.endswith("…") else body
