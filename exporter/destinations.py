"""Buckets of the tenant's own: entered by an owner, tested, and then written to as the platform's storage is.

What is kept there lies below the destination's prefix and the tenant's slug. The secret is sealed and never shown.
"""

from __future__ import annotations

import io
import logging
import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction

from accounts.models import User
from audit.services import record
from core import clock, sealing
from core.errors import RowhouseError
from core.outgoing import NotAllowedHost, checked_url, is_public
from core.storage import ForeignKey, StorageChanged, StorageError, Store, platform_store
from core.stores import checked_path
from core.tenancy import current_tenant
from exporter.models import OPEN_STATES, Destination, ExportFile, ExportRun, ExportSettings

logger = logging.getLogger(__name__)

PURPOSE = "exporter.destination.secret"
UNFINISHED_AFTER = timedelta(days=1)
TEST_BODY = b"Rowhouse wrote this to test that it may. It can be removed.\n"
BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
REGION = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,58}[a-z0-9])?")


class DestinationRefused(RowhouseError):
    """What was entered cannot be a destination; `field` is the one to correct, empty for the whole."""

    code = "destination-refused"
    status = 422

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class DestinationChanged(RowhouseError):
    """Somebody else has changed it since it was shown."""

    code = "destination-changed"


class DestinationInUse(RowhouseError):
    """Settings, files or a run depend on it."""

    code = "destination-in-use"


class DestinationFailing(RowhouseError):
    """Its last test failed, or it is not there any more; nothing is sent to it."""

    code = "destination-failing"


@dataclass(frozen=True, slots=True)
class Entered:
    """What a person enters. An empty secret keeps the one there is."""

    name: str
    bucket: str
    access_key: str
    secret: str = field(default="", repr=False)
    endpoint: str = ""
    region: str = "us-east-1"
    prefix: str = ""
    addressing: Literal["path", "virtual"] = "path"

    def stored(self) -> dict[str, Any]:
        """Return all but the secret, as the row has it."""
        return {name: value for name, value in asdict(self).items() if name != "secret"}


def store_of(destination: Destination | None) -> Store:
    """Return the store of a destination; None is the platform's own storage.

    :raises NotOpened: its secret was sealed under a key that is gone.
    """
    if destination is None:
        return platform_store()
    return _store(_entered(destination))


def _entered(destination: Destination) -> Entered:
    """Return what was entered, with its secret.

    :raises NotOpened: it was sealed under a key that is gone.
    """
    secret = sealing.unseal(destination.sealed_secret, purpose=PURPOSE)
    values = {name: getattr(destination, name) for name in Entered.__slots__ if name != "secret"}
    return Entered(**values, secret=secret)


def folder_of(destination: Destination) -> str:
    """Return the folder of the bucket in which the current tenant's files lie."""
    return "/".join(filter(None, [destination.prefix, current_tenant().slug])) + "/"


def _store(entered: Entered, *, is_test: bool = False) -> Store:
    # boto3 takes a third of a second to import, and most tenants have no bucket of their own.
    from core.s3 import Account, S3Store  # slow import  # noqa: PLC0415
    from core.s3http import Patience  # slow import  # noqa: PLC0415

    host = (urlsplit(entered.endpoint).hostname or "").lower()
    is_free = not host or host in settings.ROWHOUSE_DESTINATION_PRIVATE_HOSTS
    account = Account(
        bucket=entered.bucket,
        access_key=entered.access_key,
        secret_key=entered.secret,
        endpoint=entered.endpoint,
        region=entered.region,
        addressing=entered.addressing,
        title=f"The destination “{entered.name}”",
        patience=Patience(5, 10, 20, attempts=2) if is_test else Patience(),
        judge=None if is_free else is_public,
    )
    return S3Store.of_account(account, base=entered.prefix)


def create_destination(*, entered: Entered, by: User | None) -> Destination:
    """Keep a bucket that files can be sent to, after writing, reading, listing and removing a small object there.

    :raises PermissionDenied: `by` may not.
    :raises DestinationRefused: something entered is no good, or the test failed.
    """
    _require(by, "add")
    if not entered.secret:
        raise DestinationRefused("Enter the secret key.", "secret")
    entered = _tested(entered)
    sealed = sealing.seal(entered.secret, purpose=PURPOSE)
    with _unique_name(), transaction.atomic():
        made = Destination(**entered.stored(), sealed_secret=sealed, tested_at=clock.now())
        made.save()
        record("exporter.destination.created", actor=by, target=made, **_told(entered))
    return made


def change_destination(
    *, destination: Destination, version: int, entered: Entered, by: User | None
) -> Destination:
    """Change a destination that is still at the version the person saw, after the same test.

    :raises PermissionDenied: `by` may not.
    :raises DestinationRefused: something entered is no good, or the test failed.
    :raises DestinationChanged: it is at another version.
    :raises DestinationInUse: it would lead elsewhere, and stored files lie where it leads now.
    """
    _require(by, "change")
    secret = entered.secret or sealing.unseal(destination.sealed_secret, purpose=PURPOSE)
    entered = _tested(replace(entered, secret=secret))
    with _unique_name(), transaction.atomic():
        held = _held(destination, version)
        leads = [
            name for name in ("endpoint", "bucket", "prefix") if getattr(held, name) != getattr(entered, name)
        ]
        if leads and ExportFile.objects.stored().filter(destination=held).exists():
            raise DestinationInUse(
                "Stored files lie in this bucket, and would not be found any more. Keep its endpoint, bucket and"
                " prefix, or create a new destination and choose that in the settings."
            )
        changed = sorted(name for name, value in entered.stored().items() if getattr(held, name) != value)
        for name, value in entered.stored().items():
            setattr(held, name, value)
        held.sealed_secret = sealing.seal(secret, purpose=PURPOSE)
        held.tested_at, held.error, held.version = clock.now(), "", version + 1
        held.save()
        record("exporter.destination.changed", actor=by, target=held, changed=changed, **_told(entered))
    return held


@transaction.atomic
def delete_destination(*, destination: Destination, version: int, by: User | None) -> None:
    """Forget a destination that nothing depends on. What lies in the bucket stays there.

    :raises PermissionDenied: `by` may not.
    :raises DestinationChanged: it is at another version.
    :raises DestinationInUse: settings name it, files of the history lie there, or a run is about to write there.
    """
    _require(by, "delete")
    held = _held(destination, version)
    if ExportSettings.objects.filter(destination=held).exists():
        raise DestinationInUse("Export settings send files there. Choose another destination in them first.")
    if ExportFile.objects.filter(destination=held).exists():
        raise DestinationInUse(
            "Files of the history were written there, so it stays for those who look for them. Nothing more is"
            " sent to it unless settings name it."
        )
    open_runs = ExportRun.objects.filter(state__in=OPEN_STATES).values_list("plan", flat=True)
    if any(file.get("destination") == held.pk for plan in open_runs for file in plan):
        raise DestinationInUse("An export that has not ended writes there. Wait for it, or cancel it.")
    record("exporter.destination.deleted", actor=by, target=held, bucket=held.bucket, endpoint=held.endpoint)
    held.delete()


def check_destination(*, destination: Destination, by: User | None) -> Destination:
    """Test a destination as it is kept, and note the outcome in it: nothing is sent to one that fails.

    :raises PermissionDenied: `by` may not.
    """
    _require(by, "change")
    error = ""
    try:
        _tested(_entered(destination))
    except RowhouseError as refused:
        error = refused.message
    with transaction.atomic():
        held = _held(destination, destination.version)
        held.tested_at, held.error = clock.now(), error
        _save_unnoted(held, "tested_at", "error")
        record("exporter.destination.tested", actor=by, target=held, is_fine=not error)
    return held


def stores_of(plan: Iterable[dict[str, Any]]) -> dict[int, tuple[Destination | None, Store]]:
    """Return where each dataset of a run's plan goes, by its primary key.

    :raises DestinationFailing: one failed its last test, or is not there any more.
    """
    wanted = {file["dataset"]: file.get("destination") for file in plan}
    found = Destination.objects.in_bulk([pk for pk in wanted.values() if pk is not None])
    if missing := [pk for pk in wanted.values() if pk is not None and pk not in found]:
        raise DestinationFailing(
            f"Destination {missing[0]} of this export is not there any more. Start a new export."
        )
    for one in found.values():
        if one.error:
            raise DestinationFailing(
                f"The destination “{one}” failed its last test, so nothing is sent there: {one.error}"
                " Correct it and test it again; no file of this export was kept."
            )
    stores = {pk: store_of(one) for pk, one in found.items()} | {None: store_of(None)}
    return {dataset: (found.get(pk) if pk else None, stores[pk]) for dataset, pk in wanted.items()}


def remove_unfinished(*, now: datetime) -> int:
    """Remove the parts of objects that writers killed more than a day ago have left, wherever this tenant writes.

    A store that cannot be asked is asked again the next day. Returns how many were removed.
    """
    removed = 0
    for destination in (None, *Destination.objects.filter(error="")):
        try:
            removed += store_of(destination).remove_unfinished(before=now - UNFINISHED_AFTER)
        except (RowhouseError, OSError) as error:
            logger.warning(
                "Unfinished uploads of %s were not removed: %s", destination or "the platform", error
            )
    return removed


def _tested(entered: Entered) -> Entered:
    """Return what was entered in the form it is kept, when it is a place that can be written to.

    :raises DestinationRefused: it is not.
    """
    entered = _checked(entered)
    step = "Connecting"
    try:
        store = _store(entered, is_test=True)
        path = f"rowhouse-test/{uuid.uuid4().hex}.txt"
        step = "Writing"
        key = store.save(path, io.BytesIO(TEST_BODY)).key
        try:
            step = "Reading"
            with store.open_read(key) as file:
                is_same = file.read() == TEST_BODY
            step = "Listing"
            is_listed = any(listed == key for listed, _size in store.list_keys("rowhouse-test"))
        except RowhouseError:
            _forget(store, key)
            raise
        step = "Removing"
        store.delete(key)
        if not (is_same and is_listed) or store.exists(key):
            raise StorageChanged("What was written did not come back as it was, or did not go when removed.")
    except (StorageError, StorageChanged) as error:
        raise DestinationRefused(f"{step} a small test object failed. {error.message}") from error
    except ValueError as error:  # of boto3, about a name it cannot make an address of
        raise DestinationRefused(f"The test could not begin: {error}") from error
    return entered


def _forget(store: Store, key: str) -> None:
    try:
        store.delete(key)
    except RowhouseError:
        logger.info("A test object was left: %s", key)


def _checked(entered: Entered) -> Entered:
    """Return what was entered, tidied.

    :raises DestinationRefused: a value cannot be right.
    """
    texts: dict[str, Any] = {name: str(value).strip() for name, value in asdict(entered).items()}
    entered = Entered(**{**texts, "prefix": texts["prefix"].strip("/")})
    if not entered.name:
        raise DestinationRefused("Give it a name.", "name")
    if not BUCKET.fullmatch(entered.bucket):
        raise DestinationRefused("A bucket's name has 3 to 63 letters, digits, dots and hyphens.", "bucket")
    if not REGION.fullmatch(entered.region):
        raise DestinationRefused("A region is a word like eu-central-1.", "region")
    if not entered.access_key.isprintable() or not entered.access_key:
        raise DestinationRefused("Enter the access key.", "access_key")
    if entered.addressing not in {"path", "virtual"}:
        raise DestinationRefused("The bucket stands in the path or in the host name.", "addressing")
    try:
        if entered.prefix:
            checked_path(entered.prefix)
    except ForeignKey:
        raise DestinationRefused(
            "A prefix is folders with slashes between, like exports/rowhouse.", "prefix"
        ) from None
    if entered.endpoint:
        private = settings.ROWHOUSE_DESTINATION_PRIVATE_HOSTS
        try:
            entered = replace(entered, endpoint=checked_url(entered.endpoint, private=private))
        except NotAllowedHost as error:
            raise DestinationRefused(error.message, "endpoint") from error
    return entered


def _held(destination: Destination, version: int) -> Destination:
    held = Destination.objects.select_for_update().filter(pk=destination.pk, version=version).first()
    if held is None:
        raise DestinationChanged(
            "Somebody has changed or deleted this destination meanwhile. Look at it again."
        )
    return held


def _save_unnoted(destination: Destination, *fields: str) -> None:
    """Save what nobody entered: it is no version in the history."""
    destination.skip_history_when_saving = True  # type: ignore[attr-defined] # simple_history's own switch
    try:
        destination.save(update_fields=fields)
    finally:
        del destination.skip_history_when_saving  # type: ignore[attr-defined]


@contextmanager
def _unique_name() -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        raise DestinationRefused("Another destination has this name.", "name") from error


def _require(by: User | None, act: str) -> None:
    if by is not None and not by.has_perm(f"exporter.{act}_destination"):
        raise PermissionDenied("Only an owner says where exports are sent.")


def _told(entered: Entered) -> dict[str, str]:
    return {"bucket": entered.bucket, "endpoint": entered.endpoint, "prefix": entered.prefix}
