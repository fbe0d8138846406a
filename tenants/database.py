"""Migration operations that build the wall: row-level security, composite keys, definer functions."""

from __future__ import annotations

from django.db.migrations.operations.base import Operation

ORGANIZATION = "(select nullif(current_setting('app.organization', true), '')::uuid)"
USER = "(select nullif(current_setting('app.user', true), '')::uuid)"
OWN_ROWS = f"organization_id = {ORGANIZATION}"


def policies(table: str, *, own: str = OWN_ROWS) -> list[str]:
    """The statements that bind `app` to its tenant's rows of a table and let `system` sweep over all."""
    return [
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
        f"CREATE POLICY tenant ON {table} TO app USING ({own}) WITH CHECK ({own})",
        f"CREATE POLICY system ON {table} TO system USING (true) WITH CHECK (true)",
    ]


class _Statements(Operation):
    """An operation that runs SQL and changes nothing in Django's picture of the models."""

    reversible = False
    reduces_to_sql = True

    def state_forwards(self, app_label, state):
        """Nothing to do."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        for statement in self.statements(app_label, to_state):
            schema_editor.execute(statement)

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        raise NotImplementedError("Restore a backup to go back.")

    def statements(self, app_label, state) -> list[str]:
        raise NotImplementedError


class TenantTable(_Statements):
    """Make (organization_id, id) the primary key and bind the table to its tenant."""

    def __init__(self, model: str) -> None:
        self.model = model

    def statements(self, app_label, state) -> list[str]:
        table = state.apps.get_model(app_label, self.model)._meta.db_table
        return [
            f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey",
            f"ALTER TABLE {table} ADD PRIMARY KEY (organization_id, id)",
            *policies(table),
        ]

    def describe(self) -> str:
        return f"Bind {self.model} to its tenant"


class CompositeForeignKey(_Statements):
    """Let a foreign key reach only rows of the same organization.

    PostgreSQL checks foreign keys without row-level security, so a plain one would tell whether a foreign row exists.
    """

    def __init__(self, model: str, field: str, *, on_delete: str = "RESTRICT") -> None:
        self.model, self.field, self.on_delete = model, field, on_delete

    def statements(self, app_label, state) -> list[str]:
        model = state.apps.get_model(app_label, self.model)
        field = model._meta.get_field(self.field)
        table, column, target = model._meta.db_table, field.column, field.related_model._meta.db_table
        action = f"SET NULL ({column})" if self.on_delete == "SET NULL" else self.on_delete
        return [
            f"ALTER TABLE {table} ADD CONSTRAINT {table}_{column}_fk FOREIGN KEY (organization_id, {column}) "
            f"REFERENCES {target} (organization_id, id) ON DELETE {action}"
        ]

    def describe(self) -> str:
        return f"Tie {self.model}.{self.field} to the same tenant"
