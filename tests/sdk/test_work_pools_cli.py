"""2.3: `orchestrator work-pool create|update|template|types`."""

from __future__ import annotations

import io
import json
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from orchestrator import pool_types, testing
from orchestrator.cli.root import cli, main
from orchestrator.exceptions import Conflict, Invalid, NotFound
from orchestrator.job_templates import BUILT_IN


def command(*arguments: str, **options: Any) -> Any:
    return CliRunner().invoke(cli, ["work-pool", *arguments], **options)


def told(result: Any) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


@pytest.fixture
def alone():
    with testing.server() as server:
        yield server


def test_2_3_types_are_listed_with_what_is_wrong_with_them(nice, install):
    install("broken", "broken_type", "import nothing_of_the_sort", "broken = broken_type:TYPE")
    listed = told(command("types", "-o", "json"))
    assert [(each["type"], each["from"]) for each in listed][:2] == [
        ("broken", ["broken 1.0"]), ("nice", ["orchestrator-nice 1.0"]),
    ]  # fmt: skip
    assert "ModuleNotFoundError" in listed[0]["error"]
    assert (listed[1]["description"], listed[1]["error"]) == ("Processes that let others go first.", None)
    table = command("types").output.splitlines()
    assert table[1].startswith("broken")
    assert "can't be used: The pool type 'broken' of broken 1.0" in table[1]
    assert table[2].split() == ["nice", "orchestrator-nice", "1.0", *"Processes that let others go first.".split()]


def test_2_3_a_pool_is_made_with_the_template_of_its_type_or_of_a_file(alone, nice, tmp_path):
    made = told(command("create", "a", "--type", "nice", "-o", "json"))
    assert (made["type"], made["base_job_template"]) == ("nice", pool_types.find("nice").base_job_template)
    file = tmp_path / "own.json"
    own = {"variables": {"type": "object", "properties": {"x": {}}}, "job_configuration": {"x": "{{ x }}"}}
    file.write_text(json.dumps(own))
    for name, given, text in (("b", str(file), None), ("c", "-", json.dumps(own))):
        arguments = ("create", name, "--type", "foreign", "--base-job-template", given, "-o", "json")
        assert told(command(*arguments, input=text))["base_job_template"] == own
    refused = command("create", "d", "--type", "foreign")
    assert (refused.exit_code, "not installed here; there is nice, process" in refused.output) == (1, True)
    assert "Or give a template by --base-job-template." in refused.output


def test_2_3_a_template_is_printed_changed_and_taken_back(alone, nice):
    shown = command("template", "default").output
    assert json.loads(shown) == BUILT_IN["process"]
    assert told(command("template", "--type", "nice")) == pool_types.find("nice").base_job_template
    own = {**BUILT_IN["process"], "job_configuration": {"env": {"REGION": "eu"}}}
    own["variables"] = {"type": "object", "properties": {"region": {"type": "string"}}}
    changed = command("update", "default", "--base-job-template", "-", "--limit", "3", input=json.dumps(own))
    assert changed.output == "The pool default is changed: 3 at once, job variables region.\n"
    assert told(command("template", "default")) == own
    assert "knows region; see" in command("inspect", "default").output
    again = told(command("update", "default", "--reset-template", "--no-limit", "--description", "Ours", "-o", "json"))
    assert (again["base_job_template"], again["concurrency_limit"]) == (BUILT_IN["process"], None)
    assert again["description"] == "Ours"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{\n "variables": {},\n oops}', "<stdin>, line 3, column 2: this is no JSON: Expecting property name"),
        ("[1]", "holds no base job template. It is an object like"),
        (b"\xff\xfe", "no text in UTF-8"),
    ],
)
def test_2_3_a_file_that_is_no_template_says_where(alone, text, says):
    refused = command("update", "default", "--base-job-template", "-", input=text)
    assert (refused.exit_code, says in refused.output.replace("-, line", "<stdin>, line")) == (2, True), refused.output


def test_2_3_what_the_server_refuses_is_told_by_field(alone, monkeypatch, capsys):
    own = json.dumps({"variables": {"type": "object"}, "job_configuration": {"env": "{{ env }}"}})
    arguments = ["work-pool", "update", "default", "--base-job-template", "-"]
    refused = CliRunner().invoke(cli, arguments, input=own).exception
    assert isinstance(refused, Invalid)
    assert list(refused.fields) == ["base_job_template.job_configuration"]
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(own.encode())))
    with pytest.raises(SystemExit):
        main(arguments)
    assert "  base_job_template.job_configuration: There is no variable 'env'" in capsys.readouterr().err


def test_2_3_commands_that_contradict_themselves(alone, nice):
    for arguments in (
        ("update", "default"),
        ("update", "default", "--limit", "2", "--no-limit"),
        ("template",),
        ("template", "default", "--type", "nice"),
    ):
        assert command(*arguments).exit_code == 2
    command("create", "batch", "--type", "nice")
    assert isinstance(command("update", "batch", "--reset-template").exception, Invalid)
    assert isinstance(command("template", "none").exception, NotFound)
    assert isinstance(command("create", "batch", "--type", "nice").exception, Conflict | Invalid)
