"""Migrations planted into a copy of the code, as a next release would bring them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.fleet.releases import Release

HEAD = """from core.operations import AddIndexAside
from django.db import migrations, models


"""


@dataclass(frozen=True, slots=True)
class Planted:
    """A migration of an app, and the line that its model has then."""

    app: str  # its folder
    label: str
    name: str
    body: str
    atomic: bool = True


# A column with a default of the database, which rows of old code get too; code of the new reads it.
JOB_NOTE = 'models.CharField(max_length=40, blank=True, default="", db_default="")'
RUN_NOTE = "models.IntegerField(null=True, blank=True)"


def grow(release: Release) -> None:
    """Plant additive migrations: columns, indexes made aside and a function in Python, shared and of tenants."""
    _add_field(
        release,
        "platform/jobs/models.py",
        "    created_at = models.DateTimeField(db_default=TransactionNow",
        "note",
        JOB_NOTE,
    )
    _add_field(
        release,
        "exporter/models.py",
        _first_field(release, "exporter/models.py", "ExportRun"),
        "note",
        RUN_NOTE,
    )
    jobs, exporter = "platform/jobs", "exporter"
    for app, label, name, operations, atomic in (
        (jobs, "jobs", "planted_column", f'migrations.AddField("job", "note", {JOB_NOTE}),', True),
        (jobs, "jobs", "planted_index", _index("job", "note", "planted_jobs_by_note"), False),
        (
            exporter,
            "exporter",
            "planted_column",
            f'migrations.AddField("exportrun", "note", {RUN_NOTE}),',
            True,
        ),
        (
            exporter,
            "exporter",
            "planted_python",
            "migrations.RunPython(fill, migrations.RunPython.noop),",
            True,
        ),
        (exporter, "exporter", "planted_index", _index("exportrun", "note", "planted_runs_by_note"), False),
    ):
        _migration(release, app, label, name, operations, atomic=atomic)


def shrink(release: Release) -> None:
    """Plant a migration that takes away a column which the code before it still reads."""
    operation = 'migrations.RunSQL("ALTER TABLE exporter_exportrun DROP COLUMN trigger CASCADE"),'
    _migration(release, "exporter", "exporter", "planted_drop", operation, atomic=True)


def _index(model: str, column: str, name: str) -> str:
    return f'AddIndexAside("{model}", models.Index(fields=["{column}"], name="{name}")),'


FILL = """def fill(apps, editor):
    if editor.connection.schema_name != "public":
        apps.get_model("exporter", "exportrun").objects.filter(note=None).update(note=1)


"""


def _migration(release: Release, app: str, label: str, name: str, operations: str, *, atomic: bool) -> None:
    folder = release.folder / app / "migrations"
    newest = sorted(path.stem for path in folder.glob("[0-9]*.py"))[-1]
    number = int(newest[:4]) + 1
    text = (
        f"{HEAD}{FILL}class Migration(migrations.Migration):\n    atomic = {atomic}\n"
        f'    dependencies = [("{label}", "{newest}")]\n    operations = [{operations}]\n'
    )
    (folder / f"{number:04d}_{name}.py").write_text(text, encoding="utf-8")


def _add_field(release: Release, path: str, before: str, name: str, field: str) -> None:
    file = release.folder / path
    text = file.read_text(encoding="utf-8")
    assert text.count(before) == 1, f"{path} has not once: {before}"
    file.write_text(text.replace(before, f"    {name} = {field}\n{before}"), encoding="utf-8")


def _first_field(release: Release, path: str, model: str) -> str:
    """Return a model's first line that makes a field."""
    text = (release.folder / path).read_text(encoding="utf-8")
    body = text[text.index(f"class {model}(") :]
    return next(line for line in body.splitlines() if " = models." in line)


def written(release: Release) -> list[Path]:
    """Return the planted migrations of a copy."""
    return sorted(release.folder.rglob("migrations/*_planted_*.py"))
