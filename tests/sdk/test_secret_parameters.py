"""2.7: A run reads the secrets that its parameters name by a block, and tells nobody."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import SecretStr

from orchestrator import flow, get_run_logger, testing
from orchestrator.blocks import Secret

CLEAR = "correct-horse-battery"


@pytest.fixture
def server():
    with testing.server() as server:
        Secret(value=CLEAR).save("db")
        yield server


def test_2_7_a_flow_is_given_the_secret_and_its_log_is_masked(server):
    seen = []

    @flow(retries=1)
    def connect(password: SecretStr, times: int = 1) -> None:
        seen.append(password.get_secret_value())
        get_run_logger().info("with %s", password.get_secret_value())
        if len(seen) == 1:
            raise ConnectionError(f"no {password.get_secret_value()}")

    connect.deploy("prod")
    run = server.trigger("connect/prod", {"password": {"$block": "secret/db"}})
    server.work()
    server.assert_completed(run)
    assert seen == [CLEAR, CLEAR]
    assert run.parameters == {"password": {"$block": "secret/db"}}
    assert CLEAR not in repr([line.message for line in server.logs(run)])
    server.assert_logged(run, "with ********")


def test_2_7_a_coroutine_too(server):
    seen = []

    @flow
    async def connect(password: SecretStr) -> None:
        await asyncio.sleep(0)
        seen.append(password.get_secret_value())

    connect.deploy("prod")
    server.assert_completed(_worked(server, server.trigger("connect/prod", {"password": {"$block": "secret/db"}})))
    assert seen == [CLEAR]


def test_2_7_a_block_that_is_gone_fails_the_run_and_says_which(server):
    @flow
    def connect(password: SecretStr) -> None: ...

    connect.deploy("prod")
    run = server.trigger("connect/prod", {"password": {"$block": "secret/db"}})
    Secret.delete("db")
    _worked(server, run)
    assert run.state_name == "Failed"
    assert "The parameter password is taken from the block secret/db, which this run can't read" in run.state_message


def _worked(server, run):
    server.work()
    return run
