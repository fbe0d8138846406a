"""The runs that a run has called or triggered are found by an index."""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("runs", "0029_what_goes")]
    operations = [
        migrations.AddIndex(
            "flowrun",
            models.Index(
                fields=["organization", "parent_id", "-created_at", "-id"],
                condition=Q(parent_id__isnull=False),
                name="flow_run_of_parent",
            ),
        )
    ]
