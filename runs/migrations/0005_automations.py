from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("runs", "0004_wide_workspaces"), ("tenants", "0006_outbox")]

    operations = []
