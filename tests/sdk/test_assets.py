"""1.21: assets made by tasks: what is told of them, and what they are made of."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from orchestrator import flow, task
from orchestrator.assets import Asset, AssetProperties, MaterializingTask, add_asset_metadata, materialize
from orchestrator.exceptions import MissingContext
from orchestrator.testing import recorded

RAW, CLEAN, REPORT = "s3://lake/raw.csv", "s3://lake/clean.csv", "s3://lake/report.html"


def told_by(body: Any) -> list[tuple[str, str, list[str]]]:
    """(event, asset, what it was made of) of all that a flow with this body tells."""
    with recorded() as told:
        flow(body, name="makes")(return_state=True)
    return [(each.event, each.resource["id"], [other["id"] for other in each.related]) for each in told.events()]


@materialize(RAW)
def load() -> list[int]:
    return [1, 2]


@task
def pick(rows: list[int]) -> list[int]:
    return rows[:1]


@materialize(CLEAN)
def clean(rows: list[int]) -> dict[str, int]:
    return {"rows": len(rows)}


def test_a_materialization_is_told_with_what_is_known_of_it() -> None:
    """1.21: properties, metadata, by whom; a task as any other else."""
    lake = Asset(RAW, AssetProperties(name="Raw", description="As it came", owners=["ada"], url="https://x.example"))

    @materialize(lake, by="dbt", retries=1, tags=["lake"], asset_deps=[Asset("postgres://air/flights")])
    def makes(rows: int) -> int:
        lake.add_metadata({"rows": rows})
        add_asset_metadata(RAW, {"bytes": 17})
        return rows

    with recorded() as told:
        assert flow(lambda: makes(3), name="f")() == 3
    [made] = told.events()
    assert (made.event, made.resource) == ("asset.materialized", {"id": RAW, "name": "Raw"})
    assert made.related == [{"id": "postgres://air/flights", "role": "upstream"}]
    assert msgspec.json.decode(made.payload) == {
        "task_run": str(told.tasks("makes")[0].id),
        "metadata": {"rows": 3, "bytes": 17},
        "by": "dbt",
        "description": "As it came",
        "url": "https://x.example",
        "owners": ["ada"],
    }
    assert told.tasks("makes")[0].tags == ["lake"]


def test_lineage_by_results() -> None:
    """1.21: through tasks that make no asset."""
    made = told_by(lambda: clean(pick(load())))
    assert made == [("asset.materialized", RAW, []), ("asset.materialized", CLEAN, [RAW])]


def test_lineage_by_futures_and_waits() -> None:
    report = materialize(REPORT, asset_deps=["s3://lake/style.css"])(lambda: 1)

    def body() -> None:
        raw = load.submit()
        cleaned = clean.submit(raw)
        report.submit(wait_for=[cleaned]).result()

    assert told_by(body)[1:] == [
        ("asset.materialized", CLEAN, [RAW]),
        ("asset.materialized", REPORT, ["s3://lake/style.css", CLEAN]),
    ]


def test_dependencies_of_plain_tasks_are_handed_on() -> None:
    reads = task(asset_deps=["postgres://air/flights"])(lambda: [1])
    assert told_by(lambda: clean(reads())) == [("asset.materialized", CLEAN, ["postgres://air/flights"])]


def test_several_assets_of_one_task() -> None:
    both = materialize(RAW, CLEAN)(lambda: [1])
    report = materialize(REPORT)(lambda rows: 1)
    assert told_by(lambda: report(both()))[2] == ("asset.materialized", REPORT, [RAW, CLEAN])


def test_a_failure_is_told_as_one() -> None:
    """1.21: once, after the last retry."""

    @materialize(RAW, retries=2)
    def fails() -> None:
        raise ValueError("no such month")

    assert told_by(fails) == [("asset.failed", RAW, [])]


def test_coroutines() -> None:
    @materialize(RAW)
    async def makes() -> list[int]:
        return [1]

    @flow
    async def nightly() -> None:
        clean(await makes())

    with recorded() as told:
        asyncio.run(nightly())
    assert [each.resource["id"] for each in told.events()] == [RAW, CLEAN]


def test_other_options_make_the_same_kind_of_task() -> None:
    other = load.with_options(name="other", retries=3)
    assert isinstance(other, MaterializingTask)
    assert (other.name, other.retries, other.assets) == ("other", 3, (Asset(RAW),))
    assert [key for _, key, _ in told_by(load.with_options(assets=[CLEAN]))] == [CLEAN]


def test_without_an_api_nothing_is_told() -> None:
    assert flow(lambda: clean(load()), name="f")() == {"rows": 2}


@pytest.mark.parametrize("key", ["", "no-uri", "s3:/x", "s3://", "s3://a b", "s3://" + "x" * 600, 5])
def test_keys_that_are_none(key: Any) -> None:
    with pytest.raises(ValueError, match="no key of an asset"):
        Asset(key)


def test_what_can_not_be() -> None:
    with pytest.raises(TypeError, match="names what is made"):
        materialize(lambda: 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="1 to 50 assets"):
        materialize()(lambda: 1)
    with pytest.raises(TypeError, match="a list of assets"):
        task(asset_deps=RAW)(lambda: 1)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="description is a text"):
        AssetProperties(description="x" * 6_000)
    with pytest.raises(ValueError, match="owners are"):
        AssetProperties(owners=["x"] * 51)


def test_metadata_belong_to_the_making() -> None:
    with pytest.raises(MissingContext, match="@materialize"):
        Asset(RAW).add_metadata({"a": 1})
    for other, problem in ((CLEAN, "does not make"), (RAW, "can be kept")):
        makes = materialize(RAW)(lambda other=other: add_asset_metadata(other, {"a": "x" * 40_000}))
        with recorded(), pytest.raises(ValueError, match=problem):
            flow(makes, name="f")()
