"""2.6: pages of schedules: of a deployment, of the workspace, the form with its next times; who may do what."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from orchestrator.schedules import MAX_SCHEDULES
from runs import schedules
from runs.models import Schedule
from runs.reads import schedules as reads
from tenants.models import AuditEntry
from tests.cast import Company
from tests.restricted import restrict
from tests.runs.pages import page
from tests.runs.work import deploy, in_seconds, trigger

pytestmark = pytest.mark.django_db

SCHEMA = {
    "type": "object",
    "properties": {
        "day": {"type": "string", "format": "date"},
        "n": {"type": "integer", "minimum": 1, "default": 1},
    },
    "required": ["day"],
    "additionalProperties": False,
}
MORNINGS = {"cron": "0 9 * * 1-5", "timezone": "Europe/Berlin", "slug": "mornings"}
TYPED = {
    "kind": "cron", "slug": "mornings", "cron": "0 9 * * 1-5", "day_or": "or", "timezone": "Europe/Berlin",
    "catch_up": "skip", "catch_up_max": "100", "active": "on",
}  # fmt: skip
"""The form as it is sent."""


def post(company: Company, browser: Any, path: str, **data: str) -> Any:
    return browser.post(f"{company.path}{path}", data, follow=True)


def schedule(company: Company, slug: str = "mornings") -> Schedule:
    with company.scope():
        return Schedule.objects.get(slug=slug)


def trail(company: Company) -> list[str]:
    with company.scope():
        found = AuditEntry.objects.filter(action__startswith="schedule.").order_by("at", "id")
        return list(found.values_list("action", flat=True))


# ── looking ──────────────────────────────────────────────────────────────────────────────────────


def test_a_deployment_shows_its_schedules_in_words(acme: Company, alice: Any, browse: Any) -> None:
    more = {"interval": 900, "slug": "often", "skip_if_late": 600, "catch_up": "latest", "parameters": {"n": 2}}
    deployment = deploy(acme, schedules=[MORNINGS, more])
    shown = page(acme, browse(alice), f"deployments/{deployment.id}", tab="schedules")
    for told in ("Every weekday at 09:00", "Europe/Berlin", "0 9 * * 1-5", "Every 15 minutes",
                 "makes up for the last time · given up when 10 minutes late · own n", "Pause all"):  # fmt: skip
        assert told in shown, told


def test_it_says_who_paused_it_and_why_it_makes_no_runs(acme: Company, alice: Any, vera: Any, browse: Any) -> None:
    deployment = deploy(acme, schedules=[MORNINGS, {"interval": 60, "slug": "often"}])
    post(acme, browse(alice), f"deployments/{deployment.id}/schedules/mornings/pause")
    with acme.scope():
        Schedule.objects.filter(slug="often").update(refusal="The plan's runs are used up.")
    for path, query in ((f"deployments/{deployment.id}", {"tab": "schedules"}), ("schedules", {})):
        shown = page(acme, browse(vera), path, **query)
        assert "Paused by alice@acme.example, <time" in shown
        assert "Makes no runs: The plan&#x27;s runs are used up." in shown


def test_the_last_run_is_the_one_whose_time_has_come(acme: Company, vera: Any, browse: Any) -> None:
    deployment = deploy(acme, schedules=[MORNINGS])
    own = schedule(acme)
    [past] = trigger(acme, deployment, schedule_id=own.id, scheduled_at=in_seconds(-60))
    [ahead] = trigger(acme, deployment, schedule_id=own.id, scheduled_at=in_seconds(50))
    shown = page(acme, browse(vera), "schedules")
    assert f"/runs/{past}" in shown
    assert f"/runs/{ahead}" not in shown


def test_the_list_is_filtered_by_text_state_and_deployment(acme: Company, alice: Any, browse: Any) -> None:
    browser = browse(alice)
    first = deploy(acme, "first", schedules=[MORNINGS])
    deploy(acme, "second", schedules=[{"interval": 60, "slug": "often", "active": False}])
    with acme.scope():
        Schedule.objects.filter(slug="mornings").update(refusal="Full.")
    found = {
        (("q", "etl first"),): {"mornings"},
        (("q", "etl/second"),): {"often"},
        (("q", "oft"),): {"often"},
        (("state", "active"),): {"mornings"},
        (("state", "paused"),): {"often"},
        (("state", "refused"),): {"mornings"},
        (("deployment", str(first.id)),): {"mornings"},
        (("deployment", "nonsense"), ("state", "nonsense")): {"mornings", "often"},
    }
    for query, slugs in found.items():
        shown = page(acme, browser, "schedules", **dict(query))
        assert {slug for slug in ("mornings", "often") if f">{slug}</a>" in shown} == slugs, query
    assert "No schedule matches" in page(acme, browser, "schedules", q="none")


def test_pages_go_on_where_the_one_before_ended(
    acme: Company, alice: Any, browse: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "PAGE", 3)
    told = [{"interval": 3600, "slug": f"same-{number}"} for number in range(4)]  # All at the same time.
    told += [{"interval": 60, "slug": f"off-{number}", "active": False} for number in range(4)]
    deploy(acme, schedules=[*told, {"interval": 31_536_000, "slug": "far"}])
    browser, seen, following = browse(alice), [], ""
    while following is not None:
        response = browser.get(f"{acme.path}schedules", {"cursor": following})
        seen.append([row.schedule.slug for row in response.context["rows"]])
        following = response.context["next"]
    assert [sorted({slug[:3] for slug in slugs}) for slugs in seen] == [["sam"], ["far", "off", "sam"], ["off"]]
    assert len({slug for slugs in seen for slug in slugs}) == 9


def test_an_empty_list_says_what_to_do(acme: Company, alice: Any, vera: Any, browse: Any) -> None:
    assert "Choose a deployment" in page(acme, browse(alice), "schedules")
    assert "Who may deploy can add one." in page(acme, browse(vera), "schedules")
    deployment = deploy(acme)
    assert "Add a schedule" in page(acme, browse(alice), f"deployments/{deployment.id}", tab="schedules")


def test_who_may_not_change_them_sees_no_buttons(acme: Company, bob: Any, vera: Any, browse: Any) -> None:
    deployment = deploy(acme, schedules=[MORNINGS])
    for somebody in (bob, vera):
        for path, query in ((f"deployments/{deployment.id}", {"tab": "schedules"}), ("schedules", {})):
            shown = page(acme, browse(somebody), path, **query)
            assert "mornings" in shown
            assert "/schedules/mornings" not in shown
            assert "new-schedule" not in shown


def test_a_restricted_deployment_hides_its_schedules(acme: Company, alice: Any, bob: Any, browse: Any) -> None:
    deployment = deploy(acme, schedules=[MORNINGS])
    restrict(acme, deployment)
    browser = browse(bob)
    assert "mornings" not in page(acme, browser, "schedules")
    for path in ("new-schedule", "schedules/mornings"):
        assert browser.get(f"{acme.path}deployments/{deployment.id}/{path}").status_code in {403, 404}
    assert "mornings" in page(acme, browse(alice), "schedules")


def test_any_number_of_schedules_costs_the_same_queries(
    acme: Company, vera: Any, browse: Any, django_assert_max_num_queries: Any
) -> None:
    deployment = deploy(acme, schedules=[{"interval": 3600, "slug": f"s-{number}"} for number in range(60)])
    browser = browse(vera)
    for path in ("schedules", f"deployments/{deployment.id}?tab=schedules"):
        browser.get(f"{acme.path}{path}")
        with django_assert_max_num_queries(31):
            assert browser.get(f"{acme.path}{path}").status_code == 200


# ── the form ─────────────────────────────────────────────────────────────────────────────────────


def test_a_schedule_is_added_by_the_form(acme: Company, alice: Any, browse: Any) -> None:
    deployment = deploy(acme, parameter_schema=SCHEMA)
    typed = TYPED | {"day_or": "and", "p.day": "2026-01-02", "p.n": "1", "skip_if_late": "1,5",
                     "skip_if_late_unit": "h", "catch_up": "all", "catch_up_max": "7"}  # fmt: skip
    answer = post(acme, browse(alice), f"deployments/{deployment.id}/new-schedule", **typed)
    assert b"The schedule mornings is there." in answer.content
    made = schedule(acme)
    assert (made.cron, made.timezone, made.day_or, made.deployed) == ("0 9 * * 1-5", "Europe/Berlin", False, False)
    assert (made.skip_if_late, made.catch_up, made.catch_up_max) == (5400, "all", 7)
    assert made.parameters == {"day": "2026-01-02"}
    assert trail(acme) == ["schedule.created"]


def test_an_interval_is_counted_from_a_time_by_the_clock_of_its_zone(acme: Company, alice: Any, browse: Any) -> None:
    deployment = deploy(acme)
    typed = TYPED | {"kind": "interval", "interval": "2", "interval_unit": "d", "anchor": "2026-07-01T06:00"}
    post(acme, browse(alice), f"deployments/{deployment.id}/new-schedule", **typed)
    made = schedule(acme)
    assert (made.kind, made.interval, made.cron) == ("interval", 172_800, "")
    assert made.anchor == datetime(2026, 7, 1, 4, tzinfo=UTC)


def test_the_form_of_a_schedule_changes_nothing_by_being_sent(acme: Company, alice: Any, browse: Any) -> None:
    anchor = "2026-10-25T00:30:00.123456+00:00"  # One of two that read the same in Berlin.
    told = {"interval": 90.5, "anchor": anchor, "timezone": "Europe/Berlin", "skip_if_late": 61, "slug": "mornings",
            "parameters": {"day": "2026-01-02", "n": 1}, "catch_up": "latest"}  # fmt: skip
    deployment = deploy(acme, parameter_schema=SCHEMA, schedules=[told])
    before, browser = schedule(acme), browse(alice)
    path = f"deployments/{deployment.id}/schedules/mornings"
    context = browser.get(f"{acme.path}{path}").context
    typed = {**context["typed"], "p.day": "2026-01-02", "p.n": "1"}
    post(acme, browser, path, **typed)
    after = schedule(acme)
    assert after.times == before.times
    assert (after.parameters, after.skip_if_late, after.catch_up) == (before.parameters, 61, "latest")


def test_it_has_of_its_own_what_differs_from_the_deployment(acme: Company, alice: Any, browse: Any) -> None:
    """So that a deploy which changes a parameter changes it for a schedule that never meant another."""
    deployment = deploy(acme, parameter_schema=SCHEMA, parameters={"day": "2026-01-02", "n": 5})
    path = f"deployments/{deployment.id}/new-schedule"
    post(acme, browse(alice), path, **TYPED, **{"p.day": "2026-01-02", "p.n": "7"})
    assert schedule(acme).parameters == {"n": 7}


def test_who_saves_a_form_does_not_start_what_was_paused_meanwhile(acme: Company, alice: Any, browse: Any) -> None:
    deployment, browser = deploy(acme, schedules=[MORNINGS]), browse(alice)
    path = f"deployments/{deployment.id}/schedules/mornings"
    typed = browser.get(f"{acme.path}{path}").context["typed"]
    post(acme, browser, f"{path}/pause")
    post(acme, browser, path, **typed | {"cron": "0 8 * * *"})
    assert (schedule(acme).cron, schedule(acme).active) == ("0 8 * * *", False)
    post(acme, browser, path, **typed | {"was_active": ""})
    assert schedule(acme).active


def test_a_kind_takes_the_place_of_another(acme: Company, alice: Any, browse: Any) -> None:
    deployment = deploy(acme, schedules=[MORNINGS])
    path = f"deployments/{deployment.id}/schedules/mornings"
    post(acme, browse(alice), path, **TYPED | {"kind": "rrule", "rrule": "FREQ=DAILY\r\nEXDATE:20270101T000000"})
    changed = schedule(acme)
    assert (changed.kind, changed.cron, changed.rrule) == ("rrule", "", "FREQ=DAILY\nEXDATE:20270101T000000")
    post(acme, browse(alice), path, **TYPED | {"active": "", "was_active": "on"})
    assert (schedule(acme).kind, schedule(acme).paused_by) == ("cron", "alice@acme.example")


WRONG: list[tuple[dict[str, str], str, str]] = [
    ({"cron": "61 * * * *"}, "cron", "The minute &#x27;61&#x27; is not between 0 and 59. Five fields:"),
    ({"cron": ""}, "cron", "Five fields"),
    ({"timezone": "Europe/Nowhere"}, "timezone", "Use an IANA name"),
    ({"kind": "interval", "interval": ""}, "interval", "How often? Enter a number."),
    ({"kind": "interval", "interval": "soon"}, "interval", "Enter a number."),
    ({"kind": "interval", "interval": "0.5", "interval_unit": "s"}, "interval", "Seconds, 1 to"),
    ({"kind": "interval", "interval": "1", "anchor": "soon"}, "anchor", "A date and time"),
    ({"kind": "interval", "interval": "1", "anchor": "2026-03-29T02:30"}, "anchor", "the clocks skip it"),
    ({"kind": "rrule", "rrule": "FREQ=NEVER"}, "rrule", "An RRULE has a FREQ"),
    ({"kind": "rrule", "rrule": ""}, "rrule", "There is no RRULE in it."),
    ({"kind": "moon"}, "kind", "Choose how the times are told."),
    ({"slug": "two words"}, "slug", "A slug has 1 to 100 letters"),
    ({"slug": "taken"}, "slug", "Another schedule of the deployment has it."),
    ({"catch_up": "all", "catch_up_max": "0"}, "catch_up_max", "1 to 1000"),
    ({"catch_up": "all", "catch_up_max": "many"}, "catch_up_max", "Enter a whole number."),
    ({"catch_up": "some"}, "catch_up", "One of skip, latest, all."),
    ({"skip_if_late": "-1"}, "skip_if_late", "Enter a number above 0."),
    ({"p.day": "soon"}, "p.day", "A date, as 2026-05-19."),
    ({"p.n": "0"}, "p.n", "0 is less than the minimum of 1"),
]
"""What is typed, beside which field it is told, and what."""


def test_what_can_not_be_taken_is_told_beside_its_field_and_kept(acme: Company, alice: Any, browse: Any) -> None:
    taken = {"interval": 60, "slug": "taken", "parameters": {"day": "2026-01-02"}}
    deployment = deploy(acme, parameter_schema=SCHEMA, schedules=[taken])
    path, browser = f"deployments/{deployment.id}/new-schedule", browse(alice)
    for typed, field, told in WRONG:
        answer = post(acme, browser, path, **{**TYPED, "p.day": "2026-01-02", "p.n": "1", **typed})
        shown = " ".join(answer.content.decode().split())
        assert answer.status_code == 400, typed
        assert told in shown, typed
        if field in {"kind", "catch_up"}:
            continue  # Choices, of which the page shows those there are.
        beside = shown[shown.index(f'name="{field}"') :]
        assert told in beside[: beside.index("</div>")], typed
        assert all(value in shown for value in typed.values()), typed
    with acme.scope():
        assert Schedule.objects.count() == 1


def test_a_deployment_has_so_many_and_no_more(acme: Company, alice: Any, browse: Any) -> None:
    deployment = deploy(acme, schedules=[{"interval": 60, "slug": f"s-{number}"} for number in range(MAX_SCHEDULES)])
    answer = post(acme, browse(alice), f"deployments/{deployment.id}/new-schedule", **TYPED)
    assert answer.status_code == 409
    assert b"A deployment has 100 schedules at most." in answer.content


def test_a_button_among_the_parameters_saves_nothing(acme: Company, alice: Any, browse: Any) -> None:
    deployment = deploy(acme, parameter_schema=SCHEMA)
    answer = post(acme, browse(alice), f"deployments/{deployment.id}/new-schedule", **TYPED, _do="json:p")
    assert answer.status_code == 200
    assert answer.context["form"].root.kind == "json"
    with acme.scope():
        assert not Schedule.objects.exists()


# ── the next times ───────────────────────────────────────────────────────────────────────────────


def test_the_next_ten_times_are_shown_by_both_clocks(
    acme: Company, vera: Any, browse: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedules, "now", lambda: datetime(2026, 10, 22, 12, tzinfo=UTC))
    shown = post(acme, browse(vera), "schedules/_preview", **TYPED).content.decode()
    shown = " ".join(shown.split())
    assert "Every weekday at 09:00" in shown
    assert shown.count("<li>") == 10
    friday, monday = shown.index("Fri 23 Oct 2026"), shown.index("Mon 26 Oct 2026")
    assert '<span class="num">09:00:00</span> <span class="muted">CEST</span>' in shown[friday:monday]
    assert "07:00:00 UTC" in shown[friday:monday]
    assert "The clock goes back by 1 h before this" in shown[friday:monday]
    assert "08:00:00 UTC" in shown[monday:]


def test_the_preview_says_which_field_is_wrong(acme: Company, vera: Any, browse: Any) -> None:
    browser = browse(vera)
    wrong: list[tuple[dict[str, str], str]] = [
        ({"cron": "every day"}, "cron"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"kind": "interval", "interval": "often"}, "interval"),
        ({"kind": "interval", "interval": "1", "anchor": "2026-03-29T02:30"}, "anchor"),
        ({"kind": "rrule", "rrule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"}, "rrule"),
    ]
    for typed, field in wrong:
        answer = post(acme, browser, "schedules/_preview", **TYPED | typed)
        assert answer.status_code == 200
        assert list(answer.context["preview"].wrong) == [field]
        assert f"&quot;{field}&quot;" in answer.content.decode()


def test_without_script_a_button_shows_the_next_times(acme: Company, alice: Any, browse: Any) -> None:
    deployment = deploy(acme)
    answer = post(acme, browse(alice), f"deployments/{deployment.id}/new-schedule", **TYPED, _look="1")
    assert len(answer.context["preview"].times) == 10
    with acme.scope():
        assert not Schedule.objects.exists()


def test_nothing_is_wrong_before_something_is_typed(acme: Company, vera: Any, browse: Any) -> None:
    shown = post(acme, browse(vera), "schedules/_preview", **TYPED | {"cron": " "}).content
    assert b"They appear here while you type." in shown
    assert b"data-problems" not in shown


# ── deeds ────────────────────────────────────────────────────────────────────────────────────────


def test_it_is_paused_resumed_and_deleted(acme: Company, alice: Any, browse: Any) -> None:
    deployment, browser = deploy(acme, schedules=[MORNINGS]), browse(alice)
    own = f"deployments/{deployment.id}/schedules/mornings"
    answer = post(acme, browser, f"{own}/pause", list="q=mor&state=active")
    assert answer.redirect_chain[-1][0].endswith("/schedules?q=mor&state=active")
    assert not schedule(acme).active
    answer = post(acme, browser, f"{own}/resume")
    assert answer.redirect_chain[-1][0].endswith(f"/deployments/{deployment.id}?tab=schedules")
    assert schedule(acme).active
    assert b"The schedule mornings was deleted." in post(acme, browser, f"{own}/remove").content
    assert trail(acme) == ["schedule.paused", "schedule.resumed", "schedule.deleted"]


def test_of_a_schedule_that_is_gone_meanwhile_it_says_so(acme: Company, alice: Any, browse: Any) -> None:
    deployment, browser = deploy(acme, schedules=[MORNINGS]), browse(alice)
    own = f"deployments/{deployment.id}/schedules/mornings"
    post(acme, browser, f"{own}/remove")
    for path in (own, f"{own}/pause", f"{own}/resume", f"{own}/remove"):
        assert post(acme, browser, path, **TYPED).status_code == 404
