"""What an organization owes, and how far it may go.

plans.py          the plans: prices, limits, switches
models.py         rows: days of usage, subscriptions, accounts, invoices, credits
subscriptions.py  which plan an organization has, and had
pricing.py        from an amount of task runs to lines of money
accounts.py       whom to bill, and the organization's own limits
months.py         calendar months
statements.py     the open month, computed; closed ones, as invoices
invoice_mail.py   who gets an invoice, and how it reads
thresholds.py     who is told when, once
payment.py        how money comes in: three functions; by_hand.py is ours
pdf.py            an invoice on paper
"""
