"""The services that Apprise may tell from here: those behind a web address or a mail server, by what a URL alone says.

Apprise reads URLs in ways of its own (`;` parts parameters as `&` does, names are stripped, `/#` is no fragment), so it
is asked what it read, and the service that it made of that is looked at once more before it speaks.
"""

from __future__ import annotations

import logging
from typing import Any

from tenants.outbox import GiveUp

# By name, for a new version may bring services that speak to the machine they run on, or keep files there (as syslog,
# dbus, gnome, windows, macosx, blink1, growl and vapid do).
SERVICES = frozenset({
    "46elks", "apprise", "atalk", "bark", "brevo", "bulksms", "bulkvs", "burstsms", "chanify", "clickatell",
    "clicksend", "d7sms", "dingtalk", "discord", "feishu", "flock", "form", "freemobile", "gchat", "gotify", "groupme",
    "guilded", "hassio", "httpsms", "ifttt", "join", "json", "kavenegar", "kumulos", "lametric", "lark", "line",
    "mailgun", "mailto", "mastodon", "matrix", "mattermost", "messagebird", "misskey", "mmost", "msg91", "msgbird",
    "ncloud", "nctalk", "nexmo", "notica", "notifiarr", "notifico", "ntfy", "onesignal", "opsgenie", "pagerduty",
    "pagertree", "pbul", "plivo", "postmark", "pover", "prowl", "push", "pushdeer", "pushed", "pushover", "pushy",
    "resend", "revolt", "ringc", "rocket", "ryver", "schan", "sendgrid", "seven", "signal", "signl4", "sinch",
    "slack", "smseagle", "smtp2go", "sns", "sparkpost", "spike", "splunk", "spugpush", "squadcast", "strmlabs",
    "synology", "telnyx", "tgram", "threema", "toot", "twilio", "twist", "victorops", "voipms", "vonage", "webex",
    "wecombot", "whatsapp", "workflow", "workflows", "wxpusher", "wxteams", "xml", "zulip",
})  # fmt: skip
# Parameters, and what services keep of them, that name files of this machine.
_FILES = frozenset({
    "attach", "attachment", "ca", "cert", "file", "keyfile", "path", "pgp", "pgpkey", "pgpprv", "pgppub", "store",
    "subfile", "subscriptions", "template",
})  # fmt: skip
_KEPT = ("keyfile", "pgp_key", "pgp_prv_key", "subfile", "template")


def service_of(url: str) -> Any:
    """What sends to a URL of Apprise, ready to be told.

    Raises:
        GiveUp: Such a URL can't be used from here, with the reason.
    """
    check_apprise_url(url)
    import apprise
    from apprise.common import PersistentStoreMode

    # Its log names URLs, with what is secret in them.
    logging.getLogger("apprise").disabled = True
    asset = apprise.AppriseAsset(
        secure_logging=True, async_mode=False, app_id="Orchestrator", app_url="", plugin_paths=[], storage_path=None,
        storage_mode=PersistentStoreMode.MEMORY.value, allow_templates=False,
    )  # fmt: skip
    service = apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
    if service is None:
        raise GiveUp("Apprise can't read the URL of the block.")
    if any(getattr(service, name, None) for name in _KEPT):
        raise GiveUp("The URL names a file of this machine, which can't be used from here.")
    service.request_rate_per_sec = 0
    return service


def check_apprise_url(url: str) -> None:
    """Refuse URLs that would reach this machine instead of a service, and those that can be read in two ways.

    Raises:
        GiveUp: With the reason.
    """
    from apprise.utils.parse import parse_url

    scheme = url.partition("://")[0].lower() if "://" in url else ""
    if scheme not in SERVICES and scheme.removesuffix("s") not in SERVICES:
        raise GiveUp(f"Services of the kind {scheme[:40] or 'without a name'} can't be used from here.")
    if any(sign in url for sign in "#;\\") or not url.isprintable():
        raise GiveUp("The URL has a #, a ; or a \\. Write %23, %3B or %5C where it is part of a name or a secret.")
    known = parse_url(url, verify_host=False)
    if known is None:
        raise GiveUp("Apprise can't read the URL of the block.")
    given = {name.strip().lstrip("+-:").lower() for name in known["qsd"]}
    if named := sorted(given & _FILES):
        raise GiveUp(f"The parameter {named[0]} names a file of this machine, which can't be used from here.")
