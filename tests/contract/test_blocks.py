"""Blocks, as both servers keep them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.worlds import World

SECRET = {"$secret": True}
KEY = {"aws_access_key_id": "AKIA", "aws_secret_access_key": "planted-secret"}
CRM = {
    "name": "CRM",
    "description": "Ours.",
    "icon": "key",
    "methods": ["call"],
    "checksum": "sha256:1",
    "schema": {
        "type": "object",
        "properties": {"host": {"type": "string"}, "token": {"type": "string", "writeOnly": True}},
        "required": ["host"],
        "additionalProperties": False,
    },
}


def save(world: World, path: str, data: Any, **more: Any) -> Any:
    return world.api.put(f"/blocks/{path}", {"data": data, **more})


def refusal(answer: Any) -> tuple[int, str, list[str]]:
    told = answer.json()["error"]
    return answer.status_code, told["code"], sorted(told.get("fields", ()))


@pytest.fixture
def lake(world: World) -> str:
    """A bucket, and the credentials in it."""
    assert save(world, "aws-credentials/prod", {**KEY}).status_code == 201
    held = {"bucket_name": "lake", "credentials": {"$block": "aws-credentials/prod"}}
    assert save(world, "s3-bucket/lake", held).status_code == 201
    return "s3-bucket/lake"


def shown(answer: Any) -> dict[str, Any]:
    return {name: value for name, value in answer.json().items() if not name.endswith("_at")}


def test_types_are_listed_and_registered(world: World) -> None:
    assert world.api.put("/block-types/crm", CRM).status_code == 201
    assert world.api.put("/block-types/crm", CRM).status_code == 200
    assert world.api.get("/block-types/crm").json() == {"slug": "crm", "built_in": False, **CRM}
    found: list[str] = []
    cursor = ""
    while cursor is not None:
        page = world.api.get("/block-types", limit=4, cursor=cursor).json()
        found += [each["slug"] for each in page["items"]]
        cursor = page["next"]
    assert found == sorted(found)
    assert {"crm", "secret", "s3-bucket", "sqlalchemy-connector", "webhook"} < set(found)
    secret = world.api.get("/block-types/secret").json()
    assert (secret["built_in"], secret["methods"], secret["checksum"]) == (True, ["get"], "")


@pytest.mark.parametrize(
    ("slug", "change", "told"),
    [
        ("secret", {}, (409, "conflict", [])),
        ("Crm", {}, (400, "invalid", ["slug"])),
        ("crm", {"name": ""}, (400, "invalid", ["name"])),
        ("crm", {"schema": {"type": "string"}}, (400, "invalid", ["schema"])),
        ("crm", {"schema": 5}, (400, "invalid", ["schema"])),
    ],
)
def test_types_that_are_refused(world: World, slug: str, change: dict[str, Any], told: Any) -> None:
    assert refusal(world.api.put(f"/block-types/{slug}", CRM | change)) == told


def test_secrets_are_shown_by_value_alone(world: World, lake: str) -> None:
    assert shown(world.api.get("/blocks/aws-credentials/prod")) == {
        "type": "aws-credentials",
        "name": "prod",
        "description": "",
        "version": 1,
        "data": {"aws_access_key_id": "AKIA", "aws_secret_access_key": SECRET},
        "updated_by": "developer",
    }
    assert "planted-secret" not in world.api.get("/blocks").content.decode()
    value = world.api.post(f"/blocks/{lake}/value").json()
    assert value == {
        "type": "s3-bucket",
        "name": "lake",
        "version": 1,
        "data": {
            "bucket_name": "lake",
            "credentials": {
                "$block": "aws-credentials/prod",
                "type": "aws-credentials",
                "name": "prod",
                "version": 1,
                "data": KEY,
            },
        },
    }


def test_new_versions(world: World, lake: str) -> None:
    path = "aws-credentials/prod"
    changed = {"aws_access_key_id": "AKIB", "aws_secret_access_key": SECRET}
    assert save(world, path, changed, description="For lakes").json()["version"] == 2
    assert save(world, path, changed).json()["version"] == 2
    assert world.api.post(f"/blocks/{path}/value").json()["data"] == {**KEY, "aws_access_key_id": "AKIB"}
    assert shown(world.api.get(f"/blocks/{path}"))["description"] == "For lakes"
    assert refusal(save(world, path, KEY, expected_version=1)) == (409, "conflict", [])
    assert refusal(save(world, path, KEY, expected_version=0)) == (409, "conflict", ["name"])
    assert refusal(save(world, "aws-credentials/none", KEY, expected_version=3)) == (409, "conflict", [])
    back = world.api.post(f"/blocks/{path}/rollback", {"version": 1})
    assert (back.status_code, back.json()["version"]) == (200, 3)
    assert world.api.post(f"/blocks/{path}/value").json()["data"] == KEY
    first = world.api.get(f"/blocks/{path}/versions", limit=2).json()
    assert [(each["version"], each["note"]) for each in first["items"]] == [(3, "version 1 again"), (2, "")]
    last = world.api.get(f"/blocks/{path}/versions", limit=2, cursor=first["next"]).json()
    assert ([each["version"] for each in last["items"]], last["next"]) == ([1], None)
    assert refusal(world.api.post(f"/blocks/{path}/rollback", {"version": 9})) == (404, "not_found", [])


def test_an_older_version_is_read(world: World, lake: str) -> None:
    """5.1: with what is in it as that is now."""
    path = "aws-credentials/prod"
    changed = {"aws_access_key_id": "AKIB", "aws_secret_access_key": "another-secret"}
    save(world, path, changed)
    older = world.api.post(f"/blocks/{path}/value", {"version": 1}).json()
    assert (older["version"], older["data"]) == (1, KEY)
    assert world.api.post(f"/blocks/{path}/value", {}).json()["data"] == changed
    save(world, lake, {"bucket_name": "ocean", "credentials": {"$block": path}})
    whole = world.api.post(f"/blocks/{lake}/value", {"version": 1}).json()["data"]
    assert (whole["bucket_name"], whole["credentials"]["data"]) == ("lake", changed)
    assert refusal(world.api.post(f"/blocks/{path}/value", {"version": 9})) == (404, "not_found", [])
    assert refusal(world.api.post(f"/blocks/{path}/value", {"version": "x"})) == (400, "invalid", ["version"])


def test_a_renamed_block_is_followed(world: World, lake: str) -> None:
    """5.1: by the blocks that name it, each with a new version; its own versions stay."""
    path, named = "aws-credentials/prod", "aws-credentials/production"
    told = world.api.post(f"/blocks/{path}/rename", {"name": "production"})
    assert (told.status_code, told.json()["name"], told.json()["version"]) == (200, "production", 1)
    assert refusal(world.api.get(f"/blocks/{path}")) == (404, "not_found", [])
    assert world.api.post(f"/blocks/{named}/value").json()["data"] == KEY
    whole = world.api.post(f"/blocks/{lake}/value").json()
    assert (whole["version"], whole["data"]["credentials"]["$block"]) == (2, named)
    [newest, _] = world.api.get(f"/blocks/{lake}/versions").json()["items"]
    assert newest["note"] == f"{path} is now {named}"
    save(world, "aws-credentials/other", KEY)
    for name, fields in (("Upper", ["name"]), ("other", ["name"])):
        answer = world.api.post(f"/blocks/{named}/rename", {"name": name})
        assert refusal(answer)[2] == fields
    assert world.api.post(f"/blocks/{named}/rename", {"name": "production"}).json()["version"] == 1


def test_what_uses_a_block_is_told_and_keeps_its_name(world: World, lake: str) -> None:
    """5.1: what can't follow a rename refuses it, and the refusal names it."""
    world.deploy("nightly", parameters={"target": {"$block": lake}})
    users = world.api.get("/blocks/aws-credentials/prod/users").json()["items"]
    assert users == [{"kind": "block", "name": lake}]
    [user] = world.api.get(f"/blocks/{lake}/users").json()["items"]
    assert (user["kind"], user["name"].endswith(" / nightly")) == ("deployment", True)
    refused = world.api.post(f"/blocks/{lake}/rename", {"name": "ocean"})
    assert refusal(refused) == (409, "conflict", ["name"])
    assert user["name"] in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "data", "told"),
    [
        ("s3-bucket/x", {}, (400, "invalid", ["data.bucket_name"])),
        ("s3-bucket/x", {"bucket_name": 5}, (400, "invalid", ["data.bucket_name"])),
        ("secret/x", {"value": SECRET}, (400, "invalid", ["data.value"])),
        ("json/x", {"value": {"$block": "json/none"}}, (400, "invalid", ["data.value"])),
        ("json/Upper", {"value": 1}, (400, "invalid", ["name"])),
        ("json/x", {"value": "x" * (256 << 10)}, (400, "invalid", ["data"])),
        ("json/x", [], (400, "invalid", ["data"])),
        ("none/x", {}, (404, "not_found", [])),
    ],
)
def test_data_that_is_refused(world: World, path: str, data: Any, told: Any) -> None:
    assert refusal(save(world, path, data)) == told
    assert world.api.get(f"/blocks/{path}").status_code == 404


def test_circles_and_depths_are_refused(world: World) -> None:
    save(world, "json/n0", {"value": 0})
    for depth in range(1, 12):
        save(world, f"json/n{depth}", {"value": [{"$block": f"json/n{depth - 1}"}]})
    assert world.api.post("/blocks/json/n10/value").status_code == 200
    assert refusal(world.api.post("/blocks/json/n11/value")) == (409, "conflict", [])
    assert refusal(save(world, "json/n0", {"value": {"$block": "json/n5"}})) == (400, "invalid", ["data.value"])


def test_what_others_use_stays(world: World, lake: str) -> None:
    refused = world.api.delete("/blocks/aws-credentials/prod")
    assert refusal(refused) == (409, "conflict", ["used_by"])
    assert refused.json()["error"]["fields"]["used_by"] == lake
    assert world.api.delete(f"/blocks/{lake}").status_code == 204
    assert world.api.delete("/blocks/aws-credentials/prod").status_code == 204
    for answer in (world.api.get(f"/blocks/{lake}"), world.api.delete(f"/blocks/{lake}")):
        assert refusal(answer) == (404, "not_found", [])


def test_pages_by_type_and_name(world: World) -> None:
    for path in ("secret/b", "json/c", "secret/a", "json/a", "json/b"):
        save(world, path, {"value": 1})
    pages = []
    cursor = ""
    while cursor is not None:
        page = world.api.get("/blocks", limit=2, cursor=cursor).json()
        pages.append([f"{each['type']}/{each['name']}" for each in page["items"]])
        cursor = page["next"]
    assert pages == [["json/a", "json/b"], ["json/c", "secret/a"], ["secret/b"]]
    assert [each["name"] for each in world.api.get("/blocks", type="secret").json()["items"]] == ["a", "b"]
    assert refusal(world.api.get("/blocks", limit=0)) == (400, "invalid", ["limit"])


@pytest.mark.parametrize(
    ("role", "sees", "edits", "uses"),
    [("viewer", 200, 403, 403), ("runner", 200, 403, 403), ("agent", 403, 403, 403), ("owner", 200, 200, 200)],
)
def test_who_may_do_what(world: World, lake: str, role: str, sees: int, edits: int, uses: int) -> None:
    own = world.as_role(role)
    assert own.get(f"/blocks/{lake}").status_code == sees
    assert own.get("/block-types").status_code == sees
    assert own.post(f"/blocks/{lake}/value").status_code == uses
    assert own.put(f"/blocks/{lake}", {"data": {"bucket_name": "lake"}}).status_code == edits


def test_a_run_reads_while_its_lease_lives(world: World, lake: str) -> None:
    world.deploy()
    world.trigger()
    agent = world.agent()
    (claim,) = agent.claim()
    own = world.with_key(claim["token"])
    assert own.post(f"/blocks/{lake}/value").status_code == 200
    assert refusal(own.put(f"/blocks/{lake}", {"data": {"bucket_name": "lake"}}))[:2] == (403, "forbidden")
    agent.tell_end(claim, exit=1)
    world.pass_time(6)  # A server may trust a token for five seconds.
    assert refusal(own.post(f"/blocks/{lake}/value"))[:2] == (403, "forbidden")
