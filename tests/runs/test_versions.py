"""2.1: versions of deployments: what makes one, the way back, and a canary's share of new runs."""

from __future__ import annotations

import hashlib
import io
import zipfile
from typing import Any

import pytest

from runs import claims, deployments, versions
from runs.models import Deployment, DeploymentVersion, FlowRun
from tests.cast import Api, Company
from tests.runs.work import agent, deploy, trigger
from tests.threads import at_once

pytestmark = pytest.mark.django_db

BODY = {
    "flow": "etl", "name": "nightly", "entrypoint": "flows.py:etl", "source": {"type": "path", "path": "/flows"},
}  # fmt: skip
GIT = {"commit": "c" * 40, "branch": "main", "dirty": True}


def put(api: Api, **more: Any) -> dict[str, Any]:
    made = api.post("/deployments", {**BODY, **more})
    assert made.status_code in (200, 201), made.content
    return made.json()


def history(api: Api, deployment: dict[str, Any]) -> list[dict[str, Any]]:
    return api.get(f"/deployments/{deployment['id']}/versions").json()["items"]


def bundle(api: Api, **files: str) -> dict[str, str]:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(f"{name}.py", text)
    sha256 = hashlib.sha256(packed.getvalue()).hexdigest()
    api.put(f"/bundles/{sha256}", packed.getvalue())
    return {"type": "bundle", "sha256": sha256}


def test_only_a_change_makes_a_version(api: Api) -> None:
    first = put(api, message="begun", git=GIT)
    put(api, schedule={"interval": 3600}, concurrency_limit=3)
    last = put(api, parameters={"n": 1}, git={"branch": "no commit"})

    assert (first["number"], last["number"]) == (1, 2)
    told = history(api, first)
    assert [(v["number"], v["role"], v["message"], v["git"]) for v in told] == [
        (2, "current", "", None),
        (1, "", "begun", GIT),
    ]
    assert told[0]["created_by"]
    shown = api.get(f"/deployments/{first['id']}/versions/2").json()
    assert (shown["definition"]["parameters"], shown["definition"]["work_pool"]) == ({"n": 1}, "default")


def test_a_deployment_from_before_versions_were_kept_can_be_brought_back(acme: Company, api: Api) -> None:
    deployment = put(api, parameters={"n": 1})
    with acme.scope():
        DeploymentVersion.objects.all().delete()
        Deployment.objects.update(number=0)

    assert put(api, parameters={"n": 2})["number"] == 2
    back = api.post(f"/deployments/{deployment['id']}/rollback", {"version": 1}).json()
    assert (back["number"], back["parameters"]) == (3, {"n": 1})


def test_a_rollback_is_a_new_version_and_leaves_the_schedule_alone(api: Api) -> None:
    old = bundle(api, flows="old = 1")
    deployment = put(api, source=old, parameters={"n": 1}, schedule={"interval": 60})
    api.post(f"/deployments/{deployment['id']}/pause")
    put(api, source=bundle(api, flows="new = 1"), parameters={"n": 2}, schedule={"interval": 90})

    back = api.post(f"/deployments/{deployment['id']}/rollback", {"version": 1, "message": "it broke"})
    assert back.status_code == 200
    told = back.json()
    assert (told["number"], told["source"], told["parameters"]) == (3, old, {"n": 1})
    assert [(s["interval"], s["active"]) for s in told["schedules"]] == [(90, False)]
    newest = history(api, deployment)[0]
    assert (newest["number"], newest["rollback_of"], newest["message"]) == (3, 1, "it broke")
    assert api.post(f"/deployments/{deployment['id']}/rollback", {"version": 3}).status_code == 409
    assert api.post(f"/deployments/{deployment['id']}/rollback", {"version": 9}).status_code == 404
    assert api.post(f"/deployments/{deployment['id']}/rollback", {"version": -1}).status_code == 404


def test_runs_know_the_version_that_they_were_made_from(acme: Company, api: Api) -> None:
    """One that waits while its deployment is changed is executed from, and shown as of, the new version."""
    put(api)
    made = api.post("/flow-runs", {"deployment": "etl/nightly"}).json()
    assert made["deployment_version"] == 1
    put(api, entrypoint="flows.py:other")

    by = agent(acme)
    with acme.scope():
        [claimed] = claims.claim(by, slots=1)
    assert claimed.entrypoint == "flows.py:other"
    assert api.get(f"/flow-runs/{made['id']}").json()["deployment_version"] == 2


def test_a_share_of_new_runs_is_made_from_the_canary(acme: Company, api: Api) -> None:
    stable = put(api, parameters={"n": 1}, tags=["stable"])
    tried = put(api, parameters={"n": 2}, entrypoint="flows.py:new", canary=30, schedule={"interval": 60})

    assert (tried["number"], tried["canary"], tried["schedules"]) == (1, {"number": 2, "share": 30}, [])
    assert (tried["entrypoint"], tried["parameters"]) == ("flows.py:etl", {"n": 1})
    assert [v["role"] for v in history(api, stable)] == ["canary", "current"]
    with acme.scope():
        deployment = Deployment.objects.get()
    trigger(acme, deployment, 400)
    with acme.scope():
        runs = {run.id: run for run in FlowRun.objects.all()}
    canaries = [run for run in runs.values() if run.deployment_version == 2]
    assert 60 < len(canaries) < 180
    assert {(run.deployment_version, run.parameters["n"], *run.tags) for run in runs.values()} == {
        (1, 1, "stable"),
        (2, 2),
    }
    by = agent(acme, slots=100)
    with acme.scope():
        claimed = claims.claim(by, slots=100)
    assert {(runs[each.run].deployment_version, each.entrypoint) for each in claimed} == {
        (1, "flows.py:etl"),
        (2, "flows.py:new"),
    }


def test_a_canary_is_promoted_or_withdrawn(acme: Company, api: Api) -> None:
    deployment = put(api)
    address = f"/deployments/{deployment['id']}"
    assert api.post(f"{address}/promote").status_code == 409
    assert api.post(f"{address}/canary", {"share": 5}).status_code == 409
    put(api, entrypoint="flows.py:new", canary=99)
    waiting = [api.post("/flow-runs", {"deployment": "etl/nightly"}).json()["id"] for _ in range(3)]
    assert api.post(f"{address}/canary", {"share": 100}).status_code == 400
    assert api.post(f"{address}/canary", {"share": 50}).json()["canary"] == {"number": 2, "share": 50}
    assert api.post(f"{address}/canary", {"share": 0}).json()["canary"] is None

    by = agent(acme)
    with acme.scope():
        claimed = claims.claim(by, slots=10)
    assert {each.entrypoint for each in claimed} == {"flows.py:etl"}, "what waited goes back to what is in force"
    assert {api.get(f"/flow-runs/{id}").json()["deployment_version"] for id in waiting} == {1}

    put(api, entrypoint="flows.py:new", canary=10)
    told = api.post(f"{address}/promote").json()
    assert (told["entrypoint"], told["number"], told["canary"]) == ("flows.py:new", 3, None)


def test_deploying_the_canary_itself_promotes_it_and_deploying_anything_else_ends_it(api: Api) -> None:
    put(api)
    put(api, entrypoint="flows.py:new", canary=10)
    assert put(api)["canary"] == {"number": 2, "share": 10}
    assert put(api, entrypoint="flows.py:new")["number"] == 2
    put(api, entrypoint="flows.py:newer", canary=10)
    told = put(api, entrypoint="flows.py:other")
    assert (told["number"], told["canary"]) == (4, None)


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"canary": 0}, "canary"),
        ({"canary": 100}, "canary"),
        ({"canary": 10}, "canary"),
        ({"canary": 10, "python": "3.11"}, "python"),
        ({"canary": 10, "name": "unknown"}, "canary"),
    ],
)
def test_canaries_that_are_none(api: Api, more: dict[str, Any], field: str) -> None:
    put(api)
    refused = api.post("/deployments", {**BODY, **more})
    assert (refused.status_code, list(refused.json()["error"]["fields"])) == (400, [field])


def test_a_run_that_only_the_canary_would_refuse_stays_with_the_version_in_force(api: Api) -> None:
    put(api)
    schema = {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]}
    put(api, parameter_schema=schema, canary=99)
    made = [api.post("/flow-runs", {"deployment": "etl/nightly"}).json() for _ in range(5)]
    assert {run["deployment_version"] for run in made} == {1}


def test_no_more_versions_are_kept_than_a_bound(acme: Company, api: Api, monkeypatch: Any) -> None:
    monkeypatch.setattr(versions, "KEPT", 3)
    for number in range(5):
        deployment = put(api, parameters={"n": number})
    assert [v["number"] for v in history(api, deployment)] == [5, 4, 3]


@pytest.mark.django_db(transaction=True)
def test_deploys_at_once_each_have_a_number(acme: Company) -> None:
    deploy(acme)
    at_once(*(lambda n=n: deploy(acme, parameters={"n": n}) for n in range(4)))
    with acme.scope():
        numbers = list(DeploymentVersion.objects.order_by("number").values_list("number", flat=True))
        assert numbers == [1, 2, 3, 4, 5]
        assert Deployment.objects.get().number == 5


def test_the_versions_go_with_their_deployment(acme: Company, api: Api) -> None:
    deployment = put(api)
    assert api.delete(f"/deployments/{deployment['id']}").status_code == 204
    assert api.get(f"/deployments/{deployment['id']}").status_code == 404
    with acme.scope():
        assert not DeploymentVersion.objects.exists()


# ── differences ──────────────────────────────────────────────────────────────────────────────────


def diff(api: Api, deployment: dict[str, Any], number: int, **query: Any) -> dict[str, Any]:
    found = api.get(f"/deployments/{deployment['id']}/versions/{number}/diff", **query)
    assert found.status_code == 200, found.content
    return found.json()


def test_what_a_version_changed(api: Api) -> None:
    put(api, source=bundle(api, flows="a = 1\nb = 2\n", gone="x = 1\n"), parameters={"n": 1, "deep": {"er": True}})
    later = bundle(api, flows="a = 1\nb = 3\n", new="y = 1\n")
    deployment = put(api, source=later, parameters={"n": 2, "deep": {"er": True}}, tags=["x"])

    told = diff(api, deployment, 2)
    settings = {each["name"]: (each["before"], each["after"]) for each in told["settings"]}
    assert settings.pop("source.sha256")
    assert settings == {"parameters.n": ("1", "2"), "tags": (None, '["x"]')}
    assert [(file["name"], file["change"]) for file in told["files"]] == [
        ("flows.py", "changed"),
        ("gone.py", "removed"),
        ("new.py", "added"),
    ]
    assert told["files"][0]["lines"] == ["@@ -1,2 +1,2 @@", " a = 1", "-b = 2", "+b = 3"]
    assert diff(api, deployment, 1, **{"from": 2})["files"][1]["change"] == "added"
    assert [file["change"] for file in diff(api, deployment, 1)["files"]] == ["added", "added"]
    assert api.get(f"/deployments/{deployment['id']}/versions/2/diff", **{"from": "x"}).status_code == 400


def test_what_can_not_be_compared_says_so(api: Api) -> None:
    put(api, source=bundle(api, flows="a" * 300_000, many="\n" * 9_000))
    deployment = put(api, source=bundle(api, flows="b" * 300_000, many="\n" * 9_001))
    notes = {file["name"]: file["note"] for file in diff(api, deployment, 2)["files"]}
    assert notes == {"flows.py": "No text, or too large to be shown.", "many.py": "More than 5,000 lines."}

    broken = hashlib.sha256(b"no zip").hexdigest()
    api.put(f"/bundles/{broken}", b"no zip")
    put(api, source={"type": "bundle", "sha256": broken})
    assert diff(api, deployment, 3)["note"] == "A bundle of these is no zip file that can be read."


def test_a_bomb_is_not_unpacked(api: Api) -> None:
    """Its members are read as far as they are shown, whatever they would come to."""
    put(api)
    deployment = put(api, source=bundle(api, **{f"f{n}": "0" * 5_000_000 for n in range(20)}))
    assert {file["note"] for file in diff(api, deployment, 2)["files"]} == {"No text, or too large to be shown."}


def test_who_only_views_sees_the_history_and_no_code(acme: Company, api: Api) -> None:
    deployment = put(api, source=bundle(api, flows="secret = 1"))
    viewer = Api(acme.key("looks", role="viewer"))
    assert len(history(viewer, deployment)) == 1
    assert viewer.get(f"/deployments/{deployment['id']}/versions/1/diff").status_code == 403
    assert viewer.post(f"/deployments/{deployment['id']}/rollback", {"version": 1}).status_code == 403


def test_a_rollback_to_a_pool_that_is_gone_says_so(acme: Company, api: Api) -> None:
    api.post("/work-pools", {"name": "old"})
    deployment = put(api, work_pool="old")
    put(api)
    with acme.scope():
        from runs.models import WorkPool, WorkQueue

        WorkQueue.objects.filter(pool__name="old").delete()
        WorkPool.objects.filter(name="old").delete()
    assert api.post(f"/deployments/{deployment['id']}/rollback", {"version": 1}).status_code == 404
    assert api.get(f"/deployments/{deployment['id']}").json()["number"] == 2


def test_of_another_company_nothing_is_known(acme: Company, eve_api: Api, api: Api) -> None:
    deployment = put(api)
    for method, path in (("get", "versions"), ("get", "versions/1"), ("post", "rollback"), ("post", "promote")):
        assert getattr(eve_api, method)(f"/deployments/{deployment['id']}/{path}").status_code in (400, 404)


def test_the_operations_say_who_did_it(acme: Company, api: Api) -> None:
    deployment = put(api)
    put(api, entrypoint="flows.py:b")
    api.post(f"/deployments/{deployment['id']}/rollback", {"version": 1})
    from tenants.models import AuditEntry

    with acme.scope():
        assert AuditEntry.objects.filter(action="deployment.rolled_back").count() == 1
        assert deployments.Deployment.objects.get().number == 3


def test_the_page_says_where_the_code_is_and_which_version(acme: Company, api: Api, alice: Any, browse: Any) -> None:
    deployment = put(api)
    put(api, source={"type": "git", "url": "https://git.example/team/flows.git", "branch": "main"})
    put(api, entrypoint="flows.py:new", canary=10)
    page = browse(alice).get(f"/o/acme/main/deployments/{deployment['id']}").content.decode()
    assert "https://git.example/team/flows.git" in page
    assert "version 2" in page
    assert "10 % of new runs: 3" in page
