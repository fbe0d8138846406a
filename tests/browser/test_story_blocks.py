"""Blocks made in the portal and in the admin, used by a flow against a bucket and a database, rotated, used again."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from orchestrator.blocks import AwsCredentials
from tests.browser.conftest import Portal
from tests.browser.test_admin import begin, saved
from tests.cast import Api, Company
from tests.sdk.conftest import moto

__all__ = ["moto"]  # a fixture

FLOW = """
    import hashlib, sys
    from orchestrator import flow
    from orchestrator.blocks import S3Bucket, Secret, SqlAlchemyConnector

    @flow(log_prints=True)
    def copy(which: str):
        bucket, database = S3Bucket.load(f"{which}-lake"), SqlAlchemyConnector.load(f"{which}-db")
        token = Secret.load(f"{which}-token").get()
        with database:
            (found,) = database.fetch_one("SELECT current_user")
        print("connected by", database.password.get_secret_value(), "and", token)
        bucket.write_path("who.txt", f"{found} {hashlib.sha256(token.encode()).hexdigest()}".encode())
        return bucket.read_path("who.txt").decode()

    print("found", copy(sys.argv[1]), file=sys.stderr)
"""


def make(portal: Portal, type: str, name: str, **fields: str) -> None:
    """A new block, by the portal's form."""
    page = portal.open(f"blocks/new?type={type}")
    page.locator("#name").fill(name)
    fill(page, fields)
    page.get_by_role("button", name="Make block").click()
    expect(page.get_by_role("heading", name=name)).to_be_visible()


def make_in_admin(portal: Portal, type: str, name: str, **fields: str) -> None:
    """A new block, by the form of the organization's admin."""
    page = begin(portal, type, name)
    fill(page, fields)
    saved(page)


def fill(page: Any, fields: dict[str, str]) -> None:
    for field, value in fields.items():
        control = page.locator(f"[name='p.{field}']")
        if control.evaluate("each => each.tagName") == "SELECT":
            control.select_option(value)
        else:
            control.fill(value)


@pytest.fixture
def run(served: str, acme: Company, tmp_path: Path) -> Callable[[str], str]:
    """Run the flow on this machine with a key of the workspace; what it found, and all that it printed."""
    (tmp_path / "copy_flow.py").write_text(textwrap.dedent(FLOW))
    key = acme.key("laptop")

    def run(which: str) -> str:
        known = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
        done = subprocess.run(
            [sys.executable, "copy_flow.py", which], cwd=tmp_path, capture_output=True, text=True, timeout=60,
            env=known | {"ORCHESTRATOR_API_URL": f"{served}/api/v1", "ORCHESTRATOR_API_KEY": key,
                         "ORCHESTRATOR_HOME": str(tmp_path / "home"), "PYTHONPATH": str(Path(__file__).parents[2])},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    return run


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


@pytest.mark.parametrize("door", ["portal", "admin"])
def test_a_flow_uses_what_was_made_and_then_what_was_rotated(
    portal: Portal, served_api: Api, moto: str, run: Callable[[str], str], door: str
) -> None:
    made = make if door == "portal" else make_in_admin
    from django.db import connection

    database = urlsplit(os.environ["DATABASE_OWNER_URL"])
    known = AwsCredentials(aws_access_key_id="AKIA", aws_secret_access_key="hunter22", region_name="us-east-1")
    known.get_client("s3", endpoint_url=moto).create_bucket(Bucket=f"lake-{door}")

    made(portal, "aws-credentials", f"{door}-key", aws_access_key_id="AKIA", aws_secret_access_key="hunter22")
    credentials = f"aws-credentials/{door}-key"
    made(portal, "s3-bucket", f"{door}-lake", bucket_name=f"lake-{door}", credentials=credentials, endpoint_url=moto)
    made(
        portal, "sqlalchemy-connector", f"{door}-db", driver="postgresql+psycopg", host=str(database.hostname),
        port=str(database.port), database=connection.settings_dict["NAME"], username="owner",
        password=str(database.password),
    )  # fmt: skip
    made(portal, "secret", f"{door}-token", value="the-first-token")

    told = run(door)
    assert f"found owner {digest('the-first-token')}" in told
    assert "connected by ******** and ********" in told

    page = portal.open(f"blocks/secret/{door}-token")
    assert "the-first-token" not in page.content()
    page.get_by_text("Replace").click()
    page.locator("[name='p.value']").fill("the-second-token")
    page.get_by_role("button", name="Save block").click()
    expect(page.get_by_role("status")).to_contain_text("version 2")
    assert f"found owner {digest('the-second-token')}" in run(door)

    trail = portal.open("../audit?action=block.").locator("table")
    for action in ("block.created", "block.updated", "block.read"):
        expect(trail).to_contain_text(action)
    assert not [
        each for each in ("hunter22", "first-token", database.password) if str(each) in (trail.text_content() or "")
    ]
