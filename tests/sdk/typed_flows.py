"""1.1, 1.2: what type-checkers see through the decorators. Checked by test_typing.py, never run."""

from typing import Any, assert_type

from orchestrator import State, Task, flow, task
from orchestrator.futures import Future, FutureList


@task
def add(a: int, b: int = 0) -> str:
    return str(a + b)


@task(name="later", retries=2)
async def later(a: int) -> float:
    return float(a)


@flow
def main(day: str) -> list[int]:
    return [len(day)]


@flow(log_prints=True)
async def main_later(day: str) -> bytes:
    return day.encode()


class Pipeline:
    @flow
    def own(self, x: int) -> str:
        return str(x)

    @task(retries=1)
    def step(self, x: int) -> str:
        return str(x)

    @task
    async def step_later(self, x: int) -> str:
        return str(x)


def sync_code() -> None:
    assert_type(add(1, b=2), str)
    assert_type(add(1, return_state=True), State)
    assert_type(add(1, wait_for=[add.submit(2)]), str)
    assert_type(add.submit(1), Future[str])
    assert_type(add.submit(1, return_state=True), State)
    assert_type(add.submit(1).result(), str)
    assert_type(add.map([1, 2]), FutureList[str])
    assert_type(later.submit(1), Future[float])
    assert_type(later.map([1]), FutureList[float])
    assert_type(add.with_options(name="x")(1), str)
    assert_type(later.with_options(retries=3).submit(1), Future[float])
    assert_type(main("x"), list[int])
    assert_type(main("x", return_state=True), State)
    assert_type(main.submit("x"), Future[list[int]])
    assert_type(main_later.submit("x"), Future[bytes])
    assert_type(main.with_options(name="x")("y"), list[int])
    pipeline = Pipeline()
    assert_type(pipeline.own(1), str)
    assert_type(pipeline.own.submit(1), Future[str])
    assert_type(pipeline.step(x=1), str)
    assert_type(pipeline.step.with_options(name="x")(1), str)
    assert_type(pipeline.step_later.submit(1), Future[str])
    assert_type(Pipeline.own(pipeline, 1), str)


async def async_code() -> None:
    assert_type(await later(1), float)
    assert_type(await main_later("x"), bytes)
    assert_type(await Pipeline().step_later(1), str)
    assert_type(await add.submit(1).result_async(), str)


@add.on_failure
def told(task: Task[..., Any], run: object, state: State) -> int:
    return 1


assert_type(told(add, None, State.__new__(State)), int)


def wrong() -> None:
    add("x")  # pyright: ignore[reportArgumentType]
    add(1, c=2)  # pyright: ignore[reportCallIssue]
    main()  # pyright: ignore[reportCallIssue]
    Pipeline().own("x")  # pyright: ignore[reportArgumentType]
    Pipeline().step()  # pyright: ignore[reportCallIssue]
