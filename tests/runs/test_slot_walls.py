"""1.18: slots of one workspace are nothing to another one, and names are locked in one order."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from orchestrator.ids import uuid7
from runs.slots import queue
from tests.cast import Api, Company
from tests.runs.work import agent, claim, deploy, silence, start, state, sweep, trigger

pytestmark = pytest.mark.django_db


@pytest.fixture
def second(acme: Company) -> Company:
    """Acme's other workspace."""
    from tenants.provisioning import create_workspace

    with acme.scope():
        made = create_workspace(organization=acme.organization, name="Second")
    return Company(acme.organization, made, acme.owner, None)


def ask(api: Api, id: UUID, **more: Any) -> str:
    """What becomes of an ask for the lock `a`."""
    told = {"id": str(id), "names": ["a"], "kind": "lock", **more}
    return api.post("/slots", {"session": str(uuid7()), "asks": [told]}).json()["asks"][str(id)]["state"]


def test_an_ask_of_another_workspace_is_not_taken_for_ones_own(acme: Company, api: Api, second: Company) -> None:
    """1.18: whoever knows its id learns nothing by it, and ends nothing."""
    held, waits, other = uuid7(), uuid7(), Api(second.key("developer"))
    assert [ask(api, held), ask(api, waits)] == ["held", "waiting"]
    assert ask(other, held) != "held"
    assert ask(other, waits, within=0) == "busy"
    keys = {"session": str(uuid7()), "asks": []}
    assert api.post("/slots", keys).status_code == 200
    with acme.scope():
        from runs.models import Slot

        assert set(Slot.objects.values_list("ask", flat=True)) == {held, waits}


def test_the_run_that_a_process_names_is_of_its_own_workspace(acme: Company, second: Company) -> None:
    """1.18: the name of another workspace's run is told to nobody here."""
    (run,) = trigger(acme, deploy(acme))
    other = Api(second.key("developer"))
    other.put("/limits/database", {"slots": 1})
    assert ask(other, uuid7(), kind="limit", names=["database"], run=str(run)) == "held"
    (holder,) = other.get("/limits/database").json()["holders"]
    assert (holder["flow_run"], holder["label"]) == (None, "somebody")


def test_a_sweep_locks_the_names_of_all_its_runs_at_once(acme: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    """1.18: of those that are over and of those that may come back. One after the other could close a circle."""
    trigger(acme, deploy(acme, crash_retries=1))
    trigger(acme, deploy(acme, "other"))
    runs = claim(acme, agent(acme))
    for claimed, name in zip(runs, ("a", "b"), strict=True):
        start(claimed)
        assert ask(Api(claimed.token), uuid7(), names=[name]) == "held"
        silence(acme, claimed.run)
    locked: list[set[queue.Key]] = []
    lock = queue.lock
    monkeypatch.setattr(queue, "lock", lambda id, keys, *more: (locked.append(set(keys)), lock(id, keys, *more))[1])
    sweep(acme, *(claimed.run for claimed in runs))
    assert {state(acme, claimed.run)[1] for claimed in runs} == {"AwaitingRetry", "Unreachable"}
    assert locked == [{("lock", "a"), ("lock", "b")}]
