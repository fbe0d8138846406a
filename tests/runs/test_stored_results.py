"""1.14: values that the server keeps: how long, and for whom."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from orchestrator.ids import uuid7
from runs import stored_results, tasks
from runs.models import FlowRun, StoredResult
from tenants.authentication import forget_secrets
from tests.cast import Api, Company
from tests.contract.journals import Journal
from tests.restricted import restrict
from tests.runs.work import agent, claim, deploy, start, trigger

pytestmark = pytest.mark.django_db


def keys(company: Company) -> set[str]:
    with company.scope():
        return set(StoredResult.objects.values_list("key", flat=True))


def test_values_go_with_the_rows_of_their_run(acme: Company, api: Api) -> None:
    """1.14: retention by the run's class, and not while it lives; others by today's."""
    ended, live = Journal(api), Journal(api)
    for journal in (ended, live):
        journal.send(journal.begin())
        assert api.put(f"/results/runs/{journal.root}/a", b"x").status_code == 201
    ended.send(ended.state("COMPLETED"))
    for key in (f"runs/{uuid7()}/early", "cache/a"):
        assert api.put(f"/results/{key}", b"x").status_code == 201
    with acme.scope():
        run = FlowRun.objects.get(id=live.root)
        kept = {row.keep_until for row in StoredResult.objects.all()}
        assert kept == {run.bucket + timedelta(days=run.retention + 1)}
        StoredResult.objects.update(keep_until=date(2026, 1, 1))
    tasks.forget_artifacts()

    assert keys(acme) == {f"runs/{live.root}/a"}


def test_arguments_stay_while_a_call_with_them_has_not_ended(acme: Company, api: Api) -> None:
    """1.19: who queues a call for next year stores its arguments today."""
    names = ["a" * 32, "b" * 32]
    calls = [{"call": {"arguments": name}} for name in names]
    task = {"entrypoint": "app.py:mail", "queue": "serve mail-background"}
    told = api.post("/background-runs", {"deployment": "mail/background", "task": task, "calls": calls}).json()
    places = [f"calls/{acme.workspace.id}/{name}.a" for name in names]
    for place in places:
        assert api.put(f"/results/{place}", b"x").status_code == 201
    api.post(f"/flow-runs/{told['runs'][0]['id']}/cancel")
    with acme.scope():
        StoredResult.objects.update(keep_until=date(2026, 1, 1))
    tasks.forget_artifacts()

    assert keys(acme) == {places[1]}


def test_a_value_of_a_restricted_run_is_for_those_who_see_it(acme: Company, api: Api) -> None:
    """1.14: nobody else reads it, writes over it, or takes it away."""
    deployment = deploy(acme)
    trigger(acme, deployment)
    (claimed,) = claim(acme, agent(acme))
    own = Api(claimed.token)
    places = [f"/results/runs/{claimed.run}/a", "/results/cache/a"]
    for place in places:
        assert own.put(place, b"x").status_code == 201
    restrict(acme, deployment)

    for place in places:
        assert api.get(place).status_code == api.delete(place).status_code == 404
    assert [api.put(place, b"y").status_code for place in places] == [404, 409]
    assert [own.get(place).content for place in places] == [b"x", b"x"]


def test_the_token_of_a_run_that_is_over_stores_nothing(acme: Company, api: Api) -> None:
    """1.14: who was fenced can't change what the next attempt replays."""
    trigger(acme, deploy(acme))
    (claimed,) = claim(acme, agent(acme))
    journal = start(claimed)
    journal.send(journal.state("COMPLETED"))
    forget_secrets()  # They are trusted for five seconds.
    assert Api(claimed.token).put(f"/results/runs/{claimed.run}/a", b"x").status_code == 403


def test_a_run_of_another_workspace_is_like_one_that_is_not_there(acme: Company, api: Api) -> None:
    """1.14: whoever stores under its id learns nothing by the answer, and reaches nothing of it."""
    from tenants.provisioning import create_workspace

    with acme.scope():
        second = create_workspace(organization=acme.organization, name="Second")
    other = Api(Company(acme.organization, second, acme.owner, None).key("developer"))
    journal = Journal(api)
    journal.send(journal.begin())
    assert api.put(f"/results/runs/{journal.root}/a", b"mine").status_code == 201
    assert [other.put(f"/results/runs/{id}/a", b"x").status_code for id in (journal.root, uuid7())] == [201, 201]
    assert api.get(f"/results/runs/{journal.root}/a").content == b"mine"


def test_a_value_that_is_removed_while_it_is_read_is_whole(acme: Company, api: Api) -> None:
    """1.14: its bytes came with its row, and what comes later is told that there is none."""
    assert api.put("/results/cache/a", b"bytes").status_code == 201
    with acme.scope():
        by = acme.actor("developer")
        found = stored_results.find("cache/a", by=by)
        stored_results.remove("cache/a", by=by)
        assert bytes(found.content) == b"bytes"
    assert api.get("/results/cache/a").status_code == 404
