"""The admin of the installation's staff: metadata of all organizations, secrets of none, and every look told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from allauth.account.internal.flows.login import record_authentication
from django.contrib.admin.models import LogEntry
from django.db import DatabaseError, connection, connections, transaction
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext

from blocks.models import Block, Variable
from orchestrator.ids import uuid7
from tenants.models import AuditEntry, Membership, OutboxMessage, StaffEntry, Workspace
from tenants.scope import system_scope
from tests.cast import PASSWORD, Api, Company, person
from tests.runs.work import agent, deploy

pytestmark = pytest.mark.django_db

SECRET, DATA, PARAMETER, MAIL = "planted-secret", "planted-data", "planted-parameter", "planted-mail"
MODELS = [
    "tenants/organization", "tenants/workspace", "tenants/membership", "tenants/user", "runs/deployment", "runs/agent",
    "blocks/block", "blocks/variable", "tenants/auditentry", "tenants/outboxmessage",
    "tenants/staffentry",
]  # fmt: skip


@pytest.fixture
def sam(db: None) -> Any:
    """Sam, of the installation's staff."""
    user = person("sam@installation.example")
    user.is_staff = True
    user.save(update_fields=["is_staff"])
    return user


@pytest.fixture
def staff(sam: Any) -> Client:
    return by_password(sam)


def by_password(user: Any) -> Client:
    client = Client()
    assert client.post("/login/", {"login": user.email, "password": PASSWORD}).status_code == 302
    return client


@pytest.fixture
def things(acme: Company, api: Api) -> dict[str, Any]:
    """One of each model, by its address."""
    credentials = {"aws_access_key_id": DATA, "aws_secret_access_key": SECRET}
    assert api.put("/blocks/aws-credentials/prod", {"data": credentials}).status_code == 201
    assert api.put("/variables/region", {"value": {"name": DATA}, "tags": ["geo"]}).status_code == 201
    deployment = deploy(acme, parameters={"token": PARAMETER}, job_variables={"env": {"TOKEN": PARAMETER}})
    by = agent(acme, "box")
    with acme.scope():
        failed = OutboxMessage.objects.create(
            organization=acme.organization, kind="mail", payload={"text": MAIL}, failed=True, error="no such host"
        )
        entry = StaffEntry(action="staff.viewed", actor="sam@installation.example", user_id=acme.owner.id)
        entry.save(force_insert=True)
        return {
            "tenants/organization": acme.organization.id,
            "tenants/workspace": acme.workspace.id,
            "tenants/membership": Membership.objects.get().id,
            "tenants/user": acme.owner.id,
            "runs/deployment": deployment.id,
            "runs/agent": by.id,
            "blocks/block": Block.objects.get().id,
            "blocks/variable": Variable.objects.get().id,
            "tenants/auditentry": AuditEntry.objects.order_by("at").first().id,
            "tenants/outboxmessage": failed.id,
            "tenants/staffentry": entry.id,
        }


def pages(things: dict[str, Any]) -> list[str]:
    found = ["", "jsi18n/"]
    for model, id in things.items():
        found += [f"{model}/", f"{model}/?q=acme", f"{model}/{id}/change/"]
    return found


def trail(company: Company) -> list[tuple[str, str, dict]]:
    """What staff did, as the organization's trail has it."""
    with company.scope():
        rows = AuditEntry.objects.filter(actor_kind="staff").order_by("at", "id")
        return list(rows.values_list("action", "actor", "details"))


@pytest.mark.parametrize(
    ("methods", "second_factor", "status"),
    [
        (["sso"], False, 403),
        (["socialaccount", "mfa"], False, 403),
        (["password_reset"], False, 403),
        ([], False, 403),
        (["password"], False, 200),
        (["password"], True, 403),
        (["sso", "mfa"], True, 403),
        (["password", "mfa"], True, 200),
    ],
)
def test_staff_come_by_password_and_second_factor(
    methods: list[str], second_factor: bool, status: int, sam: Any, browse: Any, settings: Any
) -> None:
    settings.REQUIRE_STAFF_SECOND_FACTOR = second_factor
    client = browse(sam)
    request = RequestFactory().get("/")
    request.session = client.session
    for method in methods:
        record_authentication(request, sam, method)
    request.session.save()
    assert client.get("/admin/").status_code == status


def test_staff_see_what_there_is_and_nothing_of_what_it_holds(staff: Client, things: dict) -> None:
    for page in pages(things):
        answer = staff.get(f"/admin/{page}")
        text = answer.content.decode()
        assert answer.status_code == 200, page
        assert not [each for each in (SECRET, DATA, PARAMETER, MAIL) if each in text], page
    assert "prod" in staff.get("/admin/blocks/block/").content.decode()
    variables = staff.get("/admin/blocks/variable/").content.decode()
    assert not [each for each in ("region", "geo", "Main") if each not in variables]
    assert "no such host" in staff.get("/admin/tenants/outboxmessage/").content.decode()
    assert "block.created" in staff.get("/admin/tenants/auditentry/?q=acme").content.decode()


@pytest.mark.parametrize("who", ["owner", "member", "stranger", "former staff"])
def test_nobody_else_finds_it(
    acme: Company, globex: Company, browse: Callable[[Any], Client], sam: Any, things: dict, who: str
) -> None:
    member = person("mo@acme.example")
    with acme.scope():
        Membership.objects.create(organization=acme.organization, user=member, role="member")
    client = browse({"owner": acme.owner, "member": member, "stranger": globex.owner, "former staff": sam}[who])
    sam.is_staff = False
    sam.save(update_fields=["is_staff"])
    for page in pages(things):
        for method in ("GET", "POST"):
            assert client.generic(method, f"/admin/{page}").status_code == 404, (page, method)
    assert trail(acme) == []


def test_who_is_not_signed_in_goes_through_the_ordinary_door(things: dict) -> None:
    for page in [*pages(things), "login/"]:
        answer = Client().get(f"/admin/{page}")
        assert (answer.status_code, answer.headers["Location"].partition("?")[0]) == (302, "/login/"), page


def test_a_staff_member_with_a_second_factor_needs_it(sam: Any) -> None:
    from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret

    TOTP.activate(sam, generate_totp_secret())
    client = Client()
    answer = client.post("/login/", {"login": sam.email, "password": PASSWORD})
    assert "/second-factor/" in answer.headers["Location"]
    assert client.get("/admin/").headers["Location"].startswith("/login/")


def test_every_look_is_told_where_it_belongs(acme: Company, globex: Company, staff: Client, things: dict) -> None:
    staff.get(f"/admin/blocks/block/{things['blocks/block']}/change/")
    staff.get("/admin/runs/deployment/")
    looks = [("staff.viewed", "sam@installation.example", told) for told in (
        {"things": ["block"], "names": ["aws-credentials/prod"], "count": 1},
        {"things": ["deployment"], "names": ["etl/nightly"], "count": 1},
    )]  # fmt: skip
    assert trail(acme) == looks
    assert trail(globex) == []
    staff.get(f"/admin/tenants/user/{acme.owner.id}/change/")
    assert trail(acme)[-1][2] == {"things": ["user"], "names": ["alice@acme.example"], "count": 1}


def test_the_value_of_a_variable_is_not_even_read(staff: Client, things: dict, settings: Any) -> None:
    with CaptureQueriesContext(connections[settings.STAFF_DATABASE]) as seen:
        for page in ("", f"{things['blocks/variable']}/change/"):
            assert staff.get(f"/admin/blocks/variable/{page}").status_code == 200
    asked = [query["sql"] for query in seen if '"variable"' in query["sql"]]
    assert asked
    assert not [statement for statement in asked if '"value"' in statement]


def test_staff_make_change_and_delete_nothing_else(acme: Company, staff: Client, things: dict) -> None:
    for model, id in things.items():
        assert staff.get(f"/admin/{model}/add/").status_code == 404, model
        assert staff.post(f"/admin/{model}/{id}/delete/", {"post": "yes"}).status_code == 404, model
        if model not in {"tenants/organization", "tenants/user"}:
            assert staff.post(f"/admin/{model}/{id}/change/", {"name": "changed"}).status_code == 403, model
    with acme.scope():
        assert not Workspace.objects.filter(name="changed").exists()


def test_the_retention_of_an_organization_is_changed(acme: Company, staff: Client) -> None:
    page = f"/admin/tenants/organization/{acme.organization.id}/change/"
    assert staff.post(page, {"retention": "90", "name": "Renamed"}).status_code == 302
    with acme.scope():
        acme.organization.refresh_from_db()
    assert (acme.organization.retention, acme.organization.name) == (90, "Acme")
    assert ("staff.changed", "sam@installation.example", {"retention": {"from": 30, "to": 90}}) in trail(acme)
    assert "Select a valid choice" in staff.post(page, {"retention": "11"}).content.decode()


def test_a_person_is_shut_out_and_let_in_again(
    acme: Company, staff: Client, sam: Any, browse: Callable[[Any], Client]
) -> None:
    alice = browse(acme.owner)
    page = f"/admin/tenants/user/{acme.owner.id}/change/"
    assert alice.get(acme.path).status_code == 200
    assert staff.post(page, {"is_staff": "on"}).status_code == 302
    assert alice.get(acme.path).status_code == 302
    assert ("staff.changed", sam.email, {"active": False}) in trail(acme)
    assert staff.post(page, {"is_active": "on"}).status_code == 302
    assert browse(acme.owner).get(acme.path).status_code == 200
    acme.owner.refresh_from_db()
    assert not acme.owner.is_staff
    assert "shut yourself out" in staff.post(f"/admin/tenants/user/{sam.id}/change/", {}).content.decode()
    sam.refresh_from_db()
    assert sam.is_active
    assert not LogEntry.objects.exists()


def own_trail() -> list[tuple[str, str, str, dict]]:
    """What staff did, as their own trail has it."""
    with system_scope():
        rows = StaffEntry.objects.order_by("at", "id")
        return list(rows.values_list("action", "actor", "object_name", "details"))


def test_what_is_done_to_a_person_without_a_membership_is_told_too(acme: Company, staff: Client, sam: Any) -> None:
    nobody = person("nora@north.example")
    page = f"/admin/tenants/user/{nobody.id}/change/"
    staff.get(page)
    assert staff.post(page, {}).status_code == 302
    nobody.refresh_from_db()
    assert not nobody.is_active
    viewed = {"things": ["user"], "names": [nobody.email], "count": 1}
    assert ("staff.viewed", sam.email, "user", viewed) in own_trail()
    assert own_trail()[-1] == ("staff.changed", sam.email, nobody.email, {"active": False})
    assert trail(acme) == []


def test_the_staffs_own_trail_tells_all_that_they_did(acme: Company, staff: Client, sam: Any, things: dict) -> None:
    staff.get(f"/admin/blocks/block/{things['blocks/block']}/change/")
    page = f"/admin/tenants/organization/{acme.organization.id}/change/"
    staff.post(page, {"retention": "90", "name": "Acme"})
    told = own_trail()[1:]  # One was there before.
    of_acme = {"organization": str(acme.organization.id)}
    block = {"things": ["block"], "names": ["aws-credentials/prod"], "count": 1}
    assert told[0] == ("staff.viewed", sam.email, "block", block | of_acme)
    assert told[-1] == ("staff.changed", sam.email, "Acme", {"retention": {"from": 30, "to": 90}})
    shown = staff.get("/admin/tenants/staffentry/?q=sam").content.decode()
    assert "staff.changed" in shown
    assert own_trail()[1:] == told  # A look at it is none at anybody.


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("app", "SELECT * FROM staff_entry"),
        ("app", "UPDATE staff_entry SET actor = 'eve'"),
        ("app", "DELETE FROM staff_entry"),
        ("system", "UPDATE staff_entry SET actor = 'eve'"),
        ("system", "DELETE FROM staff_entry"),
    ],
)
def test_nobody_who_serves_alters_it(db: None, role: str, statement: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL ROLE {role}")
        with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
            cursor.execute(statement)
        transaction.set_rollback(True)


def test_unknown_ids_and_other_ways_lead_nowhere(staff: Client, things: dict) -> None:
    for model in MODELS:
        assert staff.get(f"/admin/{model}/{uuid7()}/change/").status_code == 404, model
    for path in ("tenants/apikey/", "tenants/organizationkey/", "auth/group/", "r/1/1/", "autocomplete/", "search/"):
        assert staff.get(f"/admin/{path}", follow=True).request["PATH_INFO"] in {"/admin/", f"/admin/{path}"}
    assert staff.get("/admin/blocks/block/?versions__sealed__startswith=a").status_code == 400
    assert staff.get("/admin/tenants/user/?password__startswith=argon2").status_code == 400


def test_without_the_workers_address_it_says_so(staff: Client, settings: Any, things: dict) -> None:
    settings.STAFF_DATABASE = ""
    answer = staff.get("/admin/")
    assert answer.status_code == 503
    assert "DATABASE_WORKER_URL" in answer.content.decode()


def test_the_content_security_policy_is_as_strict_as_elsewhere(staff: Client, things: dict) -> None:
    for page in pages(things):
        answer = staff.get(f"/admin/{page}")
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert not [each for each in ("<style", ' style="', "<script>") if each in answer.content.decode()], page
