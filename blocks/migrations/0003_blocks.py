from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("blocks", "0002_wall"), ("tenants", "0003_foundation")]

    operations = []
