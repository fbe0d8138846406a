"""The SDK against the real server: ten thousand task runs by a loop and by `.map`, counted as rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import flow, task
from runs.models import FlowRun, TaskRun, UsageDelta
from tests.cast import Company

MANY = 10_000


@task
def same(number: int) -> int:
    return number


@flow
def looped() -> int:
    return sum(same(number) for number in range(MANY))


@flow
def mapped() -> int:
    return sum(same.map(range(MANY)).result())


@pytest.fixture
def attached(served: str, acme: Company, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Flows of this process are recorded by the served platform."""
    from orchestrator.config import Api, use_api

    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path))
    use_api(Api(f"{served}/api/v1", acme.key("sdk")))
    yield
    use_api(None)


@pytest.mark.parametrize("call", [looped, mapped], ids=["loop", "map"])
def test_ten_thousand_task_runs_are_recorded_completely(attached: None, acme: Company, call: object) -> None:
    from orchestrator.journal import flush

    assert call() == sum(range(MANY))
    assert flush(timeout=60)
    with acme.scope():
        run = FlowRun.objects.get()
        rows = TaskRun.objects.of_run(run)
        assert (run.state_type, rows.count()) == ("COMPLETED", MANY)
        assert set(rows.values_list("state_type", flat=True)) == {"COMPLETED"}
        assert len(set(rows.values_list("label", flat=True))) == MANY
        assert sum(UsageDelta.objects.values_list("task_runs", flat=True)) == MANY
