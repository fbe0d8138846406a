"""2.5: The page of one agent: what it runs, what it ran, its load and its own log."""

from __future__ import annotations

import time
from typing import Any

import pytest

from orchestrator.agent_messages import AgentLine, Load
from runs import agents
from runs.models import Agent
from tests.cast import Company
from tests.runs.work import agent, claim, claimed_run, deploy, in_seconds, run_row, start, trigger

pytestmark = pytest.mark.django_db


def page(company: Company, browser: Any, by: Any, part: str = "", **query: Any) -> Any:
    response = browser.get(f"{company.path}agents/{by.id}{part}", query)
    assert response.status_code == 200
    return response


def text(*parts: Any) -> str:
    return " ".join(page(*parts).content.decode().split())


def test_it_shows_what_the_agent_holds_and_held(acme: Company, alice: Any, browse: Any) -> None:
    trigger(acme, deploy(acme, "held"), 2)
    by = agent(acme, "box", queues=["default"])
    over, held = claim(acme, by)
    start(held)
    journal = start(over)
    journal.send(journal.state("COMPLETED", run_count=1))

    shown = text(acme, browse(alice), by)
    now, _, before = shown.partition('aria-label="Recent runs"')
    names = [run_row(acme, claimed.run).name for claimed in (over, held)]
    assert names[1] in now
    assert names[0] not in now
    assert names[0] in before
    assert "1 of 10" in now
    assert "--queue default" in before


def test_it_tells_load_and_since_when_it_is_lost(acme: Company, vera: Any, browse: Any) -> None:
    by = agent(acme, "box")
    browser = browse(vera)
    assert "not told yet" in text(acme, browser, by)
    with acme.scope():
        agents.note(by, load=Load(cpu=2.4, memory=612 << 20, templates=3, spares=1), lines=[])
    shown = text(acme, browser, by)
    assert all(word in shown for word in ("Connected", "240%", "612 MiB", "3 templates, 1 spare"))
    with acme.scope():
        Agent.objects.update(last_seen_at=in_seconds(-600))
    assert "Lost since" in text(acme, browser, by)


def test_its_log_is_read_in_windows(acme: Company, alice: Any, browse: Any) -> None:
    by, browser = agent(acme, "box"), browse(alice)
    at = time.time_ns() // 1_000
    with acme.scope():
        for first in range(0, 600, 100):
            lines = [AgentLine(at, f"line {first + n}.", 40 if n == 0 else 20) for n in range(1, 101)]
            agents.note(by, load=None, lines=lines)
    newest = page(acme, browser, by, "/log").json()
    assert ([newest["lines"][0][0], newest["lines"][-1][0]], newest["total"], newest["more"]) == ([101, 600], 600, True)
    older = page(acme, browser, by, "/log", before=101).json()
    assert ([older["lines"][0][0], older["lines"][-1][0]], older["more"]) == ([1, 100], False)
    assert page(acme, browser, by, "/log", after=598).json()["lines"][0][1:] == [at, 20, "", "line 599."]
    assert page(acme, browser, by, "/log", level=40).json()["lines"] == []
    assert len(page(acme, browser, by, "/log", q="line 60").json()["lines"]) == 2


def test_the_page_has_a_bounded_number_of_queries(
    acme: Company, alice: Any, browse: Any, django_assert_max_num_queries: Any
) -> None:
    trigger(acme, deploy(acme), 20)
    by, browser = agent(acme, "box", slots=20), browse(alice)
    for claimed in claim(acme, by, 20):
        journal = start(claimed)
        if claimed.run.int % 2:
            journal.send(journal.state("COMPLETED", run_count=1))
    page(acme, browser, by)
    with django_assert_max_num_queries(21):
        page(acme, browser, by)


def test_a_run_leads_to_its_agent_and_tells_of_its_clock(acme: Company, alice: Any, browse: Any) -> None:
    by, claimed = claimed_run(acme)
    browser = browse(alice)
    assert f"agents/{by.id}" in browser.get(f"{acme.path}runs/{claimed.run}").content.decode()
    from tests.runs.work import journal_of

    journal = journal_of(claimed)
    journal.skew = -200_000_000
    journal.send(journal.state("RUNNING", run_count=1))
    shown = " ".join(browser.get(f"{acme.path}runs/{claimed.run}").content.decode().split())
    assert "clock 3m 20s behind, corrected" in shown
