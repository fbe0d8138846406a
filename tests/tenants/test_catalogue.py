"""What the catalogue must say about every table of tenants. A new table without its part of the wall fails here."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.db import models

from runs.partitions import TALL_TABLES
from tenants.owned import TenantOwned
from tests.sql import ask

pytestmark = pytest.mark.django_db

# Unique without the organization in front: looked up before a tenant is known, and long random bits each; or a slug,
# which is an address.
# A verified domain is met only by whoever has proved it.
UNIQUE_ACROSS_TENANTS = {
    "api_key_hash", "attempt_token", "invitation_hash", "former_organization_slug", "sso_domain_verified",
    "webhook_token", "webhook_former_token",
}  # fmt: skip

# Ids without a foreign key, and why they have none.
UNTIED = {
    "flow_run": {
        "root_id",
        "parent_id",
        "parent_task_id",
        "retry_of",
        "replays_from",
        "replay_root",
        "backfill_id",  # runs outlive it
    },  # journals come in any order
    "concurrency_limit": {"target_id"},  # a pool, a queue or a deployment
    "journal_stream": {"root_id"},
    "journal_quarantine": {"root_id"},
    "artifact": {"run_id", "task_id"},
    "stored_result": {"run_id"},  # it may be stored before the run's first batch comes
    "asset_materialization": {"run_id", "task_id"},
    "bulk_operation": {"deployment_id", "user_id", "key_id", "reached_id"},  # it outlives them all
    "backfill": {"user_id", "key_id"},  # it outlives them
    "backfill_place": {"run_id"},  # the run may be deleted, and its square says so
    "deleted_run": {"deployment_id"},  # whose it was
    "cache_entry": {"run_id", "task_id"},  # it outlives both
    "slot": {"ask", "session_id", "run_id"},  # a slot of a local run may be there before its run is
    "input_request": {"root_id"},
    "input_answer": {"actor_id"},  # an answer outlives the key or the membership of who gave it
    "usage_day": {"workspace_id", "deployment_id"},  # what was used is owed, whatever became of them
    "tag_day": {"workspace_id"},
    "meter_day": {"workspace_id"},
    "automation": {"user_id", "key_id"},  # whom it runs deployments as; looked up each time
    "automation_notification": {"run_id"},  # it outlives the run that was triggered
    "automation_firing": {"event_id", "run_id"},  # it outlives both
    "webhook": {"user_id", "key_id"},  # whom it acts as; looked up at each delivery
    "webhook_delivery": {"run_id"},  # it outlives the run
    "attempt": {"key_id"},  # a key that is gone ends the token as a revoked one does
    "access_rule": {"object_id", "deployment_id"},  # of several kinds, beyond the app
    "audit_entry": {"workspace_id", "object_id"},  # entries outlive what they tell of
    "departure": {"workspace_id", "asked_by"},  # it tells of what is gone
}
BEYOND_TENANTS = {"organization", "person"}  # foreign keys to these are plain ones


def tenant_tables() -> dict[str, bool]:
    """Every table with an organization_id, partitions too; the value says whether it is a partition."""
    return dict(
        ask(
            "SELECT c.relname, c.relispartition FROM pg_class c"
            " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'organization_id' AND NOT a.attisdropped"
            " WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace"
        )
    )


# ── row-level security ────────────────────────────────────────────────────────────────────────────────


def test_every_table_of_tenants_is_behind_the_wall() -> None:
    found = dict(ask("SELECT relname, relrowsecurity AND relforcerowsecurity FROM pg_class"))
    tables = {*tenant_tables(), "organization"}

    assert len(tables) > 100
    assert [table for table in tables if not found[table]] == []


def test_parents_have_policies_for_app_and_system_and_partitions_have_none() -> None:
    policies: dict[str, set[tuple]] = {}
    for table, role, using, check in ask(
        "SELECT tablename, unnest(roles)::text, qual, with_check FROM pg_policies WHERE cmd = 'ALL'"
    ):
        policies.setdefault(table, set()).add((role, "app.organization" in using, "app.organization" in check))
    bound = {("app", True, True), ("system", False, False)}
    tables = tenant_tables()

    assert {name: policies.get(name, set()) for name, leaf in tables.items() if leaf and name in policies} == {}
    assert {name: policies.get(name) for name, leaf in tables.items() if not leaf and policies.get(name) != bound} == {}
    assert policies["organization"] == bound


def test_other_policies_only_read_and_are_known() -> None:
    others = ask("SELECT tablename, policyname, roles::text[], cmd FROM pg_policies WHERE cmd <> 'ALL' ORDER BY 1, 2")
    assert others == [
        ("api_key", "look_up", ["owner"], "SELECT"),
        ("attempt", "look_up", ["owner"], "SELECT"),
        ("flow_run", "look_up", ["owner"], "SELECT"),
        ("former_slug", "look_up", ["owner"], "SELECT"),
        ("invitation", "look_up", ["owner"], "SELECT"),
        ("lease", "look_up", ["owner"], "SELECT"),
        ("membership", "own", ["app"], "SELECT"),
        ("organization", "look_up", ["owner"], "SELECT"),
        ("organization", "own", ["app"], "SELECT"),
        ("sso_domain", "look_up", ["owner"], "SELECT"),
        ("sso_provider", "look_up", ["owner"], "SELECT"),
        ("team_member", "own", ["app"], "SELECT"),
        ("team_part", "own", ["app"], "SELECT"),
        ("usage_day", "look_up", ["owner"], "SELECT"),
        ("usage_delta", "look_up", ["owner"], "SELECT"),
        ("usage_seal", "look_up", ["owner"], "SELECT"),
        ("webhook", "look_up", ["owner"], "SELECT"),
        ("workspace", "look_up", ["owner"], "SELECT"),
        ("workspace", "own", ["app"], "SELECT"),
        ("workspace_membership", "own", ["app"], "SELECT"),
    ]


def test_app_owns_nothing_and_reaches_partitions_by_their_parents_only() -> None:
    owners = ask("SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = 'public'::regnamespace")
    open_leaves = ask(
        "SELECT c.relname FROM pg_class c, unnest(ARRAY['app', 'system', 'web', 'worker']) role"
        " WHERE c.relispartition AND c.relkind IN ('r', 'p')"
        " AND has_table_privilege(role, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')"
    )
    assert owners == [("owner",)]
    assert open_leaves == []


def test_definer_functions_fix_their_search_path() -> None:
    loose = ask(
        "SELECT proname FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace"
        " AND NOT coalesce(proconfig, '{}') @> ARRAY['search_path=public, pg_temp']"
    )
    assert loose == []


def keys_of(kind: str) -> list[tuple[str, str, list[str], str | None, list[str] | None]]:
    """(table, constraint, columns, target, its columns) of ordinary tenants' tables and parents."""
    return ask(
        "SELECT c.relname, k.conname, (SELECT array_agg(attname::text ORDER BY ordinality)"
        "   FROM unnest(k.conkey) WITH ORDINALITY u (n, ordinality)"
        "   JOIN pg_attribute ON attrelid = c.oid AND attnum = n),"
        "  f.relname, (SELECT array_agg(attname::text ORDER BY ordinality)"
        "   FROM unnest(k.confkey) WITH ORDINALITY u (n, ordinality)"
        "   JOIN pg_attribute ON attrelid = f.oid AND attnum = n)"
        " FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid LEFT JOIN pg_class f ON f.oid = k.confrelid"
        " WHERE k.contype = %s AND NOT c.relispartition AND c.relname = ANY(%s)",
        kind,
        list(tenant_tables()),
    )


def test_primary_keys_begin_with_the_organization() -> None:
    """Or have it within: rows of a run are looked for by the run, and nobody else's row of that id is in the way."""
    others = {table: columns for table, _, columns, *_ in keys_of("p") if columns[0] != "organization_id"}
    assert others == {
        "task_run": ["run_id", "id", "organization_id", "retention", "bucket"],
        "log_line": ["root_id", "line_no", "organization_id", "retention", "bucket"],
    }


def test_unique_constraints_begin_with_the_organization() -> None:
    unique = ask(
        "SELECT c.relname, i.relname, a.attname FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid"
        " JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = x.indkey[0]"
        " WHERE x.indisunique AND NOT x.indisprimary AND NOT c.relispartition AND c.relname = ANY(%s)",
        list(tenant_tables()),
    )
    assert len(unique) > 10
    assert {index for _, index, column in unique if column != "organization_id"} == UNIQUE_ACROSS_TENANTS


def missing_ties(columns: dict[str, set[str]], ties: dict[str, set[str]]) -> dict[str, set[str]]:
    """Id columns of each table that no foreign key ties to the same organization."""
    left = {table: names - ties.get(table, set()) - UNTIED.get(table, set()) for table, names in columns.items()}
    return {table: names for table, names in left.items() if names}


def id_columns() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for table, column in ask(
        "SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
        " WHERE c.relname = ANY(%s) AND NOT c.relispartition AND a.atttypid = 'uuid'::regtype AND a.attnum > 0"
        " AND NOT a.attname = ANY(%s)",
        [table for table in tenant_tables() if table not in TALL_TABLES],
        ["id", "organization_id", "user_id", "created_by_id"],
    ):
        found.setdefault(table, set()).add(column)
    return found


def ties() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for table, _, columns, target, target_columns in keys_of("f"):
        if target not in BEYOND_TENANTS:
            assert (columns[0], target_columns) == ("organization_id", ["organization_id", "id"]), (table, columns)
            found.setdefault(table, set()).add(columns[1])
    return found


def test_foreign_keys_between_tenants_tables_are_composite_and_none_is_missing() -> None:
    assert missing_ties(id_columns(), ties()) == {}


def test_a_missing_foreign_key_would_be_found() -> None:
    present = ties()
    present["lease"] -= {"run_id"}
    assert missing_ties(id_columns(), present) == {"lease": {"run_id"}}


def test_the_models_agree_with_the_catalogue() -> None:
    """A foreign key that a model has and the migration forgot."""
    present = ties()
    for model in apps.get_models():
        for field in model._meta.concrete_fields:
            if isinstance(field, models.ForeignKey) and issubclass(field.related_model, TenantOwned):
                assert field.column in present[model._meta.db_table], field
                assert not field.db_constraint, f"{field}: use same_tenant()"


def test_tall_tables_carry_no_foreign_keys() -> None:
    assert [key for key in keys_of("f") if key[0] in TALL_TABLES] == []


def test_look_ups_before_a_tenant_is_known_tell_ids_only() -> None:
    told = ask(
        "SELECT proname, pg_get_function_result(oid) FROM pg_proc"
        " WHERE prosecdef AND pronamespace = 'public'::regnamespace ORDER BY 1"
    )
    assert told == [
        ("bucket_has_live_runs", "boolean"),
        ("find_api_key", "TABLE(organization_id uuid, id uuid)"),
        ("find_invitation", "TABLE(organization_id uuid, id uuid)"),
        (
            "find_run_token",
            "TABLE(organization_id uuid, workspace_id uuid, run_id uuid, attempt integer, live boolean, "
            "deployment_id uuid)",
        ),
        ("find_sso", "TABLE(organization_id uuid)"),
        ("find_webhook", "TABLE(organization_id uuid, id uuid)"),
        ("former_organization", "uuid"),
        ("organization_slug_taken", "boolean"),
        ("usage_is_rolled_up", "boolean"),
        ("usage_is_sealed", "boolean"),
        ("usage_mismatches", "bigint"),
    ]
    assert ask("SELECT * FROM find_api_key(%s)", b"\x00" * 32) == []
