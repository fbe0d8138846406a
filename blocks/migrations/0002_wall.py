"""Row-level security and composite keys."""

from django.db import migrations

from tenants.database import CompositeForeignKey, TenantTable


class Migration(migrations.Migration):
    dependencies = [("blocks", "0001_initial"), ("tenants", "0002_wall")]

    operations = [TenantTable("variable"), CompositeForeignKey("variable", "workspace", on_delete="CASCADE")]
