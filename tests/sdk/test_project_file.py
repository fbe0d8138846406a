"""2.1: what an orchestrator.yaml may say, and the line of what it may not."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from orchestrator.exceptions import ProjectError
from orchestrator.project.file import Project, read
from orchestrator.schedules import Cron, Interval, RRule


@pytest.fixture
def project(tmp_path: Path):
    def written(text: str, **variables: str) -> Project:
        path = tmp_path / "orchestrator.yaml"
        path.write_text(textwrap.dedent(text).lstrip(), encoding="utf-8")
        return read(path, variables)

    return written


def refused(project: Any, text: str, **variables: str) -> str:
    """What is said of it, from the line on."""
    with pytest.raises(ProjectError) as caught:
        project(text, **variables)
    return str(caught.value).partition("orchestrator.yaml")[2].removeprefix(":")


ONE = "deployments: [{name: a, entrypoint: 'f.py:f'%s}]"


def test_everything_that_it_may_say(project):
    found = project(
        """
        source:
          git: {url: "https://git.example/team/flows.git", branch: main, credentials: git-credentials/ours}
        deployments:
          - name: nightly
            entrypoint: flows/etl.py:etl
            description: Of the day.
            version: "2"
            tags: [etl]
            parameters: {limit: 10, where: {country: de}}
            work_pool: gpu
            work_queue: fast
            concurrency_limit: 1
            crash_retries: 2
            process: fresh
            job_variables: {env: {LEVEL: debug}}
            debounce: 30
            schedules:
              - {cron: "0 6 * * *", timezone: Europe/Berlin, day_or: false, slug: morning, catch_up: latest}
              - {interval: 900, anchor: 2026-01-01T00:00:00Z, skip_if_late: 60}
              - {rrule: "FREQ=DAILY;BYHOUR=3", parameters: {limit: 5}, active: false}
          - name: here
            entrypoint: f.py:outer.inner
            source: {path: flows}
          - name: packed
            entrypoint: f.py:f
            source: {bundle: true}
        """
    )
    nightly, here, packed = found.deployments
    assert nightly.text.parameters == {"limit": 10, "where": {"country": "de"}}
    assert nightly.source["credentials"] == "git-credentials/ours"
    assert [type(each) for each in nightly.schedules] == [Cron, Interval, RRule]
    assert [each.slug for each in nightly.schedules] == ["morning", None, None]
    assert nightly.schedules[2].active is False
    assert nightly.text.debounce == 30
    assert here.source == {"type": "path", "path": str(found.directory / "flows")}
    assert packed.source is None


def test_variables_of_the_environment(project):
    text = """
        deployments:
          - {name: "${STAGE}", entrypoint: "f.py:f", description: "a ${NONE:-b} $${c}", concurrency_limit: "${N}"}
        """
    (found,) = project(text, STAGE="prod", N="3").deployments
    assert (found.text.name, found.text.description, found.text.concurrency_limit) == ("prod", "a b ${c}", 3)
    (found,) = project(
        """
        deployments:
        - name: a
          entrypoint: "f.py:f"
          parameters:
            n: ${N}
            text: "${N}"
            more: 0${N}x
            no: ${NO:-}
            day: ${DAY}
        """,
        N="3",
        DAY="2026-01-01",
    ).deployments
    assert found.text.parameters == {"n": 3, "text": "3", "more": "03x", "no": None, "day": "2026-01-01"}
    assert "2: deployments[0].name: There is no variable STAGE" in refused(project, text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("deployments:\n  - name: a\n    entrypont: x", "3: deployments[0].entrypont: There is no such setting"),
        ("deployments:\n  - name: a", "2: deployments[0]: Object missing required field `entrypoint`"),
        ("deployments:\n  - name: a\n    entrypoint: etl", "3: deployments[0].entrypoint: A file and a name"),
        ("deployments:\n  - name: a\n    entrypoint: ../f.py:f", "3: deployments[0].entrypoint: A file of the dir"),
        ("deployments:\n  - {entrypoint: 'f.py:f',\n     name: a/b}", "3: deployments[0].name: A name is a text"),
        ("deployments:\n  - name: a\n    name: b", "3: deployments[0]: 'name' stands here twice."),
        ("deployments: 5", "1: deployments: Expected `array`, got `int`."),
        ("5", " Expected `object`, got `int`."),
        ("", " Object missing required field `deployments`."),
        ("flows: []\ndeployments: []", "1: flows: There is no such setting: flows."),
        ("deployments:\n- {name: a", "2: this is no YAML"),
        ("deployments:\n- name: !!python/object:os.x {}", "2: deployments[0].name: Expected `str`"),
        ("deployments:\n- name: !!python/name:os.x ''", "2: deployments[0].name: tag:yaml.org,2002:python/name"),
        ("deployments:\n- name: a\n  entrypoint: 'f.py:f'\n  tags: 5", "4: deployments[0].tags: Expected `array`"),
        ("deployments:\n- name: a\n  entrypoint: 'f.py:f'\n  process: hot", "4: deployments[0].process: Invalid enum"),
        ("a0: &a0 [1, 2]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 30)), "1: a1"),
    ],
)
def test_what_it_may_not_say(project, text, told):
    assert refused(project, text).startswith(told)


@pytest.mark.parametrize(
    ("schedule", "told"),
    [
        ("cron: '0 6 * *'", "5: deployments[0].schedules[0]: "),
        ("cron: * * * * *", "5: this is no YAML: expected alphabetic or numeric character, but found ' '. A text that"),
        ("timezone: UTC", "5: deployments[0].schedules[0]: Give one of cron, interval and rrule."),
        ("{cron: 0 6 * * *, interval: 5}", "5: deployments[0].schedules[0]: Give one of"),
        ("{cron: 0 6 * * *, timezone: Mars/Olympus}", "5: deployments[0].schedules[0]: There is no timezone"),
        ("{cron: 0 6 * * *, crons: 1}", "5: deployments[0].schedules[0].crons: There is no such setting"),
        ("{interval: often}", "5: deployments[0].schedules[0].interval: Expected `float | null`"),
        ("{interval: 900, anchor: yesterday}", "5: deployments[0].schedules[0]: "),
    ],
)
def test_schedules_that_are_none(project, schedule, told):
    text = f"deployments:\n- name: a\n  entrypoint: 'f.py:f'\n  schedules:\n  - {schedule}"
    assert refused(project, text).startswith(told)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("{}", "1: deployments[0].source: Give one of git, remote, path and bundle."),
        ("{path: x, bundle: true}", "1: deployments[0].source: Give one of"),
        ("{git: {url: 'ext::sh -c id'}}", "1: deployments[0].source.git.url: https://"),
        ("{git: {url: 'https://a:b@c.example/d'}}", "1: deployments[0].source.git.url: An address holds no user"),
        ("{git: {url: 'https://c.example/d', branch: a, tag: b}}", "1: deployments[0].source.git.tag: One of"),
        ("{remote: {url: 'no address'}}", "1: deployments[0].source.remote.url: An address such as"),
    ],
)
def test_sources_that_are_none(project, source, told):
    assert refused(project, ONE % f", source: {source}").startswith(told)


def test_two_of_one_name(project):
    text = "deployments:\n- {name: a, entrypoint: 'f.py:f'}\n- {name: a, entrypoint: 'f.py:f'}"
    assert refused(project, text).startswith("3: deployments[1].name: The deployment of line 2 has the same one.")


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(ProjectError, match="`orchestrator init` makes one"):
        read(tmp_path / "orchestrator.yaml")
    (tmp_path / "a.yaml").write_bytes(b"\xff")
    with pytest.raises(ProjectError, match="no text in UTF-8"):
        read(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_bytes(b" " * (2 << 20))
    with pytest.raises(ProjectError, match="more than 1 MiB"):
        read(tmp_path / "b.yaml")
    (tmp_path / "c.yaml").write_text("[" * 5_000)
    with pytest.raises(ProjectError, match=r"nested too deeply|no YAML"):
        read(tmp_path / "c.yaml")
