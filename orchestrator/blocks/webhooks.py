"""Calls to addresses that others gave us. An address may hold a key, so it is secret itself."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, SecretStr, field_validator

from orchestrator.blocks.block import Block
from orchestrator.blocks.fields import SecretDict
from orchestrator.chance import chance
from orchestrator.exceptions import BlockError

if TYPE_CHECKING:
    import httpx

_AGAIN = frozenset({429, 502, 503, 504})
_LONGEST_PAUSE = 30.0  # seconds
_MAX_TEXT = 39_000  # characters; Slack cuts at 40,000


class Webhook(Block):
    """An address to call, with headers that may hold keys.

    A call is repeated when no connection came about, and on the answers 429, 502, 503 and 504.
    """

    _icon = "bolt"

    url: SecretStr = Field(title="URL")
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    headers: SecretDict = Field(default_factory=lambda: SecretDict({}), description="Sent with each call.")
    timeout_seconds: float = Field(30.0, gt=0, le=600, description="For one try.")
    retries: int = Field(3, ge=0, le=10)

    @field_validator("url")
    @classmethod
    def _is_address(cls, value: SecretStr) -> SecretStr:
        return _checked(value)

    def call(self, payload: Any = None) -> httpx.Response:
        """Call the address; the answer, whatever it says.

        Args:
            payload: Sent as JSON; bytes and texts as they are; None sends nothing.

        Raises:
            BlockError: No answer came.
        """
        headers = {name: str(value) for name, value in self.headers.get_secret_value().items()}
        return _called(self.method, self.url, payload, headers, self.timeout_seconds, self.retries)

    async def acall(self, payload: Any = None) -> httpx.Response:
        """`call` for coroutines."""
        return await asyncio.to_thread(self.call, payload)


class SlackWebhook(Block):
    """A channel of Slack, by the address of an incoming webhook."""

    _block_type_name = "Slack Webhook"
    _icon = "chat"

    url: SecretStr = Field(title="Webhook URL", description="Like https://hooks.slack.com/services/…")

    @field_validator("url")
    @classmethod
    def _is_address(cls, value: SecretStr) -> SecretStr:
        return _checked(value)

    def notify(self, body: str, subject: str | None = None) -> None:
        """Write to the channel.

        Raises:
            BlockError: Slack refused, or could not be reached.
        """
        text = f"*{subject}*\n{body}" if subject else body
        answer = _called("POST", self.url, {"text": text[:_MAX_TEXT]}, {}, 30.0, 3)
        if not answer.is_success:
            raise BlockError(f"Slack refused the message: {answer.status_code} {answer.text[:200]}")

    async def anotify(self, body: str, subject: str | None = None) -> None:
        """`notify` for coroutines."""
        await asyncio.to_thread(self.notify, body, subject)


def _checked(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("https://", "http://")):
        raise ValueError("An address that begins with https:// or http://.")
    return value


def _called(
    method: str, url: SecretStr, payload: Any, headers: dict[str, str], timeout: float, retries: int
) -> httpx.Response:
    import httpx

    body = {"content": payload} if isinstance(payload, bytes | str) else {"json": payload}
    sent: dict[str, Any] = {} if payload is None else body
    with httpx.Client(timeout=timeout) as client:
        for tried in range(retries + 1):
            try:
                answer = client.request(method, url.get_secret_value(), headers=headers, **sent)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                if tried == retries:
                    raise _no_answer(url, error) from None
                time.sleep(_pause(tried, None))
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise _no_answer(url, error) from None
            else:
                if answer.status_code not in _AGAIN or tried == retries:
                    return answer
                time.sleep(_pause(tried, answer.headers.get("Retry-After")))
    raise AssertionError("unreachable")


def _no_answer(url: SecretStr, error: Exception) -> BlockError:
    """Names the host alone: the rest of such an address is a key."""
    from urllib.parse import urlsplit

    host = urlsplit(url.get_secret_value()).hostname
    return BlockError(f"No answer came from {host}: {error or type(error).__name__}.")


def _pause(tried: int, wanted: str | None) -> float:
    asked = float(wanted) if wanted and wanted.isdecimal() else 0.0
    return min(_LONGEST_PAUSE, max(asked, 0.5 * 2**tried * (0.5 + chance.random())))
