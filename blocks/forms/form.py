"""A form from a JSON Schema: shown with values, read from what was posted, shown again with errors.

It checks nothing that the schema says: that is done once, for all doors, by `orchestrator.schema`. It only tells what
a control's text can't mean at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import QueryDict

from blocks.forms.building import Building
from blocks.forms.fields import Context, Field
from blocks.forms.leaves import MISSING, Texts, first
from blocks.forms.rearranging import BUTTON, rearrange
from blocks.forms.shapes import Shapes
from blocks.forms.spreading import Spreading

TYPE_AGAIN = "Type it again: a secret is not sent back."


class SchemaForm:
    """The fields of a schema with what stands in them.

    Args:
        prefix: What the controls' names begin with.
        root: What the paths of errors begin with.
        label: What it is called where all of it is one field of JSON.
    """

    def __init__(
        self,
        schema: Mapping[str, Any],
        texts: Texts,
        *,
        errors: Mapping[str, str] | None = None,
        prefix: str = "p",
        root: str = "parameters",
        label: str = "Parameters",
        context: Context | None = None,
    ) -> None:
        self._schema = {**schema, "type": "object", "properties": schema.get("properties") or {}}
        self._shapes = Shapes(self._schema)
        self._texts, self._prefix, self._path, self._label = texts, prefix, root, label
        self._context = context or Context()
        self.rearranged = False
        self._build()
        self.unplaced = self._place(errors or {})

    @classmethod
    def of_values(cls, schema: Mapping[str, Any], values: Mapping[str, Any], **more: Any) -> SchemaForm:
        """A form with values, and the schema's defaults where there are none."""
        whole = {**schema, "type": "object", "properties": schema.get("properties") or {}}
        spreading = Spreading(Shapes(whole))
        spreading.put(whole, more.get("prefix", "p"), dict(values), True)
        return cls(schema, spreading.texts, **more)

    @classmethod
    def of_post(cls, schema: Mapping[str, Any], posted: QueryDict | Mapping[str, str], **more: Any) -> SchemaForm:
        """What was posted. Where a button within the form was pressed, it is done, and `rearranged` true: the page
        is shown again, and nothing else happens.
        """
        prefix = more.get("prefix", "p")
        mine = (prefix, f"{prefix}.", f"{prefix}~")
        lists = posted.lists() if isinstance(posted, QueryDict) else ((key, [text]) for key, text in posted.items())
        texts = {
            key: [str(text) for text in found] for key, found in lists if key == prefix or key.startswith(mine[1:])
        }
        if prefix not in texts:
            texts.setdefault(f"{prefix}~mode", ["form"])
        form = cls(schema, texts, **more)
        do = posted.get(BUTTON)
        if do:
            rearrange(texts, str(do), form.root, form._shapes)
            form._build()
            form.rearranged = True
        return form

    def with_errors(self, errors: Mapping[str, str]) -> SchemaForm:
        """The same form with errors beside its fields."""
        typed = {each.path: TYPE_AGAIN for each in self.root.walk() if each.kind == "secret" and self._typed(each)}
        more = {"prefix": self._prefix, "root": self._path, "label": self._label, "context": self._context}
        return type(self)(self._schema, self._texts, errors={**typed, **errors}, **more)

    def _typed(self, secret: Field) -> bool:
        return secret.path is not None and bool(first(self._texts, secret.name))

    def _build(self) -> None:
        building = Building(self._shapes, self._texts, self._context, self._path)
        self.root: Field = building.field(self._schema, self._prefix, self._path, label=self._label, chosen=True)

    @property
    def fields(self) -> list[Field]:
        """The fields to render: the schema's, or one of JSON for all."""
        return [self.root] if self.root.kind == "json" else self.root.children

    @property
    def value(self) -> dict[str, Any]:
        """What the form means; without what can't be read."""
        found = self.root.value
        return found if isinstance(found, dict) else {}

    @property
    def problems(self) -> dict[str, str]:
        """What can't be read, by path."""
        found = {each.path: each.problem for each in self.root.walk() if each.problem and each.path is not None}
        is_other = self.root.value is not MISSING and not isinstance(self.root.value, dict)
        if self.root.kind == "json" and not self.root.problem and is_other:
            found[self._path] = 'Enter an object, as {"name": 1}.'
        return found

    @property
    def wrong(self) -> list[Field]:
        """The fields with errors, in their order."""
        return [each for each in self.root.walk() if each.error]

    def _place(self, errors: Mapping[str, str]) -> dict[str, str]:
        """Put each error beside its field, or beside the group around it; answer those that belong nowhere."""
        by_path: dict[str, Field] = {}
        for each in self.root.walk():
            if each.path is not None and each.kind != "const":
                by_path[each.path] = each  # The innermost: of a union, the chosen branch.
        rest = {}
        for path, message in errors.items():
            found = by_path.get(path)
            if found is None and path.startswith(f"{self._path}."):
                around = max((known for known in by_path if path.startswith(f"{known}.")), key=len, default=None)
                found = by_path[around] if around not in {None, self._path} or self.root.kind == "json" else None
                message = f"{path[len(around) + 1 :]}: {message}" if found and around else message
            if found is None or (found is self.root and found.kind != "json"):
                rest[path] = message
            else:
                found.error = f"{found.error}\n{message}".strip()
        return rest
