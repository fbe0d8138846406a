"""Take orders as they come, keep those that are right, and say of each other one what is wrong with it.

What it shows: pydantic models as parameters (the run form has a control for each field, and `"3"` becomes 3 before
the flow begins), and data that is refused row by row, with the reason, instead of a flow that fails at the first.

    python -m examples.validation
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from orchestrator import flow, get_run_logger, task

Currency = Literal["EUR", "CHF", "USD"]


class Item(BaseModel):
    """What was bought, how often, for how much apiece."""

    sku: Annotated[str, Field(pattern=r"^[A-Z]{2}-\d{4}$")]
    quantity: Annotated[int, Field(ge=1, le=1_000)] = 1
    price: Annotated[Decimal, Field(gt=0, max_digits=10, decimal_places=2)]


class Card(BaseModel):
    """Paid by card."""

    by: Literal["card"]
    last_digits: Annotated[str, Field(pattern=r"^\d{4}$")]


class Transfer(BaseModel):
    """Paid by bank transfer."""

    by: Literal["transfer"]
    iban: Annotated[str, Field(min_length=15, max_length=34)]


class Order(BaseModel):
    """An order: items, and how it is paid."""

    number: int
    day: date
    items: Annotated[list[Item], Field(min_length=1)]
    payment: Annotated[Card | Transfer, Field(discriminator="by")]
    total: Decimal

    @model_validator(mode="after")
    def adds_up(self) -> Order:
        """Refuse a total that isn't that of the items."""
        total = sum(item.price * item.quantity for item in self.items)
        if total != self.total:
            raise ValueError(f"the items come to {total}, the order says {self.total}")
        return self


class Rules(BaseModel):
    """What to make of the orders.

    Attributes:
        currency: Of all of them.
        first_day: Older orders are left out.
        most_refused: The share of refused orders with which the data as a whole can't be right.
    """

    currency: Currency = "EUR"
    first_day: date | None = None
    most_refused: Annotated[float, Field(ge=0, le=1)] = 0.5


class Takings(BaseModel):
    """What came of the orders."""

    currency: Currency
    orders: int
    total: Decimal
    refused: dict[int, str]


@task
def check(rows: list[dict[str, Any]]) -> tuple[list[Order], dict[int, str]]:
    """The orders that are right, and by its place what is wrong with each other row."""
    orders, refused = [], {}
    for place, row in enumerate(rows):
        try:
            orders.append(Order.model_validate(row))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            refused[place] = f"{where}: {first['msg']}" if where else first["msg"]
    return orders, refused


@flow(log_prints=True)
def take_orders(rows: list[dict[str, Any]], rules: Rules = Rules()) -> Takings:  # noqa: B008  (pydantic copies it)
    """Check orders and add them up.

    Args:
        rows: Orders as they came.
        rules: What to make of them.

    Raises:
        ValueError: Too many were refused.
    """
    orders, refused = check(rows)
    for place, reason in refused.items():
        get_run_logger().warning("row %d: %s", place, reason)
    if len(refused) > rules.most_refused * len(rows):
        raise ValueError(f"{len(refused)} of {len(rows)} orders were refused: is this the right file?")
    taken = [order for order in orders if rules.first_day is None or order.day >= rules.first_day]
    total = sum((order.total for order in taken), Decimal(0))
    print(f"{len(taken)} orders, {total} {rules.currency}")
    return Takings(currency=rules.currency, orders=len(taken), total=total, refused=refused)


def order(number: int, **changed: Any) -> dict[str, Any]:
    """An order as it comes from outside: texts."""
    card = {"by": "card", "last_digits": "4242"}
    item = {"sku": "AB-0001", "quantity": "2", "price": "9.95"}
    return {"number": str(number), "day": "2026-03-01", "items": [item], "payment": card, "total": "19.90", **changed}


ORDERS = [
    order(1),
    order(2, day="2026-02-28"),
    order(3, total="20.00"),
    order(4, payment={"by": "transfer", "iban": "DE02120300000000202051"}),
    order(5, items=[{"sku": "wrong", "price": "19.90"}]),
]


if __name__ == "__main__":
    print(take_orders(ORDERS, {"first_day": "2026-03-01"}))
