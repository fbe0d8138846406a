"""Row-level security, composite keys, the partitioned tables, and the look-up of run tokens."""

from django.db import migrations

from runs.partitions import schema
from tenants.database import CompositeForeignKey, TenantTable, policies

TENANT_TABLES = [
    "flow", "limit", "workpool", "workqueue", "agent", "bundle", "deployment", "schedule",
    "flowrun", "attempt", "lease", "journalquarantine", "artifact",
]  # fmt: skip

IN_WORKSPACE = ["flow", "limit", "workpool", "workqueue", "agent", "deployment", "schedule", "flowrun", "artifact"]

FOREIGN_KEYS = [
    ("workqueue", "pool", "CASCADE"),
    ("agent", "pool", "CASCADE"),
    ("deployment", "flow", "CASCADE"),
    ("deployment", "pool", "RESTRICT"),
    ("deployment", "queue", "RESTRICT"),
    ("schedule", "deployment", "CASCADE"),
    ("flowrun", "flow", "CASCADE"),
    ("flowrun", "deployment", "SET NULL"),
    ("flowrun", "schedule", "SET NULL"),
    ("flowrun", "pool", "SET NULL"),
    ("flowrun", "queue", "SET NULL"),
    ("attempt", "run", "CASCADE"),
    ("attempt", "agent", "SET NULL"),
    ("lease", "run", "CASCADE"),
    ("lease", "agent", "SET NULL"),
    ("lease", "limit", "CASCADE"),
]

# The functions below run as the tables' owner, whom row-level security binds too.
OWNER_MAY_LOOK_UP = [
    f"CREATE POLICY look_up ON {table} FOR SELECT TO CURRENT_USER USING (true)"
    for table in ("attempt", "flow_run", "lease")
]

# `live`: the attempt still holds the run. A token that does not may only deliver its journal.
FIND_RUN_TOKEN = """
    CREATE FUNCTION find_run_token(hash bytea)
    RETURNS TABLE (organization_id uuid, workspace_id uuid, run_id uuid, attempt integer, live boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        SELECT a.organization_id, r.workspace_id, a.run_id, a.number, EXISTS (
            SELECT 1 FROM lease l
            WHERE l.organization_id = a.organization_id AND l.run_id = a.run_id AND l.attempt = a.number
        )
        FROM attempt a JOIN flow_run r ON r.organization_id = a.organization_id AND r.id = a.run_id
        WHERE a.token_hash = $1
    $$
"""

# Asked by the partition tick, which owns the tables but belongs to no tenant.
BUCKET_HAS_LIVE_RUNS = """
    CREATE FUNCTION bucket_has_live_runs(days smallint, first date, beyond date) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        SELECT EXISTS (
            SELECT 1 FROM flow_run r
            WHERE r.retention = $1 AND r.bucket >= $2 AND r.bucket < $3
            AND r.state_type IN ('SCHEDULED', 'PENDING', 'RUNNING', 'PAUSED', 'CANCELLING')
        )
    $$
"""


class Migration(migrations.Migration):
    dependencies = [("runs", "0001_initial"), ("tenants", "0002_wall")]

    operations = [
        *(TenantTable(model) for model in TENANT_TABLES),
        migrations.RunSQL(policies("journal_stream")),
        *(CompositeForeignKey(model, "workspace", on_delete="CASCADE") for model in IN_WORKSPACE),
        *(CompositeForeignKey(model, field, on_delete=action) for model, field, action in FOREIGN_KEYS),
        migrations.RunSQL(list(schema())),
        migrations.RunSQL([*OWNER_MAY_LOOK_UP, FIND_RUN_TOKEN, BUCKET_HAS_LIVE_RUNS]),
    ]
