"""Words and marks of the pages. Pure: no database."""

import doctest
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from django.template import Context, Template
from django.test import RequestFactory

from orchestrator.server.templatetags import state_tags, time_tags, ui

AT = datetime(2026, 5, 19, 12, 0, tzinfo=UTC)


def render(source: str, **values: object) -> str:
    return Template(source).render(Context(values))


@pytest.mark.parametrize("module", [ui, state_tags, time_tags])
def test_the_examples_in_the_docstrings_hold(module):
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    ("type_", "name", "kind", "word"),
    [
        ("SCHEDULED", "Scheduled", "scheduled", "Scheduled"),
        ("SCHEDULED", "AwaitingRetry", "retrying", "Awaiting retry"),
        ("RUNNING", "Unreachable", "late", "Unreachable"),
        ("FAILED", "TimedOut", "timedout", "Timed out"),
        ("COMPLETED", "WithWarnings", "completed", "WithWarnings"),
        ("CANCELLING", "", "cancelling", "Cancelling"),
    ],
)
def test_a_state_has_a_kind_and_a_word(type_, name, kind, word):
    assert state_tags.state_kind(type_, name) == kind
    assert state_tags.state_word(type_, name) == word


def test_every_kind_has_a_tone_and_a_symbol():
    from django.template.loader import render_to_string

    sprite = render_to_string("components/sprite.html")
    for kind in state_tags.TONES:
        assert f'id="g-{kind}"' in sprite


def test_users_names_are_escaped():
    html = render("{% state 'COMPLETED' name %}", name="<b>x</b>")
    assert "<b>" not in html
    assert "&lt;b&gt;" in html


def test_a_lone_glyph_has_a_name_and_turns_only_while_running():
    assert 'aria-label="Running"' in render("{% glyph 'RUNNING' %}")
    assert "turning" in render("{% glyph 'RUNNING' %}")
    assert "turning" not in render("{% glyph 'COMPLETED' %}")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0, "0.0s"), (0.42, "0.4s"), (9.96, "10s"), (59.7, "1m 00s"), (134, "2m 14s"), (3599.6, "1h 00m"),
     (65_100, "18h 05m"), (90_000, "1d 01h")],
)  # fmt: skip
def test_durations(seconds, text):
    assert time_tags.duration(seconds) == text


def test_a_duration_is_never_negative():
    assert time_tags.duration(timedelta(seconds=-3)) == "0.0s"


@pytest.mark.parametrize(
    ("ahead", "text"),
    [(-4, "4 s ago"), (-120, "2 min ago"), (1680, "in 28 min"), (-86_400, "1 day ago"), (-6 * 86_400, "6 days ago"),
     (0, "now")],
)  # fmt: skip
def test_relative_times(ahead, text):
    assert time_tags.relative(AT + timedelta(seconds=ahead), AT) == text


def test_beyond_a_week_the_time_is_exact():
    assert time_tags.relative(AT - timedelta(days=9), AT).startswith("10 May")


def test_when_is_a_time_element_in_utc():
    html = render("{% when at %}", at=AT)
    assert 'datetime="2026-05-19T12:00:00.000Z"' in html
    assert render("{% when at %}", at=None) == "–"


def test_a_meter_shares_its_width_and_leaves_the_rest_empty():
    html = render("{% meter counts 48 %}", counts={"completed": 36, "running": 0, "failed": 2})
    assert 'class="fill-ok" x="0.00%" width="75.00%"' in html
    assert 'class="fill-fail" x="75.00%"' in html
    assert "fill-run" not in html
    assert "style=" not in html


def test_numbers():
    assert ui.thousands(1284) == "1,284"
    assert render("{% plural 1 'run' %} {% plural 1284 'run' %}") == "1 run 1,284 runs"
    assert ui.size(3 << 30) == "3.0 GiB"
    assert ui.short_id("0196e8a2-71c4-7abc-8000-000000000000") == "0196e8a2-71c"


def test_with_query_keeps_filters_and_drops_the_page():
    request = RequestFactory().get("/runs", {"state": "FAILED", "cursor": "x", "q": 'a"b'})
    html = render("{% with_query state='' flow='etl' %}", request=request)
    assert html == "?q=a%22b&amp;flow=etl"


def test_the_filters_of_a_row():
    row = SimpleNamespace(state_type="SCHEDULED", state_name="Late")
    assert render("{{ row|state_kind }} {{ row|state_tone }} {{ row|state_word }}", row=row) == "late warn Late"


def test_the_views_of_a_list_add_up_their_states():
    views = state_tags.state_views({"RUNNING": 2, "FAILED": 1, "CRASHED": 3}, ("FAILED", "CRASHED"))
    assert {view["label"]: view["count"] for view in views} == {
        "All": 6, "Running": 2, "Waiting": 0, "Completed": 0, "Failed": 4, "Cancelled": 0
    }  # fmt: skip
    assert [view["label"] for view in views if view["is_current"]] == ["Failed"]


def test_the_progress_of_a_run_leaves_room_for_what_waits():
    html = state_tags.progress_meter({"COMPLETED": 3, "SCHEDULED": 1})
    assert 'width="75.00%"' in html
    assert 'aria-label="3 of 4 tasks done, 1 waiting"' in html


def test_a_run_that_goes_on_is_counted_on_by_the_page():
    row = SimpleNamespace(started_at=AT, ended_at=None, state_type="RUNNING")
    assert 'data-since="2026-05-19T12:00:00.000+00:00"' in time_tags.took(row)
    row.state_type = "SCHEDULED"
    assert time_tags.took(row) == "–"
    row.ended_at = AT + timedelta(milliseconds=42)
    assert "42 ms" in time_tags.took(row)


def test_the_points_of_the_durations_leave_out_what_never_started():
    run = SimpleNamespace(
        id="x", name="calm-heron", started_at=AT, ended_at=AT + timedelta(seconds=3), state_type="FAILED", state_name=""
    )
    waiting = SimpleNamespace(started_at=None)
    told = state_tags.duration_points([run, waiting])
    assert told["points"] == [[int(AT.timestamp() * 1000), 3.0, "fail", "calm-heron", "x"]]
