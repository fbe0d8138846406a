"""1.21: artifacts made by code: in flows, tasks and subflows, with and without a server."""

from __future__ import annotations

import asyncio
import datetime
import json
import pickle
from typing import Any

import msgspec
import pytest

from orchestrator import artifacts, flow, journal, task
from orchestrator.artifact_tables import table_of
from orchestrator.artifacts import (
    Artifact,
    acreate_link_artifact,
    aupdate_progress_artifact,
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from orchestrator.blocks import Secret
from orchestrator.exceptions import MissingContext
from orchestrator.masking import forget
from orchestrator.testing import recorded
from orchestrator.testing import server as memory
from orchestrator.wire import MAX_ARTIFACT, MAX_MARKDOWN


def data_of(entry: Any) -> Any:
    return msgspec.json.decode(entry.data)


def test_each_kind_is_told() -> None:
    """1.21: what the server gets, from a flow."""

    @flow
    def makes() -> None:
        create_table_artifact([{"a": 1}], key="rows", description="Some")
        create_markdown_artifact("# Hi", key="text")
        create_link_artifact("https://x.example", "There", key="to")
        create_image_artifact("https://x.example/i.png")
        create_progress_artifact(120)

    with recorded() as told:
        makes()
    assert [(each.type, each.key, data_of(each)) for each in told.artifacts()] == [
        ("table", "rows", {"columns": ["a"], "rows": [[1]]}),
        ("markdown", "text", "# Hi"),
        ("link", "to", {"link": "https://x.example", "text": "There"}),
        ("image", None, {"url": "https://x.example/i.png"}),
        ("progress", None, 100.0),
    ]
    assert told.artifacts()[0].description == "Some"
    assert {each.task for each in told.artifacts()} == {None}


def test_it_belongs_to_the_innermost_run() -> None:
    """1.21: of a task, of a subflow."""

    @task
    def step() -> None:
        create_markdown_artifact("of the task")

    @flow
    def inner() -> None:
        create_markdown_artifact("of the subflow")

    @flow
    def outer() -> None:
        step()
        inner()

    with recorded() as told:
        outer()
    root, sub = [entry.run for entry in told.run_states() if entry.about is not None]
    of_task, of_subflow = told.artifacts()
    assert (of_task.run, of_task.task) == (root, told.tasks("step")[0].id)
    assert (of_subflow.run, of_subflow.task) == (sub, None)


def test_they_may_be_awaited() -> None:
    """1.21: as code has it that awaits what makes an artifact, by both names."""

    @flow
    async def makes() -> artifacts.ArtifactId:
        bar = await create_progress_artifact(0)
        assert await aupdate_progress_artifact(bar, 50) == bar
        await acreate_link_artifact("https://x.example", key="to")
        return bar

    with recorded() as told:
        bar = asyncio.run(makes())
    assert [each.type for each in told.artifacts()] == ["progress", "link"]
    assert pickle.loads(pickle.dumps(bar)) == bar


def test_without_an_api_it_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """1.21: and nothing else happens."""

    @flow
    def makes() -> None:
        bar = create_progress_artifact(0, key="copied")
        for number in range(100):
            update_progress_artifact(bar, number)

    makes()
    assert capsys.readouterr().err.count("Made an artifact (progress 'copied')") == 1


def test_outside_of_a_run_there_is_no_place_for_it() -> None:
    with pytest.raises(MissingContext, match="inside a flow or a task"):
        create_markdown_artifact("# Hi")
    with pytest.raises(MissingContext):
        update_progress_artifact(artifacts.ArtifactId(int=1), 5)


@pytest.mark.parametrize("key", ["Upper", "with space", "a/b", "", "a" * 201, 5])
def test_a_key_that_is_none(key: Any) -> None:
    with recorded(), pytest.raises(ValueError, match="is no key"):
        flow(lambda: create_markdown_artifact("x", key=key), name="makes")()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: create_table_artifact([["x" * 1000]] * 1000), f"{MAX_ARTIFACT:,} can be kept"),
        (lambda: create_markdown_artifact("x" * (MAX_MARKDOWN + 1)), f"markdown has {MAX_MARKDOWN + 1:,} characters"),
        (lambda: create_markdown_artifact("x", description="y" * 10_001), "description has 10,001 characters"),
        (lambda: create_link_artifact("https://" + "x" * 20_000), "link has"),
        (lambda: create_progress_artifact(float("nan")), "not NaN"),
        (lambda: create_table_artifact({"a": [1], "b": [1, 2]}), "of one length"),
    ],
)
def test_what_is_too_much(make: Any, told: str) -> None:
    """1.21: bounded, with an error that says by how much; the flow sees it where it made the thing."""
    with recorded() as journal_of, pytest.raises(ValueError, match=told):
        flow(make, name="makes")()
    assert journal_of.artifacts() == []


@pytest.mark.parametrize("table", [5, "text", [1, 2], [["a"], 5], None])
def test_what_is_no_table(table: Any) -> None:
    with pytest.raises(TypeError, match="A table is"):
        table_of(table)


def test_tables_of_all_shapes() -> None:
    """1.21: dict of lists, list of dicts, list of lists; what is missing is null."""
    day = datetime.date(2026, 11, 23)
    assert table_of({"a": [1, 2], "b": (day, float("nan"))}) == {
        "columns": ["a", "b"],
        "rows": [[1, "2026-11-23"], [2, None]],
    }
    assert table_of([{"a": 1, "b": {"deep": [1]}}, {"c": float("inf")}])["rows"] == [
        [1, {"deep": [1]}, None],
        [None, None, "inf"],
    ]
    assert table_of([["a", "b"], [1]]) == {"columns": ["a", "b"], "rows": [[1, None]]}
    assert table_of({"a": {0: "x", 1: "y"}})["rows"] == [["x"], ["y"]]
    for empty in ([], {}, [[]]):
        assert table_of(empty) == {"columns": [], "rows": []}


def test_tables_of_pandas() -> None:
    """1.21: NaN, NaT and NA become null, numpy's numbers numbers, an index with a name a column."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "n": pandas.Series([1, None], dtype="Int64"),
            "f": [0.5, float("nan")],
            "t": [pandas.Timestamp("2026-01-01"), pandas.NaT],
            "s": ["x", None],
        }
    )
    assert table_of(frame) == {
        "columns": ["n", "f", "t", "s"],
        "rows": [[1, 0.5, "2026-01-01T00:00:00", "x"], [None, None, None, None]],
    }
    assert table_of(frame.set_index("s"))["columns"] == ["s", "n", "f", "t"]


def test_secrets_are_masked() -> None:
    """1.21: in data, descriptions and keys."""

    @flow
    def careless() -> None:
        Secret(value="hunter22-x")
        create_table_artifact({"hunter22-x": ["the password is hunter22-x"]}, description="hunter22-x")
        create_markdown_artifact("hunter22-x", key="hunter22-x")
        create_link_artifact("https://me:hunter22-x@x.example")

    try:
        with recorded() as told:
            careless()
    finally:
        forget()
    assert "hunter22" not in repr([(each.key, each.description, bytes(each.data)) for each in told.artifacts()])
    assert [each.key for each in told.artifacts()] == [None, "hidden", None]


def test_a_hundred_thousand_words_on_progress_are_few_entries(server: Any, until: Any) -> None:
    """1.21: of many words within a moment the last one is sent, and the very last one always."""

    @flow
    def counts() -> None:
        bar = create_progress_artifact(0, key="counted")
        for number in range(100_000):
            update_progress_artifact(bar, number / 1_000)

    counts()
    assert journal.flush(10)
    told = server.all_entries("artifact")
    assert told[-1]["data"] == 99.999
    assert len(told) < 200
    assert len({entry["id"] for entry in told}) == 1


def test_the_server_is_away(server: Any, home: Any, until: Any) -> None:
    """1.21: the journal's file keeps them, and the next flow sends them."""
    server.refuse += [(503, "unavailable")] * 10_000

    @flow
    def makes() -> None:
        bar = create_progress_artifact(1)
        update_progress_artifact(bar, 80)
        create_markdown_artifact("# kept", key="kept")

    makes()
    until(lambda: any("kept" in path.read_text() for path in (home / "journals").glob("*.ndjson")))
    server.refuse.clear()
    assert journal.flush(20)
    words = sorted(server.all_entries("artifact"), key=lambda entry: entry["t"])  # As the server takes them.
    told = {entry["id"]: entry for entry in words}
    assert sorted(json.dumps(entry["data"]) for entry in told.values()) == ['"# kept"', "80.0"]


def test_the_newest_of_a_key_is_read_back() -> None:
    """1.21: `Artifact.get`, in sync code and in a coroutine."""

    @flow
    def makes(text: str) -> None:
        create_markdown_artifact(text, key="report", description="of the day")

    async def read() -> Any:
        return await Artifact.get("report")

    with memory() as server:
        makes("one")
        makes("two")
        assert journal.flush(10)
        found = Artifact.get("report")
        assert (found.data, found.type, found.key, found.description) == ("two", "markdown", "report", "of the day")
        assert asyncio.run(read()) == found
        assert Artifact.get("none") is None
        assert [each.data for each in server.artifacts("report")] == ["one", "two"]
