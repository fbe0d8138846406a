"""Any service that Apprise knows: Teams, Discord, PagerDuty, Opsgenie, Mattermost, SMS and many more."""

from __future__ import annotations

import asyncio
import logging

from pydantic import Field, SecretStr, field_validator

from orchestrator.blocks.block import Block
from orchestrator.blocks.needs import needed
from orchestrator.blocks.webhooks import SlackWebhook
from orchestrator.counterparts import missing
from orchestrator.exceptions import BlockError

__all__ = ["AppriseNotification", "SlackWebhook"]


class AppriseNotification(Block):
    """A service that tells people something, by its Apprise URL."""

    _icon = "chat"

    url: SecretStr = Field(title="Apprise URL", description="Like discord://WebhookID/WebhookToken")

    @field_validator("url")
    @classmethod
    def _is_address(cls, value: SecretStr) -> SecretStr:
        if "://" not in value.get_secret_value():
            raise ValueError("An address like discord://WebhookID/WebhookToken.")
        return value

    def notify(self, body: str, subject: str | None = None) -> None:
        """Tell it.

        Raises:
            BlockError: Apprise can't read the URL, or the service did not take the message.
        """
        library = needed("apprise", "apprise")
        logging.getLogger("apprise").disabled = True  # Its log names URLs, with what is secret in them.
        service = library.Apprise.instantiate(self.url.get_secret_value())
        if service is None:
            raise BlockError("Apprise can't read this URL. https://appriseit.com lists what it knows.")
        if not service.notify(body=body, title=subject or ""):
            raise BlockError(f"{service.service_name} did not take the message.")

    async def anotify(self, body: str, subject: str | None = None) -> None:
        """`notify` for coroutines."""
        await asyncio.to_thread(self.notify, body, subject)


__getattr__ = missing(__name__)
