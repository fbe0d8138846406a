"""2.7: pages of webhooks: the list, one with what came, the form with an example to try, the address, shown once."""

from __future__ import annotations

import re
from typing import Any

import pytest

from runs.models import FlowRun, Webhook, WebhookDelivery
from tenants.models import AuditEntry
from tests.cast import Api, Company
from tests.restricted import restrict
from tests.runs.pages import page
from tests.runs.test_webhooks import SCHEMA, SECRET, hook, send
from tests.runs.work import deploy

pytestmark = pytest.mark.django_db


@pytest.fixture
def nightly(acme: Company) -> Any:
    return deploy(acme, parameter_schema=SCHEMA)


@pytest.fixture
def typed(nightly: Any) -> dict[str, str]:
    """The form as it is sent."""
    return {"name": "push", "deployment": str(nightly.id), "how": "body", "signature": ""}


def post(company: Company, browser: Any, path: str, **data: str) -> Any:
    return browser.post(f"{company.path}{path}", data, follow=True)


def only(company: Company) -> Webhook:
    with company.scope():
        return Webhook.objects.get()


def trail(company: Company) -> list[str]:
    with company.scope():
        found = AuditEntry.objects.filter(action__startswith="webhook.").order_by("at", "id")
        return [each.action.removeprefix("webhook.") for each in found]


def address_in(answer: Any) -> str:
    """The path of the address that a page shows."""
    return re.search(r"/hooks/orh_[\w-]{20,}", answer.content.decode())[0]  # type: ignore[index]


def tried(company: Company, browser: Any, typed: dict[str, str], **more: str) -> str:
    return " ".join(post(company, browser, "webhooks/_try", **typed, **more).content.decode().split())


# ── looking ──────────────────────────────────────────────────────────────────────────────────────


def test_an_empty_list_says_what_a_webhook_is_for(
    acme: Company, alice: Any, vera: Any, browse: Any, nightly: Any
) -> None:
    told = page(acme, browse(alice), "webhooks")
    assert "Let other services trigger your runs" in told
    assert "webhooks/new" in told
    assert "webhooks/new" not in page(acme, browse(vera), "webhooks")
    assert f"webhooks/new?deployment={nightly.id}" in page(
        acme, browse(alice), f"deployments/{nightly.id}", tab="webhooks"
    )


def test_the_list_tells_what_came_last(acme: Company, nightly: Any, api: Api, vera: Any, browse: Any) -> None:
    deploy(acme, "other", flow="load")
    send(hook(api), {"n": "x"})
    hook(api, "idle-one", deployment="load/other")
    browser = browse(vera)
    told = page(acme, browser, "webhooks")
    for each in ("Refused, 400", "Nothing lately", "load / other", "orh_"):
        assert each in told, each
    assert "idle-one" not in page(acme, browser, "webhooks", q="nightly")
    assert "No webhook matches" in page(acme, browser, "webhooks", state="paused")
    of_one = page(acme, browser, f"deployments/{nightly.id}", tab="webhooks")
    assert "push" in of_one
    assert "idle-one" not in of_one


def test_a_webhook_and_what_came(acme: Company, nightly: Any, api: Api, alice: Any, vera: Any, browse: Any) -> None:
    path = hook(api, filter="{{ not body.skip }}")
    run = send(path, {"n": 1}).json()["run"]
    for body in ({"skip": True}, {"n": "wrong-one"}):
        send(path, body)
    told = page(acme, browse(alice), f"webhooks/{only(acme).id}")
    for each in (f"/runs/{run}", "Skipped", "Refused, 400", "wrong-one", "Rotate", "{{ not body.skip }}", "Edit"):
        assert each in told, each
    seen = page(acme, browse(vera), f"webhooks/{only(acme).id}")
    assert f"/runs/{run}" in seen
    for each in ("wrong-one", "Rotate", "/edit", "/pause"):  # A viewer only looks, and bodies may hold what is theirs.
        assert each not in seen, each


def test_it_says_when_nobody_stands_behind_it(acme: Company, nightly: Any, vera: Any, browse: Any) -> None:
    from tenants.keys import revoke_key
    from tenants.models import ApiKey

    hook(Api(acme.key("leaves")))
    with acme.scope():
        revoke_key(ApiKey.objects.get(name="leaves"))
    assert "who may not trigger the deployment any more" in page(acme, browse(vera), f"webhooks/{only(acme).id}")


def test_a_restricted_deployment_hides_its_webhooks(
    acme: Company, nightly: Any, api: Api, vera: Any, browse: Any
) -> None:
    hook(api)
    restrict(acme, nightly)
    assert "No other service triggers runs here" in page(acme, browse(vera), "webhooks")
    assert browse(vera).get(f"{acme.path}webhooks/{only(acme).id}").status_code == 404


def test_runs_of_a_restricted_deployment_are_not_named(
    acme: Company, nightly: Any, api: Api, vera: Any, browse: Any
) -> None:
    """It triggers another deployment by now; what it triggered before is not for everybody."""
    run = send(hook(api), {}).json()["run"]
    deploy(acme, "other", flow="load")
    api.put("/webhooks/push", {"deployment": "load/other"})
    restrict(acme, nightly)
    told = page(acme, browse(vera), f"webhooks/{only(acme).id}")
    assert "Triggered" in told
    assert run not in told


# ── the form ─────────────────────────────────────────────────────────────────────────────────────


def test_one_is_made_and_its_address_is_shown_once(
    acme: Company, alice: Any, browse: Any, typed: dict[str, str]
) -> None:
    browser = browse(alice)
    made = post(acme, browser, "webhooks/new", **typed)
    assert "no-store" in made.headers["Cache-Control"]
    assert "curl" in made.content.decode()
    assert send(address_in(made), {"n": 1}).status_code == 202
    assert address_in(made) not in page(acme, browser, f"webhooks/{only(acme).id}")
    again = post(acme, browser, "webhooks/new", **typed)
    assert (again.status_code, b"Choose another name." in again.content) == (400, True)
    assert trail(acme) == ["created"]


def test_one_is_changed_and_keeps_its_secret(acme: Company, alice: Any, browse: Any, typed: dict[str, str]) -> None:
    browser = browse(alice)
    signed = typed | {"signature": "github", "secret": SECRET}
    made = post(acme, browser, "webhooks/new", **signed)
    assert "X-Hub-Signature-256: sha256=$SIGNED".lower() in made.content.decode().lower()
    sealed = only(acme).sealed
    path = f"webhooks/{only(acme).id}/edit"
    assert SECRET not in page(acme, browser, path)
    template = {"how": "template", "parameters": '{"n": {{ body.n }}}', "parameter": "left out"}
    post(acme, browser, path, **signed | template | {"secret": "", "name": "renamed"})
    changed = only(acme)
    assert (changed.sealed, changed.parameters, changed.parameter, changed.name) == (
        sealed, template["parameters"], "", "push",
    )  # fmt: skip
    with acme.scope():
        assert AuditEntry.objects.get(action="webhook.updated").details["changed"] == ["parameters"]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"deployment": ""}, "deployment"),
        ({"deployment": "etl/none"}, "deployment"),
        ({"name": "a/b"}, "name"),
        ({"how": "template"}, "parameters"),
        ({"how": "parameter"}, "parameter"),
        ({"filter": "{{ run }}"}, "filter"),
        ({"debounce": "soon"}, "debounce"),
        ({"debounce_key": "{{ body.x }}"}, "debounce"),
        ({"signature": "github"}, "secret"),
        ({"signature": "none"}, "signature"),
    ],
)
def test_what_can_not_be_taken_is_told_beside_its_field(
    acme: Company, alice: Any, browse: Any, typed: dict[str, str], more: dict[str, str], field: str
) -> None:
    answer = post(acme, browse(alice), "webhooks/new", **typed | more)
    assert answer.status_code == 400
    assert f'id="{field}-error"' in answer.content.decode()
    assert trail(acme) == []


def test_an_example_is_tried_before_it_is_saved(acme: Company, alice: Any, browse: Any, typed: dict[str, str]) -> None:
    """By what a delivery is read and checked by; nothing is made, and neither name nor secret is asked for."""
    browser = browse(alice)
    nameless = typed | {"name": "", "signature": "github"}
    told = tried(acme, browser, nameless, body='{"n": 3}', headers="X-GitHub-Delivery: d1\n", debounce="90")
    for each in ("Triggers a run", "&quot;n&quot;: 3", "<code>d1</code>", "until nothing came for 1m 30s"):
        assert each in told, each
    assert "Skipped by the filter" in tried(acme, browser, typed, body="{}", filter="{{ body.n == 1 }}")
    assert "<code>n</code>: &#x27;x&#x27; is not of type" in tried(acme, browser, typed, body='{"n": "x"}')
    assert "The body is no JSON" in tried(acme, browser, typed, body="{")
    for wrong in ({"filter": "{{ run }}"}, {"body": "{}", "headers": "push"}, {"filter": "{{ 1 / 0 }}", "body": "{}"}):
        assert "data-problems=" in tried(acme, browser, typed, **wrong), wrong
    with acme.scope():
        for rows in (Webhook, FlowRun, WebhookDelivery):
            assert not rows.objects.exists()


def test_the_example_of_a_form_is_what_came_last(
    acme: Company, nightly: Any, api: Api, alice: Any, browse: Any
) -> None:
    send(hook(api), {"n": 12345})
    told = page(acme, browse(alice), f"webhooks/{only(acme).id}/edit")
    assert "{&quot;n&quot;: 12345}</textarea>" in told
    assert "Triggers a run" in told


# ── deeds ────────────────────────────────────────────────────────────────────────────────────────


def test_it_is_rotated_paused_resumed_and_deleted(
    acme: Company, nightly: Any, api: Api, alice: Any, browse: Any
) -> None:
    former, browser = hook(api), browse(alice)
    path = f"webhooks/{only(acme).id}"
    new = address_in(post(acme, browser, f"{path}/rotate", overlap="3600"))
    assert [send(each, {}).status_code for each in (former, new)] == [202, 202]
    newest = address_in(post(acme, browser, f"{path}/rotate", overlap="0"))
    assert [send(each, {}).status_code for each in (former, new, newest)] == [404, 404, 202]
    assert b"Choose when the former address ends" in post(acme, browser, f"{path}/rotate", overlap="-1").content
    post(acme, browser, f"{path}/pause")
    assert send(newest, {}).status_code == 409
    post(acme, browser, f"{path}/resume")
    assert send(newest, {}).status_code == 202
    assert b"was deleted" in post(acme, browser, f"{path}/remove").content
    assert send(newest, {}).status_code == 404
    assert trail(acme) == ["created", "rotated", "rotated", "paused", "resumed", "deleted"]


def test_budget(
    acme: Company, nightly: Any, api: Api, alice: Any, browse: Any, django_assert_max_num_queries: Any
) -> None:
    """2.7: any number of webhooks and deliveries costs the same number of queries."""
    paths = [hook(api, f"push-{number}") for number in range(60)]
    for number in range(40):
        send(paths[-1], {"n": number})
    with acme.scope():
        last = Webhook.objects.get(name="push-59")
    browser = browse(alice)
    for path, most in (("webhooks", 16), (f"webhooks/{last.id}", 20), (f"webhooks/{last.id}/edit", 24)):
        page(acme, browser, path)
        with django_assert_max_num_queries(most):
            page(acme, browser, path)
    told = page(acme, browser, "webhooks")
    assert told.count("data-row") == 50
    older = re.search(r'webhooks(\?cursor=[^"]+)', told)[1]  # type: ignore[index]
    assert page(acme, browser, f"webhooks{older}").count("data-row") == 10
    assert page(acme, browser, f"webhooks/{last.id}").count("data-row") == 25
