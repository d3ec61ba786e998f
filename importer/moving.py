"""A tenant restored under a new name: its rows speak of keys that are its own."""

from __future__ import annotations

from django.db.models import Value
from django.db.models.functions import Concat, Substr

from importer.models import ImportJob, Proposal


def move_prefix(old: str, new: str) -> None:
    """Let every key of the current tenant begin with its slug instead of the former one. No object moves."""
    moved = Concat(Value(f"{new}/"), Substr("key", len(old) + 2))
    for model in (ImportJob, Proposal):
        model.objects.filter(key__startswith=f"{old}/").update(key=moved)
    for job in ImportJob.objects.exclude(sheet={}).only("pk", "sheet"):
        sheet = {name: _moved(value, old, new) for name, value in job.sheet.items()}
        ImportJob.objects.filter(pk=job.pk).update(sheet=sheet)


def _moved(value: object, old: str, new: str) -> object:
    if isinstance(value, str) and value.startswith(f"{old}/"):
        return f"{new}/{value.removeprefix(f'{old}/')}"
    return value
