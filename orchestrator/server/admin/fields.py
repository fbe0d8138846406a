"""Fields of the admin's forms that Django has not: JSON as people type it, and words between commas."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

MAX_TEXT = 2 << 20  # characters; the operations bound what they take, this bounds what is parsed


class Typed(str):
    """A text as it came from the form, which is shown again as it is."""


class JsonField(forms.Field):
    """A JSON value. `lenient`: what is no JSON is a text, as in the portal, where nobody has to quote a word."""

    def __init__(self, *, lenient: bool = False, rows: int = 6, **options: Any) -> None:
        self.lenient = lenient
        super().__init__(widget=UnfoldAdminTextareaWidget(attrs={"rows": rows, "spellcheck": "false"}), **options)

    def bound_data(self, data: Any, initial: Any) -> Any:
        return initial if self.disabled else Typed(data or "")

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, Typed) or (value is None and not self.lenient):
            return value
        return json.dumps(value, indent=2, ensure_ascii=False)

    def clean(self, value: Any) -> Any:
        text = str(value or "").strip()
        if not text:
            if self.required:
                raise forms.ValidationError("This field is required.", code="required")
            return None
        if len(text) > MAX_TEXT:
            raise forms.ValidationError(f"{MAX_TEXT:,} characters at most.")
        try:
            return json.loads(text)
        except RecursionError as error:
            raise forms.ValidationError("Nested too deep.") from error
        except ValueError as error:
            if self.lenient:
                return text
            raise forms.ValidationError(f"This is no JSON: {error}.") from error

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Which field changed is the operations' business."""
        return True


class WordsField(forms.CharField):
    """A list of words, separated by commas."""

    def __init__(self, **options: Any) -> None:
        super().__init__(widget=UnfoldAdminTextInputWidget(), max_length=MAX_TEXT, **options)

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> list[str]:
        return [word.strip() for word in super().to_python(value).split(",") if word.strip()]
