"""A notification reaches people once, says what happened, and gives away no secret on its way."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from django.utils.timezone import now

from runs.automations import delivery, edit, senders, services
from runs.automations.services import service_of
from runs.models import Notification
from tenants import outbox
from tenants.mail import message_id
from tenants.models import AuditEntry, OutboxMessage
from tenants.tasks import deliver_messages
from tests.cast import Company
from tests.runs.automating import automate, block, fail, fail_at_once, firings, notifications, tell
from tests.runs.receivers import Hook, mailbox, webhook
from tests.sql import ask

pytestmark = [pytest.mark.django_db, pytest.mark.filterwarnings("ignore:'imghdr':DeprecationWarning")]


@pytest.fixture
def hook() -> Any:
    with webhook() as found:
        yield found


def told_by_hook(company: Company, hook: Hook, **more: Any) -> Any:
    block(company, "webhook/ops", {"url": hook.url, "headers": {"X-Token": "sesame-header"}})
    return automate(company, action={"block": "webhook/ops"}, **more)


def due_again(company: Company) -> None:
    with company.scope():
        OutboxMessage.objects.filter(done_at=None).update(next_try_at=now())


# ── by block ─────────────────────────────────────────────────────────────────────────────────────


def test_a_webhook_is_told_once_with_everything_that_happened(acme: Company, hook: Hook, settings: Any) -> None:
    settings.PUBLIC_URL = "https://orchestrator.example"
    automation = told_by_hook(acme, hook)
    [run] = fail(acme)
    tell(acme)
    tell(acme)

    [asked] = hook.asked
    [row] = notifications(acme)
    body = asked["body"]
    assert asked["headers"]["Idempotency-Key"] == body["id"] == str(row.id)
    assert asked["headers"]["X-Token"] == "sesame-header"
    assert (body["count"], body["more"], body["test"], body["automation"]) == (1, 0, False, "Failures")
    [event] = body["events"]
    assert (event["event"], event["flow"], event["deployment"], event["state"], event["message"]) == (
        "flow-run.failed", "etl", "nightly", "Failed", "no such table",
    )  # fmt: skip
    assert event["url"] == f"https://orchestrator.example/o/acme/main/runs/{run}"
    assert body["automation_url"] == f"https://orchestrator.example/o/acme/main/automations/{automation.id}"
    assert row.sent_at is not None
    assert [error for _, error in row.tries] == [""]


def test_each_read_of_a_block_is_audited_in_the_automations_name(acme: Company, hook: Hook) -> None:
    told_by_hook(acme, hook)
    fail(acme)
    tell(acme)
    with acme.scope():
        read = AuditEntry.objects.get(action="block.read")
    assert (read.actor_kind, read.actor) == ("automation", "Failures")


def test_slack_gets_text_that_addresses_nobody(acme: Company, hook: Hook) -> None:
    block(acme, "slack-webhook/ops", {"url": hook.url})
    automate(acme, action={"block": "slack-webhook/ops"})
    fail(acme, message="<!channel> & <https://evil.example|click>")
    tell(acme)
    [body] = hook.bodies
    assert list(body) == ["text"]
    assert "&lt;!channel&gt; &amp; &lt;https://evil.example|click&gt;" in body["text"]


def test_a_mail_server_of_ones_own(acme: Company) -> None:
    with mailbox() as box:
        server = {"smtp_server": "127.0.0.1", "smtp_port": box.port, "smtp_type": "INSECURE"}
        people = {"sender": "ops@acme.example", "recipients": ["bob@elsewhere.example"]}
        block(acme, "email-server-credentials/own", server | people)
        automate(acme, action={"block": "email-server-credentials/own", "subject": "{{ flow }}\n{{ state }}"})
        fail(acme)
        tell(acme)
        [mail] = box.mails
    assert (mail["To"], mail["Subject"]) == ("bob@elsewhere.example", "etl Failed")
    assert mail["Message-ID"] == message_id(notifications(acme)[0].id)
    assert "no such table" in str(mail.get_payload())


def test_apprise_tells_what_it_knows(acme: Company, hook: Hook) -> None:
    address = hook.url.removeprefix("http://")
    block(acme, "apprise-notification/any", {"url": f"json://{address}"})
    automate(acme, action={"block": "apprise-notification/any"})
    fail(acme)
    tell(acme)
    [body] = hook.bodies
    assert body["title"].startswith("The run ")
    assert "no such table" in body["message"]


@pytest.mark.parametrize(
    "url", ["syslog://", "dbus://", "gnome://", "windows://", "blink1://x", "fcm://p@k/t?keyfile=/etc/passwd",
            "workflows://h/w/s/?template=/etc/passwd", "no url", "macosx://", "kde://", "file:///etc/passwd", "exec://id",
            "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#?template=/etc/passwd",
            "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/?%20template=/etc/passwd",
            "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/?%74emplate=/etc/passwd",
            "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/?TEMPLATE%20=/etc/passwd",
            "workflows://h:443/a/b/?x=1;template=/etc/passwd", "fcm://p/t/?mode=oauth2;keyfile=/etc/passwd",
            "vapid://a@b.c/x/#?keyfile=/etc/passwd", "mailto://u:p@h.example?pgpprv=/etc/passwd",
            "mailto://u:p@h.example?a=b&pgppub=/etc/passwd", "signal://h/1?attach=file:///etc/passwd",
            "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ?template=/etc/passwd"],
)  # fmt: skip
def test_apprise_reaches_nothing_of_this_machine(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apprise.plugins.NotifyBase.notify", lambda *_, **__: pytest.fail("It was told."))
    told = senders.Told("1", "subject", "text", {}, "<1@x>")
    with pytest.raises(outbox.GiveUp):
        senders.send("apprise-notification", {"url": url}, told)


def test_services_of_the_web_are_made_without_a_place_on_the_disk() -> None:
    for url in (
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/%23general/", "jsons://h.example/x?+X-Key=1",
        "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js", "mailtos://u:p@h.example?to=a@b.example",
        "tgram://123456789:abcdefg_hijklmnop/12315544/", "ntfys://h.example/topic",
    ):  # fmt: skip
        service = service_of(url)
        assert service.asset.storage_path is None
        assert list(service.asset.plugin_paths) == []


def test_a_service_that_found_a_file_all_the_same_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "_FILES", frozenset())
    with pytest.raises(outbox.GiveUp, match="names a file"):
        service_of("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/?template=/etc/hostname")


# ── failures ─────────────────────────────────────────────────────────────────────────────────────


def test_a_receiver_that_is_down_is_tried_again(acme: Company, hook: Hook) -> None:
    told_by_hook(acme, hook)
    fail(acme)
    hook.status = 503
    tell(acme)
    assert [error for _, error in notifications(acme)[0].tries] == ["127.0.0.1 answered 503."]
    assert not notifications(acme)[0].failed

    hook.status = 200
    due_again(acme)
    tell(acme)
    [row] = notifications(acme)
    assert [error for _, error in row.tries] == ["127.0.0.1 answered 503.", ""]
    assert row.sent_at is not None
    assert len({asked["headers"]["Idempotency-Key"] for asked in hook.asked}) == 1


@pytest.mark.parametrize("status", [400, 403, 404, 410])
def test_a_receiver_that_refuses_is_left_alone(acme: Company, hook: Hook, status: int) -> None:
    told_by_hook(acme, hook)
    fail(acme)
    hook.status = status
    tell(acme)
    due_again(acme)
    tell(acme)
    assert len(hook.asked) == 1
    assert notifications(acme)[0].failed


def test_an_address_of_our_own_network_is_refused(acme: Company, hook: Hook, settings: Any) -> None:
    told_by_hook(acme, hook)
    fail(acme)
    settings.OUTBOUND_PRIVATE = False
    tell(acme)
    assert hook.asked == []
    [row] = notifications(acme)
    assert row.failed
    assert "own network" in row.tries[0][1]


def test_a_block_that_is_gone_is_told_in_the_log(acme: Company, hook: Hook) -> None:
    from blocks.blocks import delete, find_block

    told_by_hook(acme, hook)
    fail(acme)
    with acme.scope():
        delete(block=find_block(acme.actor(), "webhook", "ops"), by=acme.actor())
    tell(acme)
    [row] = notifications(acme)
    assert row.failed
    assert "webhook/ops" in row.tries[0][1]


def test_errors_say_nothing_that_the_block_says(
    acme: Company, hook: Hook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    def leak(value: dict[str, Any], told: senders.Told) -> None:
        raise ValueError(f"{value['url']} with {value['headers']} {json.dumps(value)}")

    monkeypatch.setitem(senders._SENDERS, "webhook", leak)
    told_by_hook(acme, hook)
    fail(acme)
    tell(acme)
    with acme.scope():
        rows = ask("SELECT n::text FROM automation_notification n UNION ALL SELECT m::text FROM outbox_message m")
    assert "sesame" not in str(rows)
    assert "sesame" not in caplog.text
    assert "ValueError" in notifications(acme)[0].tries[0][1]


def test_the_log_of_libraries_names_no_token(acme: Company, hook: Hook, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    hook.status = 500
    block(acme, "apprise-notification/any", {"url": f"json://{hook.url.removeprefix('http://')}"})
    automate(acme, action={"block": "apprise-notification/any"})
    fail(acme)
    tell(acme)
    told_by_hook(acme, hook, name="by hook")
    fail(acme)
    tell(acme)
    assert len(hook.asked) == 3
    assert "sesame" not in caplog.text
    assert "did not take" in notifications(acme)[0].tries[0][1]


# ── once ─────────────────────────────────────────────────────────────────────────────────────────


def test_who_dies_before_sending_leaves_it_to_another(acme: Company, hook: Hook) -> None:
    told_by_hook(acme, hook)
    fail(acme)
    from runs import tasks

    tasks.notify_of_firings()
    assert outbox.claim(acme.organization.id) is not None  # … and nobody was heard of again.
    deliver_messages(str(acme.organization.id))
    assert hook.asked == []
    due_again(acme)
    deliver_messages(str(acme.organization.id))
    assert len(hook.asked) == 1


def test_who_dies_after_it_was_noted_does_not_send_again(acme: Company, hook: Hook) -> None:
    told_by_hook(acme, hook)
    fail(acme)
    from runs import tasks

    tasks.notify_of_firings()
    claimed = outbox.claim(acme.organization.id)
    assert claimed is not None
    delivery.deliver(claimed)
    due_again(acme)
    deliver_messages(str(acme.organization.id))
    assert len(hook.asked) == 1


# ── tests, and texts ─────────────────────────────────────────────────────────────────────────────


def test_a_test_says_that_it_is_one(acme: Company, mailoutbox: list) -> None:
    automation = automate(acme)
    with acme.scope():
        edit.send_test(automation, by=acme.actor())
    tell(acme)
    [mail] = mailoutbox
    assert mail.subject.startswith("[Test] The run test-run of example failed")
    assert mail.body.startswith("This is a test. Nothing has happened.")
    [row] = notifications(acme)
    assert (row.is_test, row.firings, row.sent_at is not None) == (True, 0, True)
    assert firings(acme) == []


def test_tests_have_an_allowance_of_their_own(acme: Company, mailoutbox: list) -> None:
    from tenants.errors import RateLimited

    automation = automate(acme, most_per_minute=1)
    with acme.scope():
        for _ in range(edit.TESTS_A_MINUTE):
            edit.send_test(automation, by=acme.actor())
        with pytest.raises(RateLimited):
            edit.send_test(automation, by=acme.actor())
    fail(acme)
    tell(acme)
    assert len(mailoutbox) == edit.TESTS_A_MINUTE + 1


def test_a_text_that_can_no_longer_be_rendered_is_replaced_by_the_default(acme: Company, mailoutbox: list) -> None:
    automation = automate(acme)
    with acme.scope():
        automation.action["body"] = "{{ 1 / 0 }}"
        automation.save(update_fields=["action"])
    fail(acme)
    tell(acme)
    assert "no such table" in mailoutbox[0].body
    assert "could not be rendered: division by zero" in mailoutbox[0].body


def test_one_storm_is_one_message_to_a_hook(acme: Company, hook: Hook) -> None:
    told_by_hook(acme, hook, most_per_minute=1)
    fail_at_once(acme, 60)
    tell(acme)
    [body] = hook.bodies
    assert (body["count"], body["more"], len(body["events"])) == (60, 40, 20)
    assert body["headline"] == "60 runs failed"


def test_a_notification_of_an_automation_that_was_deleted_is_not_sent(acme: Company, mailoutbox: list) -> None:
    from runs import tasks

    automation = automate(acme)
    fail(acme)
    tasks.notify_of_firings()
    with acme.scope():
        edit.delete(automation, by=acme.actor())
        assert not Notification.objects.exists()
    deliver_messages(str(acme.organization.id))
    assert mailoutbox == []


def test_a_block_that_an_automation_tells_by_names_its_user(acme: Company, hook: Hook) -> None:
    from blocks.references import users_of

    automation = told_by_hook(acme, hook)
    with acme.scope():
        from blocks.blocks import find_block

        [user] = users_of(find_block(acme.actor(), "webhook", "ops"))
    assert (user.kind, user.name, user.arguments) == ("automation", "Failures", (automation.id,))
