"""1.21: artifacts, as the journal tells of them and as the API shows them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from orchestrator.ids import uuid7
from orchestrator.wire import Artifact, encode
from tests.contract.journals import Journal
from tests.contract.test_lists import pages
from tests.contract.worlds import World


def artifact(journal: Journal, type: str = "markdown", data: Any = "# Done", **more: Any) -> Artifact:
    return Artifact(**{"id": uuid7(), **journal._next(), **more}, type=type, data=msgspec.Raw(encode(data)))


def test_one_is_shown_with_its_data(world: World, journal: Journal) -> None:
    """1.21: what a task made, with its run, its task, its key and its summary."""
    begun, task = journal.begin(), journal.task()
    data = {"columns": ["city", "degrees"], "rows": [["Oslo", -3], ["Lima", None]]}
    table = artifact(journal, "table", data, key="weather", description="Today", task=task.id)
    journal.send(begun, task, table)

    told = world.api.get(f"/artifacts/{table.id}").json()
    assert told["data"] == data
    assert (told["type"], told["key"], told["description"]) == ("table", "weather", "Today")
    assert told["summary"] == {"rows": 2, "columns": 2}
    assert (told["flow_run"], told["task_run"]) == (str(journal.root), str(task.id))
    assert told["created_at"] == told["updated_at"]
    [listed] = world.api.get("/artifacts").json()["items"]
    assert listed == {name: value for name, value in told.items() if name != "data"}


def test_the_last_word_on_progress_counts(world: World, journal: Journal) -> None:
    """1.21: within a batch, over batches, and whatever comes late or twice."""
    id = uuid7()
    begun = journal.begin()
    words = [artifact(journal, "progress", number, id=id, key="copied" if not number else None) for number in (0, 10)]
    journal.send(begun, *words)
    early = artifact(journal, "progress", 5, id=id)
    early.t = words[0].t - 1
    journal.send(early)
    assert world.api.get(f"/artifacts/{id}").json()["data"] == 10
    world.pass_time(1)
    journal.send(
        artifact(journal, "progress", 40, id=id, description="Nearly half"), artifact(journal, "progress", 60.5, id=id)
    )

    [told] = world.api.get("/artifacts").json()["items"]
    assert (told["summary"], told["key"], told["description"]) == ({"progress": 60.5}, "copied", "Nearly half")
    assert told["created_at"] <= told["updated_at"]


def test_what_is_no_progress_stays_as_it_was_made(world: World, journal: Journal) -> None:
    id = uuid7()
    journal.send(journal.begin(), artifact(journal, id=id), artifact(journal, data="other", id=id))
    journal.send(artifact(journal, "progress", 7, id=id))
    told = world.api.get(f"/artifacts/{id}").json()
    assert (told["type"], told["data"]) == ("markdown", "# Done")


def test_versions_of_a_key(world: World, journal: Journal) -> None:
    """1.21: the history of a key over runs, newest first, page by page."""
    made = []
    for _ in range(5):
        one = Journal(world.api)
        begun = one.begin()
        made.append(artifact(one, key="report"))
        one.send(begun, made[-1], artifact(one, key="other"))
        world.pass_time(0.01)
    found = pages(world, "/artifacts/by-key/report", limit=2)
    assert [each["id"] for each in found] == [str(each.id) for each in reversed(made)]
    assert len(world.api.get("/artifacts", limit=200).json()["items"]) == 10


def test_filters(world: World, journal: Journal) -> None:
    journal.send(journal.begin(), artifact(journal), artifact(journal, "link", {"link": "https://x.example"}))
    other = Journal(world.api)
    other.send(other.begin(), artifact(other))

    def found(**query: Any) -> int:
        return len(world.api.get("/artifacts", **query).json()["items"])

    assert (found(), found(type="link"), found(flow_run=journal.root), found(flow_run=other.root, type="link")) == (
        3,
        1,
        2,
        0,
    )


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/artifacts?type=film", 400),
        ("/artifacts?flow_run=x", 400),
        ("/artifacts?cursor=x", 400),
        ("/artifacts/01a206c7-6f08-4b3b-86ef-59734346d202", 404),
        ("/artifacts/by-key/none", 404),
    ],
)
def test_refusals(world: World, path: str, status: int) -> None:
    path, _, query = path.partition("?")
    answer = world.api.get(path, **dict([query.split("=")] if query else []))
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("key", ["Upper", "a b", "x/y", "-a", "a" * 201])
def test_a_key_that_is_none_is_refused(world: World, journal: Journal, key: str) -> None:
    refused = journal.send(journal.begin(), artifact(journal, key=key))["rejected"]
    assert [each["code"] for each in refused] == ["invalid"]
    assert world.api.get("/artifacts").json()["items"] == []


@pytest.mark.parametrize(
    ("type", "data"),
    [
        ("table", "no table"),
        ("progress", {"a": 1}),
        ("image", None),
        ("film", [1]),
        ("table", {"columns": 1, "rows": {}}),
    ],
)
def test_data_of_another_form_is_kept_without_a_summary(world: World, journal: Journal, type: str, data: Any) -> None:
    begun, one = journal.begin(), artifact(journal, type, data)
    journal.send(begun, one)
    told = world.api.get(f"/artifacts/{one.id}").json()
    assert (told["data"], told["summary"]) == (data, {})


def test_nobody_without_the_right_sees_them(world: World, journal: Journal) -> None:
    journal.send(journal.begin(), artifact(journal, key="report"))
    agent = world.as_role("agent")
    for path in ("/artifacts", f"/artifacts/{uuid7()}", "/artifacts/by-key/report"):
        assert agent.get(path).status_code == 403
    assert world.as_role("viewer").get("/artifacts/by-key/report").status_code == 200
