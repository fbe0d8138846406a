"""When was anything in the cache invalidated last?"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0018_background")]

    operations = [
        migrations.AddIndex(
            model_name="cacheentry",
            index=models.Index(
                fields=["organization", "workspace", "-invalidated_at"],
                name="cache_entry_invalidated",
                condition=models.Q(("invalidated_at__isnull", False)),
            ),
        ),
    ]
