"""Exports of organizations, and moves of workspaces."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("tenants", "0008_teams")]
    operations: list = []
