"""Changing how datasets are exported: the tenant's settings, and those a dataset has of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction

from audit.services import record
from core import clock
from core.errors import BadFields, RowhouseError
from datasets import access
from datasets.models import Dataset
from exporter.models import Destination, ExportSettings
from exporter.scheduling import keep_slots
from exporter.services import require_whole
from exporter.settings_rules import DEFAULTS, faults_of, settled

CHANGES_TENANTS = "exporter.change_exportsettings"
NOBODYS = "0"  # the mark of settings that nobody has stored


class BadSettings(BadFields):
    """Settings that cannot be."""

    code = "bad-export-settings"


class SettingsChanged(RowhouseError):
    """Somebody else changed the settings since they were looked at."""

    code = "export-settings-changed"


def own_settings(dataset: Dataset | None) -> ExportSettings | None:
    """Return the row of a dataset's own, or with None the tenant's; None: there is no such row."""
    return ExportSettings.objects.select_related("destination").filter(dataset=dataset).first()


def mark_of(settings: ExportSettings | None) -> str:
    """Return what tells these settings from what they were before and will be: row and version."""
    return f"{settings.pk}.{settings.version}" if settings is not None and settings.pk else NOBODYS


def values_of(settings: ExportSettings | None) -> dict[str, Any]:
    """Return every setting; of None, what a new tenant has."""
    return dict(DEFAULTS) if settings is None else {name: getattr(settings, name) for name in DEFAULTS}


def may_change(user: Any, dataset: Dataset | None) -> bool:
    """Return whether a person may change the settings of a dataset, or with None the tenant's."""
    if user is None:
        return True
    if dataset is None:
        return bool(user.has_perm(CHANGES_TENANTS))
    return {"manage", "export"} <= access.rights_of(user, dataset) and not access.has_hidden(user, dataset)


@transaction.atomic
def change_export_settings(
    *, dataset: Dataset | None, values: Mapping[str, Any], seen: str, by: Any
) -> ExportSettings:
    """Give a dataset settings of its own, or with None the tenant its settings; what is left out is the default.

    `seen` is the mark (`mark_of`) of the row the person looked at. Settings that do not apply are kept as a new
    tenant has them. Nothing is written where nothing differs.

    :raises PermissionDenied: the person may not.
    :raises ColumnsHidden: a column of the dataset is hidden from him.
    :raises BadSettings: a value cannot be.
    :raises SettingsChanged: the row is not the one that was seen.
    """
    _require(by, dataset)
    wanted = settled(values)
    if faults := _faults(wanted, dataset):
        raise BadSettings(faults)
    held = _held(dataset, seen)
    before = None if held is None else _told(held)
    settings = held or ExportSettings(dataset=dataset, version=0)
    for name, value in wanted.items():
        setattr(settings, name, value)
    if before == _told(settings):
        return settings
    settings.version += 1
    try:
        with transaction.atomic():
            settings.save()
    except IntegrityError:  # two stored the first row at once
        raise _changed(dataset) from None
    keep_slots(now=clock.now())
    record("exporter.settings.changed", actor=by, target=dataset, before=before, after=_told(settings))
    return settings


@transaction.atomic
def remove_export_settings(*, dataset: Dataset, seen: str, by: Any) -> None:
    """Take a dataset's own settings away: the tenant's hold for it again. Nothing is done where it has none.

    :raises PermissionDenied: the person may not.
    :raises ColumnsHidden: a column of the dataset is hidden from him.
    :raises SettingsChanged: the row is not the one that was seen.
    """
    _require(by, dataset)
    held = _held(dataset, seen)
    if held is not None:
        before = _told(held)
        held.delete()
        keep_slots(now=clock.now())
        record("exporter.settings.changed", actor=by, target=dataset, before=before, after=None)


def _require(by: Any, dataset: Dataset | None) -> None:
    if by is None:
        return
    if dataset is None:
        if not by.has_perm(CHANGES_TENANTS):
            raise PermissionDenied("You may not change the export settings of every dataset. Ask an owner.")
        return
    access.require(by, "manage", dataset)
    access.require(by, "export", dataset)
    require_whole(by, dataset)


def _held(dataset: Dataset | None, seen: str) -> ExportSettings | None:
    """Return the row, held until the transaction ends."""
    held = ExportSettings.objects.select_for_update().filter(dataset=dataset).first()
    if mark_of(held) != seen:
        raise _changed(dataset)
    return held


def _changed(dataset: Dataset | None) -> SettingsChanged:
    whose = f"of “{dataset.title}”" if dataset else "of the tenant"
    return SettingsChanged(
        f"Somebody changed the export settings {whose} since you opened them, and nothing of yours was stored."
        " Look at them again, then change what you still want."
    )


def _faults(wanted: dict[str, Any], dataset: Dataset | None) -> dict[str, str]:
    if dataset is None:
        faults = faults_of(wanted, ())
    else:
        spec = dataset.spec()
        faults = faults_of(wanted, spec.columns, spec.key)
    try:
        ExportSettings(**wanted).clean_fields(exclude=["dataset", *faults])
    except ValidationError as error:
        faults |= {name: " ".join(sentences) for name, sentences in error.message_dict.items()}
    destination: Destination | None = wanted["destination"]
    if destination is not None and (destination.tested_at is None or destination.error):
        faults["destination"] = f"{destination} did not pass its test yet. Test it, then choose it."
    return faults


def _told(settings: ExportSettings) -> dict[str, Any]:
    values = values_of(settings)
    return {**values, "destination": values["destination"] and values["destination"].name}
