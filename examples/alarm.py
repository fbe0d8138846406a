"""Tell somebody, in the words of your own system, when a flow ends as it should not.

What it shows: hooks. They are called with the flow, its run and the state, on the machine that ran it; for the
platform's own mails and webhooks, which need no code, see the automations.

    python -m examples.alarm
"""

from __future__ import annotations

from typing import Any

import httpx

from examples.local_services import Received, serving
from orchestrator import flow, get_run_logger, task


def tell(webhook: str, text: str, **details: Any) -> None:
    """Post one message; what is wrong with the webhook may not spoil the run."""
    try:
        httpx.post(webhook, json={"text": text, **details}, timeout=5).raise_for_status()
    except httpx.HTTPError as error:
        get_run_logger().warning("Nobody was told: %s", error)


def on_call(flow: Any, run: Any, state: Any) -> None:
    """A flow has failed: say which run, and why."""
    tell(run.parameters["webhook"], f"{flow.name} {state.name}", run=run.name, why=state.message)


def all_clear(flow: Any, run: Any, state: Any) -> None:
    """It works again."""
    tell(run.parameters["webhook"], f"{flow.name} is well", run=run.name)


@task
def settle(account: str, cents: int) -> int:
    """Book one account; an overdrawn one is refused."""
    if cents < 0:
        raise ValueError(f"{account} is overdrawn by {-cents} cents")
    return cents


@settle.on_failure
def name_the_account(task: Any, run: Any, state: Any) -> None:
    """A task's hook: into the log, where the failure is looked for."""
    get_run_logger().error("Look at this account first: %s", state.message)


@flow(on_failure=[on_call], on_completion=[all_clear])
def close_day(accounts: dict[str, int], webhook: str) -> int:
    """Book all accounts; the sum.

    Args:
        accounts: Cents by account.
        webhook: Who is told how it went.
    """
    return sum(settle(account, cents) for account, cents in accounts.items())


if __name__ == "__main__":
    received = Received()
    with serving(received) as address:
        close_day({"till": 1_250, "bank": 900_000}, address)
        close_day({"till": -300}, address, return_state=True)
    print(*received.messages, sep="\n")
