"""The admin of an organization: who comes in, what they see and change, and what nobody sees."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from blocks.models import Block, Variable
from orchestrator.ids import uuid7
from runs.deployments import limits_of
from runs.limits import set_limit
from runs.models import Deployment, FlowRun, Schedule
from tenants.models import AuditEntry, Membership
from tests.cast import Api, Company, person
from tests.runs.work import deploy, trigger

pytestmark = pytest.mark.django_db

HOME = "/o/acme/admin/"
SECRET = "planted-secret-4711"
Sign = Callable[[Any], Client]


@pytest.fixture
def admin(browse: Sign, acme: Company) -> Client:
    """The browser of Ada, an admin of Acme."""
    return browse(colleague(acme, "ada@acme.example", "admin"))


def colleague(company: Company, email: str, role: str) -> Any:
    user = person(email)
    with company.scope():
        Membership.objects.create(organization=company.organization, user=user, role=role)
    return user


@pytest.fixture
def things(acme: Company, api: Api) -> dict[str, Any]:
    """One of each model, by its address."""
    assert api.put("/variables/region", {"value": {"name": "eu"}, "tags": ["geo"]}).status_code == 201
    credentials = {"aws_access_key_id": "AKIA1", "aws_secret_access_key": SECRET}
    assert api.put("/blocks/aws-credentials/prod", {"data": credentials}).status_code == 201
    deployment = deploy(acme, schedule={"cron": "0 6 * * *", "timezone": "Europe/Oslo"}, tags=["nightly"])
    with acme.scope():
        return {
            "blocks/variable": Variable.objects.get().id,
            "blocks/block": Block.objects.get().id,
            "runs/deployment": deployment.id,
        }


def pages(things: dict[str, Any]) -> list[str]:
    """Every page of the site, filled with these things."""
    found = ["", "jsi18n/", "blocks/block/add/?workspace=main&type=aws-credentials"]
    for model, id in things.items():
        found += [f"{model}/", f"{model}/?q=r", f"{model}/?workspace=main", f"{model}/add/"]
        found += [f"{model}/{id}/change/", f"{model}/{id}/delete/"]
    return found


def audited(company: Company) -> list[tuple[str, str, str]]:
    with company.scope():
        rows = AuditEntry.objects.filter(actor_kind="user").order_by("at", "id")
        return list(rows.values_list("action", "object_name", "actor"))


# ── who comes in ──────────────────────────────────────────────────────────────────────────────────────


def test_owners_and_admins_see_every_page(acme: Company, browse: Sign, admin: Client, things: dict) -> None:
    for client in (browse(acme.owner), admin):
        for page in pages(things):
            answer = client.get(HOME + page)
            assert answer.status_code == 200, (page, answer.status_code)
            assert SECRET not in answer.content.decode(), page
    assert not acme.owner.is_staff


@pytest.mark.parametrize("role", ["billing", "member"])
def test_others_of_the_organization_are_refused(acme: Company, browse: Sign, things: dict, role: str) -> None:
    client = browse(colleague(acme, "bea@acme.example", role))
    for page in pages(things):
        for method in ("GET", "POST"):
            assert client.generic(method, HOME + page).status_code == 403, (page, method)


def test_strangers_and_staff_find_nothing(globex: Company, browse: Sign, things: dict) -> None:
    staff = person("sam@installation.example")
    staff.is_staff = staff.is_superuser = True
    staff.save()
    for client in (browse(globex.owner), browse(staff)):
        for page in pages(things):
            for method in ("GET", "POST"):
                theirs, nobodys = (client.generic(method, f"/o/{name}/admin/{page}") for name in ("acme", "nobody"))
                assert theirs.status_code == nobodys.status_code == 404, (page, method)


def test_who_is_not_signed_in_is_sent_to_the_door(things: dict) -> None:
    for page in pages(things):
        answer = Client().get(HOME + page)
        assert (answer.status_code, answer.headers["Location"].partition("?")[0]) == (302, "/login/"), page


def test_a_former_admin_is_out_at_once(acme: Company, browse: Sign) -> None:
    ada = colleague(acme, "ada@acme.example", "admin")
    client = browse(ada)
    assert client.get(HOME).status_code == 200
    with acme.scope():
        Membership.objects.filter(user=ada).update(role="member")
    assert client.get(HOME).status_code == 403


# ── foreign rows ──────────────────────────────────────────────────────────────────────────────────────


def test_foreign_ids_are_as_unknown_ones(globex: Company, browse: Sign, things: dict) -> None:
    client = browse(globex.owner)
    for model, id in things.items():
        for page in ("change", "delete", "history"):
            for method in ("GET", "POST"):
                theirs, nobodys = (
                    client.generic(method, f"/o/globex/admin/{model}/{row}/{page}/") for row in (id, uuid7())
                )
                assert theirs.status_code == nobodys.status_code == 404, (model, page, method)
        assert str(id) not in client.get(f"/o/globex/admin/{model}/").content.decode()


def test_a_foreign_workspace_is_no_choice(acme: Company, globex: Company, admin: Client) -> None:
    new = {"workspace": str(globex.workspace.id), "name": "planted", "value": "1"}
    answer = admin.post(f"{HOME}blocks/variable/add/", new)
    assert answer.status_code == 200
    assert "Select a valid choice" in answer.content.decode()
    with globex.scope():
        assert not Variable.objects.exists()


def test_ways_to_other_rows_are_shut(admin: Client, things: dict) -> None:
    for path in (
        "autocomplete/", "r/1/1/", "login/", "logout/", "password_change/", "search/", "tenants/user/",
        "auth/group/", "blocks/variable/not-an-id/change/", "nothing",
    ):  # fmt: skip
        assert admin.get(HOME + path).status_code in {302, 404}, path
        assert admin.get(HOME + path, follow=True).request["PATH_INFO"] in {HOME, HOME + path}
    assert admin.get(f"{HOME}blocks/block/?versions__sealed__startswith=a").status_code == 400
    assert admin.get(f"{HOME}blocks/variable/?organization__name=Acme").status_code == 400
    assert admin.get(f"{HOME}blocks/variable/?_to_field=value&_popup=1").status_code == 200
    assert admin.post(f"{HOME}blocks/variable/", {"action": "delete_selected"}).status_code == 200


# ── variables ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_variable_is_made_changed_and_removed(acme: Company, admin: Client) -> None:
    new = {"workspace": str(acme.workspace.id), "name": "region", "value": "eu-north", "tags": "geo, prod"}
    assert admin.post(f"{HOME}blocks/variable/add/", new).headers["Location"] == f"{HOME}blocks/variable/"
    with acme.scope():
        variable = Variable.objects.get()
        assert (variable.value, variable.tags, variable.updated_by) == ("eu-north", ["geo", "prod"], "ada@acme.example")
    page = f"{HOME}blocks/variable/{variable.id}/"
    assert admin.post(f"{page}change/", {"value": '{"a": [1]}', "tags": "", "name": "other"}).status_code == 302
    with acme.scope():
        assert (changed := Variable.objects.get()).value == {"a": [1]}
        assert (changed.name, changed.tags) == ("region", [])
    assert admin.post(f"{page}delete/", {"post": "yes"}).status_code == 302
    with acme.scope():
        assert not Variable.objects.exists()
    assert [action for action, *_ in audited(acme)] == ["variable.created", "variable.updated", "variable.deleted"]
    assert {actor for *_, actor in audited(acme)} == {"ada@acme.example"}


@pytest.mark.parametrize("value", ["0", "false", "null", "[]", "{}", '""'])
def test_empty_values_are_values(acme: Company, admin: Client, value: str) -> None:
    new = {"workspace": str(acme.workspace.id), "name": "empty", "value": value}
    assert admin.post(f"{HOME}blocks/variable/add/", new).status_code == 302
    with acme.scope():
        assert Variable.objects.get().value == json.loads(value)


def test_what_the_operation_refuses_stands_beside_its_field(acme: Company, admin: Client, things: dict) -> None:
    new = {"workspace": str(acme.workspace.id), "name": "No Name", "value": "1"}
    text = admin.post(f"{HOME}blocks/variable/add/", new).content.decode()
    assert "Lower case letters, digits, _ and -" in text
    text = admin.post(f"{HOME}blocks/variable/add/", {**new, "name": "region"}).content.decode()
    assert "A variable of this name exists" in text
    text = admin.post(f"{HOME}blocks/variable/add/", {**new, "name": "big", "value": "x" * 70_000}).content.decode()
    assert "Too large" in text
    with acme.scope():
        assert Variable.objects.count() == 1


# ── blocks ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_block_with_a_secret_is_made_and_its_secret_never_shown(acme: Company, admin: Client, api: Api) -> None:
    page = f"{HOME}blocks/block/add/?workspace=main&type=aws-credentials"
    new = {
        "name": "prod",
        "version": "0",
        "p~mode": "form",
        "p.aws_access_key_id": "AKIA1",
        "p.aws_secret_access_key": SECRET,
    }
    assert admin.post(page, new).status_code == 302
    with acme.scope():
        block = Block.objects.get()
    change = f"{HOME}blocks/block/{block.id}/change/"
    shown = admin.get(change).content.decode()
    assert SECRET not in shown
    assert "Replace" in shown
    kept = {
        **new,
        "version": "1",
        "p.aws_access_key_id": "AKIA2",
        "p.aws_secret_access_key": "",
        "p.aws_secret_access_key~kept": "1",
    }
    assert admin.post(change, kept).status_code == 302
    value = api.post("/blocks/aws-credentials/prod/value").json()
    assert (value["version"], value["data"]["aws_access_key_id"]) == (2, "AKIA2")
    assert value["data"]["aws_secret_access_key"] == SECRET
    assert [action for action, *_ in audited(acme)] == ["block.created", "block.updated"]


def test_a_refused_block_shows_no_secret_again(acme: Company, admin: Client, things: dict) -> None:
    page = f"{HOME}blocks/block/add/?workspace=main&type=aws-credentials"
    new = {"version": "0", "p~mode": "form", "p.aws_secret_access_key": SECRET}
    for name, reason in (("No Name", "Lower case letters"), ("prod", "exists already"), ("", "This field is required")):
        text = admin.post(page, {**new, "name": name}).content.decode()
        assert reason in text, name
        assert SECRET not in text
    page = f"{HOME}blocks/block/add/?workspace=main&type=s3-bucket"
    text = admin.post(page, {"name": "lake", "version": "0", "p~mode": "form"}).content.decode()
    assert "bucket" in text
    assert "Fill this in" in text or "required" in text
    with acme.scope():
        assert Block.objects.count() == 1


def test_a_newer_version_is_not_overwritten(admin: Client, api: Api, things: dict) -> None:
    old = {"name": "prod", "version": "1", "p~mode": "form", "p.aws_access_key_id": "MINE"}
    api.put("/blocks/aws-credentials/prod", {"data": {"aws_access_key_id": "THEIRS"}})
    text = admin.post(f"{HOME}blocks/block/{things['blocks/block']}/change/", old).content.decode()
    assert "version 1 was expected" in text
    assert api.get("/blocks/aws-credentials/prod").json()["data"]["aws_access_key_id"] == "THEIRS"


def test_a_block_is_renamed_and_deleted_unless_it_is_used(admin: Client, api: Api, things: dict) -> None:
    api.put(
        "/blocks/s3-bucket/lake", {"data": {"bucket_name": "b-1", "credentials": {"$block": "aws-credentials/prod"}}}
    )
    page = f"{HOME}blocks/block/{things['blocks/block']}/"
    text = admin.post(f"{page}delete/", {"post": "yes"}, follow=True).content.decode()
    assert "is used by s3-bucket/lake" in text
    kept = {
        "p~mode": "form",
        "p.aws_access_key_id": "AKIA1",
        "p.aws_secret_access_key~kept": "1",
        "p.aws_secret_access_key": "",
    }
    assert admin.post(f"{page}change/", {"name": "live", "version": "1", **kept}).status_code == 302
    used = api.get("/blocks/s3-bucket/lake").json()["data"]["credentials"]
    assert used == {"$block": "aws-credentials/live"}
    api.delete("/blocks/s3-bucket/lake")
    assert admin.post(f"{page}delete/", {"post": "yes"}).status_code == 302
    assert api.get("/blocks").json()["items"] == []


# ── deployments ───────────────────────────────────────────────────────────────────────────────────────


def posted(form: Any, **changes: Any) -> dict[str, Any]:
    """What a browser would send of a form as it is shown."""
    values = {field.html_name: field.value() for field in form}
    return {name: value for name, value in {**values, **changes}.items() if value not in (None, False)}


def test_a_deployment_is_changed_and_keeps_what_was_left_alone(acme: Company, admin: Client, things: dict) -> None:
    page = f"{HOME}runs/deployment/{things['runs/deployment']}/change/"
    with acme.scope():
        before = Deployment.objects.get()
        Deployment.objects.update(concurrency_key="vip", on_limit="CANCEL_NEW", debounce=90)
        set_limit(before, 2, of_keys=True)
    form = admin.get(page).context["adminform"].form
    answer = admin.post(page, posted(form, retries="3", concurrency_limit="2", active=False))
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    with acme.scope():
        after, schedule = Deployment.objects.get(), Schedule.objects.get()
    same = ("name", "flow_id", "entrypoint", "source", "tags", "parameters", "pool_id", "queue_id", "process")
    assert [getattr(after, name) for name in same] == [getattr(before, name) for name in same]
    assert (after.retries, schedule.active, schedule.cron, schedule.timezone) == (3, False, "0 6 * * *", "Europe/Oslo")
    kept = (after.concurrency_key, after.on_limit, after.debounce)
    with acme.scope():
        assert (*kept, limits_of(after)["key_slots"]) == ("vip", "CANCEL_NEW", 90, 2)
    assert [action for action, *_ in audited(acme)] == ["deployment.updated", "deployment.paused"]
    assert admin.get(page).context["adminform"].form["concurrency_limit"].value() == 2


def test_a_deployment_is_made(acme: Company, admin: Client) -> None:
    page = f"{HOME}runs/deployment/add/"
    told = {"flow_name": "etl", "name": "hourly", "entrypoint": "flows.py:etl", "process": "warm", "source": "{}"}
    wrong = posted(admin.get(page).context["adminform"].form, **told, workspace=str(acme.workspace.id))
    assert "A source is a bundle or a path" in (text := admin.post(page, wrong).content.decode()) or "type" in text
    right = {**wrong, "source": '{"type": "path", "path": "/flows"}', "schedule": '{"interval": 3600}'}
    assert admin.post(page, right).status_code == 302
    with acme.scope():
        made, schedule = Deployment.objects.get(), Schedule.objects.get()
        assert (str(made), made.workspace_id, schedule.interval) == ("etl/hourly", acme.workspace.id, 3600.0)
    assert "exists in this workspace" in admin.post(page, right).content.decode()


def test_a_deployment_goes_and_cancels_what_waits(acme: Company, admin: Client, things: dict) -> None:
    page = f"{HOME}runs/deployment/{things['runs/deployment']}/delete/"
    with acme.scope():
        deployment = Deployment.objects.get()
    trigger(acme, deployment)
    assert admin.post(page, {"post": "yes"}).status_code == 302
    with acme.scope():
        assert (Deployment.objects.count(), Schedule.objects.count()) == (0, 0)
        run = FlowRun.objects.get()
        assert (run.deployment_id, run.state_type) == (None, "CANCELLED")
    assert audited(acme)[-1][0] == "deployment.deleted"


# ── what stays as it is ───────────────────────────────────────────────────────────────────────────────


def test_the_history_is_the_audit_trail(admin: Client, things: dict) -> None:
    answer = admin.get(f"{HOME}blocks/block/{things['blocks/block']}/history/")
    assert answer.headers["Location"] == f"/o/acme/audit?object={things['blocks/block']}"
    assert "block.created" in admin.get(answer.headers["Location"]).content.decode()


def test_the_log_of_djangos_admin_stays_empty(acme: Company, admin: Client) -> None:
    new = {"workspace": str(acme.workspace.id), "name": "region", "value": "1"}
    assert admin.post(f"{HOME}blocks/variable/add/", new).status_code == 302
    assert not LogEntry.objects.exists()


def test_the_content_security_policy_is_as_strict_as_elsewhere(admin: Client, things: dict) -> None:
    portals = admin.get("/o/acme/audit").headers["Content-Security-Policy"]
    assert "unsafe" not in portals
    for page in pages(things):
        answer = admin.get(HOME + page)
        assert answer.headers["Content-Security-Policy"] == portals
        text = answer.content.decode()
        assert "<style" not in text, page
        assert ' style="' not in text, page
        assert "<script>" not in text, page
