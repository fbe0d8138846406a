"""Alice asks to be told when a run fails; one fails; one mail and one call of a webhook arrive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.browser.conftest import Portal
from tests.cast import Api, Company
from tests.contract.journals import Journal
from tests.runs.automating import firings
from tests.runs.receivers import mailbox, webhook
from tests.workers import until, worker


def failing_run(api: Api) -> Any:
    journal = Journal(api)
    journal.send(journal.begin(), journal.task("FAILED"))
    journal.send(journal.state("FAILED", message="no such table: orders"))
    return journal.root


def test_a_failing_run_is_told_once_by_mail_and_by_webhook(
    portal: Portal, acme: Company, served_api: Api, tmp_path: Path
) -> None:
    with mailbox() as box, webhook() as hook:
        assert served_api.put("/blocks/webhook/ops", {"data": {"url": hook.url}}).status_code == 201
        by_mail(portal)
        by_webhook(portal)
        ours = {"EMAIL_URL": f"smtp://127.0.0.1:{box.port}", "OUTBOUND_PRIVATE": "1"}
        with worker(tmp_path, queues="work,ticks", beat=True, **ours):
            run = failing_run(served_api)
            until("both outcomes", lambda: told(acme) == [True, True])
            page = portal.open("automations")
            page.get_by_role("link", name="By webhook").click()
            page.get_by_text("Sent", exact=True).wait_for()

    assert [firing.run_id for firing in firings(acme)] == [run, run]
    [mail] = box.mails
    [body] = hook.bodies
    assert mail["To"] == acme.owner.email
    assert mail["Subject"].endswith("failed")
    assert "no such table: orders" in str(mail.get_payload(decode=True))
    assert body["events"][0]["url"].endswith(f"/runs/{run}")
    assert "no such table: orders" in page.content()


def told(company: Company) -> list[bool]:
    """Of each firing, whether its message was sent."""
    return [bool(firing.notification and firing.notification.sent_at) for firing in firings(company)]


def by_mail(portal: Portal) -> None:
    page = portal.open("automations")
    page.get_by_role("link", name="Mail me when a run fails").click()
    page.get_by_role("button", name="Save automation").click()
    page.get_by_role("heading", name="When a run fails").wait_for()


def by_webhook(portal: Portal) -> None:
    page = portal.open("automations/new")
    page.get_by_label("Name", exact=True).fill("By webhook")
    page.get_by_role("checkbox", name="failed").check()
    page.get_by_label("Through a block").check()
    page.get_by_label("Block", exact=True).select_option("webhook/ops")
    page.get_by_role("button", name="Save automation").click()
    page.get_by_role("heading", name="By webhook").wait_for()
