"""`orchestrator block`."""

from __future__ import annotations

import json
import textwrap

import pytest
from click.testing import CliRunner

from orchestrator import testing
from orchestrator.blocks import AwsCredentials, S3Bucket, Secret
from orchestrator.cli.root import cli
from orchestrator.exceptions import Conflict, LoadError, NotFound


@pytest.fixture
def command():
    """Run the command line against a server in memory that has two blocks."""
    with testing.server():
        key = AwsCredentials(aws_access_key_id="AKIA", aws_secret_access_key="hunter22")
        key.save("prod")
        S3Bucket(bucket_name="lake", credentials=key).save("lake", description="The lake")
        Secret(value="hunter22").save("token")

        def run(*arguments, **options):
            return CliRunner().invoke(cli, list(arguments), **options)

        yield run


def test_ls(command):
    shown = command("block", "ls").output
    assert [line.split()[0] for line in shown.splitlines()] == [
        "BLOCK", "aws-credentials/prod", "s3-bucket/lake", "secret/token",
    ]  # fmt: skip
    listed = json.loads(command("block", "ls", "--type", "secret", "-o", "json").output)
    assert [(each["name"], each["data"]) for each in listed] == [("token", {"value": {"$secret": True}})]
    assert len(json.loads(command("block", "ls", "--limit", "2", "-o", "json").output)) == 2


def test_inspect_shows_no_secret(command):
    shown = command("block", "inspect", "s3-bucket/lake").output
    assert "The lake" in shown
    assert "aws-credentials/prod" in shown
    shown = command("block", "inspect", "aws-credentials/prod").output
    assert "AKIA" in shown
    assert "********" in shown
    told = json.loads(command("block", "inspect", "aws-credentials/prod", "-o", "json").output)
    assert told["data"]["aws_secret_access_key"] == {"$secret": True}
    assert isinstance(command("block", "inspect", "secret/none").exception, NotFound)
    assert "Say the type too" in command("block", "inspect", "lake").output


def test_delete_asks_first(command):
    assert command("block", "delete", "secret/token", input="n\n").exit_code == 1
    assert Secret.load("token").get() == "hunter22"
    assert command("block", "delete", "secret/token", "-y").exit_code == 0
    with pytest.raises(NotFound):
        Secret.load("token")
    assert isinstance(command("block", "delete", "aws-credentials/prod", "--yes").exception, Conflict)


def test_register_and_list_types(command, tmp_path):
    file = tmp_path / "our-types.py"
    file.write_text(
        textwrap.dedent(
            """
            from orchestrator.blocks import Block, Secret

            class CrmAccount(Block):
                "An account of the CRM."
                host: str
                token: Secret
            """
        )
    )
    done = command("block", "register", str(file), "-o", "json")
    assert json.loads(done.output) == [{"slug": "crm-account", "name": "CrmAccount"}]
    types = json.loads(command("block", "type", "ls", "-o", "json").output)
    own = next(each for each in types if each["slug"] == "crm-account")
    assert (own["description"], own["built_in"]) == ("An account of the CRM.", False)
    assert "crm-account" in command("block", "type", "ls").output
    file.write_text("x = 1")
    assert "defines no class" in command("block", "register", str(file)).output
    file.write_text("1 / 0  # Of another length: what Python has compiled of the former file is not taken for it.")
    assert isinstance(command("block", "register", str(file)).exception, LoadError)


def test_versions_are_listed_and_restored(command):
    """5.1"""
    Secret(value="hunter23").save("token", overwrite=True)
    listed = json.loads(command("block", "versions", "secret/token", "-o", "json").output)
    assert [each["version"] for each in listed] == [2, 1]
    assert "as version 3" in command("block", "rollback", "secret/token", "1").output
    assert Secret.load("token").get() == "hunter22"


def test_a_block_is_renamed_and_its_users_are_listed(command):
    """5.1"""
    assert "s3-bucket/lake" in command("block", "users", "aws-credentials/prod").output
    assert "aws-credentials/live now" in command("block", "rename", "aws-credentials/prod", "live").output
    assert S3Bucket.load("lake").credentials.get_reference() == "aws-credentials/live"
    assert isinstance(command("block", "rename", "aws-credentials/prod", "x").exception, NotFound)
