"""Book a trip of three bookings, or none.

What it shows: a saga. Each booking is made at another company and counts at once; if a later one fails, those before
are cancelled by `on_rollback`, the last one first. So are they when the process is killed in between: by the run's next
attempt, before it books anything.

    python -m examples.trip
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from orchestrator import flow, task
from orchestrator.transactions import Transaction, get_transaction, transaction


class NothingFree(Exception):
    """The company has nothing left."""


def bookings(desk: Path) -> list[str]:
    """What is booked at present."""
    return json.loads(desk.read_text()) if desk.exists() else []


@task
def book(desk: Path, what: str, free: int) -> str:
    """Book something at the desk of its company, while there is any."""
    if free < 1:
        raise NothingFree(f"no {what} is left")
    desk.write_text(json.dumps([*bookings(desk), what]))
    here = get_transaction()
    assert here is not None
    here.set("desk", desk)
    here.set("what", what)
    return what


@book.on_rollback
def cancel(here: Transaction) -> None:
    """Give a booking back. It may be asked for twice: what isn't booked isn't missed."""
    desk, what = here.get("desk"), here.get("what")
    desk.write_text(json.dumps([each for each in bookings(desk) if each != what]))
    print(f"cancelled: {what}")


@book.on_commit
def confirm(here: Transaction) -> None:
    """The trip is whole: now the customer hears of it."""
    print(f"confirmed: {here.get('what')}")


@flow
def trip(desk: Path, cars: int = 1) -> list[str]:
    """Book a flight, a room and a car.

    Args:
        desk: Where bookings are written down.
        cars: How many cars are left.
    """
    with transaction():
        return [book(desk, "flight", 3), book(desk, "room", 2), book(desk, "car", cars)]


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        paper = Path(folder, "bookings.json")
        trip(paper, cars=0, return_state=True)
        print("booked:", bookings(paper))
        trip(paper)
        print("booked:", bookings(paper))
