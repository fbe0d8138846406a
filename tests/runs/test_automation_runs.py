"""2.7: An event triggers a run of a deployment, once, as whoever changed the automation last, and never in circles."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils.timezone import now

from orchestrator.bodies import EventInput
from orchestrator.states import By, StateType
from runs import events
from runs.automations import edit, triggering
from runs.automations.definitions import Action, RunDeployment, Trigger, Wanted
from runs.deployments import delete
from runs.models import Firing, FlowRun, Notification
from runs.retries import retry
from runs.transitions import lock_runs, move, save
from runs.trigger import RunRequest, create_run
from tenants.errors import Forbidden, NotFound
from tenants.models import AuditEntry, Membership, OutboxMessage
from tenants.permissions import Actor
from tenants.restrictions.models import Level
from tests.cast import Api, Company
from tests.restricted import here, restrict
from tests.runs.automating import firings, notifications, tell
from tests.runs.work import agent, claim, deploy, start, trigger
from tests.tenants.test_key_ring import give

pytestmark = pytest.mark.django_db
SCHEMA = {"type": "object", "properties": {"order": {"type": "integer"}, "what": {}}}
ORDER = '{"order": {{ payload.id|tojson }}, "what": {{ event|tojson }}}'


def runs_on(user: Any, *happenings: str, name: str = "Orders", most: int = 60, **run: Any) -> Any:
    """An automation of somebody, in whose workspace `etl/nightly` is run."""
    wanted = RunDeployment(**{"deployment": "etl/nightly", "parameters": ORDER, **run})
    trigger = Trigger(events=list(happenings or ["order.paid"]))
    return edit.save(
        Wanted(name=name, trigger=trigger, action=Action(run=wanted), most_per_minute=most), by=here(user)
    )[0]


def happens(company: Company, number: int = 1, event: str = "order.paid", *, by: Any = None, **payload: Any) -> None:
    for place in range(number):
        told = EventInput(event=event, resource={"id": f"order.{place}"}, payload={"id": place, **payload})
        events.emit(told, by=by or company.actor())


def made(company: Company) -> list[FlowRun]:
    """The runs of the workspace that automations triggered, oldest first."""
    with company.scope():
        return list(FlowRun.objects.filter(origin="automation").order_by("created_at", "id"))


def due_again(company: Company) -> None:
    """Workers died before they could say that they had done it, and their claims have run out."""
    with company.scope():
        OutboxMessage.objects.filter(kind="automation-run").update(done_at=None, next_try_at=now())


def why_not(company: Company) -> str:
    """Why the last firing triggered nothing; and it is over."""
    row = notifications(company)[-1]
    assert row.failed
    assert row.run_id is None
    with company.scope():
        assert not OutboxMessage.objects.filter(kind="automation-run", done_at=None).exists()
    return row.tries[-1][1]


def end(company: Company, *ids: Any, state: StateType = StateType.FAILED) -> None:
    with company.scope():
        rows = lock_runs(ids)
        for row in rows.values():
            assert move(row, StateType.PENDING, by=By.SERVER)
            assert move(row, state, by=By.HOLDER)
        save(rows.values())


@pytest.fixture
def orders(acme: Company) -> Any:
    return deploy(acme, parameter_schema=SCHEMA, tags=["etl"])


# ── from an event to its run ─────────────────────────────────────────────────────────────────────


def test_2_7_an_event_triggers_a_run(acme: Company, api: Api, orders: Any, alice: Any, browse: Any) -> None:
    body = {"trigger": {"events": ["order.*"]}, "action": {"run": {"deployment": "etl/nightly", "parameters": ORDER}}}
    body["action"]["run"]["tags"] = ["paid"]
    told = api.put("/automations/Orders", body)
    assert (told.status_code, told.json()["action"]) == (201, body["action"])
    order = {"event": "order.paid", "resource": {"id": "order.17"}, "payload": {"id": 17}}
    event = api.post("/events", order).json()["id"]
    for _ in range(3):
        api.post("/events", {**order, "id": event})  # Told again, it is the same event.
        tell(acme)

    [run] = made(acme)
    cause = {
        "automation": told.json()["id"], "automation_name": "Orders", "event": event, "event_name": "order.paid",
        "depth": 1,
    }  # fmt: skip
    assert (run.parameters, run.tags) == ({"order": 17, "what": "order.paid"}, ["etl", "paid"])
    assert (run.origin, run.created_by, run.caused_by) == ("automation", told.json()["updated_by"], cause)
    assert api.get(f"/flow-runs/{run.id}").json()["caused_by"] == cause
    [row] = notifications(acme)
    assert (row.run_id, row.failed, [error for _, error in row.tries]) == (run.id, False, [""])
    with acme.scope():
        entry = AuditEntry.objects.get(action="run.triggered")
        assert (entry.details["origin"], entry.details["caused_by"]) == ("automation", cause)
    shown = browse(alice).get(f"{acme.path}runs/{run.id}").content.decode()
    assert f"automations/{told.json()['id']}" in shown
    assert f"events/{event}" in shown
    assert run.name in browse(alice).get(f"{acme.path}automations/{told.json()['id']}").content.decode()


def test_2_7_what_is_done_again_triggers_nothing_again(acme: Company, orders: Any, alice: Any) -> None:
    with acme.scope():
        runs_on(alice)
        happens(acme)
    tell(acme)
    [run] = made(acme)
    due_again(acme)
    tell(acme)
    with acme.scope():  # Even had the note been lost that stands in the run's transaction.
        Notification.objects.update(sent_at=None, run_id=None)
    due_again(acme)
    tell(acme)
    assert made(acme) == [run]
    assert notifications(acme)[0].run_id == run.id


def test_2_7_a_large_payload_is_read_from_the_event(acme: Company, orders: Any, alice: Any) -> None:
    with acme.scope():
        runs_on(alice, parameters='{"what": {{ payload.note|length }}}')
        happens(acme, note="x" * 9_000)
    tell(acme)
    assert [run.parameters for run in made(acme)] == [{"what": 9_000}]


def test_2_7_events_are_gathered_into_one_run(acme: Company, orders: Any, alice: Any) -> None:
    with acme.scope():
        runs_on(alice, debounce=60, debounce_key="{{ payload.shop }}")
        happens(acme, 3, shop="eu")
        happens(acme, 1, shop="us")
    tell(acme)
    assert [(run.debounce_key, run.debounced, run.parameters["order"]) for run in made(acme)] == [
        ("eu", 3, 2), ("us", 1, 0),
    ]  # fmt: skip
    assert [run.caused_by["event"] for run in made(acme)] == [str(firing.event_id) for firing in firings(acme)[2:]]
    due_again(acme)
    tell(acme)
    assert [run.debounced for run in made(acme)] == [3, 1]


@pytest.mark.parametrize(("own", "gathered"), [({}, [2]), ({"debounce": 0}, [0, 0])])
def test_2_7_events_are_gathered_as_the_deployment_says(
    acme: Company, alice: Any, own: dict[str, float], gathered: list[int]
) -> None:
    deploy(acme, parameter_schema=SCHEMA, debounce=60)
    with acme.scope():
        runs_on(alice, **own)
        happens(acme, 2)
    tell(acme)
    assert [run.debounced for run in made(acme)] == gathered


# ── what is refused, and where people see it ─────────────────────────────────────────────────────


def test_2_7_a_refusal_is_told_on_the_page_and_is_the_end(acme: Company, orders: Any, alice: Any, browse: Any) -> None:
    def refused(words: str) -> None:
        with acme.scope():
            happens(acme)
        tell(acme)
        assert words in why_not(acme)
        shown = browse(alice).get(f"{acme.path}automations/{automation.id}").content.decode()
        assert "Not triggered" in shown
        assert words.partition("'")[0] in shown

    with acme.scope():
        automation = runs_on(alice, parameters='{"order": "{{ payload.id }}"}')
    refused("parameters.order")
    with acme.scope():
        runs_on_again(automation, alice, parameters="{{ payload.id }}")
    refused("no object of parameters")
    with acme.scope():
        runs_on_again(automation, alice, parameters="{{ 1 / 0 }}")
    refused("can't be rendered")
    with acme.scope():
        delete(orders, by=here(alice))
    refused("There is no deployment")
    assert made(acme) == []


def test_2_7_who_tells_of_an_event_chooses_no_secret(acme: Company, orders: Any, alice: Any) -> None:
    """They would use every one that the automation's maker may; whoever writes the template names one."""
    vault = {"$block": "secret/vault"}
    with acme.scope():
        automation = runs_on(alice, parameters='{"what": {{ payload.what|tojson }}}')
        happens(acme, what=vault)
    tell(acme)
    assert "names no blocks" in why_not(acme)
    with acme.scope():
        runs_on_again(automation, alice, parameters='{"what": {"$block": "secret/vault"}}')
        happens(acme, what=vault)
    tell(acme)
    assert [run.parameters for run in made(acme)] == [{"what": vault}]


def runs_on_again(automation: Any, user: Any, **run: Any) -> None:
    wanted = RunDeployment(**{"deployment": "etl/nightly", **run})
    edit.save(
        Wanted(automation.name, Trigger(events=["order.paid"]), Action(run=wanted)), by=here(user),
        automation=automation,
    )  # fmt: skip


def test_2_7_what_breaks_is_told_without_a_trace_and_tried_again(
    acme: Company, orders: Any, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with acme.scope():
        runs_on(alice)
        happens(acme)

    def breaks(*_: Any, **__: Any) -> None:
        raise RuntimeError("SELECT secrets FROM everywhere")

    with monkeypatch.context() as broken:
        broken.setattr(triggering.trigger, "create_run", breaks)
        tell(acme)
    [row] = notifications(acme)
    assert (row.failed, row.tries[0][1]) == (False, "Something went wrong on the platform (RuntimeError).")
    due_again(acme)
    tell(acme)
    assert notifications(acme)[0].run_id == made(acme)[0].id


# ── who acts ─────────────────────────────────────────────────────────────────────────────────────


def test_2_7_who_may_not_run_it_makes_no_such_automation(
    acme: Company, orders: Any, alice: Any, bob: Any, vera: Any, eve: Any, browse: Any
) -> None:
    give(acme, bob, "developer")
    restrict(acme, orders, ("user", bob.id, Level.VIEW))
    with acme.scope():
        automation = runs_on(alice)
        with pytest.raises(Forbidden):
            runs_on(bob, name="Mine")
        with pytest.raises(Forbidden):
            edit.save(
                Wanted("Orders", Trigger(events=["order.*"]), Action(run=RunDeployment("etl/nightly"))), by=here(bob),
                automation=automation,
            )  # fmt: skip
        with pytest.raises(Forbidden, match="as a person or a key"):
            edit.save(
                Wanted("Nobody's", Trigger(events=["order.*"]), Action(run=RunDeployment("etl/nightly"))),
                by=Actor("system", acme.organization.id, acme.workspace.id, "owner", "system"),
            )
        editor = Actor("user", acme.organization.id, acme.workspace.id, "", "operator", user_id=bob.id,
                       granted=frozenset({"automations.edit", "deployments.view"}))  # fmt: skip
        with pytest.raises(Forbidden, match=r"runs\.trigger"):
            edit.save(Wanted("Mine", Trigger(events=["order.*"]), Action(run=RunDeployment("etl/nightly"))), by=editor)
    form = {"name": "Mine", "events": "flow-run.failed", "tell": "run", "run_deployment": "etl/nightly"}
    form["most_per_minute"] = "5"
    assert browse(vera).post(f"{acme.path}automations/new", form).status_code == 403
    assert browse(eve).post(f"{acme.path}automations/new", form).status_code == 404
    restrict(acme, orders, ("user", bob.id, Level.USE))
    with acme.scope():
        assert runs_on(bob, name="Mine").user_id == bob.id


def test_2_7_another_companys_deployment_is_not_there(
    acme: Company, globex: Company, orders: Any, eve_api: Api
) -> None:
    body = {"trigger": {"events": ["order.*"]}, "action": {"run": {"deployment": "etl/nightly"}}}
    answer = eve_api.put("/automations/Orders", body)
    assert (answer.status_code, list(answer.json()["error"]["fields"])) == (400, ["run.deployment"])


def test_2_7_it_acts_with_the_rights_of_that_moment(acme: Company, orders: Any, alice: Any, bob: Any) -> None:
    give(acme, bob, "developer")
    with acme.scope():
        automation = runs_on(bob)
        happens(acme)
    tell(acme)
    assert [run.created_by for run in made(acme)] == [bob.email]

    give(acme, bob, "viewer")
    with acme.scope():
        happens(acme)
    tell(acme)
    assert "may not run etl/nightly any more" in why_not(acme)
    with acme.scope():
        Membership.objects.filter(user=bob).delete()
        happens(acme)
    tell(acme)
    assert "no part in this workspace any more" in why_not(acme)
    with acme.scope():
        runs_on_again(automation, alice)
        happens(acme)
    tell(acme)
    assert [run.created_by for run in made(acme)] == [bob.email, alice.email]


def test_2_7_one_that_runs_a_hidden_deployment_is_hidden_with_it(
    acme: Company, orders: Any, alice: Any, bob: Any, browse: Any
) -> None:
    give(acme, bob, "developer")
    with acme.scope():
        automation = runs_on(alice)
    restrict(acme, orders)
    with acme.scope(), pytest.raises(NotFound):
        edit.find(here(bob), id=automation.id)
    assert "Orders" not in browse(bob).get(f"{acme.path}automations").content.decode()
    assert "Orders" in browse(alice).get(f"{acme.path}automations").content.decode()


# ── circles and storms ───────────────────────────────────────────────────────────────────────────


def test_2_7_a_circle_ends_and_says_why(
    acme: Company, orders: Any, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triggering, "MAX_DEPTH", 3)
    with acme.scope():
        runs_on(alice, "flow-run.failed", parameters="")
    end(acme, *trigger(acme, orders))
    for _ in range(6):
        tell(acme)
        waiting = [run.id for run in made(acme) if run.state_type == "SCHEDULED"]
        if waiting:
            end(acme, *waiting)
    assert [run.caused_by["depth"] for run in made(acme)] == [1, 2, 3]
    assert len(firings(acme)) == 4
    assert "There such a chain ends" in why_not(acme)


def test_2_7_what_a_run_leads_to_says_what_it_all_began_with(acme: Company, orders: Any, alice: Any) -> None:
    """So no circle is opened by a run that it calls, by one that retries it, nor by its token."""
    with acme.scope():
        runs_on(alice)
        happens(acme)
    tell(acme)
    [run] = made(acme)
    [claimed] = claim(acme, agent(acme))
    start(claimed)
    own = Actor("run", acme.organization.id, acme.workspace.id, "run", run.name, run_id=run.id, attempt=1,
                deployment_id=orders.id)  # fmt: skip
    with acme.scope():
        called, _ = create_run(RunRequest(deployment=orders, parent_id=run.id), by=acme.actor())
        beside, _ = create_run(RunRequest(deployment=orders), by=own)
        other, _ = create_run(RunRequest(deployment=orders), by=acme.actor())
        happens(acme, by=own)
        assert Firing.objects.get(run_id=run.id).cause["depth"] == 1
        rows = lock_runs([run.id])
        assert move(rows[run.id], StateType.FAILED, by=By.HOLDER)
        save(rows.values())
        again, _ = retry(FlowRun.objects.select_related("deployment", "flow").get(id=run.id), parameters={},
                         by=here(alice))  # fmt: skip
    assert called.caused_by == beside.caused_by == again.caused_by == run.caused_by
    assert other.caused_by is None


def test_2_7_a_storm_waits_for_its_turn_and_not_for_ever(acme: Company, orders: Any, alice: Any) -> None:
    with acme.scope():
        automation = runs_on(alice, most=2)
        happens(acme, 7)
    tell(acme)
    tell(acme)
    assert [run.parameters["order"] for run in made(acme)] == [0, 1]
    a_minute_later(acme)
    tell(acme)
    assert [run.parameters["order"] for run in made(acme)] == [0, 1, 2, 3]

    with acme.scope():
        Firing.objects.filter(notification=None).update(at=now() - timedelta(minutes=61))
        happens(acme)
    a_minute_later(acme)
    tell(acme)
    assert len(made(acme)) == 5
    given_up = [row for row in notifications(acme) if row.failed]
    assert [(row.firings, row.tries[0][1]) for row in given_up] == [(3, "Its turn did not come within an hour.")]
    with acme.scope():
        assert automation.fired.filter(notification=None).count() == 0


def test_2_7_a_pause_ends_what_waits(acme: Company, orders: Any, alice: Any) -> None:
    with acme.scope():
        automation = runs_on(alice, most=1)
        happens(acme, 3)
    tell(acme)
    with acme.scope():
        edit.set_enabled(automation, enabled=False, by=here(alice))
    a_minute_later(acme)
    tell(acme)
    assert len(made(acme)) == 1
    assert why_not(acme) == "The automation was paused."
    assert [row.firings for row in notifications(acme)] == [1, 2]


def a_minute_later(company: Company) -> None:
    with company.scope():
        Notification.objects.update(created_at=now() - timedelta(seconds=61))


# ── what can be asked for, and the page ──────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("action", "field"),
    [
        ({"run": {"deployment": "etl"}}, "run.deployment"),
        ({"run": {"deployment": "etl/none"}}, "run.deployment"),
        ({"run": {"deployment": "etl/nightly"}, "to": ["alice@acme.example"]}, "action"),
        ({"run": {"deployment": "etl/nightly"}, "subject": "no"}, "subject"),
        ({"run": {"deployment": "etl/nightly", "parameters": "{{ body }}"}}, "run.parameters"),
        ({"run": {"deployment": "etl/nightly", "tags": ["x" * 201]}}, "run.tags"),
        ({"run": {"deployment": "etl/nightly", "debounce": 0.05}}, "run.debounce"),
        ({"run": {"deployment": "etl/nightly", "debounce_key": "{{ event }}"}}, "run.debounce"),
    ],
)
def test_2_7_what_can_t_be_taken_is_named(orders: Any, api: Api, action: dict[str, Any], field: str) -> None:
    answer = api.put("/automations/Orders", {"trigger": {"events": ["order.paid"]}, "action": action})
    assert (answer.status_code, list(answer.json()["error"]["fields"])) == (400, [field])


def test_2_7_the_form_makes_one_and_a_try_triggers_nothing(acme: Company, orders: Any, alice: Any, browse: Any) -> None:
    form = {
        "name": "Orders", "other_events": "order.paid", "tell": "run", "run_deployment": "etl/nightly",
        "run_parameters": '{"order": "x{{ payload.id }}"}', "run_tags": "paid, eu", "run_debounce": "2.5",
        "most_per_minute": "120", "to": "alice@acme.example", "subject": "left over",
    }  # fmt: skip
    browser, path = browse(alice), f"{acme.path}automations"
    wrong = browser.post(f"{path}/new", {**form, "run_deployment": "etl/none", "run_debounce": "soon"})
    text = wrong.content.decode()
    assert wrong.status_code == 400
    assert "0.1 to 86,400 seconds." in text
    assert "etl/none" in text

    page = browser.post(f"{path}/new", form)["location"]
    with acme.scope():
        automation = edit.find(here(alice), name="Orders")
    assert automation.action == {
        "run": {
            "deployment": "etl/nightly", "parameters": form["run_parameters"], "tags": ["paid", "eu"], "debounce": 2.5,
        }
    }  # fmt: skip
    assert 'value="2.5"' in browser.get(f"{page}/edit").content.decode()
    browser.post(f"{page}/test")
    tell(acme)
    assert "parameters.order" in why_not(acme)
    with acme.scope():
        runs_on_again(automation, alice, parameters=ORDER)
        happens(acme)  # Which is what it is tried with.
    browser.post(f"{page}/test")
    tell(acme)
    assert "A run could be triggered" in browser.get(page).content.decode()
    assert [run.parameters["order"] for run in made(acme)] == [0]
