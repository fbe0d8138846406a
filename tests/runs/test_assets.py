"""1.21: pages of assets: the list, one with its neighbours, its materializations; retention and the wall."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from runs import tasks
from runs.models import Asset, FlowRun, Materialization
from tests.cast import Api, Company
from tests.contract.journals import Journal
from tests.contract.test_assets import CLEAN, RAW, materialized
from tests.runs.automating import automate, firings
from tests.runs.pages import page

pytestmark = pytest.mark.django_db


def told(api: Api, *made: dict[str, Any]) -> Journal:
    """A run that made assets: (key, what it was made of, more) each."""
    journal = Journal(api)
    begun = journal.begin()
    journal.send(begun, *(materialized(journal, **each) for each in made))
    return journal


def id_of(company: Company, key: str) -> Any:
    with company.scope():
        return Asset.objects.get(key=key).id


def test_the_list_shows_when_each_was_made_last(acme: Company, vera: Any, browse: Any, api: Api) -> None:
    browser = browse(vera)
    assert "No assets yet" in page(acme, browser, "assets")
    journal = told(api, {"key": CLEAN, "upstream": [RAW], "labels": {"name": "Clean rows"}})
    listed = page(acme, browser, "assets")
    assert f"/runs/{journal.root}" in listed
    assert "Clean rows" in listed
    assert "by nobody here" in listed  # What it was made of is known by name only.
    assert RAW not in page(acme, browser, "assets", q="clean")
    assert "No asset matches" in page(acme, browser, "assets", q="nothing")


def test_one_shows_its_neighbours_and_materializations(acme: Company, vera: Any, browse: Any, api: Api) -> None:
    journal = told(
        api,
        {"key": CLEAN, "upstream": [RAW], "metadata": {"rows": 3}, "by": "dbt", "url": "https://x.example"},
        {"key": CLEAN, "event": "asset.failed"},
        {"key": "s3://lake/report", "upstream": [CLEAN]},
    )
    shown = page(acme, browse(vera), f"assets/{id_of(acme, CLEAN)}")
    for text in (RAW, "s3://lake/report", "&quot;rows&quot;: 3", ">dbt<", "Failed", f"/runs/{journal.root}"):
        assert text in shown
    assert 'href="https://x.example"' in shown
    assert "Not made here" in page(acme, browse(vera), f"assets/{id_of(acme, RAW)}")


def test_hostile_words_are_shown_as_text(acme: Company, vera: Any, browse: Any, api: Api) -> None:
    hostile = "<script>alert(1)</script>"
    words = {"description": hostile, "url": "javascript:alert(1)", "owners": [hostile], "metadata": {hostile: hostile}}
    told(api, {"key": f"s3://{hostile}", "labels": {"name": hostile}, **words})
    shown = page(acme, browse(vera), "assets") + page(acme, browse(vera), f"assets/{id_of(acme, f's3://{hostile}')}")
    assert "<script>alert" not in shown
    assert 'href="javascript' not in shown


def test_many_are_paged_in_a_bounded_number_of_queries(
    acme: Company, vera: Any, browse: Any, api: Api, django_assert_max_num_queries: Any
) -> None:
    told(api, *({"key": f"s3://lake/{number:03}"} for number in range(120)))
    browser = browse(vera)
    page(acme, browser, "assets/_list")
    with django_assert_max_num_queries(20):
        first = page(acme, browser, "assets/_list")
    assert first.count("data-row") == 50
    assert "cursor=s3" in first


def test_materializations_go_with_their_runs(acme: Company, api: Api) -> None:
    """1.21: the asset and what it was made of stay known."""
    old, live = told(api, {"key": CLEAN, "upstream": [RAW]}), told(api, {"key": CLEAN})
    old.send(old.state("COMPLETED"))
    with acme.scope():
        run = FlowRun.objects.get(id=old.root)
        assert (Materialization.objects.get(run_id=old.root).keep_until - run.bucket).days == run.retention + 1
        Materialization.objects.update(keep_until=date(2026, 1, 1))
    tasks.forget_artifacts()
    with acme.scope():
        assert [each.run_id for each in Materialization.objects.all()] == [live.root]
        assert Asset.objects.count() == 2


def test_a_batch_that_comes_twice_is_one_materialization(acme: Company, api: Api) -> None:
    journal = Journal(api)
    lines = [journal.begin(), materialized(journal, CLEAN, [RAW])]
    for _ in range(2):
        journal.send(*lines)
    with acme.scope():
        assert Materialization.objects.count() == 1


def test_automations_wait_for_materializations(acme: Company, api: Api) -> None:
    """1.21: of an asset, by its key."""
    automate(acme, when={"events": ["asset.materialized"], "resources": ["s3://lake/*"]})
    told(api, {"key": CLEAN}, {"key": "gs://lake/other"}, {"key": RAW, "event": "asset.failed"})
    assert [fired.cause["resource"] for fired in firings(acme)] == [CLEAN]


def test_each_organization_has_its_own(acme: Company, globex: Company, api: Api, eve_api: Api) -> None:
    told(api, {"key": CLEAN, "upstream": [RAW]})
    told(eve_api, {"key": CLEAN})
    [hers] = eve_api.get("/assets").json()["items"]
    assert hers["id"] != str(id_of(acme, CLEAN))
    assert eve_api.get(f"/assets/{hers['id']}").json()["upstream"] == []
