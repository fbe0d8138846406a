"""1.14: `orchestrator result` lists and deletes what is in a storage."""

import json
import os
import time

import pytest
from click.testing import CliRunner

from orchestrator.cli.root import cli
from orchestrator.results import Header, get_result_store


@pytest.fixture
def run(home):
    store = get_result_store(home / "results", "json")
    store.write("runs/1/a", [1], Header(of="load"))
    store.write("mine.json", [2], Header(of="save"))
    store.lead("runs/1/b", "mine.json", "runs/1/b")
    (home / "results" / "notes.txt").write_text("not ours")
    week_ago = time.time() - 7 * 86_400
    os.utime(home / "results" / "runs" / "1" / "a", (week_ago, week_ago))

    def invoke(*words, **options):
        return CliRunner().invoke(cli, ["result", *words], **options)

    return invoke


def paths(run, *options):
    return [each["path"] for each in json.loads(run("ls", "-o", "json", *options).output)]


def test_values_are_listed(run):
    assert paths(run) == ["mine.json", "runs/1/a", "runs/1/b"]
    assert paths(run, "runs/1", "--limit", "1") == ["runs/1/a"]
    shown = run("ls").output.splitlines()
    assert shown[2].split()[:3] == ["runs/1/a", "load", "json"]
    assert "at mine.json" in shown[3]
    assert "notes.txt" not in run("ls").output


def test_old_values_are_deleted_and_others_stay(run, home):
    assert run("delete", "runs", "--older-than", "8", "--yes").output == "0 values deleted.\n"
    asked = run("delete", "runs", "--older-than", "6", input="n\n")
    assert "Delete 1 values" in asked.output
    assert len(paths(run)) == 3
    assert "1 values deleted" in run("delete", "runs", "--older-than", "6", "--yes").output
    assert paths(run) == ["mine.json", "runs/1/b"]
    run("delete", "runs", "--storage", str(home / "results"), input="y\n")
    assert paths(run) == ["mine.json"]
