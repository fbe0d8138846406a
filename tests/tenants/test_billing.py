"""Plans, prices, closed months, and who is told: with the clock under control."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from hypothesis import given
from hypothesis import strategies as st

from runs.usage.closing import close_all
from tenants.billing import months, pricing, statements, subscriptions, thresholds
from tenants.billing.accounts import edit_details, edit_limit
from tenants.billing.limits import limit_of
from tenants.billing.models import Invoice, Subscription, ThresholdTold, UsageDay
from tenants.billing.months import Month
from tenants.billing.plans import plans
from tenants.billing.statements import close_month, give_credit, mark_paid, statement
from tenants.billing.subscriptions import Period, change_plan, plan_of
from tenants.errors import Conflict, Invalid
from tenants.models import AuditEntry, Membership, Organization, OutboxMessage
from tenants.permissions import Actor
from tenants.tasks import deliver_messages
from tests.cast import Company, person
from tests.pdf import text_of
from tests.threads import at_once

MAY = Month(date(2026, 5, 1))


@pytest.fixture
def billing(settings: Any) -> None:
    settings.BILLING, settings.FREE_TASK_RUNS = True, 100


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[datetime], None]:
    """Set the time of everything that deals with money."""

    def turn(at: datetime) -> None:
        from runs import tasks
        from runs.usage import closing, limits

        for module in (statements, subscriptions, closing, limits, tasks):
            monkeypatch.setattr(module, "now", lambda: at)

    return turn


def may(day: int, hour: int = 0) -> datetime:
    return datetime(2026, 5, day, hour, tzinfo=UTC)


def owner(company: Company) -> Actor:
    return Actor("user", company.organization.id, None, "", "alice", organization_role="owner")


def use(company: Company, day: date, task_runs: int) -> None:
    with company.scope():
        UsageDay.objects.create(
            organization=company.organization, day=day, workspace_id=company.workspace.id, retention=30, bucket=day,
            task_runs=task_runs,
        )  # fmt: skip


def audited(company: Company) -> list[str]:
    with company.scope():
        return list(AuditEntry.objects.order_by("at", "id").values_list("action", flat=True))


# ── prices ───────────────────────────────────────────────────────────────────────────────────────


def test_what_goes_beyond_the_included_amount_is_paid_by_the_thousand() -> None:
    [line] = pricing.usage_lines(plans()["pro"], 318_442)
    assert (line.text, line.quantity, line.amount) == ("Task runs 200,001 to 318,442", "118,442", Decimal("35.53"))
    assert pricing.usage_lines(plans()["pro"], 200_000) == []


def test_tiers_follow_each_other() -> None:
    lines = pricing.usage_lines(plans()["enterprise"], 60_000_000)
    assert [line.quantity for line in lines] == ["6,000,000", "40,000,000", "10,000,000"]
    assert pricing.total(lines) == Decimal("1200.00") + Decimal("5600.00") + Decimal("900.00")


@given(st.integers(0, 10**9), st.integers(0, 10**7))
def test_more_never_costs_less(number: int, more: int) -> None:
    for plan in (plans()["pro"], plans()["enterprise"]):
        few, many = (pricing.total(pricing.usage_lines(plan, n)) for n in (number, number + more))
        assert few <= many


def test_a_fee_is_by_days_from_the_day_of_the_upgrade() -> None:
    known = plans()
    periods = [Period(known["free"], None), Period(known["pro"], may(17, 13))]
    lines = pricing.month_lines(periods, MAY, 0)
    assert [(line.quantity, line.amount) for line in lines] == [("15 of 31 days", Decimal("38.71"))]
    assert [line.amount for line in pricing.month_lines(periods, MAY.following, 0)] == [Decimal("80.00")]
    assert pricing.month_lines(periods, MAY.former, 500) == []


def test_two_plans_in_one_month() -> None:
    known = plans()
    periods = [Period(known["free"], None), Period(known["pro"], may(1)), Period(known["enterprise"], may(11))]
    fees = pricing.month_lines(periods, MAY, 3_000_000)
    assert [(line.quantity, line.amount) for line in fees] == [
        ("10 of 31 days", Decimal("25.81")), ("21 of 31 days", Decimal("609.68")),
    ]  # fmt: skip


def test_months() -> None:
    assert (MAY.following.first, MAY.former.first, MAY.days) == (date(2026, 6, 1), date(2026, 4, 1), 31)
    assert (str(Month(date(2026, 12, 1)).following), MAY.label) == ("2027-01", "May 2026")
    for text in ("2026-13", "1999-01", "x", "2026-5", "٢٠٢٦-٠٥"):
        with pytest.raises(Invalid):
            months.Month.read(text)


# ── plans ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.django_db
def test_without_billing_everybody_hosts_themselves(acme: Company) -> None:
    with acme.scope():
        assert (plan_of(acme.organization.id).slug, limit_of(acme.organization.id).task_runs) == ("self-hosted", None)
        with pytest.raises(Conflict):
            change_plan(slug="pro", by=owner(acme))


@pytest.mark.django_db
def test_a_larger_plan_begins_at_once_a_smaller_one_with_the_next_month(
    acme: Company, billing: None, clock: Callable[[datetime], None]
) -> None:
    id = acme.organization.id
    clock(may(10))
    with acme.scope():
        change_plan(slug="pro", by=owner(acme))
        assert (plan_of(id).slug, Organization.objects.get().retention) == ("pro", 30)
        assert change_plan(slug="free", by=owner(acme)).begins_at == MAY.end
        assert (plan_of(id).slug, Organization.objects.get().retention) == ("pro", 30)
        assert plan_of(id, MAY.end).slug == "free"
    clock(datetime(2026, 6, 1, 1, tzinfo=UTC))
    from runs.tasks import close_months

    close_months()
    with acme.scope():
        assert Organization.objects.get().retention == 7
    assert audited(acme).count("plan.changed") == 2


@pytest.mark.django_db
def test_a_change_ahead_is_taken_back_by_choosing_the_plan_in_force(acme: Company, billing: None) -> None:
    with acme.scope():
        change_plan(slug="pro", by=owner(acme))
        change_plan(slug="free", by=owner(acme))
        assert subscriptions.change_ahead(acme.organization.id)
        change_plan(slug="pro", by=owner(acme))
        assert subscriptions.change_ahead(acme.organization.id) is None


@pytest.mark.django_db
@pytest.mark.parametrize("slug", ["enterprise", "self-hosted", "gold", ""])
def test_what_is_no_plan_to_choose_is_refused(acme: Company, billing: None, slug: str) -> None:
    with acme.scope(), pytest.raises(Invalid):
        change_plan(slug=slug, by=owner(acme))


@pytest.mark.django_db
def test_a_contract_is_made_by_the_command(acme: Company, billing: None) -> None:
    call_command("billing", "acme", "plan", "enterprise")
    with acme.scope():
        assert plan_of(acme.organization.id).slug == "enterprise"
        assert subscriptions.allows(acme.organization.id, "sso")


# ── closed months ────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def owing(acme: Company, billing: None, clock: Callable[[datetime], None]) -> Company:
    """Acme on Pro since May began, with usage beyond what is included, on 1 June."""
    clock(may(1))
    with acme.scope():
        change_plan(slug="pro", by=owner(acme))
        edit_details(company="Škoda Ελλάς 東京", address="Straße 1\n12345 Łódź", tax_id="DE1", email="", by=owner(acme))
    use(acme, date(2026, 5, 19), 318_442)
    use(acme, date(2026, 6, 1), 5)
    clock(datetime(2026, 6, 1, 1, tzinfo=UTC))
    return acme


def close(company: Company) -> Invoice | None:
    with company.scope():
        return close_month(company.organization.id, MAY)


def deliver(company: Company) -> None:
    deliver_messages(str(company.organization.id))


@pytest.mark.django_db
def test_a_month_is_closed_once_with_its_lines_and_the_customer_of_that_day(owing: Company) -> None:
    invoice = close(owing)
    assert invoice is not None
    assert [line["amount"] for line in invoice.lines] == ["80.00", "35.53"]
    assert (invoice.total, invoice.number, invoice.usage["task_runs"]) == (Decimal("115.53"), 1, 318_442)
    assert invoice.customer["company"] == "Škoda Ελλάς 東京"
    use(owing, date(2026, 5, 20), 1_000_000)
    again = close(owing)
    assert again is not None
    assert (again.id, again.total) == (invoice.id, invoice.total)
    assert audited(owing).count("invoice.closed") == 1


@pytest.mark.django_db
def test_the_paper_says_what_the_row_says(owing: Company) -> None:
    from tenants.billing.pdf import invoice_pdf

    text = text_of(invoice_pdf(close(owing)))  # type: ignore[arg-type]
    for told in ("INV-000001", "118,442", "35.53", "115.53 USD", "Ελλάς", "Tax id DE1", "Škoda"):
        assert told.replace(" ", "") in text.replace(" ", ""), told


@pytest.mark.django_db
def test_a_month_is_not_closed_before_it_is_over(owing: Company, clock: Callable[[datetime], None]) -> None:
    clock(datetime(2026, 6, 1, 0, 14, tzinfo=UTC))
    with pytest.raises(Conflict, match="is not over"):
        close(owing)


@pytest.mark.django_db
def test_the_database_refuses_to_change_what_is_closed(owing: Company) -> None:
    invoice = close(owing)
    with owing.scope():
        with pytest.raises(IntegrityError), transaction.atomic():
            Invoice.objects.update(total=0)
        assert mark_paid(invoice, by=owner(owing))  # type: ignore[arg-type]
        assert not mark_paid(invoice, by=owner(owing))  # type: ignore[arg-type]


@pytest.mark.django_db
def test_credits_are_used_up_the_oldest_first(owing: Company) -> None:
    with owing.scope():
        give_credit(amount=Decimal(100), reason="sorry", by=owner(owing))
        give_credit(amount=Decimal(50), reason="again", by=owner(owing))
    invoice = close(owing)
    assert invoice is not None
    assert (invoice.credit, invoice.total) == (Decimal("115.53"), Decimal(0))
    with owing.scope():
        assert statements.credit_left(owing.organization.id) == Decimal("34.47")


@pytest.mark.django_db
def test_a_credit_is_given_with_a_reason_that_the_page_shows(owing: Company, alice: Any, browse: Any) -> None:
    """6.5: by the staff's command; without a reason, or of half a cent, there is none."""
    for amount, reason in (("25.00", ""), ("25.00", "  "), ("0.005", "sorry"), ("-1", "sorry")):
        with pytest.raises(CommandError):
            call_command("billing", "acme", "credit", amount, reason=reason)
    call_command("billing", "acme", "credit", "25.00", reason="An hour of outage")
    close(owing)
    call_command("billing", "acme", "credit", "7.50", reason="A bug you found")
    page = browse(alice).get("/o/acme/billing").content.decode()
    assert page.index("A bug you found") < page.index("An hour of outage")
    assert "credit left: $7.50" in page
    assert audited(owing).count("credit.given") == 2


@pytest.mark.django_db
def test_every_invoice_can_be_reached(acme: Company, alice: Any, browse: Any, billing: None) -> None:
    """6.5: the history is paged."""
    client = browse(alice)
    with acme.scope():
        for number in range(statements.INVOICES + 2):
            Invoice.objects.create(
                organization=acme.organization, number=number + 1, plan="pro", customer={}, lines=[], currency="USD",
                month=date(2024 + number // 12, number % 12 + 1, 1), usage={"task_runs": 0}, subtotal=0, credit=0,
                total=0,
            )  # fmt: skip
    page = client.get("/o/acme/billing").content.decode()
    assert ("INV-000026" in page, "INV-000002" in page, "?before=2024-03" in page) == (True, False, True)
    older = client.get("/o/acme/billing?before=2024-03").content.decode()
    assert ("INV-000002" in older, "INV-000003" in older, "Older invoices" in older) == (True, False, False)
    assert client.get("/o/acme/billing?before=nonsense").status_code == 200


@pytest.mark.django_db
def test_nothing_is_owed_on_the_free_plan(acme: Company, billing: None, clock: Callable[[datetime], None]) -> None:
    use(acme, date(2026, 5, 3), 100)
    clock(datetime(2026, 6, 2, tzinfo=UTC))
    assert close(acme) is None
    assert close_all(MAY) == []


@pytest.mark.django_db
def test_the_tick_closes_everybody_and_hands_over_to_the_provider(owing: Company) -> None:
    [invoice] = close_all(MAY)
    assert close_all(MAY) == []
    deliver(owing)
    with owing.scope():
        assert Invoice.objects.get(id=invoice.id).payment == "INV-000001 by bank transfer"


@pytest.mark.django_db
@pytest.mark.parametrize(("deleted_at", "months"), [(None, [5, 6]), (may(20), [5])])
def test_a_tick_that_was_away_makes_up_for_it(
    owing: Company, clock: Callable[[datetime], None], deleted_at: datetime | None, months: list[int]
) -> None:
    """An organization that was deleted waits for its last invoice, and owes nothing of the months behind it."""
    from runs.tasks import close_months

    with owing.scope():
        Organization.objects.update(deleted_at=deleted_at)
    clock(datetime(2026, 7, 2, tzinfo=UTC))
    close_months()
    with owing.scope():
        assert [invoice.month.month for invoice in Invoice.objects.order_by("number")] == months


@pytest.mark.django_db
def test_an_invoice_is_mailed_once_to_those_who_pay(owing: Company, settings: Any, mailoutbox: list) -> None:
    settings.MAIL_CONFIGURED, settings.PUBLIC_URL = True, "https://portal.example"
    for email, role in (("money@acme.example", "billing"), ("member@acme.example", "member")):
        with owing.scope():
            Membership.objects.create(organization=owing.organization, user=person(email), role=role)
    close(owing)
    assert mailoutbox == []
    close(owing)
    deliver(owing)
    deliver(owing)
    assert sorted(mail.to[0] for mail in mailoutbox) == ["alice@acme.example", "money@acme.example"]
    assert {mail.subject for mail in mailoutbox} == {"Invoice INV-000001 of May 2026 for Acme: 115.53 USD"}
    for told in (
        "To pay: 115.53 USD",
        "Payable by: 15 June 2026",
        "https://portal.example/o/acme/billing/invoices/1.pdf",
    ):
        assert told in mailoutbox[0].body


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["invoices@acme.example", f"{'i' * 64}@{'.'.join(['a' * 50] * 3)}.example"])
def test_the_billing_address_gets_the_invoice_alone(
    owing: Company, settings: Any, mailoutbox: list, address: str
) -> None:
    settings.MAIL_CONFIGURED = True
    with owing.scope():
        edit_details(company="", address="", tax_id="", email=address, by=owner(owing))
        give_credit(amount=Decimal(500), reason="sorry", by=owner(owing))
    close_all(MAY)
    deliver(owing)
    [mail] = mailoutbox
    assert mail.to == [address]
    assert "To pay: 0.00 USD\nCredits have covered it" in mail.body


@pytest.mark.django_db
def test_no_mail_leaves_for_a_month_that_could_not_be_closed(
    owing: Company, settings: Any, mailoutbox: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MAIL_CONFIGURED = True

    def fails(**message: Any) -> Any:
        if message["kind"] == "invoice":
            raise RuntimeError("no luck")
        return posted(**message)

    posted = statements.outbox.post
    monkeypatch.setattr(statements.outbox, "post", fails)
    assert close_all(MAY) == []
    monkeypatch.undo()
    deliver(owing)
    assert mailoutbox == []


@pytest.mark.django_db
def test_a_month_is_closed_where_no_mail_can_be_sent(owing: Company, settings: Any) -> None:
    settings.MAIL_CONFIGURED = False
    assert close(owing) is not None
    with owing.scope():
        assert not OutboxMessage.objects.filter(kind="mail").exists()


@pytest.mark.django_db(transaction=True)
def test_numbers_have_no_gap_when_many_close_at_once_and_one_fails(
    billing: None, clock: Callable[[datetime], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.cast import found_company

    clock(may(1))
    companies = [found_company(f"Company {n}", f"o{n}@example.com") for n in range(4)]
    for company in companies:
        with company.scope():
            change_plan(slug="pro", by=owner(company))
    clock(datetime(2026, 6, 2, tzinfo=UTC))
    unlucky = companies[0].organization.id
    recorded = statements.record

    def fails(by: Actor, action: str, *rest: Any, **more: Any) -> None:
        if by.organization_id == unlucky:
            raise RuntimeError("no luck")
        recorded(by, action, *rest, **more)

    monkeypatch.setattr(statements, "record", fails)
    at_once(*(lambda company=company: close(company) for company in companies))
    monkeypatch.undo()
    clock(datetime(2026, 6, 2, tzinfo=UTC))
    close(companies[0])
    numbers = []
    for company in companies:
        with company.scope():
            numbers += Invoice.objects.values_list("number", flat=True)
    assert sorted(numbers) == [1, 2, 3, 4]


# ── who is told ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.django_db
def test_each_share_is_told_once_a_month_to_those_who_pay(acme: Company, billing: None, settings: Any) -> None:
    settings.MAIL_CONFIGURED = True
    told = []
    for number in (40, 10, 5, 30, 20, 50):
        use(acme, date(2026, 5, number // 5), number)
        with acme.scope():
            told.append(thresholds.tell(acme.organization.id, MAY))
    assert told == [[], [50], [], [80], [100], []]
    with acme.scope():
        mails = OutboxMessage.objects.filter(kind="mail").order_by("created_at")
        assert [mail.payload["to"] for mail in mails] == ["alice@acme.example"] * 3
        assert "100 %" in list(mails)[-1].payload["subject"]
        assert ThresholdTold.objects.count() == 3


def subjects(company: Company) -> list[str]:
    with company.scope():
        mails = OutboxMessage.objects.filter(kind="mail").order_by("created_at")
        return [mail.payload["subject"] for mail in mails]


@pytest.mark.django_db
def test_a_limit_that_only_notifies_uses_up_no_word_about_the_plans(
    acme: Company, billing: None, settings: Any
) -> None:
    """6.2: the own limit and the plan's bound are told of apart."""
    settings.MAIL_CONFIGURED = True
    with acme.scope():
        edit_limit(limit=40, at_limit="notify", under_way="finish", by=owner(acme))
    for number in (40, 10, 50):
        use(acme, date(2026, 5, number // 10), number)
        with acme.scope():
            thresholds.tell(acme.organization.id, MAY)
    assert subjects(acme) == [
        "Acme has used 100 % of its own limit of task runs in May 2026",
        "Acme has used 50 % of its task runs in May 2026",
        "Acme has used 100 % of its task runs in May 2026",
    ]


@pytest.mark.django_db
def test_a_raised_limit_and_a_larger_plan_are_told_of_anew(
    acme: Company, billing: None, clock: Callable[[datetime], None], settings: Any
) -> None:
    """6.2: what was said of a bound that is no more says nothing of the next one."""
    clock(may(10))
    use(acme, date(2026, 5, 9), 100)
    id = acme.organization.id
    with acme.scope():
        edit_limit(limit=100, at_limit="stop", under_way="finish", by=owner(acme))
        assert thresholds.tell(id, MAY) == [100, 100]
        edit_limit(limit=200, at_limit="stop", under_way="finish", by=owner(acme))
        assert (thresholds.tell(id, MAY), thresholds.tell(id, MAY)) == ([50], [])
        change_plan(slug="pro", by=owner(acme))
    use(acme, date(2026, 5, 10), 100_000)
    settings.MAIL_CONFIGURED = True
    with acme.scope():
        assert thresholds.tell(id, MAY) == [50, 100]
    assert subjects(acme)[0] == "Acme has used 50 % of the task runs that its plan includes in May 2026"


@pytest.mark.django_db
def test_a_limit_that_only_notifies_stops_nothing(acme: Company) -> None:
    with acme.scope():
        edit_limit(limit=10, at_limit="notify", under_way="finish", by=owner(acme))
        assert not limit_of(acme.organization.id).stops
    assert "limit.changed" in audited(acme)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("given", "field"), [({"limit": -1}, "limit"), ({"at_limit": "x"}, "at_limit"), ({"under_way": ""}, "under_way")]
)
def test_a_limit_that_is_none_is_refused_beside_its_field(acme: Company, given: dict, field: str) -> None:
    values = {"limit": 5, "at_limit": "stop", "under_way": "finish"} | given
    with acme.scope(), pytest.raises(Invalid) as refused:
        edit_limit(**values, by=owner(acme))
    assert list(refused.value.fields or {}) == [field]


@pytest.mark.django_db
def test_the_open_month_is_computed_with_what_stands_there(owing: Company) -> None:
    with owing.scope():
        june = statement(owing.organization.id, MAY.following)
        assert (june.subtotal, june.usage["task_runs"]) == (Decimal("80.00"), 5)
        assert Subscription.objects.count() == 1
