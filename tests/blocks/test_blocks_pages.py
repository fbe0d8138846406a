"""Blocks in the portal: found, made, changed, restored, renamed and deleted; secrets go in and never come out."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from blocks import blocks
from blocks.models import Block, BlockVersion
from tenants.models import AuditEntry
from tests.cast import Api, Company
from tests.runs.work import deploy

pytestmark = pytest.mark.django_db

HUSH = "hush-hush-hush"
ROOT = "/o/acme/main/"


@pytest.fixture
def page(alice: Any, browse: Any) -> Client:
    """Alice's browser."""
    return browse(alice)


@pytest.fixture
def lake(api: Api) -> str:
    """A bucket, its credentials, and their history."""
    for key in ("first-key", HUSH):
        data = {"aws_access_key_id": "AKIA1", "aws_secret_access_key": key}
        assert api.put("/blocks/aws-credentials/prod", {"data": data}).status_code < 300
    data = {"bucket_name": "flights-lake", "credentials": {"$block": "aws-credentials/prod"}}
    assert api.put("/blocks/s3-bucket/lake", {"data": data}).status_code == 201
    return ROOT + "blocks/s3-bucket/lake"


CREDENTIALS = ROOT + "blocks/aws-credentials/prod"


def text(response: Any) -> str:
    return response.content.decode()


# ── the list and the catalogue ────────────────────────────────────────────────────────────────────


def test_the_list_finds_by_name_and_type(page: Client, lake: str) -> None:
    assert "lake" in text(page.get(ROOT + "blocks"))
    found = text(page.get(ROOT + "blocks", {"type": "aws-credentials"}))
    assert ">prod</a>" in found
    assert ">lake</a>" not in found
    assert "No block matches" in text(page.get(ROOT + "blocks", {"q": "nothing"}))


def test_the_list_tells_how_many_use_a_block(acme: Company, page: Client, lake: str) -> None:
    deploy(acme, "nightly", parameters={"lake": {"$block": "s3-bucket/lake"}})
    rows = page.get(ROOT + "blocks").context["page"].rows
    assert {row.block.path: row.users for row in rows} == {"aws-credentials/prod": 1, "s3-bucket/lake": 1}


def test_long_lists_have_pages(api: Api, page: Client) -> None:
    for number in range(53):
        api.put(f"/blocks/json/b{number:02}", {"data": {"value": 1}})
    first = page.get(ROOT + "blocks", {"q": "b"})
    rest = page.get(ROOT + "blocks", {"q": "b", "cursor": first.context["page"].next})
    assert [len(each.context["page"].rows) for each in (first, rest)] == [50, 3]
    assert 'rel="next"' in text(first)
    assert 'rel="next"' not in text(rest)


def test_the_catalogue_is_searched(page: Client) -> None:
    assert [type.slug for type in page.get(ROOT + "blocks/new", {"q": "A BUCKET OF"}).context["types"]] == ["s3-bucket"]
    assert "No type matches" in text(page.get(ROOT + "blocks/new", {"q": "zzz"}))
    assert page.get(ROOT + "blocks/new", {"type": "nothing"}).status_code == 404


# ── making and changing ───────────────────────────────────────────────────────────────────────────


def make(page: Client, type: str, name: str, **fields: str) -> Any:
    posted = {"name": name, "version": "0", **{f"p.{key}": value for key, value in fields.items()}}
    return page.post(f"{ROOT}blocks/new?type={type}", posted)


def test_a_block_is_made(acme: Company, api: Api, page: Client) -> None:
    made = make(page, "secret", "crm-token", value=HUSH)
    assert made.headers["Location"] == ROOT + "blocks/secret/crm-token"
    shown = text(page.get(made.headers["Location"]))
    assert HUSH not in shown
    assert "set" in shown
    assert api.post("/blocks/secret/crm-token/value").json()["data"] == {"value": HUSH}
    with acme.scope():
        entry = AuditEntry.objects.get(action="block.created")
        assert (entry.actor, entry.object_name) == ("alice@acme.example", "secret/crm-token")


@pytest.mark.parametrize(
    ("name", "fields", "told"),
    [
        ("Crm", {"value": HUSH}, "Lower case letters"),
        ("", {"value": HUSH}, "Lower case letters"),
        ("taken", {"value": HUSH}, "Choose another name"),
    ],
)
def test_what_is_refused_is_said_and_no_secret_is_echoed(
    acme: Company, api: Api, page: Client, name: str, fields: dict[str, str], told: str
) -> None:
    api.put("/blocks/secret/taken", {"data": {"value": "the first one"}})
    refused = make(page, "secret", name, **fields)
    assert refused.status_code in {400, 409}
    assert told in text(refused)
    assert HUSH not in text(refused)
    with acme.scope():
        assert Block.objects.count() == 1


def test_errors_stand_beside_their_fields(page: Client) -> None:
    refused = make(page, "s3-bucket", "lake", bucket_name="ab", credentials="aws-credentials/none")
    form = refused.context["form"]
    assert (refused.status_code, form.count) == (400, 1)
    assert [field.error for field in form.fields.wrong] == ["3 characters or more."]


def edit(page: Client, path: str, version: int, **fields: str) -> Any:
    posted = {"version": str(version), **{f"p.{key}": value for key, value in fields.items()}}
    return page.post(path, posted)


def test_a_secret_stays_until_it_is_replaced(api: Api, page: Client, lake: str) -> None:
    kept = {"aws_secret_access_key~kept": "1", "aws_secret_access_key": ""}
    assert edit(page, CREDENTIALS, 2, aws_access_key_id="AKIA2", **kept).status_code == 302
    value = api.post("/blocks/aws-credentials/prod/value").json()
    assert (value["version"], value["data"]["aws_secret_access_key"]) == (3, HUSH)
    replaced = {**kept, "aws_secret_access_key": "a new one"}
    assert edit(page, CREDENTIALS, 3, aws_access_key_id="AKIA2", **replaced).status_code == 302
    assert api.post("/blocks/aws-credentials/prod/value").json()["data"]["aws_secret_access_key"] == "a new one"


def test_nobody_overwrites_what_another_saved_meanwhile(page: Client, lake: str) -> None:
    stale = edit(page, lake, 9, bucket_name="other-lake")
    assert stale.status_code == 409
    assert "version 9 was expected" in text(stale)
    assert "other-lake" in text(stale)


def test_a_description_alone_makes_no_version(acme: Company, page: Client) -> None:
    make(page, "secret", "x", value=HUSH)
    path = ROOT + "blocks/secret/x"
    changed = page.post(path, {"version": "1", "p.value~kept": "1", "p.value": "", "description": "Of the CRM"})
    assert changed.status_code == 302
    with acme.scope():
        assert Block.objects.values_list("version", "description").get() == (1, "Of the CRM")


# ── versions, names, the end ──────────────────────────────────────────────────────────────────────


def test_versions_tell_what_changed_but_no_secret(page: Client, lake: str) -> None:
    shown = page.get(CREDENTIALS, {"tab": "versions"})
    newest = shown.context["history"][0]
    assert [(change.place, change.how) for change in newest.changes.shown] == [("aws_secret_access_key", "replaced")]
    for secret in (HUSH, "first-key"):
        assert secret not in text(shown)


def test_a_version_is_restored(api: Api, page: Client, lake: str) -> None:
    assert page.post(CREDENTIALS + "/rollback", {"version": "1"}).status_code == 302
    value = api.post("/blocks/aws-credentials/prod/value").json()
    assert (value["version"], value["data"]["aws_secret_access_key"]) == (3, "first-key")
    for wrong in ("", "x", "99", "-1", "9" * 30):
        assert page.post(CREDENTIALS + "/rollback", {"version": wrong}).status_code == 302
    assert api.get("/blocks/aws-credentials/prod").json()["version"] == 3


def test_blocks_that_use_a_renamed_one_follow(acme: Company, api: Api, page: Client, lake: str) -> None:
    renamed = page.post(CREDENTIALS + "/rename", {"name": "production"})
    assert renamed.headers["Location"] == ROOT + "blocks/aws-credentials/production"
    shown = api.get("/blocks/s3-bucket/lake").json()
    assert (shown["version"], shown["data"]["credentials"]) == (2, {"$block": "aws-credentials/production"})
    inner = api.post("/blocks/s3-bucket/lake/value").json()["data"]["credentials"]
    assert inner["data"]["aws_secret_access_key"] == HUSH
    with acme.scope():
        assert AuditEntry.objects.get(action="block.renamed").details == {"from": "aws-credentials/prod"}


def test_a_block_keeps_its_name_where_another_has_it_or_a_deployment_names_it(
    acme: Company, api: Api, page: Client, lake: str
) -> None:
    api.put("/blocks/s3-bucket/taken", {"data": {"bucket_name": "taken"}})
    deploy(acme, "nightly", parameters={"lake": [{"$block": "s3-bucket/lake"}]})
    for path, name in ((CREDENTIALS, "Bad Name"), (ROOT + "blocks/s3-bucket/taken", "lake"), (lake, "free")):
        assert page.post(path + "/rename", {"name": name}, follow=True).status_code == 200
        assert page.get(path).status_code == 200


def test_what_is_in_use_is_not_deleted(acme: Company, page: Client, lake: str) -> None:
    refused = page.post(CREDENTIALS + "/delete", follow=True)
    assert "is used by s3-bucket/lake" in text(refused)
    assert page.post(lake + "/delete").headers["Location"] == ROOT + "blocks"
    assert page.post(CREDENTIALS + "/delete").headers["Location"] == ROOT + "blocks"
    with acme.scope():
        assert not BlockVersion.objects.exists()


def test_what_uses_a_block_is_listed_with_addresses(acme: Company, page: Client, lake: str) -> None:
    deployment = deploy(acme, "nightly", parameters={"lake": {"$block": "s3-bucket/lake"}})
    users = page.get(lake, {"tab": "users"}).context["users"]
    assert [(user.kind, address) for user, address in users] == [
        ("deployment", f"{ROOT}deployments/{deployment.id}"),
    ]
    users = page.get(CREDENTIALS).context["users"]
    assert [(user.name, address) for user, address in users] == [("s3-bucket/lake", lake)]


# ── rights ────────────────────────────────────────────────────────────────────────────────────────


def test_who_may_only_look_sees_settings_without_secrets(vera: Any, browse: Any, lake: str) -> None:
    seen = browse(vera)
    shown = text(seen.get(CREDENTIALS))
    assert "AKIA1" in shown
    assert HUSH not in shown
    assert '<form class="panel"' not in shown
    for path in (CREDENTIALS, CREDENTIALS + "/rollback", CREDENTIALS + "/rename", CREDENTIALS + "/delete"):
        assert seen.post(path, {"version": "1", "name": "x"}).status_code == 403
    assert seen.get(ROOT + "blocks/new").status_code == 403
    assert "New block" not in text(seen.get(ROOT + "blocks"))


def test_a_block_of_a_type_that_is_gone_is_still_shown(
    acme: Company, page: Client, lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from blocks import types

    rest = {slug: type for slug, type in types.catalogue().items() if slug != "s3-bucket"}
    monkeypatch.setattr(types, "catalogue", lambda: rest)
    assert "does not know the type" in text(page.get(lake))
    assert page.get(ROOT + "blocks").status_code == 200


def test_pages_cost_few_queries(
    acme: Company, api: Api, page: Client, lake: str, django_assert_max_num_queries: Any
) -> None:
    for number in range(60):
        api.put(f"/blocks/secret/s{number}", {"data": {"value": HUSH}})
    for number in range(10):
        deploy(acme, f"d{number}", parameters={"lake": {"$block": "s3-bucket/lake"}})
    page.get(ROOT + "blocks")
    with django_assert_max_num_queries(20):
        page.get(ROOT + "blocks")
    with django_assert_max_num_queries(25):
        page.get(lake)


def test_saving_needs_no_key_where_there_is_no_secret(acme: Company) -> None:
    from tenants.models import OrganizationKey

    with acme.scope():
        blocks.save(type="json", name="x", data={"value": 1}, by=acme.actor())
        assert not OrganizationKey.objects.exists()


def test_the_code_that_loads_a_block(acme: Company, api: Api, page: Client, lake: str) -> None:
    assert 'lake = S3Bucket.load("lake")' in page.get(lake).context["code"]
    api.put("/block-types/crm", {"name": "CRM", "schema": {}})
    api.put("/blocks/crm/2nd-one", {"data": {}})
    assert 'block_2nd_one = Block.load("crm/2nd-one")' in page.get(ROOT + "blocks/crm/2nd-one").context["code"]
