"""Automations over the API and on their pages: made, seen, changed, paused, tested, deleted."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils.timezone import now

from runs.models import Automation, Firing
from runs.views.automations import STARTS
from tests.cast import Api, Company
from tests.runs.automating import automate, fail, notifications, tell

pytestmark = pytest.mark.django_db
BODY = {"trigger": {"events": ["flow-run.failed"], "flows": ["etl"]}, "action": {"to": ["alice@acme.example"]}}


# ── the API ──────────────────────────────────────────────────────────────────────────────────────


def test_an_automation_is_put_seen_and_deleted(acme: Company, api: Api) -> None:
    made = api.put("/automations/Failures", BODY)
    assert made.status_code == 201
    told = made.json()
    assert (told["trigger"], told["action"], told["enabled"]) == (BODY["trigger"], BODY["action"], True)
    assert told["url"].endswith(f"/o/acme/main/automations/{told['id']}")

    changed = api.put("/automations/Failures", {**BODY, "enabled": False, "most_per_minute": 2})
    assert (changed.status_code, changed.json()["enabled"], changed.json()["id"]) == (200, False, told["id"])
    assert api.get("/automations/Failures").json() == changed.json()
    assert [each["name"] for each in api.get("/automations").json()["items"]] == ["Failures"]
    assert api.delete("/automations/Failures").status_code == 204
    assert api.get("/automations/Failures").status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "trigger"),
        ({**BODY, "trigger": {"events": ["flow-run.lost"]}}, "events"),
        ({**BODY, "trigger": {"events": ["flow-run.failed"], "flow": "etl"}}, ""),
        ({**BODY, "action": {"to": ["x@y.example"]}}, "to"),
        ({**BODY, "action": {"block": "secret/x"}}, "block"),
        ({**BODY, "most_per_minute": 10_000}, "most_per_minute"),
    ],
)
def test_what_can_t_be_taken_is_named(acme: Company, api: Api, body: dict[str, Any], field: str) -> None:
    answer = api.put("/automations/Failures", body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert any(name.startswith(field) for name in error.get("fields", {"": ""}))


def test_a_test_is_sent_by_the_api(acme: Company, api: Api, mailoutbox: list) -> None:
    automate(acme)
    answer = api.post("/automations/Failures/test")
    assert answer.status_code == 202
    tell(acme)
    assert [str(row.id) for row in notifications(acme)] == [answer.json()["id"]]
    assert len(mailoutbox) == 1


def test_who_only_views_changes_nothing(acme: Company) -> None:
    viewer = Api(acme.key("viewer", "viewer"))
    automate(acme)
    assert viewer.get("/automations/Failures").status_code == 200
    assert viewer.put("/automations/Failures", BODY).status_code == 403
    assert viewer.post("/automations/Failures/test").status_code == 403
    assert viewer.delete("/automations/Failures").status_code == 403


# ── the pages ────────────────────────────────────────────────────────────────────────────────────


def page(browser: Any, company: Company, path: str = "") -> str:
    response = browser.get(f"{company.path}automations{path}")
    assert response.status_code == 200
    return response.content.decode()


FORM = {
    "name": "Failures",
    "events": ["flow-run.failed"],
    "tell": "mail",
    "to": "alice@acme.example",
    "most_per_minute": "5",
}


def test_the_empty_list_offers_templates(acme: Company, alice: Any, browse: Any) -> None:
    text = page(browse(alice), acme)
    for key, title, *_ in STARTS:
        assert title in text
        form = page(browse(alice), acme, f"/new?start={key}")
        assert "alice@acme.example" in form
        assert "checked" in form


def test_a_template_is_saved_and_fires(acme: Company, alice: Any, browse: Any, mailoutbox: list) -> None:
    answer = browse(alice).post(f"{acme.path}automations/new", {**FORM, "flows": "etl, other", "tags": ""})
    assert answer.status_code == 302
    with acme.scope():
        automation = Automation.objects.get()
    assert automation.trigger == {"events": ["flow-run.failed"], "flows": ["etl", "other"]}
    fail(acme)
    tell(acme)
    assert len(mailoutbox) == 1
    text = page(browse(alice), acme, f"/{automation.id}")
    assert "no such table" in text
    assert "Sent" in text
    assert "A run failed: flow etl or other" in page(browse(alice), acme)


def test_what_was_typed_stays_beside_its_error(acme: Company, alice: Any, browse: Any) -> None:
    typed = {**FORM, "to": "", "tell": "block", "block": "webhook/none", "body": "{{ nothing }}", "events": []}
    answer = browse(alice).post(f"{acme.path}automations/new", typed)
    text = answer.content.decode()
    assert answer.status_code == 400
    assert "webhook/none" in text
    assert "{{ nothing }}" in text
    assert "Choose at least one" in text
    assert "There is no value" in text


def test_an_automation_is_edited_paused_resumed_and_deleted(acme: Company, alice: Any, browse: Any) -> None:
    automation, browser = automate(acme), browse(alice)
    path = f"{acme.path}automations/{automation.id}"
    assert "flow-run.failed" in page(browser, acme, f"/{automation.id}/edit")
    browser.post(f"{path}/edit", {**FORM, "name": "Other", "events": ["agent.gone"], "pools": "gpu"})
    browser.post(f"{path}/pause")
    text = page(browser, acme)
    assert "An agent is gone: pool gpu" in text
    assert "Paused" in text
    browser.post(f"{path}/resume")
    assert "Paused" not in page(browser, acme)
    assert browser.post(f"{path}/remove").status_code == 302
    with acme.scope():
        assert not Automation.objects.exists()


def test_a_test_shows_its_outcome(acme: Company, alice: Any, browse: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    automation, browser = automate(acme), browse(alice)
    browser.post(f"{acme.path}automations/{automation.id}/test")
    assert "On its way" in page(browser, acme, f"/{automation.id}")
    from django.core.mail import EmailMultiAlternatives

    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionRefusedError("nobody listens")

    monkeypatch.setattr(EmailMultiAlternatives, "send", refuse)
    tell(acme)
    assert "nobody listens" in page(browser, acme, f"/{automation.id}/_log")


def test_who_only_views_sees_no_buttons(acme: Company, vera: Any, browse: Any) -> None:
    automation = automate(acme)
    text = page(browse(vera), acme, f"/{automation.id}")
    assert "Send a test" not in text
    assert "New automation" not in page(browse(vera), acme)
    for action in ("test", "pause", "resume", "remove", "edit"):
        assert browse(vera).post(f"{acme.path}automations/{automation.id}/{action}").status_code == 403


def test_the_log_has_pages_and_few_queries(
    acme: Company, alice: Any, browse: Any, django_assert_max_num_queries: Any
) -> None:
    automation = automate(acme)
    with acme.scope():
        Firing.objects.bulk_create(
            Firing(organization=acme.organization, workspace=acme.workspace, automation=automation, event_id=id_of(n),
                   event="flow-run.failed", at=now(), cause={"run": f"run-{n:03}", "flow": "etl"})
            for n in range(120)
        )  # fmt: skip
    browser, seen, path = browse(alice), [], f"/{automation.id}"
    while path:
        with django_assert_max_num_queries(20):
            text = page(browser, acme, path)
        seen += [line for line in text.split() if line.startswith("run-") and line[4:7].isdigit()]
        _, _, rest = text.partition('rel="next"')
        older = text.rpartition('rel="next"')[0].rpartition('href="')[2].partition('"')[0] if rest else ""
        path = f"/{automation.id}{older.replace('&amp;', '&')}" if older else ""
    assert sorted(seen) == [f"run-{n:03}" for n in range(120)]


def id_of(number: int) -> Any:
    from uuid import UUID

    return UUID(int=number)
