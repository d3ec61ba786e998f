"""The trigger function anew, which can be told to keep still, and two that serve changes of a definition."""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from audit.tracking import FUNCTION, QUEUE_FUNCTION, RESET_FUNCTION


def replace(_apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.schema_name == "public":  # type: ignore[attr-defined] # our backend's
        for function in (FUNCTION, QUEUE_FUNCTION, RESET_FUNCTION):
            editor.execute(function, params=None)


class Migration(migrations.Migration):
    dependencies = [("audit", "0004_references")]
    operations = [migrations.RunPython(replace, migrations.RunPython.noop)]
