"""From a person and an address to an actor: the door of every page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.http import Http404, HttpResponse
from django.template.response import SimpleTemplateResponse
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext

from orchestrator.ids import uuid7
from tenants.access import LAST_WORKSPACE, organizations_of, workspace_actor, workspace_page, workspaces_of
from tenants.errors import Conflict, NotFound
from tenants.models import Membership, Workspace, WorkspaceMembership
from tenants.provisioning import create_workspace
from tenants.scope import NoTenantScope, current_scope
from tests.cast import Company, person

pytestmark = pytest.mark.django_db


def refusal(user: Any, organization: str, workspace: str) -> str:
    with pytest.raises(NotFound) as refused:
        workspace_actor(user.id, organization, workspace)
    return refused.value.message


def test_the_cast_and_their_roles(acme: Company, alice: Any, bob: Any, vera: Any) -> None:
    roles = [workspace_actor(user.id, "acme", "main").role for user in (alice, bob, vera)]
    assert roles == ["owner", "runner", "viewer"]
    actor = workspace_actor(bob.id, "acme", "main")
    assert (actor.kind, actor.label, actor.user_id) == ("user", "bob@acme.example", bob.id)
    assert (actor.organization_id, actor.workspace_id) == (acme.organization.id, acme.workspace.id)
    with pytest.raises(NoTenantScope):
        current_scope()


@pytest.mark.parametrize(("role", "enters"), [("owner", True), ("admin", True), ("billing", False), ("member", False)])
def test_owners_and_admins_own_every_workspace(acme: Company, role: str, enters: bool) -> None:
    user = person("carol@acme.example")
    with acme.scope():
        Membership.objects.create(organization=acme.organization, user=user, role=role)
        create_workspace(organization=acme.organization, name="Second")
    for workspace in ("main", "second"):
        if enters:
            assert workspace_actor(user.id, "acme", workspace).role == "owner"
        else:
            refusal(user, "acme", workspace)


def test_a_part_in_one_workspace_is_none_in_another(acme: Company, bob: Any) -> None:
    with acme.scope():
        create_workspace(organization=acme.organization, name="Second")
    assert refusal(bob, "acme", "second") == refusal(bob, "acme", "nothing")


def test_foreign_and_unknown_answer_the_same(acme: Company, eve: Any) -> None:
    assert refusal(eve, "acme", "main") == refusal(eve, "acme", "nothing") == refusal(eve, "nobody", "main")


def test_who_left_the_organization_is_out_of_its_workspaces(acme: Company, bob: Any) -> None:
    """Also when the role in the workspace was forgotten."""
    with acme.scope():
        Membership.objects.filter(user=bob).delete()
        assert WorkspaceMembership.objects.filter(user=bob).exists()
    refusal(bob, "acme", "main")
    assert workspaces_of(bob.id) == []


def test_who_may_log_in_no_more_is_out(acme: Company, alice: Any) -> None:
    type(alice).objects.filter(id=alice.id).update(is_active=False)
    refusal(alice, "acme", "main")


def test_a_person_of_two_organizations(acme: Company, globex: Company, bob: Any) -> None:
    with globex.scope():
        Membership.objects.create(organization=globex.organization, user=bob, role="admin")
        create_workspace(organization=globex.organization, name="Alpha")
    with acme.scope():
        create_workspace(organization=acme.organization, name="Hidden")
    found = [(organization.slug, workspace.slug) for organization, workspace in workspaces_of(bob.id)]
    assert found == [("acme", "main"), ("globex", "alpha"), ("globex", "main")]
    assert workspace_actor(bob.id, "acme", "main").role == "runner"
    assert workspace_actor(bob.id, "globex", "alpha").role == "owner"


def test_nobody_has_no_workspaces() -> None:
    assert workspaces_of(uuid7()) == []


# ── pages ────────────────────────────────────────────────────────────────────────────────────────


class AnonymousUser:
    is_authenticated = False


def call(view: Any, user: Any, method: str = "GET", workspace: str = "main", organization: str = "acme") -> Any:
    request = RequestFactory().generic(method, "/o/acme/main/x")
    request.user, request.session = user, {}
    response = workspace_page_of(view)(request, organization=organization, workspace=workspace)
    response.session = request.session
    return response


def workspace_page_of(view: Any) -> Any:
    return workspace_page(getattr(view, "verb", "runs.view"))(view)


def look(request: Any) -> HttpResponse:
    names = [request.actor.label, request.organization.slug, request.workspace.slug, str(Workspace.objects.count())]
    return HttpResponse(" ".join(names))


def test_a_page_knows_who_asks_and_where(acme: Company, globex: Company, vera: Any) -> None:
    response = call(look, vera)
    assert response.content == b"vera@acme.example acme main 1"
    assert response.session[LAST_WORKSPACE] == ["acme", "main"]


def test_for_strangers_there_is_no_page(acme: Company, eve: Any) -> None:
    for workspace in ("main", "nothing"):
        with pytest.raises(Http404):
            call(look, eve, workspace=workspace)


def test_who_may_not_is_told_so(acme: Company, vera: Any, bob: Any) -> None:
    def act(request: Any) -> HttpResponse:
        return HttpResponse("done")

    act.verb = {"GET": "runs.view", "POST": "runs.cancel"}
    assert call(act, vera).content == b"done"
    assert call(act, bob, "POST").content == b"done"
    with pytest.raises(PermissionDenied):
        call(act, vera, "POST")
    assert (call(act, vera, "DELETE").status_code, call(act, vera, "DELETE").headers["Allow"]) == (405, "GET, POST")


def test_a_viewer_who_posts_sees_a_403_page(acme: Company, vera: Any, browse: Any) -> None:
    from tests.runs.work import deploy, run_row, trigger

    (run,) = trigger(acme, deploy(acme))
    assert browse(vera).post(f"{acme.path}runs/{run}/cancel").status_code == 403
    assert run_row(acme, run).state_type == "SCHEDULED"


def test_who_is_not_signed_in_goes_to_the_door(acme: Company) -> None:
    response = call(look, AnonymousUser())
    assert (response.status_code, response.headers["Location"]) == (302, "/login/?next=/o/acme/main/x")


def test_a_page_is_rendered_inside_the_transaction(acme: Company, vera: Any) -> None:
    class Late(SimpleTemplateResponse):
        @property
        def rendered_content(self) -> str:
            return str(Workspace.objects.count())

    assert call(lambda request: Late("unused.html"), vera).content == b"1"


def test_what_fails_changes_nothing(acme: Company, alice: Any) -> None:
    def fail(request: Any) -> HttpResponse:
        Workspace.objects.update(name="Renamed")
        raise Conflict("too late")

    assert call(fail, alice).status_code == 409
    with acme.scope():
        assert Workspace.objects.get().name == "Main"


def tables_asked(ask: Callable[[], Any]) -> int:
    """How often a table is read, without what opens scopes."""
    with CaptureQueriesContext(connection) as captured:
        ask()
    asked = [query["sql"].lstrip("(") for query in captured if "set_config" not in query["sql"]]
    return sum(each.startswith("SELECT") for each in asked)


def test_the_door_reads_each_row_once(acme: Company, vera: Any) -> None:
    def forbidden() -> None:
        with pytest.raises(PermissionDenied):
            call(look_of_owners, vera)

    def look_of_owners(request: Any) -> HttpResponse:
        return look(request)

    look_of_owners.verb = "workspace.edit"
    assert tables_asked(forbidden) == 3  # Their membership with the organization, the workspace, their part in it.
    assert tables_asked(lambda: call(look, vera)) == 4  # And what the page itself counts.
    assert tables_asked(lambda: call(lambda request: HttpResponse(len(request.workspaces)), vera)) == 4


def test_a_persons_workspaces_are_those_they_own_or_have_a_part_in(
    acme: Company, globex: Company, bob: Any, eve: Any, django_assert_max_num_queries: Any
) -> None:
    with globex.scope():
        Membership.objects.create(organization=globex.organization, user=bob, role="member")
        create_workspace(organization=globex.organization, name="Closed to Bob")
    with django_assert_max_num_queries(3):  # The scope, one for all organizations, and the scope as it was.
        found = workspaces_of(bob.id)
    assert [(organization.slug, workspace.slug) for organization, workspace in found] == [("acme", "main")]
    assert [workspace.slug for _, workspace in workspaces_of(eve.id)] == ["closed-to-bob", "main"]
    assert [organization.slug for organization in organizations_of(bob.id)] == ["acme", "globex"]


@pytest.mark.parametrize(
    "address", ["runs?q=%00", "blocks?q=a%00b", "variables?q=%00", "../audit?actor=%00", "../people?q=%00"]
)
def test_what_postgres_cannot_hold_is_no_error_of_ours(acme: Company, alice: Any, browse: Any, address: str) -> None:
    path = f"/o/acme/{address[3:]}" if address.startswith("../") else acme.path + address
    assert browse(alice).get(path).status_code in {200, 400}
