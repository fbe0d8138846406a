"""Access to single blocks."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("blocks", "0003_blocks")]
    operations: list = []
