"""1.17: links that answer one request of a run without an account, where its flow says so."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from django.core import signing
from django.test import Client
from django.utils.html import strip_tags
from django.utils.timezone import now

from runs.automations import wording
from runs.inputs import links
from runs.models import Firing, FlowRun, InputAnswer, InputRequest
from tenants.models import AuditEntry, Workspace
from tests.cast import Company
from tests.contract.test_pausing import SCHEMA
from tests.runs.test_inputs import state, waiting

pytestmark = pytest.mark.django_db
INITIAL = msgspec.Raw(b'{"amount": 3}')


def asked_of_anyone(company: Company, **more: Any) -> InputRequest:
    """A suspended run that asks whoever has the link for an amount."""
    return waiting(company, suspend=True, **{"schema": SCHEMA, "initial": INITIAL, "link": "anyone", **more})


def path_of(request: InputRequest) -> str:
    """The link, as a browser asks for it."""
    return "/" + links.address(request).split("/", 3)[3]


def test_who_has_the_link_answers_once(acme: Company, client: Client) -> None:
    """1.17: without an account; what does not fit is said beside its field; the trail says that it was by a link."""
    asked = asked_of_anyone(acme, title="How much?")
    path = path_of(asked)
    assert 'value="3"' in client.get(path).content.decode()
    assert client.post(path, {"p.amount": "0"}).status_code == 400
    assert state(acme, asked) == ("waiting", "Suspended")
    answered = client.post(path, {"p.amount": "7", "comment": "Ada"})
    assert (answered.status_code, "Your answer was taken" in answered.content.decode()) == (200, True)
    assert state(acme, asked) == ("answered", "Resuming")
    assert [client.get(path).status_code, client.post(path, {"p.amount": "8"}).status_code] == [404, 404]
    with acme.scope():
        answer, entry = InputAnswer.objects.get(), AuditEntry.objects.get(action="run.answered")
        assert (answer.actor_kind, answer.actor, answer.value) == ("link", "somebody with the link", {"amount": 7})
        assert (entry.actor_kind, entry.actor, entry.user_id) == ("link", "somebody with the link", None)
        assert entry.address


def test_a_run_is_resumed_by_a_link(acme: Company, client: Client) -> None:
    """1.17: looking at it, as programs do that check mails, answers nothing."""
    asked = asked_of_anyone(acme, schema=None)
    assert "Let it go on" in client.get(path_of(asked)).content.decode()
    assert state(acme, asked)[0] == "waiting"
    assert client.post(path_of(asked)).status_code == 200
    assert state(acme, asked) == ("answered", "Resuming")


def test_the_page_tells_nothing_else_of_the_workspace(acme: Company, client: Client) -> None:
    """1.17: no name of the organization, the flow or the run, no way into the portal; and the address is kept close."""
    asked = asked_of_anyone(acme)
    with acme.scope():
        run = FlowRun.objects.select_related("flow", "deployment").get(id=asked.run_id)
    response = client.get(path_of(asked))
    page = response.content.decode()
    names = [acme.organization.name, acme.workspace.name, run.name, run.flow.name, run.deployment.name]
    assert set(names).isdisjoint(strip_tags(page).split())
    assert [text for text in ("/o/", str(acme.organization.id), str(run.id), str(asked.id)) if text in page] == []
    assert "no-store" in response.headers["Cache-Control"]
    assert (response.headers["Referrer-Policy"], response.headers["X-Robots-Tag"][:7]) == ("same-origin", "noindex")


def test_an_answer_needs_the_page(acme: Company) -> None:
    """1.17: no other site posts one."""
    asked = asked_of_anyone(acme, schema=None)
    assert Client(enforce_csrf_checks=True).post(path_of(asked)).status_code == 403
    assert state(acme, asked)[0] == "waiting"


def test_all_that_is_wrong_answers_alike(
    acme: Company, globex: Company, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1.17: altered, of another's organization, too old, over, for who logs in, or of what is gone: 404."""
    asked = asked_of_anyone(acme)
    path = path_of(asked)
    other = InputRequest(organization_id=globex.organization.id, id=asked.id, link="anyone")
    wrong = ["/waiting/nothing", path[:-1], path_of(other), path.replace("/waiting/", "/waiting/A")]
    wrong.append("/waiting/" + signing.TimestampSigner(salt="runs.inputs.links", sep=".").sign("no ids"))
    seen = {(client.get(each).status_code, client.get(each).content) for each in wrong}
    assert client.get(path).status_code == 200

    def changed(**values: Any) -> None:
        with acme.scope():
            InputRequest.objects.filter(id=asked.id).update(**values)
        seen.add((client.get(path).status_code, client.get(path).content))
        with acme.scope():
            InputRequest.objects.filter(id=asked.id).update(link="anyone", expires_at=None, state="waiting")

    changed(link="login")
    changed(expires_at=now())
    changed(state="answered")
    much_later = time.time() + links.MOST_DAYS * 86_400 + 60
    with monkeypatch.context() as later:
        later.setattr(signing.time, "time", lambda: much_later)
        changed()
    with acme.scope():
        Workspace.objects.update(deleted_at=now())
    changed()
    [(status, content)] = seen
    assert status == 404
    assert "may have been answered already" in content.decode()


def test_a_link_is_for_one_request(acme: Company, client: Client) -> None:
    """1.17: an answer by it moves nothing else."""
    first, second = asked_of_anyone(acme), asked_of_anyone(acme)
    client.post(path_of(first), {"p.amount": "7"})
    assert [state(acme, each)[0] for each in (first, second)] == ["answered", "waiting"]


def test_where_people_are_named_no_link_answers(acme: Company) -> None:
    """1.17: an approval, or roles, ask for a person; other requests do so unless the flow says otherwise."""
    for more in ({"quorum": 1, "schema": None}, {"roles": ["owner"]}, {"link": "login"}):
        asked = asked_of_anyone(acme, **more)
        assert (asked.link, links.address(asked)) == ("login", "")


def test_who_follows_very_many_links_waits(acme: Company, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """1.17."""
    monkeypatch.setattr(links, "A_MINUTE", 2)
    path = path_of(asked_of_anyone(acme))
    assert [client.get(each).status_code for each in (path, "/waiting/guessed", path)] == [200, 404, 429]
    assert client.get(path).headers["Retry-After"] == "60"


def test_automations_tell_the_link(acme: Company) -> None:
    """1.17: of what the run itself asks; where people log in, they are led to the form."""
    portal = "https://portal.example/o/acme/main"
    mine, other, logged_in = asked_of_anyone(acme), asked_of_anyone(acme), asked_of_anyone(acme, link="login")

    def url(request: InputRequest, run: Any) -> str:
        firing = Firing(
            workspace_id=acme.workspace.id, run_id=run, event="flow-run.waiting", at=now(),
            cause={"input": str(request.id)},
        )  # fmt: skip
        with acme.scope():
            return wording.of_firing(firing, portal)["url"]

    assert url(mine, mine.run_id) == links.address(mine)
    assert url(other, mine.run_id) == f"{portal}/waiting/{other.id}"
    assert url(logged_in, logged_in.run_id) == f"{portal}/waiting/{logged_in.id}"


def test_who_may_answer_finds_the_link_on_the_page(acme: Company, bob: Any, vera: Any, browse: Any) -> None:
    """1.17: who may only look does not."""
    asked = asked_of_anyone(acme)
    page = f"{acme.path}waiting/{asked.id}"
    assert "/waiting/" + path_of(asked)[9:20] in browse(bob).get(page).content.decode()
    assert "/waiting/" + path_of(asked)[9:20] not in browse(vera).get(page).content.decode()
