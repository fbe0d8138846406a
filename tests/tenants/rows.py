"""Rows of a company in every table that a company can have rows in: what is empty is filled with whatever it takes."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime
from typing import Any

from django.apps import apps
from django.contrib.postgres.fields import ArrayField
from django.db import models

from orchestrator.ids import uuid7
from tenants.leaving.tables import tables
from tenants.owned import TenantOwned
from tests.cast import Company
from tests.sql import ask


def held(company: Company) -> dict[str, str]:
    """What each table holds of a company: a fingerprint of its rows, of those tables that hold any."""
    found = {}
    with company.scope():
        for table in ["organization", *tables()]:
            own = "id" if table == "organization" else "organization_id"
            rows = ask(f"SELECT every::text FROM {table} every WHERE {own} = %s ORDER BY 1", company.organization.id)
            if rows:
                found[table] = hashlib.sha256(repr(rows).encode()).hexdigest()
    return found


def fill(company: Company) -> None:
    """Put a row into each table of tenants in which the company has none."""
    of_table = {model._meta.db_table: model for model in apps.get_models() if issubclass(model, TenantOwned)}
    with company.scope():
        for name in reversed(tables()):
            if name in of_table and not of_table[name].objects.exists():
                model = of_table[name]
                model.objects.bulk_create([model(**_values(model, company))])


def _values(model: Any, company: Company) -> dict[str, Any]:
    values = {field.attname: _value(field, company) for field in model._meta.concrete_fields}
    return values | {"organization_id": company.organization.id}


def _value(field: models.Field, company: Company) -> Any:
    if field.null and not isinstance(field, models.ForeignKey):
        return None
    if isinstance(field, models.ForeignKey):
        return _target(field, company)
    if field.has_default():
        return field.get_default()
    for kind, value in (
        (ArrayField, []), (models.JSONField, {}), (models.BinaryField, uuid7().bytes), (models.UUIDField, uuid7()),
        (models.DateTimeField, datetime(2026, 5, 1, tzinfo=UTC)), (models.DateField, date(2026, 5, 1)),
        (models.EmailField, f"{uuid7()}@acme.example"), (models.BooleanField, False), (models.DecimalField, 1),
        (models.IntegerField, 1), (models.FloatField, 1.0),
    ):  # fmt: skip
        if isinstance(field, kind):
            return value
    return f"{uuid7().hex}"[: field.max_length or 40]


def _target(field: models.ForeignKey, company: Company) -> Any:
    if field.related_model._meta.db_table == "person":
        return company.owner.id
    return field.related_model.objects.order_by("pk").values_list("pk", flat=True).first()
