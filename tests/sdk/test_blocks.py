"""Blocks: their types, and how they are saved, loaded and given to flows."""

from __future__ import annotations

import asyncio
import json
import pickle
from datetime import date
from enum import Enum
from pathlib import Path

import pytest
from pydantic import BaseModel, Field, SecretBytes, SecretStr

from orchestrator import flow, testing
from orchestrator.blocks import JSON, AwsCredentials, Block, S3Bucket, Secret, SecretDict, Webhook
from orchestrator.blocks.catalogue import catalogue
from orchestrator.blocks.registry import BUILT_IN, built_in
from orchestrator.blocks.schema import schema_of
from orchestrator.exceptions import (
    BlockError,
    Conflict,
    Forbidden,
    Invalid,
    NotConfigured,
    NotFound,
    ParameterTypeError,
    Unreachable,
)
from orchestrator.parameters import parameter_schema
from tests.sdk.conftest import ROOT


class Level(Enum):
    LOW = "low"
    HIGH = "high"


class Limits(BaseModel):
    token: SecretStr
    level: Level = Level.LOW


class Shop(Block):
    """The shop's own API.

    More about it.
    """

    address: str = Field(alias="url")
    credentials: Secret
    limits: Limits
    since: date = date(2026, 1, 1)
    others: list[Block] = []
    headers: SecretDict = SecretDict({})
    certificate: SecretBytes = SecretBytes(b"")


class Link(Block):
    next: Link | None = None


@pytest.fixture
def api():
    with testing.server() as server:
        yield server


def shop(**more):
    return Shop(url="https://shop.example", limits=Limits(token=SecretStr("limit-token")), **more)


# The types.


def test_the_catalogue_is_up_to_date():
    kept = json.loads((ROOT / "blocks" / "catalogue.json").read_text(encoding="utf-8"))
    assert kept == catalogue(), "Run `make catalogue`."


@pytest.mark.parametrize("slug", BUILT_IN)
def test_each_type_says_what_it_is(slug):
    cls = built_in(slug)
    assert cls.get_block_type_slug() == slug
    assert cls.get_description()
    assert cls._icon in (ROOT / "templates" / "components" / "sprite.html").read_text(encoding="utf-8")
    for field in schema_of(cls)["properties"].values():
        assert field["title"] == field["title"][0].upper() + field["title"][1:]


def test_slugs_are_made_from_names():
    class HTTPThing(Block):
        pass

    class Custom(HTTPThing):
        _block_type_slug = "my-own"
        _block_type_name = "My own"
        _description = "Made\n  here."

    assert HTTPThing.get_block_type_slug() == "http-thing"
    assert (Custom.get_block_type_slug(), Custom.get_block_type_name()) == ("my-own", "My own")
    assert (Custom.get_description(), Shop.get_description()) == ("Made here.", "The shop's own API.")
    assert Block.get_block_type_slug() == ""


def test_a_slug_that_is_none_is_refused_at_once():
    with pytest.raises(TypeError, match="_block_type_slug"):

        class Wrong(Block):
            _block_type_slug = "Über/uns"


def test_fields_are_described_for_forms():
    schema = schema_of(Shop)
    fields = schema["properties"]
    assert [name for name, _ in sorted(fields.items(), key=lambda item: item[1]["position"])] == [
        "url", "credentials", "limits", "since", "others", "headers", "certificate",
    ]  # fmt: skip
    assert fields["credentials"] == {
        "type": "object",
        "properties": {"$block": {"type": "string", "pattern": "^secret/[a-z0-9][a-z0-9-]*$"}},
        "required": ["$block"],
        "additionalProperties": False,
        "x-block-type": "secret",
        "title": "Credentials",
        "position": 1,
    }
    assert fields["others"]["items"]["properties"]["$block"]["pattern"] == "^[a-z0-9-]+/[a-z0-9-]+$"
    assert "x-block-type" not in fields["others"]["items"]
    for hidden in (fields["headers"], fields["certificate"], schema["$defs"]["Limits"]["properties"]["token"]):
        assert (hidden["writeOnly"], hidden["format"]) == (True, "password")
    assert set(schema["$defs"]) == {"Limits", "Level"}


def test_a_block_of_its_own_type():
    schema = schema_of(Link)
    assert schema["properties"]["next"]["anyOf"][0]["x-block-type"] == "link"
    assert "$defs" not in schema


def test_nothing_shows_a_secret():
    block = shop(credentials=Secret(value="hunter22"), headers={"Authorization": "Bearer abc"})
    for shown in (repr(block), str(block), block.model_dump_json(), repr(Secret(value={"a": "hunter22"}))):
        assert "hunter22" not in shown
        assert "abc" not in shown
    with pytest.raises(ValueError) as refused:
        Webhook(url="hunter22", headers=["hunter22"])
    assert "hunter22" not in str(refused.value)


# Save and load.


def test_saved_and_loaded_with_all_that_is_in_it(api):
    secret = Secret(value={"user": "me", "password": "hunter22"})
    assert secret.get_reference() is None
    assert secret.save("main") == 1
    token = JSON(value=[1, None, {"a": "ü"}])
    token.save("token")
    block = shop(
        credentials=secret,
        since=date(2026, 2, 3),
        others=[secret, token],
        headers={"X-Key": "k" * 8},
        certificate=b"pem",
    )
    assert block.save("main", description="The big one") == 1

    loaded = Shop.load("main")
    assert loaded.credentials.get() == {"user": "me", "password": "hunter22"}
    assert (loaded.limits.token.get_secret_value(), loaded.limits.level) == ("limit-token", Level.LOW)
    assert loaded.since == date(2026, 2, 3)
    assert [type(other) for other in loaded.others] == [Secret, JSON]
    assert loaded.others[1].value == [1, None, {"a": "ü"}]
    assert loaded.headers.get_secret_value() == {"X-Key": "k" * 8}
    assert loaded.certificate.get_secret_value() == b"pem"
    assert (loaded.get_reference(), loaded.credentials.get_reference()) == ("shop/main", "secret/main")
    assert isinstance(Block.load("shop/main"), Shop)
    assert Shop.load("shop/main").address == "https://shop.example"
    kept = api.memory.store.blocks["shop", "main"]
    assert kept.description == "The big one"
    assert "hunter22" not in repr(kept)


def test_saving_again_makes_a_version_if_asked_to(api):
    Secret(value="first").save("x")
    with pytest.raises(ValueError, match="overwrite=True"):
        Secret(value="second").save("x")
    assert Secret.load("x").get() == "first"
    assert Secret(value="second").save("x", overwrite=True) == 2
    assert Secret.load("x").get() == "second"


def test_an_older_version_is_loaded(api):
    """5.1"""
    Secret(value="first-value").save("x")
    Secret(value="second-value").save("x", overwrite=True)
    assert Secret.load("x", version=1).get() == "first-value"
    assert Block.load("secret/x", version=2).get() == "second-value"
    assert asyncio.run(Secret.aload("x", version=1)).get() == "first-value"
    with pytest.raises(NotFound, match="no version 7"):
        Secret.load("x", version=7)


def test_a_block_gets_another_name(api):
    """5.1"""
    Secret(value="hunter22").save("x")
    JSON(value=1).save("y")
    Secret.rename("x", "token")
    assert Secret.load("token").get() == "hunter22"
    with pytest.raises(NotFound):
        Secret.load("x")
    with pytest.raises(NotFound):
        Secret.rename("x", "z")
    Block.rename("json/y", "number")
    assert JSON.load("number").value == 1


def test_in_coroutines_they_are_awaited(api):
    async def main():
        await Secret(value="hunter22").save("x")
        await Secret(value="hunter23").asave("y")
        loaded = [await Secret.load("x"), await Secret.aload("y"), await Block.aload("secret/x")]
        await Shop.register_type()
        await Secret.delete("x")
        with pytest.raises(NotFound):
            await Secret.load("x")
        return [each.get() for each in loaded]

    assert asyncio.run(main()) == ["hunter22", "hunter23", "hunter22"]


def test_what_is_not_there_is_said_with_a_way_out(api):
    with pytest.raises(NotFound, match=r"secret/none.*orchestrator block ls.*portal"):
        Secret.load("none")
    with pytest.raises(BlockError, match=r'Block\.load\("secret/none"\)'):
        Block.load("none")
    with pytest.raises(BlockError, match="no block of the type 'secret'"):
        Secret.load("json/none")
    with pytest.raises(NotFound):
        Secret.delete("none")
    with pytest.raises(Invalid) as refused:
        Secret(value=1).save("Not a name")
    assert list(refused.value.fields) == ["name"]


def test_a_class_must_be_there_to_load_a_block_of_its_type(api):
    body = {"name": "Alien", "schema": {"type": "object", "properties": {"x": {}}}}
    from orchestrator.client import Client

    with Client() as client:
        client.put("/block-types/alien", body)
        client.put("/blocks/alien/one", {"data": {"x": 1}})
        client.put("/blocks/json/holds", {"data": {"value": {"$block": "alien/one"}}})
    with pytest.raises(BlockError, match="Import the module that defines it"):
        Block.load("alien/one")
    assert JSON.load("holds").value["data"] == {"x": 1}


def test_a_block_that_no_longer_fits_its_class(api):
    from orchestrator.client import Client

    with Client() as client:
        client.put("/block-types/changed", {"name": "Changed", "schema": {"properties": {"old": {}}}})
        client.put("/blocks/changed/one", {"data": {"old": "hunter22"}})

    class Changed(Block):
        new: int

    with pytest.raises(BlockError, match="changed/one does not fit Changed") as refused:
        Changed.load("one")
    assert "new: Field required" in str(refused.value)
    assert "hunter22" not in str(refused.value)


def test_a_block_within_must_have_a_name(api):
    with pytest.raises(BlockError, match="'credentials' has no name yet"):
        shop(credentials=Secret(value="hunter22")).save("main")
    assert not api.memory.store.blocks


def test_a_block_that_others_use_stays(api):
    secret = Secret(value="hunter22")
    secret.save("main")
    shop(credentials=secret).save("main")
    with pytest.raises(Conflict, match="used by shop/main"):
        Secret.delete("main")
    Shop.delete("main")
    Block.delete("secret/main")


def test_types_are_registered_once_with_those_in_them(api):
    class Inner(Block):
        x: int

    class Outer(Block):
        inner: Inner

    Outer.register_type()
    registered = api.memory.store.block_types
    assert set(registered) == {"inner", "outer"}
    assert registered["outer"]["checksum"].startswith("sha256:")
    Secret.register_type()
    assert set(registered) == {"inner", "outer"}

    class Secret2(Block):
        _block_type_slug = "secret"

    with pytest.raises(BlockError, match="another _block_type_slug"):
        Secret2().save("x")
    with pytest.raises(BlockError, match="Block itself is no type"):
        Block.register_type()


def test_without_an_api_or_a_server():
    with pytest.raises(NotConfigured, match="orchestrator login"):
        Secret.load("x")


def test_a_server_that_is_gone(monkeypatch):
    monkeypatch.setattr("orchestrator.client.TRIES", 2)
    monkeypatch.setenv("ORCHESTRATOR_API_URL", "http://127.0.0.1:9/api/v1")
    monkeypatch.setenv("ORCHESTRATOR_API_KEY", "orc_x")
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9"):
        Secret.load("x")


def test_who_may_not_read_secrets_is_told(api, monkeypatch):
    from orchestrator import config
    from orchestrator.config import Api

    Secret(value="hunter22").save("x")
    monkeypatch.setattr(config, "_override", Api(api.url, api.new_key("viewer")))
    with pytest.raises(Forbidden, match=r"blocks\.use"):
        Secret.load("x")


def test_blocks_are_pickled_with_their_name(api):
    Secret(value="hunter22").save("x")
    again = pickle.loads(pickle.dumps(Secret.load("x")))
    assert (again.get(), again.get_reference()) == ("hunter22", "secret/x")


# In flows.


def test_parameters_are_references_to_blocks(api):
    key = AwsCredentials(aws_access_key_id="AKIA", aws_secret_access_key=SecretStr("hunter22"))
    key.save("prod")
    S3Bucket(bucket_name="lake", credentials=key).save("lake")

    @flow
    def load(bucket: S3Bucket, any: Block, maybe: Secret | None = None, many: list[Block] = []):  # noqa: B006
        assert bucket.credentials.aws_secret_access_key.get_secret_value() == "hunter22"
        return bucket.bucket_name, any.get_reference(), maybe, len(many)

    load.deploy("prod")
    given = {"bucket": {"$block": "s3-bucket/lake"}, "any": {"$block": "aws-credentials/prod"}}
    run = api.trigger("load/prod", {**given, "many": [given["any"]]})
    api.work()
    api.assert_completed(run)
    assert load(**given) == ("lake", "aws-credentials/prod", None, 0)
    assert load(bucket=S3Bucket.load("lake"), any=key) == ("lake", "aws-credentials/prod", None, 0)
    assert [run.parameters["bucket"] for run in api.runs()] == [given["bucket"]] * 3
    with pytest.raises(Invalid, match=r"bucket"):
        api.trigger("load/prod", {**given, "bucket": {"$block": "secret/x"}})


def test_parameters_that_name_no_such_block(api):
    @flow
    def load(secret: Secret):
        return secret.get()

    with pytest.raises(NotFound, match="secret/none"):
        load({"$block": "secret/none"})
    JSON(value=1).save("other")
    for wrong in ({"$block": "json/other"}, {"$block": 5}, {"$block": "none"}, "secret/x", {}):
        with pytest.raises((ParameterTypeError, NotFound)):
            load(wrong)


def test_a_block_as_default_is_its_reference(api):
    secret = Secret(value="hunter22")
    secret.save("main")

    def load(secret: Secret = secret): ...

    field = parameter_schema(load)["properties"]["secret"]
    assert field["default"] == {"$block": "secret/main"}
    assert field["x-block-type"] == "secret"


def test_the_package_is_light(python):
    done = python(
        """
        import sys
        from orchestrator import flow, task
        assert "orchestrator.blocks" not in sys.modules
        import orchestrator.blocks
        assert "pydantic" not in sys.modules
        from orchestrator.blocks import S3Bucket, SqlAlchemyConnector, RemoteFileSystem, EmailServerCredentials
        print([name for name in ("obstore", "sqlalchemy", "fsspec", "httpx", "boto3") if name in sys.modules])
        """
    )
    assert done.stdout.strip() == "[]"


def test_all_names_are_there():
    import orchestrator.blocks as package

    assert sorted(package.__all__, key=str) == sorted(package._HOME)
    for name in package.__all__:
        assert getattr(package, name)
    assert {cls.__name__ for cls in map(built_in, BUILT_IN)} < set(package.__all__)
    with pytest.raises(AttributeError):
        _ = package.nothing
    assert Path(package.__file__).parent.name == "blocks"
