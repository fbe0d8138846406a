"""Texts of notifications come from people: what a template may do is bounded, whatever it says."""

from __future__ import annotations

import json
import subprocess
import sys
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


BOMBS = [
    "{{ 1|round(3000000, 'floor') }}", "{{ 1|round(3000000, 'ceil') }}", "{{ 1|round(method='floor') }}",
    "{{ 15|round(-3000000) }}", "{{ 1|round(precision=3000000) }}", "{{ 1.5|round(1e9) }}",
    "{{ what|tojson(indent=30000000) }}", "{{ what|tojson(30000000) }}", "{{ what|tojson('x' + message) }}",
    "{{ 10 ** 100000000 }}", "{{ 'x' * 1000000000 }}", "{{ [1] * 1000000000 }}", "{{ '%1000000000d' % 1 }}",
    "{{ '%1000000000d'|format(1) }}", "{{ '{:1000000000}'.format(1) }}", "{{ message|center(1000000000) }}",
    "{{ message|indent(1000000000) }}", "{{ message|wordwrap(1, wrapstring=message) }}", "{{ range(1000000000)|list }}",
    "{{ message|replace('', message) }}", "{{ message|batch(1000000000, 'x')|list }}", "{{ message ~ message }}",
    "{{ message|slice(1000000000)|list }}", "{{ message|map('upper')|list }}", "{{ message|list|sum }}",
    "{{ message|ljust(1000000000) }}", "{{ 1e308|int }}", "{{ ('f' * 9)|int }}", "{{ message|pprint }}",
    "{{ " + "9" * 3_900 + " }}", "{{ message|list|join(message) }}", "{{ message|filesizeformat }}",
    "{{ [" + "what," * 700 + "] }}", "{{ [" + "what," * 700 + "]|tojson }}", "{{ [" + "what," * 700 + "]|upper }}",
    "{{ [" + "what," * 700 + "]|join }}", "{{ [" + "what," * 700 + "]|string|length }}",
    "{% for a in message %}{% for b in message %}{% if message" + "[::-1]" * 600 + " %}{% endif %}"
    "{% endfor %}{% endfor %}",
]  # fmt: skip
IN_A_SMALL_PROCESS = """
import json, resource, sys
from runs.automations.templates import BadTemplate, render
resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
one = {"headline": "x" * 500, "message": "m" * 2_000, "url": "https://x.example", "run": "quiet-otter"}
kept = []
for source in json.load(sys.stdin):
    try:
        kept.append(f"not refused: {render(source, {**one, 'what': [one] * 50})[:50]}")
    except BadTemplate as error:
        kept.append(str(error))
# Its own peak: ru_maxrss would tell of the process that started this one too.
most = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM:"))
json.dump([kept, int(most)], sys.stdout)
"""


def in_a_small_process(*sources: str) -> tuple[list[str], int]:
    """What is said of templates, and how many KiB that took. Nothing that happens there stops the tests."""
    done = subprocess.run(
        [sys.executable, "-c", IN_A_SMALL_PROCESS], input=json.dumps(sources), capture_output=True, text=True,
        timeout=60, check=True,
    )  # fmt: skip
    told, most = json.loads(done.stdout)
    return told, most


@pytest.mark.parametrize("source", BOMBS, ids=lambda source: source[:40])
def test_a_bomb_is_refused_before_it_goes_off(source: str) -> None:
    [told], most = in_a_small_process(source)
    assert told
    assert "not refused" not in told
    assert most < 150 << 10


def test_numbers_are_rounded_and_values_told_as_json() -> None:
    assert render("{{ 2.675|round(1) }} {{ 15|round(-1) }} {{ 2.5|round }}", values()) == "2.7 20 2.0"
    assert render("{{ [message, 1]|tojson }}", values()) == '["no such table", 1]'
