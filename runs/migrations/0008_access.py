"""Access to single deployments and pools."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("runs", "0007_run_tokens")]
    operations: list = []
