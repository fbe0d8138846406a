"""1.21: pages of artifacts: lists, one, a key's versions, a run's; what hostile runs write; and how long they stay."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Any

import pytest

from orchestrator.ids import uuid7
from runs import tasks
from runs.models import Artifact, FlowRun
from runs.reads.addresses import followed, shown_image
from runs.reads.artifact_content import MAX_CELL, ROWS_A_PAGE
from runs.reads.markdown import as_html
from tests.cast import Api, Company
from tests.contract.journals import Journal
from tests.contract.test_artifacts import artifact
from tests.runs.pages import page

pytestmark = pytest.mark.django_db
PIXEL = "data:image/png;base64,iVBORw0KGgo="
# What people have tried elsewhere: handlers, schemes, broken tags, entities, control characters.
HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java&#x09;script:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:msgbox(1))",
    "![x](javascript:alert(1))",
    "![x](data:image/svg+xml;base64,PHN2Zz4=)",
    "![x](https://evil.example/x.png)",
    "[x](https://a.example 'title\" onmouseover=\"alert(1)')",
    "<svg/onload=alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "`<script>alert(1)</script>`",
    "```\n</pre><script>alert(1)</script>\n```",
    "<javascript:alert(1)>",
    "<style>*{display:none}</style>",
    '<form action="https://evil.example"><input name="password"></form>',
    "| a |\n|---|\n| <script>alert(1)</script> |",
    '![a" onerror="alert(1)](https://evil.example/x.png)',
]


def told(api: Api, *made: Any) -> Journal:
    """A run that made artifacts: (type, data, more) each."""
    journal = Journal(api)
    begun = journal.begin()
    journal.send(begun, *(artifact(journal, type, data, **more) for type, data, more in made))
    return journal


def harmless(html: str) -> None:
    """No element that runs, no handler, no scheme but those that are allowed, no image from elsewhere."""
    tags = re.findall(r"<(/?[a-zA-Z][^>]*)>", html)
    for tag in tags:
        assert not re.match(r"/?(script|svg|style|form|input|iframe|object|math)\b", tag), tag
        assert not re.search(r"[\s\"'/]on\w+\s*=", re.sub(r'"[^"]*"', '""', tag)), tag
    for address in re.findall(r'(?:href|src)="([^"]*)"', html):
        assert re.match(r"https?://|mailto:|data:image/png;base64,", address), address
    for image in re.findall(r'<img[^>]*src="([^"]*)"', html):
        assert image.startswith("data:image/png"), image


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_markdown_is_harmless(text: str) -> None:
    """1.21: scripts, handlers, schemes, images from elsewhere."""
    harmless(as_html(text))
    harmless(as_html(f"# {text}\n\n- {text}\n\n> {text}"))


def test_markdown_is_rendered(settings: Any) -> None:
    html = as_html(f"# Hi\n\n**b** [to](https://x.example) ~~s~~ ![i]({PIXEL})\n\n| a |\n|---|\n| 1 |")
    assert "<h1>Hi</h1>" in html
    assert '<a href="https://x.example" rel="noopener noreferrer nofollow">to</a>' in html
    assert f'<img src="{PIXEL}"' in html
    assert "<td>1</td>" in html
    settings.IMAGE_HOSTS = ["*.img.example"]
    assert '<img src="https://a.img.example/x.png"' in as_html("![x](https://a.img.example/x.png)")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_artifacts_are_harmless_on_every_page(
    acme: Company, alice: Any, browse: Any, api: Api, text: str
) -> None:
    """1.21: in markdown, descriptions, table cells and heads, links and images."""
    address = text.strip("<>[]x!()") or text
    table = {"columns": [text], "rows": [[text], [{"deep": text}]]}
    journal = told(
        api,
        ("markdown", text, {"key": "report", "description": text}),
        ("table", table, {}),
        ("link", {"link": address, "text": text}, {}),
        ("image", {"url": address}, {}),
        ("film", {text: text}, {}),
    )
    browser = browse(alice)
    bare = without_parts(page(acme, browser, f"runs/{journal.root}"))
    paths = [f"runs/{journal.root}/_artifacts", "artifacts/by-key/report/_now", "artifacts/_list?view=all"]
    with acme.scope():
        paths += [f"artifacts/{id}/_now" for id in Artifact.objects.values_list("id", flat=True)]
    assert "<script>alert" not in bare
    for path in paths:
        harmless_fragment(page(acme, browser, path))


def without_parts(html: str) -> str:
    return re.sub(r'<script[^>]*src="[^"]*"[^>]*></script>', "", html)


def harmless_fragment(html: str) -> None:
    """As `harmless`, but for our own addresses and icons."""
    html = re.sub(r'<svg class="icon[^>]*><use href="#[^"]*"/></svg>', "", html)
    html = re.sub(r'<svg class="art.*?</svg>', "", html)
    harmless(re.sub(r'href="(/o/acme/|\?)[^"]*"', "", html))


@pytest.mark.parametrize(
    "address",
    ["javascript:alert(1)", "java\tscript:alert(1)", " javascript:x", "//evil.example", "https:///x", "/o/acme", "x",
     "file:///etc/passwd", "http://[", "data:text/html,x", "https://a b.example", ""],
)  # fmt: skip
def test_addresses_that_no_page_links_to(address: str) -> None:
    assert followed(address) == ""


def test_images_are_shown_where_that_is_allowed(settings: Any) -> None:
    """1.21: data of kinds that hold no program, and https from hosts that the server allows."""
    assert shown_image(PIXEL) == PIXEL
    assert shown_image("data:image/svg+xml;base64,PHN2Zz4=") == ""
    assert shown_image("https://img.example/x.png") == ""
    settings.IMAGE_HOSTS = ["img.example", "*.cdn.example"]
    for shown in ("https://img.example/x.png", "https://a.cdn.example:443/x"):
        assert shown_image(shown) == shown
    for other in ("http://img.example/x.png", "https://img.example.evil/x", "https://cdn.example/x",
                  "https://evilcdn.example/", "https://img.example:8443/x",
                  "https://u@evil.example#.cdn.example"):  # fmt: skip
        assert shown_image(other) == ""


def test_lists_show_the_newest_of_each_key_and_all(acme: Company, vera: Any, browse: Any, api: Api) -> None:
    """1.21: by key, by time, by type."""
    empty = page(acme, browse(vera), "artifacts")
    assert "No artifacts yet" in empty
    told(api, ("markdown", "the older one", {"key": "report"}), ("link", {"link": "https://x.example"}, {}))
    told(api, ("markdown", "the newer one", {"key": "report"}), ("progress", 40, {"key": "a-bar"}))
    keys = page(acme, browse(vera), "artifacts")
    assert keys.index("a-bar") < keys.index(">report<")
    assert "the newer one" in keys
    assert "the older one" not in keys
    assert 'value="40' in keys
    everything = page(acme, browse(vera), "artifacts", view="all")
    assert "the older one" in everything
    assert "https://x.example" in everything
    assert "the newer one" not in page(acme, browse(vera), "artifacts", view="all", type="link")
    assert "No artifact of this type" in page(acme, browse(vera), "artifacts", view="all", type="image")


def test_keys_are_paged(acme: Company, vera: Any, browse: Any, api: Api) -> None:
    told(api, *(("markdown", "x", {"key": f"key-{number:03}"}) for number in range(60)))
    first = page(acme, browse(vera), "artifacts")
    assert "key-049" in first
    assert "key-050" not in first
    assert "cursor=key-049" in first
    assert "key-050" in page(acme, browse(vera), "artifacts", cursor="key-049")


def test_a_table_of_ten_thousand_rows_is_paged(acme: Company, vera: Any, browse: Any, api: Api) -> None:
    """1.21: and a cell is cut."""
    rows = [[number, None, "y"] for number in range(10_000)]
    rows[0][2] = "z" * 2_000
    journal = told(api, ("table", {"columns": ["n", "none", "text"], "rows": rows}, {"key": "rows"}))
    with acme.scope():
        id = Artifact.objects.get().id
    first = page(acme, browse(vera), f"artifacts/{id}")
    assert first.count("<tr>") == ROWS_A_PAGE + 1
    assert "z" * MAX_CELL + "…" in first
    assert "10,000 rows" in first
    last = page(acme, browse(vera), f"artifacts/{id}", row=9_950)
    assert last.count("<tr>") == 51
    assert "9999" in last
    assert "More rows" not in last
    assert page(acme, browse(vera), f"artifacts/{id}", row=10**8).count("<tr>") == ROWS_A_PAGE + 1
    glance = page(acme, browse(vera), f"runs/{journal.root}/_artifacts")
    assert "10,000 rows × 3 columns" in glance
    assert "Show all of it" in glance


def test_a_run_with_two_hundred_is_paged(
    acme: Company, vera: Any, browse: Any, api: Api, django_assert_max_num_queries: Any
) -> None:
    """1.21: in a bounded number of queries."""
    journal = told(api, *(("markdown", f"part {number}", {}) for number in range(200)))
    browser = browse(vera)
    page(acme, browser, f"runs/{journal.root}/_artifacts")
    with django_assert_max_num_queries(20):
        first = page(acme, browser, f"runs/{journal.root}/_artifacts")
    assert first.count("<section") == 25
    assert "part 199" in first
    assert "Older" in first
    assert "No artifacts" in page(acme, browser, f"runs/{told(api).root}/_artifacts")


def test_they_go_with_the_rows_of_their_run(acme: Company, api: Api) -> None:
    """1.21: retention by the run's class, and not while it lives."""
    old, live, new = (told(api, ("markdown", "x", {})) for _ in range(3))
    old.send(old.state("COMPLETED"))
    new.send(new.state("COMPLETED"))
    with acme.scope():
        kept = Artifact.objects.get(run_id=new.root)
        run = FlowRun.objects.get(id=new.root)
        assert kept.keep_until == run.bucket + timedelta(days=run.retention + 1)
        Artifact.objects.exclude(id=kept.id).update(keep_until=date(2026, 1, 1))
    tasks.forget_artifacts()
    with acme.scope():
        assert set(Artifact.objects.values_list("run_id", flat=True)) == {live.root, new.root}


def test_another_workspace_can_not_change_one(acme: Company, api: Api, globex: Company, eve_api: Api) -> None:
    """1.21: an id that another organization uses is free; progress of one is changed in its own only."""
    id = uuid7()
    told(api, ("progress", 10, {"id": id}))
    told(eve_api, ("progress", 90, {"id": id}))
    assert (api.get(f"/artifacts/{id}").json()["data"], eve_api.get(f"/artifacts/{id}").json()["data"]) == (10, 90)
