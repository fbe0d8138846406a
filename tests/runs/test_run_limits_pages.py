"""2.4, 2.8: Limits and keys on pages: of a deployment, of all of them, of a run, and the forms that say them."""

from __future__ import annotations

from typing import Any

import pytest

from runs.models import Deployment, FlowRun, Limit
from tenants.models import AuditEntry
from tests.cast import Company
from tests.runs.pages import page
from tests.runs.work import agent, claim, deploy, trigger

pytestmark = pytest.mark.django_db
SCHEMA = {"type": "object", "properties": {"customer": {"type": "string"}}}


@pytest.fixture
def keyed(acme: Company) -> Deployment:
    """A deployment of which ada holds two slots and bob one, while others wait."""
    own = deploy(acme, key_slots=2, concurrency_limit=5, concurrency_key="{customer}", parameter_schema=SCHEMA)
    for key, number in (("ada", 3), ("bob", 1)):
        trigger(acme, own, number, parameters={"customer": key})
    assert len(claim(acme, agent(acme))) == 3
    return own


def slots(company: Company) -> dict[str, int]:
    with company.scope():
        return dict(Limit.objects.values_list("kind", "slots"))


def test_the_page_of_a_deployment_shows_slots_and_who_holds_them(
    acme: Company, vera: Any, browse: Any, keyed: Any
) -> None:
    shown = " ".join(page(acme, browse(vera), f"deployments/{keyed.id}").split())
    assert "3 of 5" in shown
    assert "<code>{customer}</code>" in shown
    assert '<dt title="ada">ada</dt><dd class="num">2 of 2</dd>' in shown
    assert '<dt title="bob">bob</dt><dd class="num">1 of 2</dd>' in shown
    assert f"deployments/{keyed.id}/limits" not in shown  # A viewer only looks.


def test_what_is_not_limited_says_so(acme: Company, vera: Any, browse: Any) -> None:
    assert "any number" in page(acme, browse(vera), f"deployments/{deploy(acme).id}")


def test_many_keys_are_counted_beyond_the_first(acme: Company, vera: Any, browse: Any) -> None:
    own = deploy(acme, key_slots=1)
    for number in range(11):
        trigger(acme, own, concurrency_key=f"k{number:02}")
    assert len(claim(acme, agent(acme, slots=20), 20)) == 11
    shown = page(acme, browse(vera), f"deployments/{own.id}")
    assert ("k07" in shown, "k08" in shown, "and 3 more" in shown) == (True, False, True)


def test_limits_are_changed_by_a_form_and_take_effect(acme: Company, alice: Any, browse: Any, keyed: Any) -> None:
    client, at = browse(alice), f"deployments/{keyed.id}/limits"
    form = page(acme, client, at)
    assert ('value="5"' in form, 'value="2"' in form, '"ENQUEUE" selected' in form) == (True, True, True)
    told = {"concurrency_limit": "", "key_slots": "3", "on_limit": "CANCEL_NEW"}
    answer = client.post(f"{acme.path}{at}", told)
    assert answer.headers["Location"] == f"{acme.path}deployments/{keyed.id}"
    assert slots(acme) == {"key": 3}
    with acme.scope():
        keyed.refresh_from_db()
        entry = AuditEntry.objects.filter(action="deployment.updated").latest("at")
        assert entry.details["to"] == {"concurrency_limit": None, "key_slots": 3, "on_limit": "CANCEL_NEW"}
    assert keyed.on_limit == "CANCEL_NEW"
    assert len(claim(acme, agent(acme, "another"))) == 1


@pytest.mark.parametrize(
    ("typed", "wrong"),
    [
        ({"concurrency_limit": "many", "on_limit": "ENQUEUE"}, "Enter a whole number."),
        ({"key_slots": "0", "on_limit": "ENQUEUE"}, "1 to"),
        ({"on_limit": "CANCEL_ALL"}, "One of ENQUEUE, CANCEL_NEW, CANCEL_OLD."),
        ({}, "One of ENQUEUE, CANCEL_NEW, CANCEL_OLD."),
    ],
)
def test_what_can_not_be_taken_is_told_beside_its_field(
    acme: Company, alice: Any, browse: Any, keyed: Any, typed: dict[str, str], wrong: str
) -> None:
    answer = browse(alice).post(f"{acme.path}deployments/{keyed.id}/limits", typed)
    assert (answer.status_code, wrong in answer.content.decode()) == (400, True)
    assert slots(acme) == {"deployment": 5, "key": 2}


def test_who_may_not_edit_a_deployment_sees_no_form(acme: Company, vera: Any, browse: Any, keyed: Any) -> None:
    assert browse(vera).get(f"{acme.path}deployments/{keyed.id}/limits").status_code == 403


def test_the_page_of_limits_lists_deployments_with_their_keys(
    acme: Company, vera: Any, browse: Any, keyed: Any
) -> None:
    deploy(acme, "unlimited")
    hidden = deploy(acme, "secret", concurrency_limit=1)
    with acme.scope():
        Deployment.objects.filter(id=hidden.id).update(restricted=True)
    shown = page(acme, browse(vera), "limits")
    assert "Of deployments" in shown
    assert "3 of 5" in shown
    assert "ada 2" in shown
    assert ("unlimited" in shown, "secret" in shown) == (False, False)


def test_the_page_of_limits_goes_on_where_there_are_many(
    acme: Company, vera: Any, browse: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runs.reads.run_limits.PAGE", 2)
    ids = [deploy(acme, f"d{number}", concurrency_limit=1).id for number in range(3)]
    first = page(acme, browse(vera), "limits")
    assert [f"deployments/{id}" in first for id in ids] == [True, True, False]
    then = page(acme, browse(vera), "limits", deployments=str(ids[1]))
    assert [f"deployments/{id}" in then for id in ids] == [False, False, True]
    assert "Of deployments" in page(acme, browse(vera), "limits", deployments="nonsense")


def test_the_form_of_a_run_takes_a_key_and_the_page_shows_it(
    acme: Company, alice: Any, browse: Any, keyed: Any
) -> None:
    client, at = browse(alice), f"deployments/{keyed.id}/run"
    assert "<code>{customer}</code> of the parameters when empty" in page(acme, client, at)
    posted = {"p.customer": "eve", "concurrency_key": "vip", "priority": "4"}
    answer = client.post(f"{acme.path}{at}", posted)
    assert answer.status_code == 302
    with acme.scope():
        run = FlowRun.objects.latest("created_at")
    assert (run.concurrency_key, run.priority) == ("vip", 4)
    shown = page(acme, client, f"runs/{run.id}")
    assert '<dt>Key</dt><dd><code class="cut" title="vip">vip</code></dd>' in shown
    assert '<dt>Priority</dt><dd class="num">4</dd>' in shown
    answer = client.post(f"{acme.path}{at}", {**posted, "concurrency_key": "x" * 201})
    assert (answer.status_code, "200 characters at most." in answer.content.decode()) == (400, True)
