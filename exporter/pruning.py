"""Removing the files that are past their time: by whose settings, which, and how."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from datetime import datetime

from django.conf import settings
from django.db import transaction

from accounts.models import User
from audit.services import record
from core.errors import RowhouseError
from exporter.destinations import store_of
from exporter.latest import point
from exporter.manifests import remove_unneeded
from exporter.models import Destination, ExportFile, ExportSettings
from exporter.retention import Candidate, Policy, expired

logger = logging.getLogger(__name__)


def policy(chosen: ExportSettings | None = None) -> Policy:
    """Return the retention that settings say; what they leave open is the installation's."""
    usual = Policy(settings.ROWHOUSE_EXPORT_KEEP_DAYS, settings.ROWHOUSE_EXPORT_KEEP_COUNT)
    if chosen is None:
        return usual
    said = {name: getattr(chosen, name) for name in ("keep_days", "keep_count", "keep_bytes")}
    return replace(
        usual,
        **{name: value for name, value in said.items() if value is not None},
        keep_daily=chosen.keep_daily,
        keep_monthly=chosen.keep_monthly,
    )


def policies() -> Callable[[Hashable], Policy]:
    """Return what says the retention of a dataset by its primary key; of a deleted one it is the tenant's."""
    own = {one.dataset_id: policy(one) for one in ExportSettings.objects.all()}
    rest = own.get(None, policy())
    # A deleted dataset's files are grouped by its slug, which is no primary key.
    return lambda group: own.get(group, rest) if isinstance(group, int) else rest


def past_their_time(
    *, now: datetime, keep: Policy | Callable[[Hashable], Policy] | None = None
) -> list[ExportFile]:
    """Return the files that would go at `now`, in the order they would go in."""
    stored = ExportFile.objects.stored().values_list(
        "pk", "dataset_id", "dataset_slug", "created_at", "fault", "bytes", "base_id"
    )
    candidates = (
        Candidate(pk, dataset_pk or slug, created_at, not fault, size, base)
        for pk, dataset_pk, slug, created_at, fault, size, base in stored.iterator()
    )
    past = [one.pk for one in expired(candidates, policies() if keep is None else keep, now=now)]
    files = ExportFile.objects.in_bulk(past)
    return [files[pk] for pk in past]


@transaction.atomic
def prune_exports(
    *,
    now: datetime,
    dry_run: bool = False,
    keep: Policy | Callable[[Hashable], Policy] | None = None,
    limit: int | None = None,
    by: User | None = None,
) -> list[ExportFile]:
    """Remove the files past their time, oldest first and at most `limit`; their rows stay. Returns them.

    Only keys that stand in the tenant's own rows are touched. A repeat after a death goes on where it stopped.
    """
    past = past_their_time(now=now, keep=keep)
    if dry_run:
        return past[:limit]
    gone = _remove(_held(past), now, limit=len(past) if limit is None else limit)
    if gone:
        record("exporter.files.pruned", actor=by, files=len(gone), bytes=sum(file.bytes for file in gone))
    return gone


def remove_files(files: list[ExportFile], now: datetime) -> list[ExportFile]:
    """Remove these files whatever their age; their rows stay. Returns those that went: a bucket may not answer."""
    gone = _remove(files, now, limit=len(files))
    if gone:
        record("exporter.files.pruned", files=len(gone), bytes=sum(file.bytes for file in gone))
    return gone


def _held(files: list[ExportFile]) -> list[ExportFile]:
    """Return the files without those that an export under way goes on from, which have time until it is over."""
    free = ExportFile.objects.stored().select_for_update(skip_locked=True)
    held = set(free.filter(pk__in=[file.pk for file in files]).values_list("pk", flat=True))
    return [file for file in files if file.pk in held]


def _remove(files: Iterable[ExportFile], now: datetime, *, limit: int) -> list[ExportFile]:
    """Remove at most `limit` files; those in a tenant's own bucket that does not answer wait for the next time."""
    gone: list[ExportFile] = []
    for destination, those in _by_destination(files):
        batch = those[: limit - len(gone)]
        try:
            # First, so that no object is left without a row that knows it.
            store_of(destination).delete_many([file.key for file in batch])
        except RowhouseError as error:
            if destination is None:
                raise
            logger.warning("%s files past their time stay in %s: %s", len(those), destination, error)
        else:
            gone += batch
    for file in gone:
        file.deleted_at = now
    ExportFile.objects.bulk_update(gone, ["deleted_at"], batch_size=1000)
    point(file.dataset_slug for file in gone)
    remove_unneeded([file.run_id for file in gone])
    return gone


def _by_destination(files: Iterable[ExportFile]) -> list[tuple[Destination | None, list[ExportFile]]]:
    by_pk: defaultdict[int | None, list[ExportFile]] = defaultdict(list)
    for file in files:
        by_pk[file.destination_id].append(file)
    found = Destination.objects.in_bulk([pk for pk in by_pk if pk is not None])
    return [(found[pk] if pk is not None else None, those) for pk, those in by_pk.items()]
