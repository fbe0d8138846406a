"""An invoice on paper: one A4 sheet and, for long addresses or many lines, as many more as it takes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

from tenants.billing import fonts
from tenants.billing.models import Invoice
from tenants.billing.months import Month
from tenants.billing.plans import plans

LEFT, RIGHT, TOP, BOTTOM = 56.0, A4[0] - 56.0, A4[1] - 64.0, 72.0
INK, SECOND, LINE = HexColor("#14171c"), HexColor("#474e59"), HexColor("#e5e7eb")
LEADING = 14.0
COLUMNS = (LEFT, LEFT + 285, LEFT + 390, RIGHT)  # text, quantity (right), unit price (right), amount (right)


def invoice_pdf(invoice: Invoice) -> bytes:
    """The invoice as a PDF file."""
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4, invariant=1)
    canvas.setTitle(f"{invoice.label}, {Month(invoice.month).label}")
    canvas.setAuthor(issuer()[0])
    _Sheet(canvas, invoice).draw()
    canvas.save()
    return out.getvalue()


def issuer() -> list[str]:
    """Who sends the invoice, line by line."""
    return [line.strip() for line in settings.INVOICE_ISSUER.split(";") if line.strip()] or ["Orchestrator"]


class _Sheet:
    """Draws from top to bottom; `y` is where the next line stands."""

    def __init__(self, canvas: Canvas, invoice: Invoice) -> None:
        self.canvas, self.invoice, self.y = canvas, invoice, TOP

    def draw(self) -> None:
        self._head()
        self._parties()
        self._lines()
        self._sums()
        self._foot()

    def _text(self, x: float, text: str, *, size: float = 10, weight: str = "regular", ink: Any = INK) -> None:
        self.canvas.setFillColor(ink)
        for name, part in fonts.runs(text, weight):
            self.canvas.setFont(name, size)
            self.canvas.drawString(x, self.y, part)
            x += self.canvas.stringWidth(part, name, size)

    def _right(self, x: float, text: str, *, weight: str = "regular", ink: Any = INK) -> None:
        self._text(x - fonts.width(text, weight, 10), text, weight=weight, ink=ink)

    def _down(self, by: float = LEADING) -> None:
        self.y -= by
        if self.y < BOTTOM:
            self.canvas.showPage()
            self.y = TOP

    def _rule(self) -> None:
        self.canvas.setStrokeColor(LINE)
        self.canvas.line(LEFT, self.y + 4, RIGHT, self.y + 4)
        self._down()

    def _head(self) -> None:
        self._text(LEFT, "Invoice", size=22, weight="bold")
        self._down(34)
        issued = self.invoice.issued_at
        facts = [
            ("Number", self.invoice.label),
            ("Date", f"{issued.day} {issued:%B %Y}"),
            ("For", f"{Month(self.invoice.month).label}, plan {plan_name(self.invoice.plan)}"),
        ]
        for label, value in facts:
            self._text(LEFT, label, ink=SECOND)
            self._text(LEFT + 70, value)
            self._down()
        self._down()

    def _parties(self) -> None:
        customer = self.invoice.customer
        own = [customer["company"], *customer["address"].splitlines()]
        own += [f"Tax id {customer['tax_id']}"] if customer["tax_id"] else []
        self._block("To", own)
        self._block("From", issuer())

    def _block(self, title: str, lines: list[str]) -> None:
        self._text(LEFT, title, ink=SECOND)
        folded = [part for line in lines for part in _folded(line, RIGHT - LEFT - 70)]
        for number, part in enumerate(folded):
            self._text(LEFT + 70, part, weight="regular" if number else "bold")
            self._down()
        self._down()

    def _lines(self) -> None:
        for x, title in zip(COLUMNS, ("", "Quantity", "Price", f"Amount, {self.invoice.currency}"), strict=True):
            self._right(x, title, ink=SECOND) if title else self._text(x, "What", ink=SECOND)
        self._down(8)
        self._rule()
        for line in self.invoice.lines:
            for number, part in enumerate(_folded(line["text"], 200)):
                self._text(LEFT, part)
                if number == 0:
                    self._right(COLUMNS[1], line["quantity"])
                    self._right(COLUMNS[2], line["unit_price"])
                    self._right(COLUMNS[3], line["amount"])
                self._down()
        self._rule()

    def _sums(self) -> None:
        rows = [("Sum", self.invoice.subtotal)]
        if self.invoice.credit:
            rows.append(("Credit", -self.invoice.credit))
        for label, amount in rows:
            self._right(COLUMNS[2], label, ink=SECOND)
            self._right(RIGHT, f"{amount:,.2f}")
            self._down()
        self._right(COLUMNS[2], "To pay", weight="bold")
        self._right(RIGHT, f"{self.invoice.total:,.2f} {self.invoice.currency}", weight="bold")
        self._down(LEADING * 3)

    def _foot(self) -> None:
        usage = self.invoice.usage
        due = self.invoice.due_at
        self._text(LEFT, f"{usage['task_runs']:,} task runs in {Month(self.invoice.month).label}.", ink=SECOND)
        self._down()
        if self.invoice.total:
            told = f"Payable by {due.day} {due:%B %Y}. Quote {self.invoice.label}."
            self._text(LEFT, told, ink=SECOND)


def plan_name(slug: str) -> str:
    """A plan as people call it; one that is no more by its slug."""
    plan = plans().get(slug)
    return plan.name if plan else slug


def _folded(text: str, most: float) -> Iterator[str]:
    """A text in lines of at most so many points, broken between words where that helps."""
    line = ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if fonts.width(longer, "bold", 10) <= most:
            line = longer
            continue
        if line:
            yield line
        while fonts.width(word, "bold", 10) > most:
            fits = next(n for n in range(len(word), 0, -1) if n == 1 or fonts.width(word[:n], "bold", 10) <= most)
            yield word[:fits]
            word = word[fits:]
        line = word
    if line:
        yield line
