"""From the texts of a form to its tree of fields, each with the value that its texts mean."""

from __future__ import annotations

from typing import Any

from blocks.forms import words
from blocks.forms.fields import Choice, Context, Field, KeptSecret
from blocks.forms.leaves import MISSING, Texts, empty, first, read
from blocks.forms.shapes import GROUPS, Shape, Shapes, has_secrets, in_order
from blocks.forms.spreading import (
    MAX_FIELDS,
    MAX_ITEMS,
    Spreading,
    branches_of,
    inner,
    is_constant,
    is_optional_group,
)
from tenants.errors import Invalid

SEARCHED = 30  # choices from which on they can be searched


class Building:
    """Builds the fields of one form. What the texts don't hold is taken from the schema's defaults."""

    def __init__(self, shapes: Shapes, texts: Texts, context: Context, root: str) -> None:
        self._shapes = shapes
        self._texts = texts
        self._context = context
        self._root = root
        self._left = 2 * MAX_FIELDS
        self._blocks: dict[str, tuple[Choice, ...]] = {}

    def field(
        self,
        part: Any,
        name: str,
        path: str | None,
        *,
        key: str = "",
        required: bool = True,
        trail: str = "",
        depth: int = 0,
        chosen: bool = False,
        label: str = "",
        full_label: str = "",
        counts: bool = False,
        in_union: bool = False,
    ) -> Field:
        """One field and what lies in it. `counts`: it has its default as value though the texts don't hold it."""
        self._left -= 1
        if self._left < 0:
            raise Invalid("The form is too large. Send its values as JSON.")
        shape = self._shapes.of(part)
        is_new = name not in self._texts and f"{name}~mode" not in self._texts and not is_constant(shape, required)
        if is_new:
            Spreading(self._shapes, self._texts, self._left).put(part, name, MISSING, required, depth, chosen)
        label = label or words.label_of(shape, key)
        found = Field(
            kind=shape.kind,
            name=name,
            path=path,
            label=label,
            full_label=full_label or (f"{trail}, {label}" if trail else label),
            part=part,
            required=required,
            depth=depth,
            key=key,
            help=words.help_of(shape),
            type_name=words.type_of(shape, self._shapes),
            nullable=shape.nullable,
            has_default=shape.has_default,
            meaning=first(self._texts, f"{name}~empty"),
            in_union=in_union,
        )
        self._fill(found, shape, chosen)
        if is_new and not counts:
            found.value = MISSING
        return found

    def _fill(self, found: Field, shape: Shape, chosen: bool) -> None:
        mode = first(self._texts, f"{found.name}~mode")
        if is_constant(shape, found.required) and mode != "json":
            found.kind, found.value = "const", shape.schema["const"]
        elif mode == "json" or (shape.kind in GROUPS and mode != "form"):
            self._fill_json(found, shape)
        elif shape.kind == "union" or (not chosen and is_optional_group(shape, found.required)):
            self._fill_union(found, shape)
        elif shape.kind in GROUPS:
            getattr(self, f"_fill_{shape.kind}")(found, shape)
        else:
            self._fill_leaf(found, shape)
        found.can_be_json = found.kind not in {"json", "secret", "const"} and not (
            found.is_group and has_secrets(found.part, self._shapes)
        )

    def _read(self, found: Field, shape: Shape) -> None:
        try:
            found.value = read(shape, self._texts, found.name, found.required)
        except ValueError as error:
            found.problem = str(error)

    def _fill_json(self, found: Field, shape: Shape) -> None:
        self._texts[f"{found.name}~mode"] = ["json"]
        found.kind, found.text, found.typed_json = "json", first(self._texts, found.name), True
        self._read(found, shape)

    def _fill_leaf(self, found: Field, shape: Shape) -> None:
        self._read(found, shape)
        found.text = first(self._texts, found.name)
        found.bounds = words.bounds_of(shape)
        found.placeholder = words.placeholder_of(shape, found.required)
        if shape.kind == "text" and "\n" in found.text:
            found.kind = "lines"
        elif shape.kind == "boolean" and (found.required or shape.has_default) and not shape.nullable:
            found.kind = "switch"
        elif shape.kind in {"choice", "boolean", "const"}:
            self._fill_choice(found, shape)
        elif shape.kind == "block":
            self._fill_block(found, shape)
        elif shape.kind == "datetime":
            found.zone = first(self._texts, f"{found.name}~zone") or "UTC"
        elif shape.kind == "secret":
            self._fill_secret(found, shape)

    def _fill_choice(self, found: Field, shape: Shape) -> None:
        found.choices = words.choices_of(shape)
        must = (found.required or shape.has_default) and not shape.nullable
        few = words.are_few(found.choices) and must and shape.kind == "choice"
        found.kind = "radios" if few else "long-choice" if len(found.choices) >= SEARCHED else "choice"
        if found.text and all(each.text != found.text for each in found.choices):
            found.problem = found.problem or "Choose one of these."

    def _fill_block(self, found: Field, shape: Shape) -> None:
        self._offer_blocks(found, words.block_type(shape), found.text)

    def _offer_blocks(self, found: Field, kind: str, named: str) -> None:
        if kind not in self._blocks:
            shown = ((name, name.removeprefix(f"{kind}/")) for name in self._context.blocks(kind))
            self._blocks[kind] = tuple(Choice(name, label) for name, label in shown)
        found.choices, found.block = self._blocks[kind], named
        found.new_url = self._context.new_block(kind)
        if named and all(each.text != named for each in found.choices):
            found.choices = (*found.choices, Choice(named, f"{named} (there is none)"))

    def _fill_secret(self, found: Field, shape: Shape) -> None:
        """A secret is never sent to a page, not even to the one where it was typed a moment ago."""
        found.text = ""
        found.lines = shape.schema.get("x-multiline") is True or shape.schema.get("type", "string") != "string"
        if self._context.by_block:
            self._offer_blocks(found, "secret", first(self._texts, f"{found.name}~block"))
        if first(self._texts, f"{found.name}~kept"):
            path = (found.path or "").removeprefix(f"{self._root}.")
            found.kept = self._context.secret(path) or KeptSecret()

    # ── groups ───────────────────────────────────────────────────────────────────────────────────

    def _child(self, group: Field, part: Any, step: str, **more: Any) -> Field:
        path = None if group.path is None else f"{group.path}.{more.pop('place', step)}"
        more.pop("place", None)
        trail = group.full_label if group.depth else ""
        found = self.field(
            part, inner(group.name, step), path,
            trail=trail, depth=group.depth + 1, in_union=group.in_union, **more,
        )  # fmt: skip
        group.children.append(found)
        return found

    def _fill_object(self, found: Field, shape: Shape) -> None:
        required = set(shape.schema.get("required", ()))
        for key, part in in_order(shape.schema["properties"]):
            self._child(found, part, key, key=key, required=key in required)
        found.value = {each.key: each.value for each in found.children if each.value is not MISSING}
        named = [each for each in found.children if each.kind in {"text", "radios", "choice", "const"} and each.value]
        found.title = next((each.value for each in named if isinstance(each.value, str)), "")[: words.MAX_LABEL]

    def _fill_tuple(self, found: Field, shape: Shape) -> None:
        for number, part in enumerate(shape.schema["prefixItems"]):
            self._child(found, part, str(number), key=str(number), label=f"Value {number + 1}", counts=True)
        self._take_items(found)

    def _fill_list(self, found: Field, shape: Shape) -> None:
        found.most = shape.schema.get("maxItems")
        for number, key in enumerate(self._items(found)):
            label = str(number + 1)
            self._child(found, shape.schema["items"], key, place=str(number), key=key, label=label, counts=True)
        self._take_items(found)

    def _items(self, found: Field) -> list[str]:
        """The keys of a list's items, in their order; each once."""
        keys = dict.fromkeys(key[:20] for key in self._texts.get(f"{found.name}~item", ()))
        if len(keys) > MAX_ITEMS:
            found.problem = f"A form has room for {MAX_ITEMS} items. Edit this as JSON."
        return list(keys)[:MAX_ITEMS]

    def _take_items(self, found: Field) -> None:
        for each in found.children:
            self._must_be_there(each)
        # One that can't be read keeps its place: the errors of the others are found by number.
        found.value = [None if each.value is MISSING else each.value for each in found.children]

    def _must_be_there(self, found: Field) -> None:
        if found.value is MISSING and not any(each.problem for each in found.walk()):
            found.problem = "Fill this in, or remove it."

    def _fill_map(self, found: Field, shape: Shape) -> None:
        found.value = {}
        for key in self._items(found):
            name = first(self._texts, f"{inner(found.name, key)}~key")
            child = self._child(
                found, shape.schema["additionalProperties"], key, place=name, key=key, label="Value", counts=True
            )
            child.title = name
            self._must_be_there(child)
            if not name or name in found.value:
                child.problem = "Give it a name." if not name else f"{name} is here twice."
            elif child.value is not MISSING:
                found.value[name] = child.value

    def _fill_union(self, found: Field, shape: Shape) -> None:
        options = branches_of(shape, found.part, found.required)
        optional = shape.kind != "union"
        found.choices = tuple(self._card(number, option, optional) for number, option in enumerate(options))
        text = first(self._texts, f"{found.name}~branch")
        found.chosen = int(text) if text.isdecimal() and len(text) < 3 and int(text) < len(options) else -1
        found.kind = "union"
        if found.chosen < 0:
            found.problem = "Choose one."
        elif options[found.chosen] is None:
            found.value = empty(shape, found.required, found.meaning)
        for number, option in enumerate(options):
            if option is not None:
                self._branch(found, option, number)

    def _card(self, number: int, option: Any, optional: bool) -> Choice:
        if option is None:
            return Choice(str(number), "Not set", nothing=True)
        if optional:
            return Choice(str(number), "Set")
        shape = self._shapes.of(option)
        return Choice(str(number), words.branch_label(shape, self._shapes), words.help_of(shape)[:100])

    def _branch(self, found: Field, option: Any, number: int) -> None:
        """The fields of a branch: of the chosen one, and of others that are in the page already."""
        name, active = f"{found.name}~b{number}", number == found.chosen
        if not active and name not in self._texts and f"{name}~mode" not in self._texts:
            return
        child = self.field(
            option, name, found.path if active else None,
            key=str(number), label=found.choices[number].label, full_label=found.full_label, depth=found.depth + 1,
            chosen=True, counts=True, in_union=True,
        )  # fmt: skip
        child.can_be_json = False  # The union as a whole can.
        found.children.append(child)
        if active:
            found.value = child.value
