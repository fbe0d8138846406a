"""2.7: Others trigger runs at an address."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any

import pytest
from django.test import Client

from runs.models import FlowRun, Webhook, WebhookDelivery
from runs.webhooks import edit
from tenants.errors import NotFound
from tenants.keys import digest
from tests.cast import Api, Company
from tests.runs.work import deploy, run_row

pytestmark = pytest.mark.django_db
SECRET = "signed-with-this"
SCHEMA = {"type": "object", "properties": {"branch": {"type": "string"}, "n": {"type": "integer"}}}


def hook(api: Api, name: str = "push", **more: Any) -> str:
    """The path of a new webhook."""
    made = api.put(f"/webhooks/{name}", {"deployment": "etl/nightly", **more})
    assert made.status_code == 201, made.content
    return "/hooks/" + made.json()["address"].rpartition("/")[2]


def send(path: str, body: Any, **headers: str) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = headers.pop("content_type", "application/json")
    return Client(headers=headers).post(path, data, content_type=kind)


def run_of(company: Company, answer: Any) -> FlowRun:
    assert answer.status_code == 202, answer.content
    return run_row(company, answer.json()["run"])


def last(company: Company) -> WebhookDelivery:
    with company.scope():
        return WebhookDelivery.objects.order_by("-at", "-id")[0]


@pytest.fixture
def api(acme: Company) -> Api:
    deploy(acme, parameter_schema=SCHEMA)
    return Api(acme.key("developer"))


def test_2_7_a_body_becomes_the_parameters(acme: Company, api: Api) -> None:
    path = hook(api)
    answer = send(path, {"branch": "main", "n": 3})
    run = run_of(acme, answer)
    assert (run.parameters, run.origin, answer.json()["created"]) == ({"branch": "main", "n": 3}, "webhook", True)
    kept = last(acme)
    assert (kept.status, kept.outcome, kept.run_id, kept.body) == (
        202,
        "triggered",
        run.id,
        '{"branch": "main", "n": 3}',
    )
    form = send(path, b"branch=a+b", content_type="application/x-www-form-urlencoded")
    assert run_of(acme, form).parameters == {"branch": "a b"}
    payload = send(path, b"payload=%7B%22n%22%3A4%7D", content_type="application/x-www-form-urlencoded")
    assert run_of(acme, payload).parameters == {"n": 4}


def test_2_7_templates_make_parameters_conditions_and_keys(acme: Company, api: Api) -> None:
    path = hook(
        api,
        parameters='{"branch": {{ body.ref|tojson }}}',
        filter='{{ headers["x-github-event"] == "push" and body.ref != "tmp" }}',
        idempotency="{{ body.id }}",
    )
    first = send(path, {"ref": 'ma"in', "id": 7}, **{"X-GitHub-Event": "push"})
    again = send(path, {"ref": "other", "id": 7}, **{"X-GitHub-Event": "push"})
    skipped = send(path, {"ref": "tmp", "id": 8}, **{"X-GitHub-Event": "push"})
    assert run_of(acme, first).parameters == {"branch": 'ma"in'}
    assert (again.json()["run"], again.json()["created"]) == (first.json()["run"], False)
    assert (skipped.status_code, skipped.json()) == (202, {"run": None, "created": False})
    with acme.scope():
        told = WebhookDelivery.objects.order_by("at").values_list("outcome", flat=True)
        assert list(told) == ["triggered", "known", "skipped"]


def test_2_7_one_parameter_takes_the_whole_body(acme: Company, api: Api) -> None:
    deploy(acme, "whole", parameter_schema={"type": "object", "properties": {"told": {"type": "array"}}})
    path = hook(api, deployment="etl/whole", parameter="told")
    assert run_of(acme, send(path, [1, 2])).parameters == {"told": [1, 2]}


def test_2_7_a_delivery_that_is_sent_again_triggers_nothing(acme: Company, api: Api) -> None:
    one, other = hook(api), hook(api, "other")
    ids = {send(path, {}, **{"X-GitHub-Delivery": "d1"}).json()["run"] for path in (one, one, other)}
    assert len(ids) == 2


def test_2_7_deliveries_are_debounced(acme: Company, api: Api) -> None:
    path = hook(api, debounce=60, debounce_key="{{ body.branch }}")
    told = [send(path, {"branch": branch, "n": n}).json() for n, branch in enumerate(("a", "b", "a"))]
    assert [each["created"] for each in told] == [True, True, False]
    assert run_row(acme, told[2]["run"]).parameters == {"branch": "a", "n": 2}


def test_2_7_deliveries_are_gathered_as_their_deployment_says(acme: Company, api: Api) -> None:
    deploy(acme, parameter_schema=SCHEMA, debounce=60)
    silent, at_once = hook(api), hook(api, "at-once", debounce=0)
    told = [send(path, {"n": 1}).json()["created"] for path in (silent, silent, at_once, at_once)]
    assert told == [True, False, True, True]


def _mac(body: bytes) -> str:
    return hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()


def test_2_7_signatures(acme: Company, api: Api) -> None:
    body, now = b'{"n": 1}', int(time.time())
    stripe = _mac(f"{now}.".encode() + body)
    old = _mac(f"{now - 400}.".encode() + body)
    kinds: list[tuple[dict[str, str], list[dict[str, str]], dict[str, str]]] = [
        ({"signature": "github"}, [{"X-Hub-Signature-256": "sha256=" + "0" * 64}, {}],
         {"X-Hub-Signature-256": f"sha256={_mac(body)}"}),
        ({"signature": "stripe"},
         [{"Stripe-Signature": f"t={now - 400},v1={old}"}, {"Stripe-Signature": f"v1={stripe}"}],
         {"Stripe-Signature": f"t={now},v1={'0' * 64},v1={stripe}"}),
        ({"signature": "header", "signature_header": "X-Token"}, [{"X-Token": "no"}, {}], {"X-Token": SECRET}),
    ]  # fmt: skip
    for settings, wrong, right in kinds:
        path = hook(api, settings["signature"], secret=SECRET, **settings)
        for headers in wrong:
            assert send(path, body, **headers).json()["error"]["code"] == "forbidden"
            assert (last(acme).status, last(acme).body) == (403, "")
        assert run_of(acme, send(path, body, **right)).parameters == {"n": 1}
    with acme.scope():
        assert all(SECRET.encode() not in bytes(row.sealed) for row in Webhook.objects.all())


def test_2_7_what_is_refused_says_why_and_is_kept(acme: Company, api: Api) -> None:
    path = hook(api)
    refused = send(path, {"n": "x", "password": "hunter22", "nested": {"api_key": "k-123456"}})
    assert (refused.status_code, list(refused.json()["error"]["fields"])) == (400, ["parameters.n"])
    assert (last(acme).outcome, last(acme).status) == ("refused", 400)
    assert "hunter22" not in last(acme).body
    assert "k-123456" not in last(acme).body
    assert send(path, b"{").status_code == 400
    assert send(path, b"x" * (513 << 10)).status_code == 413
    assert api.post("/webhooks/push/pause").json()["paused"]
    assert send(path, {}).status_code == 409
    api.post("/webhooks/push/resume")
    assert send(path, {}).status_code == 202


def test_2_7_an_unknown_token_is_not_found_and_a_former_one_is_good_for_a_while(acme: Company, api: Api) -> None:
    former = hook(api)
    assert send("/hooks/orh_nobody", {}).json() == {
        "error": {"code": "not_found", "message": "There is no such webhook."}
    }  # fmt: skip
    rotated = api.post("/webhooks/push/rotate", {"overlap": 60}).json()
    new = "/hooks/" + rotated["address"].rpartition("/")[2]
    assert [send(path, {}).status_code for path in (former, new)] == [202, 202]
    newest = "/hooks/" + api.post("/webhooks/push/rotate", {"overlap": 0}).json()["address"].rpartition("/")[2]
    assert [send(path, {}).status_code for path in (former, new, newest)] == [404, 404, 202]
    api.delete("/webhooks/push")
    assert send(newest, {}).status_code == 404


def test_2_7_a_change_undoes_nothing_that_happened_meanwhile(
    acme: Company, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook(api, signature="github", secret=SECRET)
    check = edit._check

    def meanwhile(*given: Any, **more: Any) -> None:
        check(*given, **more)
        Webhook.objects.update(paused=True, token_hash=digest("orh_new"), sealed=b"anew")

    monkeypatch.setattr(edit, "_check", meanwhile)
    changed = api.put("/webhooks/push", {"deployment": "etl/nightly", "signature": "github", "filter": "true"})
    assert changed.status_code == 200, changed.content
    with acme.scope():
        now = Webhook.objects.get()
    assert (now.paused, bytes(now.token_hash), bytes(now.sealed or b"")) == (True, digest("orh_new"), b"anew")
    assert now.filter == "true"


def test_2_7_who_rotates_has_the_former_token_of_this_moment(acme: Company, api: Api) -> None:
    hook(api)
    with acme.scope():
        mine, theirs = Webhook.objects.get(), Webhook.objects.get()
        first = edit.rotate(theirs, overlap=60, by=acme.actor())
        edit.rotate(mine, overlap=60, by=acme.actor())
        assert bytes(Webhook.objects.get().former_hash or b"") == digest(first)
        theirs.delete()
        with pytest.raises(NotFound):
            edit.rotate(mine, overlap=60, by=acme.actor())


def test_2_7_a_webhook_does_what_its_maker_may_do_now(acme: Company, api: Api) -> None:
    from tenants.keys import revoke_key
    from tenants.models import ApiKey

    path = hook(api)
    with acme.scope():
        for key in ApiKey.objects.all():
            revoke_key(key)
    refused = send(path, {})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
    with acme.scope():
        assert not FlowRun.objects.exists()


def test_2_7_the_last_hundred_are_kept(acme: Company, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from runs.webhooks import receiving

    monkeypatch.setattr(receiving, "KEPT", 3)
    path = hook(api, filter="{{ false }}")
    for n in range(5):
        send(path, {"n": n})
    bodies = [each["body"] for each in api.get("/webhooks/push/deliveries").json()["items"]]
    assert bodies == ['{"n": 4}', '{"n": 3}', '{"n": 2}']


def test_2_7_a_webhook_is_rate_limited(acme: Company, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from runs.webhooks import receiving

    monkeypatch.setattr(receiving, "MOST_A_MINUTE", 2)
    path = hook(api)
    assert [send(path, {}).status_code for _ in range(3)] == [202, 202, 429]


def test_2_7_a_body_is_tried_without_triggering(acme: Company, api: Api) -> None:
    hook(api, parameters='{"n": {{ body.count }}}', signature="github", secret=SECRET)
    told = api.post("/webhooks/push/try", {"body": '{"count": 3}'}).json()
    assert told == {"wanted": True, "parameters": {"n": 3}, "idempotency_key": None, "debounce_key": None}
    for body, field in (("{}", "parameters"), ('{"count": 1.5}', "parameters.n")):
        wrong = api.post("/webhooks/push/try", {"body": body})
        assert (wrong.status_code, list(wrong.json()["error"]["fields"])) == (400, [field])
    with acme.scope():
        assert not FlowRun.objects.exists()
        assert not WebhookDelivery.objects.exists()


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"signature": "github"}, "secret"),
        ({"signature": "header", "secret": SECRET}, "signature_header"),
        ({"signature": "github", "secret": SECRET, "signature_header": "X: $(id)"}, "signature_header"),
        ({"filter": "{{ run }}"}, "filter"),
        ({"parameters": "{{ body.x() }}"}, "parameters"),
        ({"parameters": "{}", "parameter": "x"}, "parameter"),
        ({"debounce_key": "{{ body.x }}"}, "debounce"),
        ({"debounce": -1}, "debounce"),
    ],
)
def test_2_7_webhooks_that_can_not_be(api: Api, more: dict[str, Any], field: str) -> None:
    told = api.put("/webhooks/push", {"deployment": "etl/nightly", **more})
    assert (told.status_code, field in told.json()["error"]["fields"]) == (400, True)


PASSWORD = {"type": "string", "format": "password", "writeOnly": True}


@pytest.mark.parametrize("template", ["", '{"password": {{ body.password|tojson }}}', '{"password": {{ body.text }}}'])
def test_2_7_senders_choose_no_secrets(acme: Company, api: Api, template: str) -> None:
    """Whoever knows the address would use every secret that the webhook's maker may."""
    deploy(acme, "login", parameter_schema={"type": "object", "properties": {"password": PASSWORD}})
    assert api.put("/blocks/secret/vault", {"data": {"value": "open sesame"}}).status_code == 201
    path = hook(api, deployment="etl/login", parameters=template)
    named = {"$block": "secret/vault"}
    refused = send(path, {"password": named} | ({"text": json.dumps(named)} if "text" in template else {}))
    assert (refused.status_code, list(refused.json()["error"]["fields"])) == (400, ["parameters.password"])
    with acme.scope():
        assert not FlowRun.objects.exists()


def test_2_7_who_makes_a_webhook_chooses_a_secret_that_they_may_use(acme: Company, bob: Any, api: Api) -> None:
    from blocks.models import Block
    from tenants.restrictions.models import Level
    from tests.restricted import here, restrict
    from tests.tenants.test_key_ring import give

    deploy(acme, "login", parameter_schema={"type": "object", "properties": {"password": PASSWORD}})
    assert api.put("/blocks/secret/vault", {"data": {"value": "open sesame"}}).status_code == 201
    give(acme, bob, "developer")
    with acme.scope():
        wanted = edit.Wanted("push", "etl/login", parameters='{"password": {"$block": "secret/vault"}}')
        _, token = edit.save(wanted, by=here(bob))
        vault = Block.objects.get()
    assert run_of(acme, send(f"/hooks/{token}", {})).secrets == {"/password": "secret/vault"}
    for level, status in ((Level.VIEW, 400), (Level.USE, 202)):
        restrict(acme, vault, ("user", bob.id, level))
        assert send(f"/hooks/{token}", {}).status_code == status


def test_2_7_the_secret_is_sealed_again_by_a_new_data_key(acme: Company, api: Api) -> None:
    from runs.webhooks import rotation
    from tenants import encryption

    body = b'{"n": 1}'
    path = hook(api, signature="github", secret=SECRET)
    with acme.scope():
        encryption.add_data_key(acme.organization.id)
    assert rotation.reseal(acme.organization.id) == 1
    assert rotation.reseal(acme.organization.id) == 0
    assert run_of(acme, send(path, body, **{"X-Hub-Signature-256": f"sha256={_mac(body)}"})).parameters == {"n": 1}


def test_2_7_the_address_is_shown_once(acme: Company, api: Api) -> None:
    """The address is shown once; a viewer sees neither it nor what came."""
    made = api.put("/webhooks/push", {"deployment": "etl/nightly"}).json()
    assert "address" not in api.get("/webhooks/push").json()
    assert made["prefix"] in made["address"]
    viewer = Api(acme.key("viewer", "viewer"))
    assert viewer.get("/webhooks").json()["items"][0]["name"] == "push"
    assert viewer.get("/webhooks/push/deliveries").status_code == 403
    assert viewer.put("/webhooks/push", {"deployment": "etl/nightly"}).status_code == 403
