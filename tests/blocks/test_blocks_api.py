"""Blocks over HTTP: types, secrets that stay apart, versions, what refers to what."""

from __future__ import annotations

from typing import Any

import pytest

from blocks.models import Block, BlockReference, BlockVersion
from tenants.models import AuditEntry
from tests.cast import Api, Company
from tests.runs.test_flow_runs_api import all_pages, error

pytestmark = pytest.mark.django_db

SECRET = {"$secret": True}
KEY = "AKIA-planted-secret"


def save(api: Api, path: str, data: dict[str, Any], **more: Any) -> Any:
    return api.put(f"/blocks/{path}", {"data": data, **more})


def value(api: Api, path: str) -> Any:
    return api.post(f"/blocks/{path}/value").json()


@pytest.fixture
def bucket(api: Api) -> str:
    """A bucket with credentials of its own."""
    save(api, "aws-credentials/prod", {"aws_access_key_id": "AKIA1", "aws_secret_access_key": KEY})
    made = save(api, "s3-bucket/lake", {"bucket_name": "lake", "credentials": {"$block": "aws-credentials/prod"}})
    assert made.status_code == 201, made.content
    return "s3-bucket/lake"


# ── types ─────────────────────────────────────────────────────────────────────────────────────────


def test_built_in_types_are_there(api: Api) -> None:
    types = {type["slug"]: type for type in all_pages(api, "/block-types", limit=2)}
    assert {"secret", "json", "s3-bucket", "aws-credentials"} <= types.keys()
    assert list(types) == sorted(types)
    assert types["secret"]["built_in"]
    assert api.get("/block-types/secret").json() == types["secret"]


CRM = {
    "name": "CRM account",
    "description": "Our CRM.",
    "schema": {
        "type": "object",
        "properties": {"host": {"type": "string"}, "token": {"type": "string", "writeOnly": True, "minLength": 8}},
        "required": ["host", "token"],
        "additionalProperties": False,
    },
    "checksum": "sha256:1",
}


def test_a_workspace_registers_types_of_its_own(acme: Company, api: Api) -> None:
    assert api.put("/block-types/crm", CRM).status_code == 201
    assert api.put("/block-types/crm", CRM).status_code == 200
    shown = api.get("/block-types/crm").json()
    assert (shown["name"], shown["checksum"], shown["built_in"]) == ("CRM account", "sha256:1", False)
    assert save(api, "crm/main", {"host": "crm.example", "token": "12345678"}).status_code == 201
    with acme.scope():
        actions = AuditEntry.objects.filter(action__startswith="block_type.").values_list("action", flat=True)
        assert list(actions) == ["block_type.registered"]


@pytest.mark.parametrize(
    ("slug", "change", "status"),
    [
        ("secret", {}, 409),
        ("Crm", {}, 400),
        ("crm", {"name": ""}, 400),
        ("crm", {"schema": {"type": "string"}}, 400),
        ("crm", {"schema": {"properties": 5}}, 400),
        ("crm", {"schema": {"properties": {"a": {"$ref": "https://elsewhere.example/x"}}}}, 400),
        ("crm", {"schema": {"properties": {"a": {"$dynamicRef": "#x"}}}}, 400),
        ("crm", {"schema": {"properties": {"a": {"$ref": "#/$defs/none"}}}}, 400),
        ("crm", {"icon": "<svg>"}, 400),
        ("crm", {"description": "x" * 10_001}, 400),
    ],
)
def test_types_that_can_not_be_registered(api: Api, slug: str, change: dict, status: int) -> None:
    told = error(api.put(f"/block-types/{slug}", CRM | change), status)
    assert status == 409 or told["fields"]


# ── one block ─────────────────────────────────────────────────────────────────────────────────────


def test_secrets_stay_apart_and_come_back_for_who_may_use_them(acme: Company, api: Api, bucket: str) -> None:
    shown = api.get("/blocks/aws-credentials/prod")
    assert shown.json()["data"] == {"aws_access_key_id": "AKIA1", "aws_secret_access_key": SECRET}
    assert KEY not in api.get("/blocks").content.decode()
    read = api.post("/blocks/aws-credentials/prod/value")
    assert read.headers["Cache-Control"] == "no-store"
    assert read.json() == {
        "type": "aws-credentials",
        "name": "prod",
        "version": 1,
        "data": {"aws_access_key_id": "AKIA1", "aws_secret_access_key": KEY},
    }


def test_blocks_within_blocks_come_along(acme: Company, api: Api, bucket: str) -> None:
    inner = value(api, bucket)["data"]["credentials"]
    assert inner["$block"] == "aws-credentials/prod"
    assert inner["data"]["aws_secret_access_key"] == KEY
    with acme.scope():
        read = AuditEntry.objects.filter(action="block.read").values_list("object_name", "actor")
        assert sorted(read) == [("aws-credentials/prod", "developer"), ("s3-bucket/lake", "developer")]


def test_a_secret_that_is_not_given_stays(api: Api, bucket: str) -> None:
    changed = save(api, "aws-credentials/prod", {"aws_access_key_id": "AKIA2", "aws_secret_access_key": SECRET})
    assert (changed.status_code, changed.json()["version"]) == (200, 2)
    assert value(api, "aws-credentials/prod")["data"] == {"aws_access_key_id": "AKIA2", "aws_secret_access_key": KEY}
    told = error(save(api, "secret/new", {"value": SECRET}), 400)
    assert told["fields"] == {"data.value": "No secret is kept here. Give its value."}


def test_the_same_again_makes_no_version(api: Api, bucket: str) -> None:
    again = save(api, "aws-credentials/prod", {"aws_access_key_id": "AKIA1", "aws_secret_access_key": KEY})
    assert (again.status_code, again.json()["version"]) == (200, 1)
    assert save(api, bucket, api.get(f"/blocks/{bucket}").json()["data"], description="The lake").json()["version"] == 1
    assert api.get(f"/blocks/{bucket}").json()["description"] == "The lake"


def test_nothing_newer_is_overwritten(api: Api) -> None:
    assert save(api, "json/x", {"value": 1}, expected_version=0).status_code == 201
    assert list(error(save(api, "json/x", {"value": 2}, expected_version=0), 409)["fields"]) == ["name"]
    assert save(api, "json/x", {"value": 2}, expected_version=1).status_code == 200
    error(save(api, "json/x", {"value": 3}, expected_version=1), 409)
    error(save(api, "json/gone", {"value": 3}, expected_version=4), 409)
    assert api.get("/blocks/json/x").json()["data"] == {"value": 2}


@pytest.mark.parametrize(
    ("path", "data", "field"),
    [
        ("s3-bucket/x", {}, "data.bucket_name"),
        ("s3-bucket/x", {"bucket_name": 5}, "data.bucket_name"),
        ("s3-bucket/x", {"bucket_name": "ab"}, "data.bucket_name"),
        ("s3-bucket/x", {"bucket_name": "abc", "credentials": {"$block": "secret/x"}}, "data.credentials.$block"),
        ("s3-bucket/x", {"bucket_name": "abc", "credentials": {"$block": "aws-credentials/no"}}, "data.credentials"),
        ("json/Upper", {"value": 1}, "name"),
        ("json/-x", {"value": 1}, "name"),
        ("json/" + "x" * 101, {"value": 1}, "name"),
        ("json/x", {"value": "x" * (256 << 10)}, "data"),
    ],
)
def test_what_can_not_be_taken_is_said_by_field(api: Api, path: str, data: dict, field: str) -> None:
    assert list(error(save(api, path, data), 400)["fields"]) == [field]
    error(api.get(f"/blocks/{path}"), 404)


def test_no_error_repeats_a_secret(api: Api) -> None:
    api.put("/block-types/crm", CRM)
    for data in (
        {"host": 5, "token": "s3cr3t!"},
        {"host": "h", "token": ["s3cr3t!"]},
        {"host": "h", "token": {"s3cr3t!": "s3cr3t!"}},
        {"host": "h", "token": "s3cr3t!"},
    ):
        refused = save(api, "crm/x", data)
        assert error(refused, 400)["fields"]
        assert "s3cr3t!" not in refused.content.decode()


def test_there_must_be_the_type(api: Api) -> None:
    assert "register_type" in error(save(api, "nothing/x", {}), 404)["message"]


def test_a_block_goes_unless_others_use_it(acme: Company, api: Api, bucket: str) -> None:
    assert error(api.delete("/blocks/aws-credentials/prod"), 409)["fields"] == {"used_by": bucket}
    assert api.delete(f"/blocks/{bucket}").status_code == 204
    assert api.delete("/blocks/aws-credentials/prod").status_code == 204
    error(api.get(f"/blocks/{bucket}"), 404)
    with acme.scope():
        assert not Block.objects.exists()
        assert not BlockVersion.objects.exists()
        assert not BlockReference.objects.exists()


# ── versions ──────────────────────────────────────────────────────────────────────────────────────


def test_back_to_an_older_version_with_its_secrets(api: Api) -> None:
    for secret in ("first one", "second one"):
        save(api, "secret/x", {"value": secret})
    back = api.post("/blocks/secret/x/rollback", {"version": 1})
    assert (back.status_code, back.json()["version"]) == (200, 3)
    assert value(api, "secret/x")["data"] == {"value": "first one"}
    versions = api.get("/blocks/secret/x/versions").json()["items"]
    assert [(item["version"], item["note"]) for item in versions] == [(3, "version 1 again"), (2, ""), (1, "")]
    assert [item["data"] for item in versions] == [{"value": SECRET}] * 3
    error(api.post("/blocks/secret/x/rollback", {"version": 9}), 404)
    error(api.post("/blocks/secret/x/rollback", {"version": -1}), 404)
    error(api.post("/blocks/secret/x/rollback", {"version": 1 << 40}), 404)


def test_no_way_back_to_blocks_that_are_gone(api: Api, bucket: str) -> None:
    save(api, bucket, {"bucket_name": "lake"})
    assert api.delete("/blocks/aws-credentials/prod").status_code == 204
    told = error(api.post(f"/blocks/{bucket}/rollback", {"version": 1}), 400)
    assert list(told["fields"]) == ["data.credentials"]


def test_fifty_versions_are_kept(acme: Company, api: Api) -> None:
    for number in range(53):
        save(api, "json/x", {"value": number})
    numbers = [item["version"] for item in all_pages(api, "/blocks/json/x/versions", limit=20)]
    assert numbers == list(range(53, 3, -1))
    error(api.post("/blocks/json/x/rollback", {"version": 3}), 404)


# ── blocks within blocks ──────────────────────────────────────────────────────────────────────────


def test_blocks_do_not_use_each_other_in_a_circle(api: Api) -> None:
    save(api, "json/a", {"value": 1})
    save(api, "json/b", {"value": {"$block": "json/a"}})
    save(api, "json/c", {"value": [{"$block": "json/b"}]})
    told = error(save(api, "json/a", {"value": {"deep": [{"$block": "json/c"}]}}), 400)
    assert list(told["fields"]) == ["data.value.deep.0"]
    assert list(error(save(api, "json/a", {"value": {"$block": "json/a"}}), 400)["fields"]) == ["data.value"]


def test_values_go_ten_blocks_deep(api: Api) -> None:
    save(api, "json/n0", {"value": 0})
    for depth in range(1, 12):
        save(api, f"json/n{depth}", {"value": {"$block": f"json/n{depth - 1}"}})
    assert api.post("/blocks/json/n10/value").status_code == 200
    error(api.post("/blocks/json/n11/value"), 409)


def test_values_that_multiply_are_refused(api: Api) -> None:
    save(api, "json/m0", {"value": 0})
    for depth in range(1, 9):
        save(api, f"json/m{depth}", {"value": [{"$block": f"json/m{depth - 1}"}] * 10})
    error(api.post("/blocks/json/m8/value"), 409)


# ── lists and rights ──────────────────────────────────────────────────────────────────────────────


def test_pages_by_type_and_name(api: Api) -> None:
    paths = [f"{type}/b-{number}" for type in ("json", "secret") for number in range(7)]
    for path in reversed(paths):
        save(api, path, {"value": path})
    listed = [f"{item['type']}/{item['name']}" for item in all_pages(api, "/blocks", limit=3)]
    assert listed == paths
    assert [item["name"] for item in all_pages(api, "/blocks", type="secret", limit=4)] == [f"b-{n}" for n in range(7)]
    for query in ({"limit": 0}, {"limit": "x"}, {"cursor": "\x00"}, {"type": "\x00"}):
        error(api.get("/blocks", **query), 400)


def test_a_page_ends_before_it_is_too_large(api: Api) -> None:
    for number in range(20):
        save(api, f"json/b{number:02}", {"value": "x" * (255 << 10)})
    page = api.get("/blocks", limit=20).json()
    assert len(page["items"]) == 16
    assert len(all_pages(api, "/blocks", limit=20)) == 20


@pytest.mark.parametrize(
    ("role", "sees", "edits", "uses"),
    [
        ("viewer", True, False, False),
        ("runner", True, False, False),
        ("agent", False, False, False),
        ("developer", True, True, True),
        ("owner", True, True, True),
    ],
)
def test_who_may_see_and_edit_and_use(
    acme: Company, api: Api, bucket: str, role: str, sees: bool, edits: bool, uses: bool
) -> None:
    own = Api(acme.key(role + "-key", role))
    assert own.get(f"/blocks/{bucket}").status_code == (200 if sees else 403)
    assert own.get("/block-types").status_code == (200 if sees else 403)
    assert own.post(f"/blocks/{bucket}/value").status_code == (200 if uses else 403)
    assert save(own, bucket, {"bucket_name": "other"}).status_code == (200 if edits else 403)
    assert own.post(f"/blocks/{bucket}/rollback", {"version": 1}).status_code == (200 if edits else 403)
    assert own.delete(f"/blocks/{bucket}").status_code == (204 if edits else 403)


def test_blocks_cost_few_queries(api: Api, bucket: str, django_assert_max_num_queries: Any) -> None:
    for number in range(20):
        save(api, f"secret/s{number}", {"value": KEY})
    with django_assert_max_num_queries(7):
        api.get("/blocks")
    with django_assert_max_num_queries(7):
        api.get(f"/blocks/{bucket}")
    with django_assert_max_num_queries(12):
        api.post(f"/blocks/{bucket}/value")
