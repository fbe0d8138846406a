"""Things to run and agents to run them, made through the operations that the API calls."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from orchestrator.agent_messages import ClaimedRun
from tests.cast import Api, Company
from tests.contract.journals import Journal


def moment() -> datetime:
    return datetime.now(UTC)


def in_seconds(seconds: float) -> datetime:
    return moment() + timedelta(seconds=seconds)


def deploy(company: Company, name: str = "nightly", *, flow: str = "etl", **more: Any) -> Any:
    """A deployment from a path; `more` as in DeploymentRequest."""
    from runs.deployments import DeploymentRequest
    from runs.deployments import deploy as operation

    source = {"type": "path", "path": "/flows"}
    wanted = DeploymentRequest(flow=flow, name=name, **{"entrypoint": "flows.py:etl", "source": source, **more})
    with company.scope():
        return operation(wanted, by=company.actor())[0]


def trigger(company: Company, deployment: Any, number: int = 1, **more: Any) -> list[UUID]:
    """The ids of new runs."""
    from runs.trigger import RunRequest, create_runs

    with company.scope():
        requests = [RunRequest(deployment=deployment, **more) for _ in range(number)]
        return [run.id for run in create_runs(requests, by=company.actor())[0]]


def agent(company: Company, name: str = "agent", *, pool: str = "default", **more: Any) -> Any:
    """An agent that has registered."""
    from runs.agents import register

    facts = {"slots": 10, "queues": [], "version": "1.0", "python": "3.11.9", "host": "box", **more}
    with company.scope():
        return register(by=company.actor("agent"), pool=pool, name=name, **facts)


def claim(company: Company, by: Any, slots: int = 10) -> list[ClaimedRun]:
    from runs.claims import claim as operation

    with company.scope():
        return operation(by, slots=slots)


def limit(company: Company, kind: str, target: Any, slots: int) -> Any:
    from runs.models import Limit

    with company.scope():
        own = {"organization": company.organization, "workspace": company.workspace}
        return Limit.objects.create(**own, kind=kind, target_id=target.id, slots=slots)


def run_row(company: Company, id: UUID) -> Any:
    from runs.models import FlowRun

    with company.scope():
        return FlowRun.objects.get(id=id)


def journal_of(claimed: ClaimedRun) -> Journal:
    """What the process of a claimed run writes, with its token."""
    return Journal(Api(claimed.token), root=claimed.run, token=claimed.token, attempt=claimed.attempt)


def start(claimed: ClaimedRun) -> Journal:
    """The process of a claimed run has reached user code."""
    journal = journal_of(claimed)
    journal.send(journal.state("RUNNING", run_count=claimed.run_count + 1))
    return journal


def silence(company: Company, run_id: UUID, seconds: float = 1) -> None:
    """Let all leases of a run have run out some seconds ago."""
    from runs.models import Lease

    with company.scope():
        Lease.objects.filter(run_id=run_id).update(expires_at=in_seconds(-seconds))


def sweep(company: Company, *run_ids: UUID) -> None:
    """Judge runs whose lease ran out, as the tick does."""
    from runs.claims import expire

    with company.scope():
        expire(run_ids)


def running(company: Company, deployment: Any) -> Api:
    """The API as a run of this deployment sees it that is going on."""
    [id] = trigger(company, deployment)
    [claimed] = [each for each in claim(company, agent(company, deployment.name)) if each.run == id]
    start(claimed)
    return Api(claimed.token)


def claimed_run(company: Company, **deployment: Any) -> tuple[Any, ClaimedRun]:
    """An agent, and a run of a new deployment that it has claimed."""
    trigger(company, deploy(company, **deployment))
    by = agent(company)
    return by, claim(company, by)[0]


def make_due(company: Company, run_id: UUID) -> None:
    from runs.models import FlowRun

    with company.scope():
        FlowRun.objects.filter(id=run_id).update(due_at=moment())


def state(company: Company, run_id: UUID) -> tuple[str, str]:
    run = run_row(company, run_id)
    return run.state_type, run.state_name


def leases(company: Company) -> int:
    """How many there are, slots too."""
    from runs.models import Lease

    with company.scope():
        return Lease.objects.count()


def cancel(company: Company, run_id: UUID) -> None:
    from runs.trigger import cancel_runs

    with company.scope():
        cancel_runs([run_id], by=company.actor())


def unreachable_run(company: Company) -> tuple[Any, ClaimedRun, Journal]:
    """A run without retries whose holder fell silent."""
    by, claimed = claimed_run(company)
    journal = start(claimed)
    silence(company, claimed.run)
    sweep(company, claimed.run)
    assert state(company, claimed.run) == ("RUNNING", "Unreachable")
    return by, claimed, journal
