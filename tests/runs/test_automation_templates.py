"""Texts of notifications come from people: what a template may do is bounded, whatever it says."""

from __future__ import annotations

from typing import Any

import pytest

from runs.automations import templates
from runs.automations.templates import DEFAULT_BODY, DEFAULT_SUBJECT, MAX_TEXT, BadTemplate, problem, render

ONE = {
    "headline": "The run quiet-otter of etl failed", "run": "quiet-otter", "message": "no such table",
    "url": "https://orchestrator.example/r", "count": 1, "more": 0, "automation": "Failures", "workspace": "Acme/Main",
    "automation_url": "https://orchestrator.example/a",
}  # fmt: skip


def values(**more: Any) -> dict[str, Any]:
    return {**ONE, "what": [ONE], **more}


def rendered(source: str, told: dict[str, Any]) -> tuple[str, str]:
    """The text, or why there is none."""
    try:
        return render(source, told), ""
    except BadTemplate as error:
        return "", str(error)


def test_a_text_says_what_happened() -> None:
    assert render("{{ run }}: {{ message|upper }}", values()) == "quiet-otter: NO SUCH TABLE"
    assert render("{% for each in what %}{{ loop.index }} {{ each.run }}{% endfor %}", values()) == "1 quiet-otter"
    assert render(DEFAULT_SUBJECT, values()) == "The run quiet-otter of etl failed"


def test_the_default_text_tells_one_and_many() -> None:
    one = render(DEFAULT_BODY, values())
    assert one.startswith("The run quiet-otter of etl failed\n\nno such table\n\nhttps://orchestrator.example/r\n")
    many = render(DEFAULT_BODY, values(count=9_990, more=9_988, what=[ONE, ONE], headline="9,990 runs failed"))
    assert many.startswith("9,990 runs failed\n\n- The run quiet-otter of etl failed: no such table\n  https")
    assert "… and 9988 more." in many
    assert "Failures" in many


def test_what_a_value_says_is_no_template() -> None:
    assert render("{{ message }}", values(message="{{ 7 * 7 }}{% for x in y %}")) == "{{ 7 * 7 }}{% for x in y %}"


@pytest.mark.parametrize(
    "source",
    [
        "{{ message|attr('__class__') }}", "{{ self }}", "{{ cycler }}", "{{ lipsum() }}", "{{ range(9) }}",
        "{{ message.upper() }}", "{{ '%s' % message }}", "{{ 'x' * 10 }}", "{{ 9 ** 9 }}", "{{ message ~ message }}",
        "{% set x = 1 %}{{ x }}", "{% with x = 1 %}{{ x }}{% endwith %}", "{% macro m() %}{% endmacro %}",
        "{% include 'x' %}", "{% import 'x' as y %}", "{% extends 'x' %}", "{% block b %}{% endblock %}",
        "{% filter upper %}x{% endfilter %}", "{{ message|format(1) }}", "{{ message|center(10) }}",
        "{{ message|replace('a', 'b') }}", "{{ nothing_of_this_name }}", "{{ unclosed", "{{ message|no_such_filter }}",
        "{% for a in what %}{% for b in what %}{% for c in what %}{% endfor %}{% endfor %}{% endfor %}",
        "x" * (templates.MAX_SOURCE + 1), "{{ 1 / 0 }}", "{{ config }}", "{% do x %}", "{{ " + "(" * 1_000,
        "{{ message" + "|tojson" * 200 + " }}",
    ],
)  # fmt: skip
def test_what_is_not_possible_is_told_beside_the_field(source: str) -> None:
    assert problem(source)


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__ }}", "{{ message.__class__.__mro__ }}", "{{ what.__len__ }}", "{{ message['__class__'] }}",
        "{{ what.append }}", "{% for a in what %}{{ loop.__init__ }}{{ loop.cycle }}{% endfor %}",
    ],
)  # fmt: skip
def test_python_objects_show_nothing_of_themselves(source: str) -> None:
    text, error = rendered(source, values())
    assert text == ""
    assert "undefined" in error or "has no" in error or not error


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in message %}{% for b in message %}{{ message }}{% endfor %}{% endfor %}",
        "{{ [message, message, message]|join(message) }}",
        "{{ message" + "|tojson" * 30 + " }}",
        "{{ message|list|join(message)|list|join(message) }}",
        "{{ message|truncate(9999999999, end=message) }}",
        "{% for a in message %}{% for b in message %}"
        + "{% if message|list|sort %}{% endif %}" * 60
        + "{% endfor %}{% endfor %}",
    ],
)
def test_no_template_makes_much_of_little(source: str) -> None:
    text, error = rendered(source, values(message="\\" * 2_000))
    assert len(text) <= MAX_TEXT
    assert "more than" in error or "too long" in error or not error


def test_a_good_template_has_no_problem() -> None:
    for source in ("", DEFAULT_SUBJECT, DEFAULT_BODY, "{{ flow }}: {{ message|default('-')|truncate(80) }}"):
        assert problem(source) == ""
