"""The wall between tenants, from our side: one organization for one transaction.

PostgreSQL's row-level security reads `app.organization` (and, before a tenant is known, `app.user`). A scope is the
transaction in which they are set; outside one, `TenantOwned.objects` refuses to build or run a query.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connection, connections, transaction


class NoTenantScope(RuntimeError):
    """Tenant data was asked for outside `tenant_scope()`. Open one around the whole unit of work."""


class CrossTenantScope(RuntimeError):
    """A scope was opened inside the scope of another organization. End the first one before the second."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose rows the current transaction may see: one organization's, one person's own, or, for sweeps, everybody's."""

    organization_id: UUID | None = None
    user_id: UUID | None = None
    system: bool = False


_current: ContextVar[Scope | None] = ContextVar("tenant_scope", default=None)


def current_scope() -> Scope:
    """The scope that is open.

    Raises:
        NoTenantScope: None is.
    """
    scope = _current.get()
    if scope is None:
        raise NoTenantScope(NoTenantScope.__doc__)
    return scope


@contextmanager
def tenant_scope(organization_id: UUID) -> Iterator[None]:
    """Run one unit of work of one organization, in one transaction. May be nested for the same organization."""
    former = _current.get()
    if former is not None and (former.system or former.organization_id not in (None, organization_id)):
        raise CrossTenantScope(CrossTenantScope.__doc__)
    with _opened(Scope(organization_id=organization_id), former):  # A person's own rows elsewhere are not its tenant's.
        yield


@contextmanager
def another_tenant(organization_id: UUID) -> Iterator[None]:
    """Step from one organization into another and back, within one transaction. For what moves between them alone:
    whoever calls it has asked for the person's rights on both sides.
    """
    current_scope()
    with _opened(Scope(organization_id=organization_id), _current.get()):
        yield


@contextmanager
def user_scope(user_id: UUID, *, only_reads: bool = False) -> Iterator[None]:
    """See the organizations and memberships of one person, before it is known which one is meant.

    Who `only_reads` needs no savepoint inside another scope: there is nothing to take back.
    """
    with _opened(Scope(user_id=user_id), _current.get(), savepoint=not only_reads):
        yield


@contextmanager
def system_scope(using: str = DEFAULT_DB_ALIAS) -> Iterator[None]:
    """See the rows of all tenants. For sweeps: select (organization, id), leave, then work tenant by tenant.

    Works on the `worker` login only; the web login can't become `system`. `using` is the connection whose role
    changes: queries must name it, where it isn't the default one.
    """
    if _current.get() is not None:
        raise CrossTenantScope("system_scope() can't be opened inside another scope.")
    token = _current.set(Scope(system=True))
    try:
        with transaction.atomic(using=using):
            _execute("SET LOCAL ROLE system", using=using)
            yield
            if connections[using].savepoint_ids:
                _execute("SET LOCAL ROLE app", using=using)
    finally:
        _current.reset(token)


@contextmanager
def _opened(scope: Scope, former: Scope | None, *, savepoint: bool = True) -> Iterator[None]:
    with transaction.atomic(savepoint=savepoint):
        if scope != former:
            _tell_database(scope)
        token = _current.set(scope)
        try:
            yield
        finally:
            _current.reset(token)
        if scope != former and connection.savepoint_ids:  # The transaction goes on: give it back as it was.
            _tell_database(former or Scope())


def _tell_database(scope: Scope) -> None:
    _execute(
        "SELECT set_config('app.organization', %s, true), set_config('app.user', %s, true)",
        [str(scope.organization_id or ""), str(scope.user_id or "")],
    )


def _execute(statement: str, parameters: list[str] | None = None, using: str = DEFAULT_DB_ALIAS) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(statement, parameters)
