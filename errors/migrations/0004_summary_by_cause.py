from django.db import migrations, models

COLUMNS = ["-occurred_at", "category", "code", "stage", "outcome", "message_type", "fingerprint"]


def wait_for_the_index(apps, schema_editor):
    """A large table takes longer than a statement may take on the way of a request (DATABASES in config/settings.py)."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("SET LOCAL statement_timeout = 0")


class Migration(migrations.Migration):
    """The new index first, under a name for the time being: the old one serves readers until then."""

    dependencies = [("errors", "0003_address")]

    operations = [
        migrations.RunPython(wait_for_the_index, migrations.RunPython.noop),
        migrations.AddIndex("routingfailure", models.Index(fields=COLUMNS, name="failure_time_new")),
        migrations.RemoveIndex("routingfailure", "failure_time"),
        migrations.RenameIndex("routingfailure", new_name="failure_time", old_name="failure_time_new"),
    ]
