"""Artifacts by key, assets, and the feed of events."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("runs", "0009_meters")]
    operations: list = []
