"""What a provider says of a person who logged in there, whatever protocol it speaks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Assertion:
    """Checked to come from the provider and to answer this very log-in; whether it opens a door is not yet decided.

    `issuer` and `subject` say who it is and never change; `email_verified` is None where the provider says nothing.
    """

    issuer: str
    subject: str
    email: str
    email_verified: bool | None
    name: str = ""
