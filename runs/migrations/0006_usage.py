from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("runs", "0005_automations"), ("tenants", "0007_billing")]

    operations = []
