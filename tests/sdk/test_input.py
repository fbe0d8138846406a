"""1.17: what flows ask people for, and what runs send each other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr, field_validator

from orchestrator import flow
from orchestrator.exceptions import (
    ApprovalRejected,
    Conflict,
    Forbidden,
    InputRefused,
    Invalid,
    MissingContext,
    NotConfigured,
    NotPaused,
)
from orchestrator.flow_runs import pause_flow_run, resume_flow_run, suspend_flow_run, wait_for_approval
from orchestrator.input import AutomaticRunInput, RunInput, receive_input, send_input
from orchestrator.testing import Server
from tests.sdk.pauses import asked, beside, deployed, in_state, server, wait_for

__all__ = ["server"]  # a fixture


class Refund(RunInput):
    amount: float
    reason: str = ""


def test_nothing_is_received_where_no_api_is_known(home: Any) -> None:
    """1.17: it is said at once, instead of after an hour."""

    @flow
    def receives() -> Any:
        return receive_input(str).next()

    with pytest.raises(NotConfigured):
        receives()


def test_the_flow_says_for_whom_the_link_works(server: Server) -> None:
    """1.17: who logs in, by default."""

    @flow
    def address() -> str:
        pause_flow_run()
        return pause_flow_run(wait_for_input=str, link="anyone")

    with beside(address) as came:
        assert asked(server).link == "login"
        resume_flow_run(in_state(server, "PAUSED").id)
        assert asked(server, "pause-1").link == "anyone"
        resume_flow_run(server.runs()[0].id, "Here", key="pause-1")
    assert came == ["Here"]
    with pytest.raises(ValueError, match="login"):
        pause_flow_run(link="everyone")  # type: ignore[arg-type]


def test_a_model_is_asked_for_and_returned(server: Server) -> None:
    """1.17: with initial values and a text above the form."""

    @flow
    def refunds() -> Refund:
        return pause_flow_run(wait_for_input=Refund.with_initial_data("How much?", amount=12.5))

    with beside(refunds) as came:
        run = in_state(server, "PAUSED")
        told = asked(server)
        assert (told.description, told.initial) == ("How much?", {"amount": 12.5})
        assert list(told.schema["properties"]) == ["amount", "reason"]
        with pytest.raises(Invalid) as refused:
            resume_flow_run(run.id, {"amount": "much"})
        assert list(refused.value.fields) == ["parameters.amount"]
        resume_flow_run(run.id, {"reason": "broken"})
    assert came == [Refund(amount=12.5, reason="broken")]


@pytest.mark.parametrize(("kind", "given", "value"), [(int, 3, 3), (list[str], ["a"], ["a"]), (str, "x", "x")])
def test_a_plain_type_is_asked_for(server: Server, kind: Any, given: Any, value: Any) -> None:
    """1.17: the form has one field."""

    @flow
    def plain() -> Any:
        return pause_flow_run(wait_for_input=kind)

    with beside(plain) as came:
        resume_flow_run(in_state(server, "PAUSED").id, given)
    assert came == [value]


def test_what_only_the_model_refuses_is_asked_again(server: Server) -> None:
    """1.17: in the process, with what was wrong above the form."""

    class Even(BaseModel):
        number: int

        @field_validator("number")
        @classmethod
        def _even(cls, number: int) -> int:
            if number % 2:
                raise ValueError("odd")
            return number

    @flow
    def asks() -> int:
        return pause_flow_run(wait_for_input=Even, key="even").number

    with beside(asks) as came:
        resume_flow_run(in_state(server, "PAUSED").id, {"number": 3})
        assert "odd" in asked(server, "even~2").description
        resume_flow_run(in_state(server, "PAUSED").id, {"number": 4}, key="even~2")
    assert came == [4]


def test_secrets_are_not_asked_for(server: Server) -> None:
    """1.17: they would stand in the answer."""

    class Login(RunInput):
        password: SecretStr

    @flow
    def asks() -> None:
        pause_flow_run(wait_for_input=Login)

    with pytest.raises(TypeError, match="name of a block"):
        asks()
    with pytest.raises(TypeError, match="no field colour"):
        Refund.with_initial_data(colour="red")


def test_a_suspended_flow_is_given_its_input_by_the_next_attempt(server: Server) -> None:
    """1.17."""
    got: list[Any] = []

    @flow
    def refunds() -> None:
        got.append(suspend_flow_run(wait_for_input=Refund))

    run = deployed(server, refunds)
    server.work()
    resume_flow_run(run.id, Refund(amount=3))
    server.work()
    server.assert_completed(run)
    assert got == [Refund(amount=3)]


def test_enough_people_approve(server: Server) -> None:
    """1.17: the quorum, each person once; who and with which words."""

    @flow
    def decides() -> Any:
        return wait_for_approval("Send it?", quorum=2)

    with beside(decides) as came:
        run = in_state(server, "PAUSED")
        server.answer(run, "approve", by="alice@acme.example", comment="fine")
        with pytest.raises(Conflict, match="already"):
            server.answer(run, "approve", by="alice@acme.example")
        assert run.state_name == "Paused"
        server.answer(run, "approve", by="bob@acme.example")
    (approval,) = came
    assert (approval.by, approval.comments) == (["alice@acme.example", "bob@acme.example"], ["fine", ""])


def test_one_who_rejects_ends_the_wait(server: Server) -> None:
    """1.17: the run has failed by a name that says why, unless the flow goes on without."""

    @flow
    def decides() -> None:
        wait_for_approval("Send it?", quorum=3)

    with beside(decides) as came:
        server.answer(in_state(server, "PAUSED"), "reject", by="vera@acme.example", comment="too early")
    assert isinstance(came[0], ApprovalRejected)
    assert str(came[0]) == "vera@acme.example rejected Send it?: too early"
    assert server.runs()[0].state_name == "Rejected"


def test_a_suspended_run_that_is_rejected_has_failed(server: Server) -> None:
    """1.17: without another attempt."""

    @flow
    def decides() -> None:
        wait_for_approval("Send it?", suspend=True, roles=["owner"])

    run = deployed(server, decides)
    server.work()
    with pytest.raises(Forbidden, match="Others"):
        server.answer(run, "reject", by="bob@acme.example", role="runner")
    server.answer(run, "reject", by="alice@acme.example", role="owner")
    assert (run.state_type, run.state_name) == ("FAILED", "Rejected")


def test_runs_send_each_other_what_they_receive_by_type(server: Server) -> None:
    """1.17: models and plain values, each from a mailbox of its own; what came before is received first."""

    @flow
    def receives() -> Any:
        words = receive_input(str)
        first = words.next()
        refund = receive_input(Refund).next()
        return first, words.next(), refund.amount, refund.metadata.sender

    with beside(receives) as came:
        run = in_state(server, "RUNNING")
        for message in ("one", Refund(amount=2), "two"):
            send_input(message, run.id, sender="me")
    assert came == [("one", "two", 2.0, "me")]


def test_messages_are_iterated_over_until_none_comes(server: Server) -> None:
    """1.17: sync and async; and TimedOut, where that is asked for."""

    @flow
    async def collects() -> list[Any]:
        run = wait_for("the run", lambda: server.runs("collects"))[0]
        for word in ("a", "b"):
            await send_input(word, run.id)
        found = [each async for each in receive_input(str, timeout=0.05, with_metadata=True)]
        with pytest.raises(TimeoutError):
            await receive_input(int, timeout=0.01, raise_timeout_error=True).anext()
        return found

    found = asyncio.run(collects())
    assert [each.value for each in found] == ["a", "b"]
    assert all(isinstance(each, AutomaticRunInput) for each in found)


def test_what_is_no_message_of_the_type_is_refused(server: Server) -> None:
    """1.17; and nobody receives outside of a run, nor sends to one that has ended."""

    @flow
    def receives() -> None:
        receive_input(Refund, key_prefix="mine").next()

    with beside(receives) as came:
        run = in_state(server, "RUNNING")
        with server.memory.store.changed:
            send = {"key": "mine-Refund", "value": {"colour": "red"}}
        from orchestrator.client import Client

        with Client() as client:
            client.post(f"/flow-runs/{run.id}/messages", send)
    assert isinstance(came[0], InputRefused)
    with pytest.raises(NotPaused):
        send_input("late", server.runs()[0].id)
    with pytest.raises(MissingContext):
        receive_input(str)
