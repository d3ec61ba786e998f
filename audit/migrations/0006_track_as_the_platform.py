"""The trigger function anew: it writes history with the platform's rights, which the roles of tenants have not."""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from audit.tracking import FUNCTION


def create(_apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.schema_name == "public":  # type: ignore[attr-defined] # our backend's
        editor.execute(FUNCTION, params=None)


class Migration(migrations.Migration):
    dependencies = [("audit", "0005_track_changes_of_form")]
    operations = [migrations.RunPython(create, migrations.RunPython.noop)]
