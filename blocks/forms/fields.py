"""A field as templates render it: a tree, with the value that its texts mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from blocks.forms.leaves import MISSING, as_json
from blocks.forms.shapes import GROUPS


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several: `text` is what is sent, `label` what is read, `note` a line below it; `nothing` leaves away."""

    text: str
    label: str
    note: str = ""
    nothing: bool = False


@dataclass(frozen=True, slots=True)
class KeptSecret:
    """When a stored secret was set, and by whom."""

    at: datetime | None = None
    by: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """What a form shows that no schema holds.

    Args:
        blocks: The names of blocks (`type/name`) that can be chosen; asked with a block type, "" for any, once for
            each.
        new_block: The address where a block of a type is made, or nothing.
        secret: Of a secret's path: who set it and when.
        by_block: Whether a secret may be given by the name of a Secret block.
    """

    blocks: Callable[[str], Sequence[str]] = lambda type: ()
    new_block: Callable[[str], str] = lambda type: ""
    secret: Callable[[str], KeptSecret | None] = lambda path: None
    by_block: bool = False


@dataclass(slots=True)
class Field:
    """One field. `kind` is a shape's, or switch, radios and long-choice, which are other controls for the same.

    `name` is the control's, `path` says where the value lies (none in a branch that isn't chosen), `value` is what the
    texts mean, `problem` why they mean nothing, `error` what the page says is wrong.
    """

    kind: str
    name: str
    path: str | None
    label: str
    full_label: str
    part: Any
    required: bool
    depth: int
    help: str = ""
    type_name: str = ""
    text: str = ""
    value: Any = MISSING
    problem: str = ""
    error: str = ""
    meaning: str = ""
    nullable: bool = False
    has_default: bool = False
    key: str = ""
    children: list[Field] = field(default_factory=list)
    choices: tuple[Choice, ...] = ()
    chosen: int = -1
    zone: str = ""
    placeholder: str = ""
    bounds: dict[str, Any] = field(default_factory=dict)
    most: int | None = None
    typed_json: bool = False
    can_be_json: bool = True
    in_union: bool = False
    kept: KeptSecret | None = None
    new_url: str = ""
    block: str = ""
    lines: bool = False
    title: str = ""

    @property
    def id(self) -> str:
        """The control's id in the page: letters that need no quoting anywhere."""
        return "field-" + re.sub(r"[^A-Za-z0-9.-]", lambda match: f"_{ord(match[0]):x}_", self.name)

    @property
    def is_group(self) -> bool:
        """Whether it holds fields."""
        return self.kind in GROUPS

    @property
    def described_by(self) -> str:
        """The id of the line below the control."""
        return f"{self.id}-error" if self.error else f"{self.id}-help" if self.help else ""

    @property
    def must_be_filled(self) -> bool:
        """Whether the control may not be empty."""
        if self.kind in {"choice", "long-choice", "radios"} and self.has_default:
            return not self.nullable
        return self.required and not self.nullable and self.kind not in {"text", "lines", "secret", "switch"}

    @property
    def is_optional(self) -> bool:
        """Whether it can be left away, and then nothing stands in for it."""
        return not self.required and (self.nullable or not self.has_default)

    @property
    def has_errors(self) -> bool:
        """Whether something within is wrong: then it is shown unfolded."""
        return any(each.error for each in self.walk())

    @property
    def error_count(self) -> int:
        """How many fields within are wrong."""
        return sum(1 for each in self.walk() if each.error)

    @property
    def shown(self) -> str:
        """The value in a line, for those who only look."""
        if self.kind == "secret" or self.value is MISSING or self.value in (None, ""):
            return ""
        return self.value if isinstance(self.value, str) else as_json(self.value)[:1_000]

    def walk(self) -> Iterator[Field]:
        """This field and all within."""
        yield self
        for child in self.children:
            yield from child.walk()
