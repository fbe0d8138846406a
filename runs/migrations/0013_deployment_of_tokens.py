"""A run's token tells the run's deployment: restricted blocks are open to the runs of some."""

from django.db import migrations

FIND_RUN_TOKEN = """
    CREATE FUNCTION find_run_token(hash bytea)
    RETURNS TABLE (
        organization_id uuid, workspace_id uuid, run_id uuid, attempt integer, live boolean, deployment_id uuid
    )
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        SELECT a.organization_id, r.workspace_id, a.run_id, a.number, (a.hooks_until > now() OR EXISTS (
            SELECT 1 FROM lease l
            WHERE l.organization_id = a.organization_id AND l.run_id = a.run_id AND l.attempt = a.number
        )) IS TRUE AND (a.key_id IS NULL OR EXISTS (
            SELECT 1 FROM api_key k
            WHERE k.organization_id = a.organization_id AND k.id = a.key_id
            AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
            AND (k.user_id IS NULL OR EXISTS (SELECT 1 FROM person p WHERE p.id = k.user_id AND p.is_active))
        )), r.deployment_id
        FROM attempt a
        JOIN flow_run r ON r.organization_id = a.organization_id AND r.id = a.run_id
        JOIN workspace w ON w.organization_id = r.organization_id AND w.id = r.workspace_id
        JOIN organization o ON o.id = a.organization_id
        WHERE a.token_hash = $1 AND w.deleted_at IS NULL AND o.deleted_at IS NULL
    $$
"""


class Migration(migrations.Migration):
    dependencies = [("runs", "0012_queues")]
    operations = [migrations.RunSQL(["DROP FUNCTION find_run_token(bytea)", FIND_RUN_TOKEN])]
