"""2.1: pages of versions: history, what differs between two, rollback with its plan, the canary; who sees the code."""

from __future__ import annotations

from typing import Any

import pytest

from runs.models import Deployment, DeploymentVersion, FlowRun
from runs.reads import versions as reads
from tenants.models import AuditEntry
from tests.cast import Api, Company
from tests.restricted import restrict
from tests.runs.pages import page
from tests.runs.test_versions import GIT, bundle, put
from tests.runs.work import deploy, trigger

pytestmark = pytest.mark.django_db

TOKEN = {"type": "string", "format": "password", "writeOnly": True}
SECRET = {"type": "object", "properties": {"token": TOKEN, "n": {"type": "integer"}}}


def post(company: Company, browser: Any, path: str, **data: str) -> Any:
    return browser.post(f"{company.path}{path}", data, follow=True)


def deployment(company: Company) -> Deployment:
    with company.scope():
        return Deployment.objects.get()


def trail(company: Company) -> list[str]:
    with company.scope():
        found = AuditEntry.objects.filter(action__startswith="deployment.").order_by("at", "id")
        return list(found.values_list("action", flat=True))


def test_the_history_says_who_when_why_and_from_which_commit(
    acme: Company, api: Api, alice: Any, vera: Any, browse: Any
) -> None:
    put(api, message="Begun", git=GIT)
    put(api, entrypoint="flows.py:other", message="Other code")
    own = put(api, entrypoint="flows.py:tried", canary=10)
    shown = page(acme, browse(vera), f"deployments/{own['id']}", tab="versions")
    for told in ("Begun", "cccccccccc", "main", "+ changes", "In force", "On trial, 10 %", "developer",
                 "Version 3 is on trial", "10 % of new runs"):  # fmt: skip
        assert told in shown, told
    for button in ("Roll back", "End the trial", 'name="share"'):
        assert button not in shown
    shown = page(acme, browse(alice), f"deployments/{own['id']}", tab="versions")
    assert shown.count("Roll back<") == 1  # To what is neither in force nor on trial.


def test_forty_versions_are_paged_in_a_few_queries(
    acme: Company, alice: Any, browse: Any, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
) -> None:
    monkeypatch.setattr(reads, "PAGE", 15)
    for number in range(40):
        own = deploy(acme, entrypoint=f"flows.py:v{number}")
    browser, path = browse(alice), f"{acme.path}deployments/{own.id}"
    browser.get(path)
    seen, before = [], ""
    while before is not None:
        with django_assert_max_num_queries(20):
            response = browser.get(path, {"tab": "versions", "before": before})
        seen += [row.version.number for row in response.context["rows"]]
        before = response.context["next"]
    assert seen == list(range(40, 0, -1))


def test_a_version_shows_what_it_was_and_what_it_changed(acme: Company, api: Api, alice: Any, browse: Any) -> None:
    put(api, source=bundle(api, flows="old = 1", same="x = 1"), parameters={"n": 1})
    put(api, source=bundle(api, flows="new = 1", same="x = 1"), parameters={"n": 2}, message="Two")
    own = put(api, source=bundle(api, flows="new = 1", added="y = 2"), parameters={"n": 2})
    browser, path = browse(alice), f"deployments/{own['id']}/versions"

    shown = page(acme, browser, f"{path}/2")
    for told in (
        "Two",
        "<code>parameters.n</code>",
        "<del>1</del>",
        "<ins>2</ins>",
        "flows.py",
        "-old = 1",
        "+new = 1",
    ):
        assert told in shown, told
    assert "same.py" not in shown
    shown = page(acme, browser, f"{path}/3", **{"from": "1"})
    assert "added.py" in shown
    assert "same.py" in shown  # Removed.
    assert "+y = 2" in page(acme, browser, f"{path}/3", **{"from": "0"})
    for wrong in ("x", "99", "-1", "9" * 12):
        assert browser.get(f"{acme.path}{path}/3", {"from": wrong}).status_code == 404
    assert browser.get(f"{acme.path}{path}/4").status_code == 404


def test_code_is_shown_to_who_may_deploy_it(acme: Company, api: Api, vera: Any, browse: Any) -> None:
    put(api, source=bundle(api, flows="old = 1"))
    own = put(api, source=bundle(api, flows="new = 1"), parameters={"n": 2})
    shown = page(acme, browse(vera), f"deployments/{own['id']}/versions/2")
    assert "Who may deploy sees the code." in shown
    assert "new = 1" not in shown
    assert "<code>parameters.n</code>" in shown
    assert "Roll back" not in shown
    assert browse(vera).get(f"{acme.path}deployments/{own['id']}/versions/1/rollback").status_code == 403


def test_what_was_typed_as_a_secret_is_not_shown(acme: Company, api: Api, alice: Any, browse: Any) -> None:
    put(api, parameter_schema=SECRET, parameters={"token": "sesame-1", "n": 1})
    own = put(api, parameter_schema=SECRET, parameters={"token": "sesame-2", "n": 1})
    for path in ("versions/2", "versions/1/rollback"):
        shown = page(acme, browse(alice), f"deployments/{own['id']}/{path}")
        assert "parameters.token" in shown
        assert "sesame" not in shown


def test_a_commit_is_linked_where_its_repository_has_a_page(acme: Company, api: Api, alice: Any, browse: Any) -> None:
    source = {"type": "git", "url": "git@git.example:team/flows.git", "branch": "main"}
    own = put(api, source=source, git=GIT)
    shown = page(acme, browse(alice), f"deployments/{own['id']}/versions/1")
    assert f'href="https://git.example/team/flows/commit/{"c" * 40}"' in shown
    assert "The server has no copy of this code: agents fetch it." in shown


@pytest.mark.parametrize(
    ("url", "page_of"),
    [
        ("https://git.example/team/flows.git/", "https://git.example/team/flows"),
        ("ssh://git@git.example:2222/team/flows.git", "https://git.example/team/flows"),
        ("http://git.example/a", "http://git.example/a"),
        ("javascript:alert(1)", ""),
    ],
)
def test_addresses_of_commits(url: str, page_of: str) -> None:
    told = reads.commit_url({"type": "git", "url": url}, "abc1234")
    assert told == (f"{page_of}/commit/abc1234" if page_of else "")
    assert reads.commit_url({"type": "git", "url": url}, "../x") == ""
    assert reads.commit_url({"type": "bundle"}, "abc1234") == ""


def test_a_rollback_says_first_what_it_will_change(acme: Company, api: Api, alice: Any, browse: Any) -> None:
    put(api, parameters={"n": 1})
    own = put(api, parameters={"n": 2})
    browser, path = browse(alice), f"deployments/{own['id']}/versions/1/rollback"
    shown = page(acme, browser, path)
    assert "<del>2</del>" in shown
    assert "<ins>1</ins>" in shown
    assert deployment(acme).number == 2

    answer = post(acme, browser, path, message="2 loses rows")
    assert b"Version 1 is back, as version 3." in answer.content
    assert (deployment(acme).number, deployment(acme).parameters) == (3, {"n": 1})
    shown = " ".join(answer.content.decode().split())
    assert "2 loses rows" in shown
    assert "Brings version 1 back" in shown
    assert trail(acme)[-1] == "deployment.rolled_back"


def test_what_can_not_be_rolled_back_says_why_and_changes_nothing(
    acme: Company, api: Api, alice: Any, browse: Any
) -> None:
    day = {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]}
    put(api, parameter_schema=day)
    own = put(api, parameters={"n": 2}, schedule={"interval": 60})
    browser, path = browse(alice), f"deployments/{own['id']}/versions"
    answer = post(acme, browser, f"{path}/1/rollback")  # The schedule's runs would lack a parameter.
    assert answer.status_code == 400
    assert "day" in answer.content.decode()
    assert (deployment(acme).number, deployment(acme).parameters) == (2, {"n": 2})
    with acme.scope():
        assert DeploymentVersion.objects.count() == 2
    answer = post(acme, browser, f"{path}/2/rollback")
    assert answer.status_code == 409
    assert b"Version 2 is what is deployed." in answer.content


def test_the_canary_is_set_promoted_and_ended(acme: Company, api: Api, alice: Any, browse: Any) -> None:
    put(api)
    own = put(api, entrypoint="flows.py:new", canary=10)
    browser, path = browse(alice), f"deployments/{own['id']}"
    assert b"40 % of its new runs" in post(acme, browser, f"{path}/canary", share="40").content
    assert deployment(acme).canary_share == 40
    for wrong in ("", "100", "-1", "many"):
        assert b"in percent." in post(acme, browser, f"{path}/canary", share=wrong).content
        assert deployment(acme).canary_share == 40
    assert b"The canary was withdrawn." in post(acme, browser, f"{path}/canary", share="0").content
    assert deployment(acme).canary is None
    assert b"There is no canary" in post(acme, browser, f"{path}/canary", share="5").content
    assert b"There is no canary to promote." in post(acme, browser, f"{path}/promote").content
    put(api, entrypoint="flows.py:newer", canary=10)
    assert b"Version 3 is in force." in post(acme, browser, f"{path}/promote").content
    assert (deployment(acme).number, deployment(acme).entrypoint) == (3, "flows.py:newer")
    assert trail(acme)[-3:] == ["deployment.canary_withdrawn", "deployment.canary", "deployment.promoted"]


def test_a_run_shows_its_version_and_commit(acme: Company, vera: Any, browse: Any) -> None:
    source = {"type": "git", "url": "https://git.example/team/flows", "branch": "main"}
    own = deploy(acme, source=source)
    [run] = trigger(acme, own)
    with acme.scope():
        FlowRun.objects.update(commit="d" * 40)
    shown = page(acme, browse(vera), f"runs/{run}")
    assert f"/deployments/{own.id}/versions/1" in shown
    assert f'href="https://git.example/team/flows/commit/{"d" * 40}"' in shown
    with acme.scope():
        Deployment.objects.update(number=900)
    assert f"/deployments/{own.id}/versions/1" not in page(acme, browse(vera), f"runs/{run}")


def test_a_restricted_deployment_hides_its_versions(acme: Company, bob: Any, browse: Any) -> None:
    own = deploy(acme)
    restrict(acme, own)
    assert browse(bob).get(f"{acme.path}deployments/{own.id}/versions/1").status_code == 404
