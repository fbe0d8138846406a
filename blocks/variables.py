"""JSON values under names: the one place that writes them."""

from __future__ import annotations

import re
from typing import Any

from django.db.models import Func, JSONField, QuerySet, Value
from django.utils.timezone import now

from blocks.models import Variable
from orchestrator.storable import clean_text, json_value
from orchestrator.wire import MAX_TAG, MAX_TAGS, encode
from tenants.audit import record
from tenants.errors import Conflict, Invalid, NotFound
from tenants.permissions import Actor

MAX_VALUE = 64 << 10  # bytes of JSON
MAX_TAGS_OFFERED = 200
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,199}")


def in_workspace(by: Actor) -> QuerySet[Variable]:
    """The workspace's variables, by name."""
    return Variable.objects.filter(workspace_id=by.workspace_id).order_by("name")


def tags_of(by: Actor) -> list[str]:
    """The tags that variables of the workspace have, for a filter."""
    tags = in_workspace(by).order_by().annotate(tag=Func("tags", function="unnest")).values_list("tag", flat=True)
    return sorted(tags.distinct()[:MAX_TAGS_OFFERED])


def find_variable(by: Actor, name: str) -> Variable:
    """The variable of this name.

    Raises:
        NotFound: There is none.
    """
    variable = in_workspace(by).filter(name=name).first() if _NAME.fullmatch(name) else None
    if variable is None:
        raise NotFound(f"There is no variable {name!r:.220} in this workspace.")
    return variable


def set_variable(
    *, name: str, value: Any, by: Actor, tags: list[str] | None = None, overwrite: bool = True
) -> tuple[Variable, bool]:
    """Make or change a variable; answer it, and whether it is new. Tags are left alone when none are given.

    Raises:
        Invalid: The name or the value can't be taken.
        Conflict: It exists, and is not to be overwritten.
    """
    if not _NAME.fullmatch(name):
        message = "Lower case letters, digits, _ and -; 200 characters at most."
        raise Invalid(f"{name!r:.220} is no name for a variable.", fields={"name": message})
    if tags is not None and (len(tags) > MAX_TAGS or any(not 0 < len(tag) <= MAX_TAG for tag in tags)):
        raise Invalid("Too many or too long tags.", fields={"tags": f"{MAX_TAGS} tags of {MAX_TAG} characters."})
    value = json_value(value)
    if len(encode(value)) > MAX_VALUE:
        raise Invalid(f"A variable has {MAX_VALUE >> 10} KiB at most.", fields={"value": "Too large."})
    stored = Value(None, JSONField()) if value is None else value  # JSON's null, not the column's
    values = {"value": stored, "updated_at": now(), "updated_by": by.label[:254]}
    if tags is not None:
        values["tags"] = list(dict.fromkeys(clean_text(tag) for tag in tags))
    before = in_workspace(by).filter(name=name).first()
    write = Variable.objects.update_or_create if overwrite else Variable.objects.get_or_create
    variable, new = write(organization_id=by.organization_id, workspace_id=by.workspace_id, name=name, defaults=values)
    if not (new or overwrite):
        raise Conflict(f"The variable {name} exists.")
    variable.value = value
    if fields := _changed(before, variable):
        record(by, "variable.created" if new else "variable.updated", variable, details={"fields": fields})
    return variable, new


def _changed(before: Variable | None, variable: Variable) -> list[str]:
    """What the audit tells: compared as JSON, in which 1 is not true."""
    fields = ("value", "tags")
    return [
        name for name in fields if before is None or encode(getattr(before, name)) != encode(getattr(variable, name))
    ]


def unset_variable(*, name: str, by: Actor) -> None:
    """Remove a variable.

    Raises:
        NotFound: There is none of this name.
    """
    variable = find_variable(by, name)
    record(by, "variable.deleted", variable)
    variable.delete()
