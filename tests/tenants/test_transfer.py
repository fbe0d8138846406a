"""4.2: a workspace goes on in another organization of its owner, and leaves an archive."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils.timezone import now

from blocks import blocks, versions
from blocks.models import BlockVersion
from orchestrator.ids import uuid7
from runs.models import Agent, Automation, Bundle, Deployment, FlowRun, NamedLimit, Schedule
from runs.trigger import RunRequest, create_run
from tenants import encryption
from tenants.access import organization_actor, workspace_actor
from tenants.authentication import forget_secrets
from tenants.errors import Conflict, Forbidden, Invalid, LimitReached, NotFound
from tenants.leaving import transfer
from tenants.models import AuditEntry, Membership, Organization, Workspace
from tenants.scope import CrossTenantScope, NoTenantScope, another_tenant, tenant_scope
from tests.cast import Api, Company
from tests.runs.automating import automate
from tests.runs.work import agent, claim, deploy, start, trigger
from tests.sql import ask

pytestmark = pytest.mark.django_db
CODE = b"PK the code of acme"


@pytest.fixture
def owned(acme: Company, globex: Company) -> Company:
    """Acme with something of everything that moves; its Alice owns Globex as well."""
    with globex.scope():
        Membership.objects.create(organization=globex.organization, user=acme.owner, role="owner")
    api = Api(acme.key("developer"))
    sha256 = hashlib.sha256(CODE).hexdigest()
    assert api.put(f"/bundles/{sha256}", CODE).status_code == 201
    made = deploy(acme, schedule={"cron": "0 3 * * *"}, concurrency_limit=2)
    with acme.scope():
        Deployment.objects.update(source={"type": "bundle", "sha256": sha256})
    assert api.put("/blocks/secret/crm", {"data": {"value": "open sesame"}}).status_code == 201
    assert api.put("/blocks/secret/crm", {"data": {"value": "open at once"}}).status_code == 200
    api.put("/block-types/shop", {"name": "Shop", "schema": SHOP})
    assert api.put("/blocks/shop/main", {"data": {"token": {"$block": "secret/crm"}}}).status_code == 201
    api.put("/variables/limits", {"value": [1, 2.5, None, "ü"]})
    automate(acme)
    trigger(acme, made)
    journal = start(claim(acme, agent(acme), 1)[0])
    journal.send(journal.state("COMPLETED"))
    with acme.scope():
        Agent.objects.update(last_seen_at=now() - timedelta(hours=1))
        NamedLimit.objects.create(organization=acme.organization, workspace=acme.workspace, name="database", slots=3)
    return acme


SHOP = {"type": "object", "properties": {"token": {"type": "object", "x-block": "secret"}}}


def move(company: Company, to: Company, name: str = "Main of Acme", **more: Any) -> Workspace:
    user = more.pop("user", company.owner)
    with company.scope():
        by = organization_actor(user.id, company.organization.slug)
        return transfer.move(
            workspace=more.pop("workspace", company.workspace), to=to.organization, name=name,
            typed=more.pop("typed", "main"), by=by,
        )  # fmt: skip


def rows(company: Company, workspace: Workspace) -> dict[str, list]:
    """What moves, without whose it is."""
    from tenants.leaving.tables import of_workspace, tables

    found = {}
    with company.scope():
        for name in sorted(transfer._goes_along):
            within = of_workspace(tables(), tables()[name])
            hidden = "ARRAY['organization_id', 'workspace_id', 'sealed']"
            found[name] = ask(
                f"SELECT (to_jsonb(t) - {hidden})::text FROM {name} t WHERE {within} ORDER BY id", workspace.id
            )
    return found


def test_its_definitions_go_on_there_as_they_were(owned: Company, globex: Company) -> None:
    before = rows(owned, owned.workspace)
    assert all(before.values()), [name for name, found in before.items() if not found]

    made = move(owned, globex)

    assert rows(globex, made) == before
    with globex.scope():
        assert bytes(Bundle.objects.get().content) == CODE
        assert Schedule.objects.get(workspace=made).active


def test_secrets_open_there_and_by_the_other_key(owned: Company, globex: Company) -> None:
    made = move(owned, globex)
    with globex.scope():
        by = workspace_actor(owned.owner.id, "globex", made.slug)
        block = blocks.find_block(by, "secret", "crm")
        texts = [[*versions.unsealed(version).values()] for version in versions.of(block)]
        assert texts == [["open at once"], ["open sesame"]]
        sealed = BlockVersion.objects.filter(block=block).latest("number")
        theirs = bytes(sealed.sealed)
    with owned.scope(), pytest.raises(encryption.CannotUnseal):
        encryption.unseal(owned.organization.id, theirs, versions.place_of(sealed))


def test_what_happened_stays_as_an_archive(owned: Company, globex: Company, alice: Any, browse: Any) -> None:
    """4.2: runs and usage belong to the organization that made them."""
    with owned.scope():
        ids = set(FlowRun.objects.values_list("id", flat=True))
        run = FlowRun.objects.get(state_type="COMPLETED")
    made = move(owned, globex)
    with owned.scope():
        assert Workspace.objects.get(id=owned.workspace.id).archived_at
        assert set(FlowRun.objects.values_list("id", flat=True)) == ids
        assert not Schedule.objects.filter(active=True).exists()
        assert not Automation.objects.filter(enabled=True).exists()
    with globex.scope():
        assert not FlowRun.objects.filter(workspace=made).exists()
    client = browse(alice)
    assert client.get(f"/o/acme/main/runs/{run.id}").status_code == 200
    assert client.get(f"/o/globex/{made.slug}/deployments").status_code == 200


def test_nothing_runs_in_an_archive(owned: Company, globex: Company, alice: Any, browse: Any) -> None:
    key = Api(owned.key("ci"))
    assert key.get("/me").status_code == 200
    made = move(owned, globex)
    forget_secrets()
    assert key.get("/me").status_code == 401
    with owned.scope():
        deployment = Deployment.objects.select_related("flow").get()
        by = workspace_actor(alice.id, "acme", "main")
        with pytest.raises(Conflict, match="archive"):
            create_run(RunRequest(deployment=deployment), by=by)
    form = {"name": "x", "workspace": "main", "kind": "personal", "role": "developer", "days": "90"}
    answer = browse(alice).post("/o/acme/keys/new", form)
    assert "archive" in answer.content.decode()
    with globex.scope():
        theirs = Deployment.objects.get(workspace=made)
        assert create_run(RunRequest(deployment=theirs), by=workspace_actor(alice.id, "globex", made.slug))[1]


def test_both_trails_tell_of_it(owned: Company, globex: Company, alice: Any) -> None:
    move(owned, globex)
    with owned.scope():
        assert AuditEntry.objects.get(action="workspace.moved_away").details["organization"] == "globex"
    with globex.scope():
        entry = AuditEntry.objects.get(action="workspace.moved_here")
        assert (entry.user_id, entry.details["workspace"]) == (alice.id, str(owned.workspace.id))


# ── refused ──────────────────────────────────────────────────────────────────────────────────────


def test_both_sides_must_be_ones_own(owned: Company, globex: Company, bob: Any, eve: Any) -> None:
    with owned.scope():
        Membership.objects.filter(user=bob).update(role="admin")
    with pytest.raises(Forbidden):
        move(owned, globex, user=bob)
    with globex.scope():
        Membership.objects.filter(user=owned.owner).update(role="admin")
    with pytest.raises(NotFound):
        move(owned, globex)
    with globex.scope():
        assert Workspace.objects.count() == 1


def test_runs_under_way_and_agents_stand_in_the_way(owned: Company, globex: Company) -> None:
    with owned.scope():
        deployment = Deployment.objects.select_related("flow").get()
    [run] = trigger(owned, deployment)
    with pytest.raises(Conflict, match="1 run of it"):
        move(owned, globex)
    with owned.scope():
        FlowRun.objects.filter(id=run).update(state_type="CANCELLED")
        Agent.objects.update(last_seen_at=now())
    with pytest.raises(Conflict, match="1 agent of it"):
        move(owned, globex)
    with globex.scope():
        assert Workspace.objects.count() == 1


@pytest.mark.parametrize(
    ("name", "typed", "field"), [("Main", "main", "name"), ("New", "no", "typed"), ("", "main", "name")]
)
def test_names_and_confirmation(owned: Company, globex: Company, name: str, typed: str, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        move(owned, globex, name, typed=typed)
    assert list(refused.value.fields) == [field]


def test_it_is_moved_whole_or_not_at_all(owned: Company, globex: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "MAX_ROWS", 3)
    with pytest.raises(Conflict, match="more than 3 rows"):
        move(owned, globex)
    with globex.scope():
        assert Workspace.objects.count() == 1
        assert not Deployment.objects.exists()
    with owned.scope():
        assert not Workspace.objects.get(slug="main").archived_at
        assert Schedule.objects.get().active


def test_the_other_organizations_plan_needs_room(owned: Company, globex: Company, settings: Any) -> None:
    settings.BILLING = True
    with globex.scope():
        Workspace.objects.create(organization=globex.organization, name="Second", slug="second")
    with pytest.raises(LimitReached, match="The plan Free has 2 workspaces"):
        move(owned, globex)
    with owned.scope():
        assert not Workspace.objects.get(slug="main").archived_at


def test_an_archive_does_not_move_again(owned: Company, globex: Company) -> None:
    move(owned, globex)
    with pytest.raises(Conflict, match="archive"):
        move(owned, globex, "Again")


# ── the page and the wall ────────────────────────────────────────────────────────────────────────


def test_owners_move_it_on_a_page(owned: Company, globex: Company, alice: Any, bob: Any, browse: Any) -> None:
    client, path = browse(alice), f"/o/acme/settings/workspaces/{owned.workspace.id}/move"
    assert path in client.get("/o/acme/settings").content.decode()
    assert "Globex (globex)" in client.get(path).content.decode()
    wrong = client.post(path, {"to": "globex", "name": "Main", "typed": "main"})
    assert (wrong.status_code, "exists there" in wrong.content.decode()) == (400, False)
    assert client.post(path, {"to": "initech", "name": "Main", "typed": "main"}).status_code == 400
    assert browse(bob).get(path).status_code == 403
    done = client.post(path, {"to": "globex", "name": "Flights", "typed": "main"})
    assert done.headers["Location"] == "/o/globex/flights/"
    assert client.get(done.headers["Location"]).status_code == 200
    assert client.get(f"/o/acme/settings/workspaces/{uuid7()}/move").status_code == 404


def test_a_step_to_another_tenant_ends_where_it_began(acme: Company, globex: Company) -> None:
    with pytest.raises(NoTenantScope), another_tenant(globex.organization.id):
        pass
    with acme.scope():
        with another_tenant(globex.organization.id):
            assert Organization.objects.get().slug == "globex"
            with pytest.raises(CrossTenantScope), tenant_scope(acme.organization.id):
                pass
        assert Organization.objects.get().slug == "acme"


def test_nothing_else_steps_over_the_wall() -> None:
    root = Path(__file__).parents[2]
    packages = [root / name for name in ("tenants", "blocks", "runs", "orchestrator")]
    sources = (path for package in packages for path in package.rglob("*.py"))
    users = {path.relative_to(root).as_posix() for path in sources if "another_tenant(" in path.read_text("utf-8")}
    assert users == {"tenants/scope.py", "tenants/leaving/transfer.py", "blocks/moving.py", "runs/moving.py"}
