"""Pay money back: large sums when enough people have approved, to the account that the customer names.

What it shows: flows that wait for people. Who approves last may lower the sum; one who rejects ends it. The customer
has no account here, and answers by a link; what is no IBAN is asked for again. Deployed, it can wait for days without a
process: with `suspend=True`, and by `suspend_flow_run`.

    orchestrator login
    python -m examples.refunds 4711 250
"""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from pathlib import Path

from pydantic import Field, field_validator

from orchestrator import flow, pause_flow_run, task, wait_for_approval
from orchestrator.exceptions import ApprovalRejected
from orchestrator.input import RunInput

LEDGER = Path("refunds.jsonl")
WITHOUT_APPROVAL = Decimal(50)
BY_ONE = Decimal(500)  # More takes two.
WEEK = 7 * 24 * 3600  # seconds


class Sum(RunInput):
    """What is paid back."""

    amount: Decimal = Field(gt=0)


class Account(RunInput):
    """Where the money goes."""

    iban: str

    @field_validator("iban")
    @classmethod
    def is_whole(cls, text: str) -> str:
        """Check digits as ISO 13616 has them."""
        iban = "".join(text.split()).upper()
        if not (iban.isascii() and iban.isalnum() and 15 <= len(iban) <= 34):
            raise ValueError("An IBAN has 15 to 34 letters and digits.")
        if int("".join(str(int(sign, 36)) for sign in iban[4:] + iban[:4])) % 97 != 1:
            raise ValueError("A digit is wrong, or two have changed places.")
        return iban


@task
def pay(ledger: Path, order: str, amount: Decimal, iban: str, approved_by: list[str]) -> None:
    """Note it for the bank."""
    line = {"order": order, "amount": str(amount), "iban": iban, "approved_by": approved_by}
    with ledger.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(line) + "\n")


@flow(flow_run_name="refund-{order}")
def refund(order: str, amount: Decimal, ledger: Path = LEDGER) -> str:
    """Pay back what an order has cost; what became of it."""
    approved_by: list[str] = []
    if amount > WITHOUT_APPROVAL:
        form = Sum.with_initial_data("Lower the sum if it is too much.", amount=amount)
        quorum = 1 if amount <= BY_ONE else 2
        try:
            approval = wait_for_approval(f"Refund order {order}?", quorum=quorum, wait_for_input=form, timeout=WEEK)
        except ApprovalRejected as rejected:
            return str(rejected)
        amount, approved_by = approval.input.amount, approval.by
    title = f"{amount} come back to you. To which account?"
    account = pause_flow_run(wait_for_input=Account, title=title, link="anyone", timeout=WEEK)
    pay(ledger, order, amount, account.iban, approved_by)
    return f"{amount} paid back"


if __name__ == "__main__":
    print(refund(sys.argv[1], Decimal(sys.argv[2])))
