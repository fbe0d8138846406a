"""2.1: versions of deployments, as a client asks for them."""

from __future__ import annotations

import hashlib
import io
import zipfile
from typing import Any

from tests.contract.test_triggers import error
from tests.contract.worlds import World

GIT = {"commit": "c" * 40, "branch": "main", "dirty": False}


def versions(world: World, deployment: dict[str, Any]) -> list[dict[str, Any]]:
    return world.api.get(f"/deployments/{deployment['id']}/versions").json()["items"]


def test_a_version_is_what_a_deploy_changed(world: World) -> None:
    first = world.deploy(message="begun", git=GIT)
    world.deploy(schedule={"interval": 60}, concurrency_limit=2)
    second = world.deploy(parameters={"n": 1})

    assert (first["number"], second["number"], second["canary"]) == (1, 2, None)
    newest, oldest = versions(world, first)
    assert sorted(newest) == ["created_at", "created_by", "git", "message", "number", "role", "rollback_of"]
    assert (newest["number"], newest["role"], newest["git"]) == (2, "current", None)
    assert (oldest["number"], oldest["role"], oldest["git"], oldest["message"]) == (1, "", GIT, "begun")
    one = world.api.get(f"/deployments/{first['id']}/versions/2").json()
    assert one.pop("definition") == {
        "concurrency_key": "", "crash_retries": None, "debounce": None, "description": "",
        "entrypoint": "flows.py:etl", "job_variables": {}, "parameters": {"n": 1},
        "parameter_schema": {"type": "object", "properties": {}},
        "process": "warm", "python": "", "retries": 0, "retry_delay": 0, "source": {"type": "path", "path": "/flows"},
        "tags": [], "version": "", "work_pool": "default", "work_queue": "default",
    }  # fmt: skip
    assert one == newest
    error(world.api.get(f"/deployments/{first['id']}/versions/3"), 404)


def test_versions_are_paged(world: World) -> None:
    for number in range(5):
        deployment = world.deploy(parameters={"n": number})
    address = f"/deployments/{deployment['id']}/versions"
    page = world.api.get(address, limit=3).json()
    rest = world.api.get(address, limit=3, cursor=page["next"]).json()
    assert [v["number"] for v in page["items"] + rest["items"]] == [5, 4, 3, 2, 1]
    assert rest["next"] is None


def test_a_rollback_makes_a_new_version_of_an_old_one(world: World) -> None:
    world.deploy(parameters={"n": 1}, tags=["old"], git=GIT)
    deployment = world.deploy(parameters={"n": 2}, schedule={"interval": 60})
    address = f"/deployments/{deployment['id']}/rollback"

    told = world.api.post(address, {"version": 1, "message": "no good"}).json()
    assert (told["number"], told["parameters"], told["tags"]) == (3, {"n": 1}, ["old"])
    assert [schedule["interval"] for schedule in told["schedules"]] == [60]
    newest = versions(world, deployment)[0]
    assert (newest["rollback_of"], newest["message"], newest["git"]) == (1, "no good", GIT)
    error(world.api.post(address, {"version": 3}), 409)
    error(world.api.post(address, {"version": 99}), 404)
    error(world.api.post(address, {}), 400)


def test_runs_say_from_which_version_they_were_made(world: World) -> None:
    world.deploy()
    run = world.trigger()
    assert world.run(run)["deployment_version"] == 1
    world.deploy(entrypoint="flows.py:other")
    agent = world.agent()
    [claimed] = agent.claim()
    assert claimed["entrypoint"] == "flows.py:other"
    assert world.run(run)["deployment_version"] == 2


def test_a_canary_gets_its_share_and_is_promoted(world: World) -> None:
    world.deploy(parameters={"n": 1})
    told = world.deploy(parameters={"n": 2}, entrypoint="flows.py:new", canary=50)
    assert (told["number"], told["canary"], told["parameters"]) == (1, {"number": 2, "share": 50}, {"n": 1})
    runs = [world.run(world.trigger()) for _ in range(40)]
    assert {(run["deployment_version"], run["parameters"]["n"]) for run in runs} == {(1, 1), (2, 2)}
    claimed = {each["run"]: each["entrypoint"] for each in world.agent(slots=100).claim(slots=100)}
    assert {claimed[run["id"]] for run in runs if run["deployment_version"] == 2} == {"flows.py:new"}
    assert {claimed[run["id"]] for run in runs if run["deployment_version"] == 1} == {"flows.py:etl"}

    address = f"/deployments/{told['id']}"
    assert world.api.post(f"{address}/canary", {"share": 10}).json()["canary"] == {"number": 2, "share": 10}
    promoted = world.api.post(f"{address}/promote").json()
    assert (promoted["number"], promoted["canary"], promoted["entrypoint"]) == (2, None, "flows.py:new")
    error(world.api.post(f"{address}/promote"), 409)
    error(world.api.post(f"{address}/canary", {"share": 10}), 409)


def test_a_canary_is_withdrawn(world: World) -> None:
    world.deploy()
    told = world.deploy(entrypoint="flows.py:new", canary=99)
    run = world.trigger()
    address = f"/deployments/{told['id']}/canary"
    error(world.api.post(address, {"share": 100}), 400)
    assert world.api.post(address, {"share": 0}).json()["canary"] is None
    [claimed] = world.agent().claim()
    assert (claimed["run"], claimed["entrypoint"]) == (run, "flows.py:etl")
    assert [v["role"] for v in versions(world, told)] == ["", "current"]


def test_canaries_that_can_not_be_taken(world: World) -> None:
    body = {"flow": "etl", "name": "nightly", "entrypoint": "flows.py:etl", "source": {"type": "path", "path": "/f"}}
    assert list(error(world.api.post("/deployments", {**body, "canary": 5}), 400)["fields"]) == ["canary"]
    world.deploy()
    for more, field in (
        ({"canary": 100}, "canary"),
        ({"canary": 5, "source": {"type": "path", "path": "/flows"}}, "canary"),
        ({"canary": 5, "python": "3.9"}, "python"),
    ):
        assert list(error(world.api.post("/deployments", {**body, **more}), 400)["fields"]) == [field]


def test_what_a_version_changed_is_told_file_by_file(world: World) -> None:
    world.deploy(source=bundle(world, "a = 1\nb = 1\n"), parameters={"n": 1})
    deployment = world.deploy(source=bundle(world, "a = 1\nb = 2\n"), parameters={"n": 2})
    address = f"/deployments/{deployment['id']}/versions/2/diff"

    told = world.api.get(address).json()
    assert (told["from"], told["to"], told["note"]) == (1, 2, "")
    assert told["settings"][0] == {"name": "parameters.n", "before": "1", "after": "2"}
    [file] = told["files"]
    assert (file["name"], file["change"]) == ("flows.py", "changed")
    assert file["lines"] == ["@@ -1,2 +1,2 @@", " a = 1", "-b = 1", "+b = 2"]
    error(world.api.get(address, **{"from": "9"}), 404)
    error(world.api.get(address, **{"from": "x"}), 400)
    error(world.as_role("viewer").get(address), 403)


def bundle(world: World, text: str) -> dict[str, str]:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("flows.py", text)
    sha256 = hashlib.sha256(packed.getvalue()).hexdigest()
    assert world.api.put(f"/bundles/{sha256}", packed.getvalue()).status_code == 201
    return {"type": "bundle", "sha256": sha256}


def test_a_deployment_is_deleted(world: World) -> None:
    deployment = world.deploy()
    waiting = world.trigger()
    assert world.api.delete(f"/deployments/{deployment['id']}").status_code == 204
    assert world.api.delete(f"/deployments/{deployment['id']}").status_code == 404
    assert world.state(waiting) == ("CANCELLED", "Cancelled")
    assert world.deploy()["number"] == 1
