"""What providers are asked is bounded: by visits, by turns, by time, and by what went wrong before."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client

from tenants.errors import Unavailable
from tenants.sso import fetching, oidc, questions
from tests.cast import Company
from tests.tenants.sso.provider import Idp, leave
from tests.tenants.sso.setup import connect

pytestmark = pytest.mark.django_db
PAGE = "/o/acme/sso"


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Company], None]]:
    """Let an organization have a question under way until the test is over."""
    monkeypatch.setattr(questions, "WAIT", 0.01)
    over, threads = threading.Event(), []

    def ask(company: Company) -> None:
        begun = threading.Event()

        def question() -> None:
            begun.set()
            over.wait(30)

        own = {"organization_id": company.organization.id}
        threads.append(threading.Thread(target=questions.ask, args=(question,), kwargs=own))
        threads[-1].start()
        assert begun.wait(10)

    yield ask
    over.set()
    for thread in threads:
        thread.join(10)
    with questions._turn:
        assert questions._turn.wait_for(lambda: not questions._asking, 10)


def test_an_organization_has_one_question_at_a_time(
    acme: Company, globex: Company, idp: Idp, provider: Any, door: str, stuck: Any
) -> None:
    stuck(acme)
    answer = Client().get(f"{door}/login")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "Try again" in answer.content.decode()
    connect(globex, idp, "globex.example")
    assert Client().get(f"/sso/{globex.organization.id}/login").status_code == 302


def test_the_process_has_few_questions_at_once(
    acme: Company, globex: Company, provider: Any, door: str, alice: Any, browse: Any, stuck: Any
) -> None:
    for company in (globex, Company(acme.workspace, None, None, None)):  # Any id is an organization's here.
        stuck(company)
    assert Client().get(f"{door}/login").status_code == 503
    typed = {"kind": "oidc", "issuer": "https://idp.example", "client_id": "x", "client_secret": "y"}
    answer = browse(alice).post(PAGE, typed)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


def test_an_answer_that_came_at_a_busy_moment_can_be_brought_again(
    acme: Company, idp: Idp, provider: Any, door: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = leave(client := Client(), idp, f"{door}/login")
    back = f"{door}/callback?code=c0de&state={asked['state']}"
    monkeypatch.setattr(questions, "WAIT", 0.01)
    monkeypatch.setattr(questions, "_asking", {acme.organization.id})
    assert client.get(back).status_code == 503
    monkeypatch.setattr(questions, "_asking", set())
    assert client.get(back).status_code == 302
    assert client.get(back).status_code == 403


def test_a_page_waits_some_seconds_at_most(acme: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(questions, "SECONDS", 0.05)
    try:
        with pytest.raises(Unavailable, match="too long"):
            questions.ask(lambda: over.wait(30), organization_id=acme.organization.id)
        assert acme.organization.id in questions._asking
    finally:
        over.set()
    with questions._turn:
        assert questions._turn.wait_for(lambda: not questions._asking, 10)


def test_one_questions_parts_have_its_time_together(idp: Idp) -> None:
    with fetching.within(0), pytest.raises(fetching.Unreachable, match="took too long"):
        fetching.fetch(idp.url)


def test_what_went_wrong_is_not_asked_again_at_once(idp: Idp, door: str, provider: Any) -> None:
    idp.discovery = {"token_endpoint": None}
    first = Client().get(f"{door}/login")
    idp.discovery = {}
    second = Client().get(f"{door}/login")
    assert first.status_code == second.status_code == 400
    assert "token_endpoint" in second.content.decode()
    assert oidc.FAILURE_REMEMBERED == 30


@pytest.mark.parametrize("part", ["login", "callback?code=c&state=s"])
def test_one_address_comes_so_often_in_a_minute(globex: Company, provider: Any, door: str, part: str) -> None:
    answers = [Client().get(f"{door}/{part}") for _ in range(questions.A_MINUTE + 1)]
    assert 429 not in {answer.status_code for answer in answers[:-1]}
    assert (answers[-1].status_code, answers[-1].headers["Retry-After"]) == (429, "60")
    assert Client().get(f"/sso/{globex.organization.id}/{part}").status_code == 404


def test_the_page_asks_so_often_in_a_minute(alice: Any, browse: Any, idp: Idp) -> None:
    client = browse(alice)
    typed = {"kind": "saml", "metadata": "<x/>"}
    statuses = [client.post(PAGE, typed).status_code for _ in range(questions.A_MINUTE + 1)]
    assert statuses == [400] * questions.A_MINUTE + [429]
