"""`serve`: flows and tasks that the server can trigger, executed by the process that calls it, for as long as it runs.

A flow that is served runs from the files on this machine, in processes: what is edited is what the next run executes. A
task is executed in threads of the very process. Each deployment has a queue of its own in its pool, of which only
processes that serve it take runs.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from orchestrator.client import Client
from orchestrator.config import Api, require_api
from orchestrator.exceptions import ApiError, Invalid, NotFound

if TYPE_CHECKING:
    from orchestrator.agent.agent import Agent
    from orchestrator.deployments import Deployment
    from orchestrator.tasks import Task

__all__ = ["serve"]

GATHER = (
    0.01  # seconds; calls end together, when the server has their journals, and their slots are filled by one claim
)

BY = {"by": "serve"}
DESCRIPTION = "For processes that serve the deployment of this name."


def serve(
    *deployments: Deployment | Task[..., Any],
    limit: int | None = None,
    pause_on_shutdown: bool = True,
    print_starting_message: bool = True,
) -> None:
    """Execute runs of these deployments here, until told to stop (Ctrl-C, SIGTERM).

    Several processes may serve the same deployments; they share the work.

    Args:
        deployments: Tasks, and what `flow.to_deployment(…)` and `task.to_deployment(…)` returned.
        limit: Runs at once; 10 by default.
        pause_on_shutdown: Pause the deployments' schedules at the end, so that nothing waits for a process that is
            gone; the next `serve` resumes them. What a person paused stays paused.
        print_starting_message: Say where the deployments are to be seen.

    Raises:
        TypeError: There is nothing to serve, or something else than a deployment.
        NotConfigured: No API is known.
        BundleError: A flow's code can't be found by another process.
        ApiError: The API refused.
    """
    served = _checked(deployments)
    api = require_api()
    ids = _make_known(api, served)
    agent = _agent(api, served, ids, limit)
    if print_starting_message:
        _tell(api, ids)
    try:
        agent.run()
    finally:
        if pause_on_shutdown:
            _pause(api, ids, served)


def _checked(given: tuple[Any, ...]) -> list[Deployment]:
    from orchestrator.deployments import Deployment
    from orchestrator.tasks import Task

    if not given:
        raise TypeError("serve() takes tasks and deployments: serve(my_task, my_flow.to_deployment('prod')).")
    deployments = [each.to_deployment() if isinstance(each, Task) else each for each in given]
    for each in deployments:
        if not isinstance(each, Deployment):
            raise TypeError(f"serve() takes tasks and what flow.to_deployment(…) returns, not {type(each).__name__}.")
    pools = {each.settings["work_pool"] for each in deployments}
    if len(pools) > 1:
        raise TypeError(f"One process serves deployments of one work pool, not of {', '.join(sorted(pools))}.")
    return deployments


def _make_known(api: Api, deployments: list[Deployment]) -> list[str]:
    """Make the queues and the deployments, and let the schedules begin; the deployments' ids."""
    from orchestrator.deployments import deploy_one
    from orchestrator.sources import directory_of

    with Client(api) as client:
        for each in deployments:
            _make_queue(client, each)
            each.settings["work_queue"] = queue_of(each)
            each.source = each.source or directory_of(each.flow)
        ids = [str(deploy_one(client, each, served=True)) for each in deployments]
        for id, each in zip(ids, deployments, strict=True):
            if each.settings["schedules"]:
                client.request("POST", f"/deployments/{id}/resume", params=BY, again=True)
    return ids


def _make_queue(client: Client, deployment: Deployment) -> None:
    queues, name = f"/work-pools/{quote(deployment.settings['work_pool'], safe='')}/queues", queue_of(deployment)
    if _is_there(client, queues, name):
        return
    try:
        client.post(queues, {"name": name, "description": DESCRIPTION})
    except Invalid:
        if not _is_there(client, queues, name):  # Another process that serves it, or a call of `.delay`, was first.
            raise


def _is_there(client: Client, queues: str, name: str) -> bool:
    try:
        client.get(f"{queues}/{quote(name, safe='')}")
    except NotFound:
        return False
    return True


def queue_of(deployment: Deployment) -> str:
    """The name of the queue of a deployment that is served. No other one has the same.

    >>> from orchestrator import flow
    >>> @flow
    ... def load(): ...
    >>> queue_of(load.to_deployment("prod"))
    'serve load-prod'
    """
    return queue_named(deployment.settings["flow"], deployment.name)


def queue_named(*names: str) -> str:
    """The name of the queue for a flow or a task and the name of its deployment."""
    from orchestrator.agent_messages import SERVED

    plain = "-".join(re.sub(r"[^\w.-]+", "-", name) for name in names)[:150]
    if plain == "-".join(names) and plain.count("-") == 1:
        return SERVED + plain
    return f"{SERVED}{plain} {hashlib.sha256('/'.join(names).encode()).hexdigest()[:8]}"


def _agent(api: Api, deployments: list[Deployment], ids: list[str], limit: int | None) -> Agent:
    from orchestrator.agent.adoption import is_taken
    from orchestrator.agent.agent import Agent
    from orchestrator.agent.settings import Settings
    from orchestrator.agent.threads import ThreadLauncher
    from orchestrator.job_templates import PROCESS

    queues = [queue_of(each) for each in deployments]
    settings = Settings(pool=deployments[0].settings["work_pool"], queues=queues)
    settings.limit = limit or settings.limit
    settings.name = f"{queues[0]} on {platform.node()}"
    if is_taken(api.url, settings.pool, settings.name):
        settings.name = f"{settings.name} {os.getpid()}"
    here: dict[str, Any] = {id: each.flow for id, each in zip(ids, deployments, strict=True) if each.in_threads}
    if not here:
        return Agent(api, settings, pool_type=PROCESS)
    agent = Agent(
        api, settings, lambda others: ThreadLauncher(api, here, others, prepares=len(here) < len(ids)), PROCESS
    )
    agent.gather_seconds = GATHER
    return agent


def _tell(api: Api, ids: list[str]) -> None:
    with Client(api) as client:
        for id in ids:
            told = client.get(f"/deployments/{id}")
            print(f"Serving {told['flow']}/{told['name']}: {told.get('url') or id}", file=sys.stderr)
    print("Ctrl-C stops.", file=sys.stderr)


def _pause(api: Api, ids: list[str], deployments: list[Deployment]) -> None:
    """Nobody executes what would be scheduled. A server that is away can't be told."""
    with Client(api) as client:
        for id, each in zip(ids, deployments, strict=True):
            if not each.settings["schedules"]:
                continue
            try:
                client.request("POST", f"/deployments/{id}/pause", params=BY, again=True)
            except ApiError as error:
                print(f"The schedules of {each.settings['flow']}/{each.name} go on: {error}", file=sys.stderr)
