"""Teams with their parts, roles of an organization's own, and rules of access to single objects."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import orchestrator.ids
from tenants.database import USER, CompositeForeignKey, TenantTable

ROLES = [(role, role.title()) for role in ("owner", "developer", "runner", "viewer", "agent")]

# A person may see the workspaces that they have a part in, be it by a team, before one is chosen.
OWN_TEAMS = f"CREATE POLICY own ON team_member FOR SELECT TO app USING (user_id = {USER})"
OWN_TEAMS_PARTS = f"""
    CREATE POLICY own ON team_part FOR SELECT TO app USING (
        (organization_id, team_id) IN (SELECT organization_id, team_id FROM team_member WHERE user_id = {USER})
    )
"""
OWN_WORKSPACES = f"""
    CREATE POLICY own ON workspace FOR SELECT TO app USING (
        (organization_id, id) IN (
            SELECT organization_id, workspace_id FROM workspace_membership WHERE user_id = {USER}
        ) OR (organization_id, id) IN (
            SELECT p.organization_id, p.workspace_id FROM team_part p
            JOIN team_member m ON m.organization_id = p.organization_id AND m.team_id = p.team_id
            WHERE m.user_id = {USER}
        ) OR organization_id IN (
            SELECT organization_id FROM membership WHERE user_id = {USER} AND role IN ('owner', 'admin')
        )
    )
"""

# Pages of organizations are called so from now on. The owner of the tables is bound by their policies as others are.
FREE_ADDRESSES = [
    "ALTER TABLE workspace NO FORCE ROW LEVEL SECURITY",
    "UPDATE workspace SET slug = slug || '-' || right(id::text, 6) WHERE slug IN ('teams', 'roles')",
    "ALTER TABLE workspace FORCE ROW LEVEL SECURITY",
]


def own() -> list:
    """The fields that every table of tenants has."""
    id = models.UUIDField(default=orchestrator.ids.uuid7, editable=False, primary_key=True, serialize=False)
    organization = models.ForeignKey(
        db_index=False,
        editable=False,
        on_delete=django.db.models.deletion.CASCADE,
        related_name="+",
        to="tenants.organization",
    )
    return [("id", id), ("organization", organization)]


def tied(to: str, related_name: str = "+", *, null: bool = False) -> models.ForeignKey:
    return models.ForeignKey(
        null=null,
        db_constraint=False,
        db_index=False,
        on_delete=django.db.models.deletion.DO_NOTHING,
        related_name=related_name,
        to=to,
    )


PERSON = models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL)
MADE = ("created_at", models.DateTimeField(default=django.utils.timezone.now))


class Migration(migrations.Migration):
    dependencies = [("tenants", "0007_billing")]

    operations = [
        migrations.AlterField(
            "workspacemembership", "role", models.CharField(choices=ROLES, default="viewer", max_length=40)
        ),
        migrations.AlterField("apikey", "role", models.CharField(choices=ROLES, default="developer", max_length=40)),
        migrations.CreateModel(
            name="CustomRole",
            fields=[
                *own(),
                ("slug", models.CharField(max_length=40)),
                ("name", models.CharField(max_length=60)),
                (
                    "verbs",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=40), default=list, size=None
                    ),
                ),
                MADE,
                ("updated_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={"db_table": "custom_role"},
        ),
        migrations.CreateModel(
            name="Team",
            fields=[*own(), ("name", models.CharField(max_length=120)), MADE],
            options={"db_table": "team"},
        ),
        migrations.CreateModel(
            name="TeamMember",
            fields=[*own(), ("team", tied("tenants.team", "members")), ("user", PERSON), MADE],
            options={"db_table": "team_member"},
        ),
        migrations.CreateModel(
            name="TeamPart",
            fields=[
                *own(),
                ("team", tied("tenants.team", "parts")),
                ("workspace", tied("tenants.workspace")),
                ("role", models.CharField(max_length=40)),
                MADE,
            ],
            options={"db_table": "team_part"},
        ),
        migrations.AddConstraint(
            "customrole", models.UniqueConstraint(fields=["organization", "slug"], name="custom_role_slug")
        ),
        migrations.AddConstraint("team", models.UniqueConstraint(fields=["organization", "name"], name="team_name")),
        migrations.AddConstraint(
            "teammember",
            models.UniqueConstraint(fields=["organization", "team", "user"], name="team_member_once"),
        ),
        migrations.AddConstraint(
            "teampart",
            models.UniqueConstraint(fields=["organization", "team", "workspace"], name="team_part_once"),
        ),
        migrations.AddIndex(
            "teampart", models.Index(fields=["organization", "workspace"], name="team_part_of_workspace")
        ),
        migrations.CreateModel(
            name="AccessRule",
            fields=[
                *own(),
                ("workspace", tied("tenants.workspace")),
                ("object_id", models.UUIDField()),
                ("deployment_id", models.UUIDField(null=True)),
                ("level", models.SmallIntegerField(choices=[(1, "View"), (2, "Use"), (3, "Edit")], default=1)),
                MADE,
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("team", tied("tenants.team", null=True)),
                ("key", tied("tenants.apikey", null=True)),
            ],
            options={"db_table": "access_rule"},
        ),
        migrations.AddConstraint(
            "accessrule",
            models.UniqueConstraint(
                fields=["organization", "object_id", "user", "team", "key", "deployment_id"],
                nulls_distinct=False,
                name="access_rule_once",
            ),
        ),
        TenantTable("accessrule"),
        TenantTable("customrole"),
        TenantTable("team"),
        TenantTable("teammember"),
        TenantTable("teampart"),
        CompositeForeignKey("teammember", "team", on_delete="CASCADE"),
        CompositeForeignKey("teampart", "team", on_delete="CASCADE"),
        CompositeForeignKey("teampart", "workspace", on_delete="CASCADE"),
        CompositeForeignKey("accessrule", "workspace", on_delete="CASCADE"),
        CompositeForeignKey("accessrule", "team", on_delete="CASCADE"),
        CompositeForeignKey("accessrule", "key", on_delete="CASCADE"),
        migrations.RunSQL(["DROP POLICY own ON workspace", OWN_TEAMS, OWN_TEAMS_PARTS, OWN_WORKSPACES]),
        migrations.RunSQL(FREE_ADDRESSES),
    ]
