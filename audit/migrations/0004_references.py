"""The trigger functions that keep references between tables."""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from audit.referring import REFERRED, REFERS


def create(_apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.schema_name == "public":  # type: ignore[attr-defined] # our backend's
        editor.execute(REFERS, params=None)
        editor.execute(REFERRED, params=None)


class Migration(migrations.Migration):
    dependencies = [("audit", "0003_track_without_comparing")]
    operations = [migrations.RunPython(create, migrations.RunPython.noop)]
