"""Teams, custom roles and access to single objects."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("tenants", "0007_billing")]
    operations: list = []
