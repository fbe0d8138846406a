"""1.11, 1.20, 1.22: states as values, logs, and what code can know of its run."""

import asyncio
import json

import pytest

from orchestrator import allow_failure, flow, get_run_logger, runtime, tags, task, testing
from orchestrator.exceptions import CancelledRun, FailedRun, UnfinishedRun
from orchestrator.logging import get_logger
from orchestrator.states import Cancelled, Completed, Crashed, Failed, Pending
from orchestrator.testing import recorded


@task
def good():
    return 1


@task
def fails():
    raise ValueError("no")


# 1.11: the final state of a flow


@pytest.mark.parametrize(
    ("body", "state"),
    [
        (lambda: 7, "Completed"),
        (lambda: None, "Completed"),
        (lambda: fails(return_state=True) and None, "Completed"),
        (lambda: fails.submit() and None, "Completed"),
        (lambda: fails(), "Failed"),
        (lambda: fails(return_state=True), "Failed"),
        (lambda: fails.submit(), "Failed"),
        (lambda: [good.submit(), fails.submit()], "Failed"),
        (lambda: [good.submit(), good.submit()], "Completed"),
        (lambda: (good(return_state=True), Cancelled()), "Cancelled"),
        (lambda: [good.submit(), 5], "Completed"),
        (list, "Completed"),
        (lambda: Completed(name="Skipped"), "Skipped"),
        (lambda: Failed(name="Rejected", message="bad rows"), "Rejected"),
        (lambda: Crashed(), "Crashed"),
        (lambda: Pending(), "Failed"),
        (lambda: good.submit(wait_for=[allow_failure(fails.submit())]), "Completed"),
    ],
)
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_the_final_state_of_a_flow_follows_from_what_it_returns_or_raises(kind, body, state):
    """1.11: the rules, recorded as they are returned."""

    @flow(name="main")
    def now():
        return body()

    @flow(name="main")
    async def later():
        return body()

    with testing.server() as server:
        got = now(return_state=True) if kind == "sync" else asyncio.run(later(return_state=True))
        assert got.name == state
        server.assert_state(server.runs("main")[0], state)


def test_the_result_of_a_state():
    """1.11: result and aresult."""
    assert Completed(data=3).result() == asyncio.run(Completed(data=3).aresult()) == 3
    with pytest.raises(FailedRun, match="not today"):
        Failed(message="not today").result()
    with pytest.raises(KeyError):
        asyncio.run(Failed(data=KeyError("x")).aresult())
    with pytest.raises(CancelledRun):
        Cancelled().result()
    with pytest.raises(UnfinishedRun):
        Pending().result()
    assert isinstance(Failed(data=KeyError("x")).result(raise_on_failure=False), KeyError)


def test_a_task_may_return_states_too_and_they_are_recorded():
    """1.11: custom names and messages of tasks."""

    @task
    def picky(rows):
        return rows if rows else Completed(name="Skipped", message="nothing new", data=0)

    @flow
    def main():
        return picky(0), picky.submit(0).result()

    with recorded() as told:
        assert main() == (0, 0)
    assert [(entry.state, entry.name, entry.message) for entry in told.tasks("picky")] == [
        ("COMPLETED", "Skipped", "nothing new")
    ] * 2


# 1.20: logging


def lines(told):
    return {entry.message: entry for entry in told.logs()}


def test_a_logger_carries_extras_to_each_line():
    """1.20: structured extras, by logger and by call."""

    @flow
    def main():
        log = get_run_logger(customer="acme")
        log.info("one", extra={"order": 7})
        log.debug("not shown")
        log.warning("two")

    with recorded() as told:
        main()
    found = lines(told)
    assert json.loads(bytes(found["one"].extra)) == {"customer": "acme", "order": 7}
    assert json.loads(bytes(found["two"].extra)) == {"customer": "acme"}
    assert (found["two"].level, "not shown" in found) == (30, False)


def test_module_loggers_speak_for_the_run_around_them():
    """1.20: get_logger, from tasks in threads and coroutines too."""
    log = get_logger("mine")

    @task
    def speaks():
        log.info("from a thread")

    @task
    async def speaks_later():
        log.error("from a coroutine")

    @flow
    def main():
        speaks.submit()
        speaks_later.submit()

    with recorded() as told:
        main()
    log.info("outside of any run")
    found = lines(told)
    by_id = {entry.id: entry.task for entry in told.tasks()}
    assert by_id[found["from a thread"].task] == "speaks"
    assert by_id[found["from a coroutine"].task] == "speaks_later"
    assert (found["from a thread"].logger, "outside of any run" in found) == ("orchestrator.mine", False)


@pytest.mark.parametrize("how", ["environment", "profile"])
def test_other_loggers_are_taken_in_by_name(python, home, how):
    """1.20: extra loggers and levels, from the environment or the active profile; each line once."""
    settings = {"logging_extra_loggers": "library,library.part", "logging_level": "DEBUG"}
    if how == "profile":
        home.mkdir(exist_ok=True)
        named = "\n".join(f'{name} = "{value}"' for name, value in settings.items())
        (home / "profiles.toml").write_text(f'[mine]\nactive = "yes"\n{named}\n')
        settings = {}
    done = python(
        """
        import logging
        from orchestrator import flow, get_run_logger
        from orchestrator.testing import recorded
        @flow
        def main():
            logging.getLogger("library.part").debug("from a library")
            logging.getLogger("stranger").error("from a stranger")
            get_run_logger().debug("fine print")
        with recorded() as told:
            main()
        print([entry.message for entry in told.logs() if "run" not in entry.message])
        """,
        **{f"ORCHESTRATOR_{name.upper()}": value for name, value in settings.items()},
    )
    assert done.stdout == "['from a library', 'fine print']\n"


def test_log_prints_of_sync_and_async_code():
    """1.20: log_prints for tasks alone, and for what they call."""

    @task(log_prints=True)
    async def later():
        print("printed", 1, sep="-")

    with testing.server() as server:
        asyncio.run(later())
        server.assert_logged(server.runs()[0], "printed-1")


# 1.22: context


def facts_of(facts):
    return {name: getattr(facts, name) for name in dir(facts)}


def test_outside_of_a_run_everything_is_none_or_empty():
    """1.22: code that asks runs anywhere."""
    told = facts_of(runtime.flow_run) | facts_of(runtime.task_run) | facts_of(runtime.deployment)
    filled = {name: value for name, value in told.items() if value is not None}
    assert filled == {"run_count": 0, "tags": [], "parameters": {}, "job_variables": {}}


def test_what_a_triggered_run_knows_of_itself():
    """1.22: runtime.flow_run, task_run and deployment, in a flow, a subflow and a task."""
    seen = {}

    @task
    def inner_task(x):
        seen["task"] = facts_of(runtime.task_run)

    @flow
    def child():
        seen["child"] = facts_of(runtime.flow_run)

    @flow(version="7")
    def main(x: int):
        seen["main"], seen["deployment"] = facts_of(runtime.flow_run), facts_of(runtime.deployment)
        inner_task(x)
        child()

    with testing.server() as server:
        main.deploy("prod", tags=["d"], version="8", job_variables={"env": {"A": "b"}})
        with tags("ignored by triggers"):
            run = server.trigger("main/prod", {"x": 3})
        server.work()
        told = server.run(run)
        id, deployment_id = str(run.id), str(told.deployment.id)
        assert seen["main"]["start_time"] >= seen["main"]["scheduled_start_time"]
        assert seen["main"] | {"start_time": 0, "scheduled_start_time": 0} == {
            "id": id, "name": told.name, "flow_name": "main", "flow_version": "7", "parameters": {"x": 3},
            "tags": ["d"], "run_count": 1, "attempt": 1, "start_time": 0, "scheduled_start_time": 0,
            "root_flow_run_id": id, "parent_flow_run_id": None, "parent_deployment_id": None,
            "job_variables": {"env": {"A": "b"}}, "api_url": f"{server.url}/flow-runs/{id}",
            "ui_url": seen["main"]["ui_url"],
        }  # fmt: skip
        assert seen["main"]["ui_url"].endswith(f"/runs/{id}")
        assert seen["child"]["parent_flow_run_id"] == seen["child"]["root_flow_run_id"] == id
        assert seen["child"]["parent_deployment_id"] == deployment_id
        assert (seen["task"]["flow_run_id"], seen["task"]["parameters"]) == (id, {"x": 3})
        assert seen["deployment"] == {
            "id": deployment_id, "name": "prod", "flow_name": "main", "version": "8", "flow_run_id": id,
            "parameters": {"x": 3},
        }  # fmt: skip


def test_tags_around_calls_and_submissions():
    """1.22: tags(…) reach what starts inside: tasks, subflows, threads, coroutines."""

    @flow
    def child():
        return runtime.flow_run.tags

    @task
    async def later():
        return runtime.task_run.tags

    @flow
    def main():
        with tags("a"), tags("b"):
            return child(), child.submit().result(), later.submit().result()

    assert main() == (["a", "b"], ["a", "b"], ["a", "b"])


def test_a_deployed_flow_names_its_runs_by_its_template():
    """1.22: the server had to name the run before; its page shows the flow's own name from the first state on."""

    @flow(flow_run_name="load-{day}")
    def main(day: str):
        return runtime.flow_run.name

    with testing.server() as server:
        main.deploy("prod")
        run = server.trigger("main/prod", {"day": "monday"})
        assert run.name != "load-monday"
        server.work()
        assert server.assert_completed(run).name == "load-monday"
