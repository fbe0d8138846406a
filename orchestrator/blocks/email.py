"""A server that takes e-mail."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from collections.abc import Iterable
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Literal

from pydantic import Field, SecretStr

from orchestrator.blocks.block import Block
from orchestrator.exceptions import BlockError

MAX_RECIPIENTS = 100
MAX_BODY = 10 << 20  # characters


class EmailServerCredentials(Block):
    """A server that takes e-mail, and who sends to whom by default."""

    _block_type_name = "Email Server Credentials"
    _icon = "mail"

    smtp_server: str = Field(title="Server", min_length=1, max_length=253, examples=["smtp.example.com"])
    smtp_port: int | None = Field(None, title="Port", ge=1, le=65_535, description="465, 587 or 25 by default.")
    smtp_type: Literal["SSL", "STARTTLS", "INSECURE"] = Field("SSL", title="Encryption")
    username: str | None = None
    password: SecretStr | None = None
    sender: str | None = Field(None, description="The address that mail comes from; the user name by default.")
    recipients: list[str] = Field(
        default_factory=list, max_length=MAX_RECIPIENTS, description="Whom `notify` writes to."
    )
    verify: bool = Field(True, description="Check the server's certificate.")
    timeout_seconds: float = Field(30.0, gt=0, le=600)

    def send(
        self,
        subject: str,
        body: str,
        to: str | Iterable[str] | None = None,
        *,
        html: str | None = None,
        sender: str | None = None,
    ) -> str:
        """Send a mail; its Message-ID.

        Args:
            to: One address or several; the block's recipients by default.
            html: The same as a page, for programs that show it.
            sender: The address that it comes from.

        Raises:
            BlockError: There is nobody to write to or from, or the server refused or could not be reached.
        """
        message = self._message(subject, body, to, html, sender)
        try:
            with self.get_server() as server:
                refused = server.send_message(message)
        except (OSError, smtplib.SMTPException) as error:
            raise BlockError(f"{self.smtp_server} did not take the mail: {error or type(error).__name__}") from error
        if refused:
            raise BlockError(f"{self.smtp_server} refused to write to {', '.join(refused)}.")
        return message["Message-ID"]

    def notify(self, body: str, subject: str | None = None) -> None:
        """Write to the block's recipients."""
        self.send(subject or body.strip().partition("\n")[0][:100] or "Notification", body)

    async def asend(
        self,
        subject: str,
        body: str,
        to: str | Iterable[str] | None = None,
        *,
        html: str | None = None,
        sender: str | None = None,
    ) -> str:
        """`send` for coroutines."""
        return await asyncio.to_thread(self.send, subject, body, to, html=html, sender=sender)

    async def anotify(self, body: str, subject: str | None = None) -> None:
        """`notify` for coroutines."""
        await asyncio.to_thread(self.notify, body, subject)

    def get_server(self) -> smtplib.SMTP:
        """A connection that is logged in. Close it, or use it in a `with`."""
        ports = {"SSL": 465, "STARTTLS": 587, "INSECURE": 25}
        port, wait = self.smtp_port or ports[self.smtp_type], self.timeout_seconds
        if self.smtp_type == "SSL":
            server: smtplib.SMTP = smtplib.SMTP_SSL(self.smtp_server, port, timeout=wait, context=self._context())
        else:
            server = smtplib.SMTP(self.smtp_server, port, timeout=wait)
        try:
            if self.smtp_type == "STARTTLS":
                server.starttls(context=self._context())
            if self.username and self.password is not None:
                server.login(self.username, self.password.get_secret_value())
        except BaseException:
            server.close()
            raise
        return server

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def _message(
        self, subject: str, body: str, to: str | Iterable[str] | None, html: str | None, sender: str | None
    ) -> EmailMessage:
        addresses = [to] if isinstance(to, str) else list(self.recipients if to is None else to)
        origin = sender or self.sender or self.username
        if not addresses or not origin:
            missing = "whom to write to: give `to`, or the block `recipients`" if not addresses else "a `sender`"
            raise BlockError(f"The mail lacks {missing}.")
        if len(addresses) > MAX_RECIPIENTS or len(body) + len(html or "") > MAX_BODY:
            raise BlockError(f"A mail goes to {MAX_RECIPIENTS} addresses and has {MAX_BODY:,} characters at most.")
        message = EmailMessage()
        message["Subject"] = " ".join(subject.split())
        message["From"], message["To"] = origin, ", ".join(addresses)
        message["Date"], message["Message-ID"] = formatdate(), make_msgid()
        message.set_content(body)
        if html is not None:
            message.add_alternative(html, subtype="html")
        return message
