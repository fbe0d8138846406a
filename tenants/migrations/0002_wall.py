"""Row-level security, composite keys, and the look-ups that happen before a tenant is known."""

from django.db import migrations

from tenants.database import ORGANIZATION, USER, CompositeForeignKey, TenantTable, policies

# A person may see the organizations they belong to, and those memberships, before one is chosen.
OWN_MEMBERSHIPS = f"CREATE POLICY own ON membership FOR SELECT TO app USING (user_id = {USER})"
OWN_ORGANIZATIONS = f"""
    CREATE POLICY own ON organization FOR SELECT TO app
    USING (id IN (SELECT organization_id FROM membership WHERE user_id = {USER}))
"""

# The functions below run as the tables' owner, whom row-level security binds too.
OWNER_MAY_LOOK_UP = [
    f"CREATE POLICY look_up ON {table} FOR SELECT TO CURRENT_USER USING (true)" for table in ("api_key", "organization")
]

FIND_API_KEY = """
    CREATE FUNCTION find_api_key(hash bytea) RETURNS TABLE (organization_id uuid, id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        SELECT k.organization_id, k.id FROM api_key k
        WHERE k.hash = $1 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
    $$
"""

SLUG_TAKEN = """
    CREATE FUNCTION organization_slug_taken(slug text) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT EXISTS (SELECT 1 FROM organization o WHERE o.slug = $1) $$
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0001_initial")]

    operations = [
        migrations.RunSQL(policies("organization", own=f"id = {ORGANIZATION}")),
        TenantTable("workspace"),
        TenantTable("membership"),
        TenantTable("workspacemembership"),
        TenantTable("apikey"),
        CompositeForeignKey("workspacemembership", "workspace", on_delete="CASCADE"),
        CompositeForeignKey("apikey", "workspace", on_delete="CASCADE"),
        migrations.RunSQL([OWN_MEMBERSHIPS, OWN_ORGANIZATIONS, *OWNER_MAY_LOOK_UP, FIND_API_KEY, SLUG_TAKEN]),
    ]
