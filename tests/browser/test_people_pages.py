"""People, keys, settings and the doors: nothing for axe-core, nothing scrolls sideways; the switcher."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tenants.access import organization_actor, workspace_actor
from tenants.invitations import invite
from tenants.key_ring import make
from tenants.models import CustomRole, Membership, Team, Workspace, WorkspaceMembership
from tenants.organizations import add_workspace, found
from tenants.roles import custom
from tenants.teams import teams
from tests.browser.conftest import Portal
from tests.browser.looking import visit
from tests.cast import Company
from tests.server.things_of_acme import export_of

LISTS = ["people", "teams", "roles", "keys", "settings"]
FORMS = ["people/invite", "roles/new", "keys/new", "new"]
DOORS = ["login/", "signup/", "password/reset/", "password/reset/done/", "confirm-email/", "invitations/none"]


@pytest.fixture
def full(acme: Company, bob: Any) -> Company:
    """With people, a team, a role of its own, invitations, keys and a second workspace."""
    by = organization_actor(acme.owner.id, "acme")
    here = workspace_actor(acme.owner.id, "acme", "main")
    with acme.scope():
        add_workspace(organization=acme.organization, name="Second", by=by)
        team = teams.make(name="Data and whatever else belongs to it", by=by)
        teams.add(id=team.id, email="bob@acme.example", by=by)
        custom.make(name="Release manager", verbs=["deployments.edit", "bundles.write"], by=by)
        teams.set_parts(id=team.id, parts={acme.workspace.id: "release-manager"}, by=by)
        invite(email="nora@north.example", role="member", parts={acme.workspace.id: "viewer"}, by=by)
        for name, personal in (("laptop", True), ("a service account with quite a long name", False)):
            make(workspace=acme.workspace, name=name, role="agent", personal=personal, expires_at=None, by=here)
    return acme


def test_pages_when_there_is_nothing(portal: Portal) -> None:
    paths = [f"../{path}" for path in LISTS] + ["settings", "welcome", "../../../organizations/new"]
    assert visit(portal, paths) == []


def test_pages_when_there_is_much(portal: Portal, full: Company, bob: Any) -> None:
    paths = [f"../{path}" for path in LISTS + FORMS] + [f"../people/{bob.id}", "../people?q=nobody", "settings"]
    paths += [f"../settings/workspaces/{full.workspace.id}/move"]
    found(name="Second company", owner=full.owner)  # Where a workspace could move to.
    export_of(full)
    with full.scope():
        paths += [f"../teams/{Team.objects.get().id}", f"../roles/{CustomRole.objects.get().id}"]
    assert visit(portal, paths) == []


def test_the_doors(portal: Portal, full: Company) -> None:
    portal.page.context.clear_cookies()
    portal.complaints.clear()
    assert visit(portal, [f"../../../{path}" for path in DOORS]) == []
    portal.complaints[:] = [each for each in portal.complaints if "404" not in each]


def test_the_switcher_finds_a_workspace_and_keeps_the_section(portal: Portal, full: Company) -> None:
    found(name="Zeta", owner=full.owner)
    page = portal.open("pools")
    page.get_by_title("Switch workspace").click()
    page.get_by_role("link", name="Second").click()
    page.wait_for_url("**/o/acme/second/pools")
    page.get_by_title("Switch workspace").click()
    page.get_by_role("link", name="New workspace").click()
    page.wait_for_url("**/o/acme/new")
    page.get_by_title("Switch workspace").click()
    expect(page.get_by_role("link", name="New organization")).to_be_visible()
    page.get_by_role("link", name="Main Zeta").click()
    page.wait_for_url("**/o/zeta/main/")


def test_an_old_address_leads_to_the_new_one(portal: Portal, acme: Company) -> None:
    page = portal.open("settings")
    page.get_by_label("Address", exact=True).fill("renamed")
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_url("**/o/acme/renamed/settings")
    portal.open("runs?range=7d")
    page.wait_for_url("**/o/acme/renamed/runs?range=7d")


def test_deleting_asks_for_the_address(portal: Portal, full: Company) -> None:
    page = portal.open("settings")
    page.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Type main to confirm").fill("main")
    dialog.get_by_role("button", name="Delete the workspace").click()
    page.wait_for_url("**/o/acme/second/")
    portal.open("../settings")
    page.get_by_role("button", name="Restore Main").click()
    page.wait_for_url("**/o/acme/main/")


def test_a_new_key_has_no_more_than_ones_role_in_the_chosen_workspace(portal: Portal, full: Company) -> None:
    with full.scope():
        own = {"organization": full.organization, "user": full.owner}
        Membership.objects.filter(user=full.owner).update(role="member")
        for place, role in (("main", "developer"), ("second", "runner")):
            workspace = Workspace.objects.get(slug=place)
            WorkspaceMembership.objects.update_or_create(**own, workspace=workspace, defaults={"role": role})
    page = portal.open("../keys/new?workspace=main")
    role, offered = page.get_by_label("Role"), page.locator("#role option:not([disabled])")
    expect(role).to_have_value("developer")
    expect(offered).to_have_text(["Developer", "Runner", "Viewer", "Agent", "Release manager"])
    page.locator("#workspace").select_option("Second")
    expect(offered).to_have_text(["Runner", "Viewer"])
    expect(role).to_have_value("runner")
