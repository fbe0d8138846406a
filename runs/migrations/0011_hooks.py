"""Hooks of runs whose process was killed."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("runs", "0010_artifacts")]
    operations: list = []
