"""Secrets of blocks lie encrypted, bound to their row and organization, and in no other place."""

from __future__ import annotations

import base64
import logging
from typing import Any
from urllib.parse import quote

import pytest
from django.core.management import call_command

from blocks import rotation, versions
from blocks.models import Block, BlockVersion
from orchestrator.ids import uuid7
from tenants import encryption
from tenants.encryption import CannotUnseal
from tests.cast import Api, Company
from tests.runs.work import agent, claim, deploy, trigger
from tests.sql import ask

pytestmark = pytest.mark.django_db


def dump(company: Company) -> str:
    """All rows of all tables as text: of this company, and of those that belong to nobody."""
    tables = ask(
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
        " AND relnamespace = 'public'::regnamespace AND has_table_privilege(oid, 'SELECT')"
    )
    with company.scope():
        return "\n".join(str(ask(f"SELECT t::text FROM {table} t")) for (table,) in tables)


def shapes(secret: str) -> set[str]:
    """A secret as it may stand somewhere."""
    return {secret, quote(secret), base64.b64encode(secret.encode()).decode(), secret.encode().hex()}


def found(secrets: list[str], text: str) -> list[str]:
    return [secret for secret in secrets if any(shape in text for shape in shapes(secret))]


def test_planted_secrets_are_in_no_row_log_page_or_answer(
    acme: Company, api: Api, alice: Any, browse: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = [f"planted secret {number} {uuid7()}" for number in range(50)]
    page, answers = browse(alice), []
    for number, secret in enumerate(secrets[:40]):
        answers.append(api.put(f"/blocks/secret/s{number % 10}", {"data": {"value": {"deep": [secret]}}}))
    refused = {"aws_access_key_id": 5, "aws_secret_access_key": secrets[40]}
    answers.append(api.put("/blocks/aws-credentials/x", {"data": refused}))
    for number, secret in enumerate(secrets[41:]):
        typed = {"name": ["ok", "Bad name"][number % 2] + str(number), "version": "0", "p.value": secret}
        answers.append(page.post("/o/acme/main/blocks/new?type=secret", typed, follow=True))
    answers.append(api.post("/blocks/secret/s1/rollback", {"version": 1}))
    answers += [api.get(path) for path in ("/blocks", "/blocks/secret/s1", "/blocks/secret/s1/versions")]
    root = "/o/acme/main/blocks"
    answers += [page.get(root + path) for path in ("", "/secret/s1", "/secret/s1?tab=versions", "/secret/s1?tab=users")]
    answers += [page.post(root + "/secret/s1/rename", {"name": "t1"}, follow=True)]
    answers += [page.get("/o/acme/audit")]

    assert [answer.status_code for answer in answers].count(400) == 5
    assert "planted" in api.post("/blocks/secret/t1/value").content.decode()
    assert found(secrets, "\n".join(answer.content.decode() for answer in answers)) == []
    assert found(secrets, caplog.text) == []
    assert found(secrets, dump(acme)) == []


def test_the_dump_would_show_a_secret(acme: Company, api: Api) -> None:
    api.put("/blocks/json/x", {"data": {"value": "open to all"}})
    assert found(["open to all"], dump(acme)) == ["open to all"]


@pytest.fixture
def two(acme: Company, api: Api) -> list[BlockVersion]:
    """The versions of two secrets."""
    for name in ("a", "b"):
        api.put(f"/blocks/secret/{name}", {"data": {"value": f"secret of {name}"}})
    with acme.scope():
        return list(BlockVersion.objects.order_by("block__name"))


def test_what_was_copied_to_another_row_can_not_be_opened(acme: Company, api: Api, two: list[BlockVersion]) -> None:
    with acme.scope():
        BlockVersion.objects.filter(id=two[0].id).update(sealed=two[1].sealed)
        with pytest.raises(CannotUnseal):
            versions.unsealed(BlockVersion.objects.get(id=two[0].id))
    answer = api.post("/blocks/secret/a/value")
    assert (answer.status_code, "secret of" in answer.content.decode()) == (503, False)
    assert api.post("/blocks/secret/b/value").status_code == 200


def test_what_can_not_be_opened_can_be_given_anew(acme: Company, api: Api, two: list[BlockVersion]) -> None:
    with acme.scope():
        BlockVersion.objects.filter(id=two[0].id).update(sealed=two[1].sealed)
    assert api.put("/blocks/secret/a", {"data": {"value": {"$secret": True}}}).status_code == 400
    assert api.put("/blocks/secret/a", {"data": {"value": "a new one"}}).status_code == 200
    assert api.post("/blocks/secret/a/value").json()["data"] == {"value": "a new one"}


def test_another_organizations_key_opens_nothing(acme: Company, globex: Company, two: list[BlockVersion]) -> None:
    with globex.scope():
        encryption.seal(globex.organization.id, b"hers", "x")
        with pytest.raises(CannotUnseal):
            encryption.unseal(globex.organization.id, bytes(two[0].sealed), versions.place_of(two[0]))


def test_secrets_are_sealed_again_by_a_new_data_key(acme: Company, api: Api, two: list[BlockVersion]) -> None:
    call_command("rotate_keys", "--data-keys")
    with acme.scope():
        now = list(BlockVersion.objects.order_by("block__name"))
        assert all(encryption.is_current(acme.organization.id, bytes(row.sealed)) for row in now)
        assert [versions.unsealed(row) for row in now] == [{"/value": "secret of a"}, {"/value": "secret of b"}]
    assert rotation.reseal(acme.organization.id) == 0


def test_resealing_goes_batch_by_batch(acme: Company, api: Api) -> None:
    for number in range(7):
        api.put("/blocks/secret/x", {"data": {"value": f"secret {number}"}})
    with acme.scope():
        encryption.add_data_key(acme.organization.id)
    assert rotation.reseal(acme.organization.id, batch=3) == 7
    assert api.post("/blocks/secret/x/value").json()["data"] == {"value": "secret 6"}


def test_no_repr_tells_a_secret(acme: Company, api: Api, two: list[BlockVersion]) -> None:
    with acme.scope():
        shown = repr([*two, *Block.objects.all(), versions.stored(two[0])])
    assert "secret of" not in shown


def test_a_runs_token_reads_blocks_while_its_lease_lives(acme: Company, api: Api, two: list[BlockVersion]) -> None:
    trigger(acme, deploy(acme))
    claimed = claim(acme, agent(acme), 1)[0]
    own = Api(claimed.token)
    assert own.post("/blocks/secret/a/value").json()["data"] == {"value": "secret of a"}
    assert own.put("/blocks/secret/a", {"data": {"value": "x"}}).status_code == 403
    with acme.scope():
        from runs.models import Lease

        Lease.objects.all().delete()
    from tenants.authentication import forget_secrets

    forget_secrets()
    assert own.post("/blocks/secret/a/value").status_code == 403
