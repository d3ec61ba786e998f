"""A dataset as it was: from an hourly file, from a chain of changes, as of any time; record by record."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test import Client
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import jobs.services
from accounts.models import User
from audit.actor import actor
from audit.models import Event
from core import clock, storage
from core.tenancy import TenantRef, in_tenant
from datasets import pruning
from datasets.asof import whole_second
from datasets.columntypes import TYPES
from datasets.editing import add_columns, arrange_columns, retire_column
from datasets.models import Dataset
from datasets.rules import NewColumn
from datasets.services import create_dataset
from datasets.spec import Target
from exporter.folding import NotFoldable
from exporter.models import Content, ExportFile, ExportSettings, Fault
from exporter.services import ColumnsHidden
from exporter.tests.helpers import Row, column, dataset_with, export, insert
from exporter.tests.test_commands import run
from importer.models import ImportJob, ImportRules, Mode, SavedMapping, State
from importer.services import NoKey, cancel_import, confirm_import
from importer.tests.test_round_trip import COLUMNS, RECORD
from importer.undo import undo_import
from rowhouse.restoring import NotRestorable, request_restore

NASTY = (None, "", "NULL", 'a "b", c\nd', "'=1", "=1+1", " spaces ", "\\N", "ünïcode ☃", "\ufeffx")


def run_sql(statement: str, *values: str | int | None) -> None:
    with actor(None, "a test"), connection.cursor() as cursor:
        cursor.execute(statement, values)


def records(dataset: Dataset) -> list[tuple[Any, ...]]:
    """Return the records without their numbers, each value as the database writes it."""
    spec = Dataset.objects.get(pk=dataset.pk).spec()
    cells = ", ".join(f"{one.name}::text" for one in spec.columns)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {cells} FROM {spec.table} ORDER BY {', '.join(spec.key)}")
        return list(cursor.fetchall())


def database_time() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        at: datetime = cursor.fetchone()[0]
        return at


def owner() -> User:
    return User.objects.get(email="owner@t1.example")


def worked(job: ImportJob) -> ImportJob:
    jobs.services.run_pending()
    return ImportJob.objects.get(pk=job.pk)


def restored(dataset: Dataset, **source: Any) -> ImportJob:
    """Restore to the end, with whatever it deletes."""
    job = worked(request_restore(dataset=dataset, by=owner(), **source))
    assert job.state == State.PREVIEW_SUCCEEDED, (job.error, job.issue_counts)
    confirm_import(job=job, by=owner(), deletes=job.deleted_rows)
    job = worked(job)
    assert job.state == State.IMPORT_SUCCEEDED, job.error
    return job


def lively() -> Dataset:
    """A dataset of every awkward text, with a default that an empty cell must not be taken for."""
    dataset = dataset_with(
        [],
        column("id", "integer"),
        column("note"),
        column("amount", "decimal", precision=10, scale=2),
        column("state", "choice", choices=("new", "done"), default="new"),
        column("data", "json"),
    )
    insert(dataset, [[str(at), text, "1.50", None, '{"a": [1.10, null]}'] for at, text in enumerate(NASTY)])
    return dataset


def shaken(dataset: Dataset) -> None:
    """Create, change and delete records, give one another key, and make one anew."""
    spec = dataset.spec()
    key, note = spec.columns[0].name, spec.columns[1].name
    run_sql(f"UPDATE {spec.table} SET {note} = 'changed' WHERE {key} IN (1, 2)")
    run_sql(f"UPDATE {spec.table} SET {key} = {key} + 100 WHERE {key} IN (3, 4)")
    run_sql(f"DELETE FROM {spec.table} WHERE {key} IN (5, 6)")
    insert(dataset, [["5", "anew", None, "done", None], ["50", None, "7.00", None, None]])


def test_from_an_hourly_file_every_record_comes_back(t1: TenantRef) -> None:
    dataset = lively()
    before, file = records(dataset), export().files.get()
    shaken(dataset)
    ImportRules.objects.create(dataset=dataset, blank="keep")  # what it wants of people's files

    job = restored(dataset, file=file)

    assert records(dataset) == before
    assert (job.mode, job.created_rows, job.updated_rows, job.deleted_rows) == (Mode.SYNC, 3, 3, 3)
    assert not SavedMapping.objects.exists()
    asked = Event.objects.get(name="rowhouse.restore.requested")
    assert (asked.target_id, asked.data) == (str(dataset.pk), {"job": job.pk, "file": file.pk})


def test_from_a_chain_of_changes_the_dataset_of_each_file_comes_back(t1: TenantRef) -> None:
    ExportSettings.objects.create(content=Content.INCREMENTAL)
    dataset = lively()
    spec = dataset.spec()
    seen = [(export().files.get(), records(dataset))]
    shaken(dataset)
    seen.append((export().files.get(), records(dataset)))
    run_sql(f"DELETE FROM {spec.table} WHERE {spec.columns[0].name} > 7")
    seen.append((export().files.get(), records(dataset)))
    run_sql(f"DELETE FROM {spec.table}")
    assert [file.content for file, _ in seen] == ["FULL", "INCREMENTAL", "INCREMENTAL"]

    for file, expected in [*seen, seen[1], seen[0]]:
        restored(dataset, file=file)
        assert records(dataset) == expected


LABELS = st.sampled_from(["a", "b", ""])
MOVES = st.lists(
    st.tuples(st.sampled_from(["write", "delete", "rekey"]), st.integers(0, 5), st.integers(0, 5), RECORD, LABELS),
    max_size=6,
)  # fmt: skip


def do(dataset: Dataset, move: tuple[str, int, int, Row, str]) -> None:
    """Write, delete or rename the record of a key; what is not there is made."""
    kind, one, other, record, label = move
    spec = dataset.spec()
    key = spec.key[0]
    if kind == "rekey":
        run_sql(
            f"UPDATE {spec.table} SET {key} = %s WHERE {key} = %s"
            f" AND NOT EXISTS (SELECT FROM {spec.table} WHERE {key} = %s)", other, one, other,
        )  # fmt: skip
        return
    run_sql(f"DELETE FROM {spec.table} WHERE {key} = %s", one)
    if kind == "write":
        insert(dataset, [[str(one), *record, label or None]])


def sayable(record: Row, form: dict[str, Any]) -> Row:
    """JSON Lines cannot tell a value that is JSON's null from no value."""
    at = [one.type for one in COLUMNS].index("json")
    cell = None if form["format"] == "jsonl" and record[at] == "null" else record[at]
    return [*record[:at], cell, *record[at + 1 :]]


FORMS: tuple[dict[str, Any], ...] = (
    {"format": "csv"},
    {"format": "csv.gz", "delimiter": ";", "null_word": "NULL"},
    {"format": "csv", "mode": "SPREADSHEET"},
    {"format": "csv", "mode": "SPREADSHEET", "delimiter": "\t", "encoding": "utf-16"},
    {"format": "jsonl"},
    {"format": "parquet"},
    {"format": "xlsx"},
)


@pytest.mark.case("F45", "O05")
@pytest.mark.parametrize("form", FORMS, ids=lambda form: "-".join(form.values()).replace("\t", "tab"))
def test_records_of_every_type_come_back_from_file_chain_and_time_whatever_happened(
    t1: TenantRef, form: dict[str, Any]
) -> None:
    ExportSettings.objects.create(content=Content.INCREMENTAL, **form)
    dataset_with([["a", None], ["b", None]], column("name"), column("note"), slug="groups")
    group = column("group", "reference", target=Target("groups", "name"))
    dataset = dataset_with([], column("id", "integer"), *COLUMNS, group, slug="every")
    assert set(TYPES) == {one.type for one in dataset.spec().columns}

    # Of all formats the first is asked longest; the others read the same records otherwise. Shrinking takes minutes.
    @settings(
        max_examples=4 if form == FORMS[0] else 2, deadline=None, suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),
    )  # fmt: skip
    @given(st.lists(MOVES, min_size=2, max_size=3), MOVES)
    def check(between: list[list[Any]], afterwards: list[Any]) -> None:
        seen = []
        for moves in between:
            for kind, one, other, record, label in moves:
                do(dataset, (kind, one, other, sayable(record, form), label))
            seen.append((export(datasets=[dataset]).files.get(), database_time(), records(dataset)))
        for move in afterwards:
            do(dataset, move)
        for file, at, expected in seen:
            restored(dataset, file=file)
            assert records(dataset) == expected
            if form == FORMS[0]:
                restored(dataset, at=at)
                assert records(dataset) == expected

    check()
    assert ExportFile.objects.filter(content=Content.INCREMENTAL).exists()


def test_as_of_any_time_the_dataset_of_then_comes_back(t1: TenantRef) -> None:
    dataset = lively()
    seen = [(database_time(), records(dataset))]
    shaken(dataset)
    seen.append((database_time(), records(dataset)))
    undone = restored(dataset, at=seen[0][0])
    assert records(dataset) == seen[0][1]
    worked_undo = worked(undo_import(job=undone, by=owner()))
    confirm_import(job=worked_undo, by=owner(), deletes=worked_undo.deleted_rows)
    worked(worked_undo)
    assert records(dataset) == seen[1][1]  # a restore is undone like any import

    for at, expected in reversed(seen):
        restored(dataset, at=at)
        assert records(dataset) == expected


def test_columns_that_were_renamed_moved_retired_or_added_since(t1: TenantRef) -> None:
    dataset = dataset_with(
        [["1", "a", "x"], ["2", "b", "y"]], column("id", "integer"), column("note"), column("old")
    )
    file = export().files.get()
    ident, note, old = dataset.columns.order_by("position")
    arrange_columns(
        dataset=dataset, order=[note.pk, ident.pk, old.pk], labels={note.pk: "old note", ident.pk: "note"}
    )
    retire_column(dataset=dataset, column=old)
    [new] = add_columns(dataset=dataset, columns=[NewColumn("new")])
    dataset.refresh_from_db()
    run_sql(f"UPDATE {dataset.spec().table} SET c{note.pk} = 'z', c{new.pk} = 'kept' WHERE c{ident.pk} = 1")

    job = worked(request_restore(dataset=dataset, by=owner(), file=file))
    assert job.notice.endswith(
        " 1 column of then is not in use any more and left out: “old”."
        " 1 column is not in the file and not touched: “new”."
    )
    confirm_import(job=job, by=owner())
    worked(job)

    assert records(dataset) == [("a", "1", "kept"), ("b", "2", None)]


def test_as_of_a_time_before_a_column_was_added_its_values_stay(t1: TenantRef) -> None:
    dataset = dataset_with([["1", "a"], ["2", "b"]])
    at = database_time()
    [new] = add_columns(dataset=dataset, columns=[NewColumn("new")])
    dataset.refresh_from_db()
    run_sql(f"UPDATE {dataset.spec().table} SET c{new.pk} = 'kept', {dataset.spec().columns[1].name} = 'x'")

    restored(dataset, at=at)

    assert records(dataset) == [("1", "a", "kept"), ("2", "b", "kept")]


@pytest.mark.case("C17")
def test_a_time_that_history_has_forgotten_is_refused(t1: TenantRef) -> None:
    dataset = dataset_with([["1", "a"], ["2", "b"]])
    spec = dataset.spec()
    run_sql(f"DELETE FROM {spec.table} WHERE {spec.key[0]} = 1")
    insert(dataset, [["3", "c"]])
    run_sql(f"UPDATE {spec.history_table} SET history_date = history_date - interval '30 days'")
    Dataset.objects.filter(pk=dataset.pk).update(created_at=clock.now() - timedelta(days=40))
    dataset.refresh_from_db()
    cutoff = clock.now() - timedelta(days=10)
    assert pruning.prune_now(dataset=dataset, before=cutoff) == 2

    with pytest.raises(NotRestorable, match=f"is kept since {whole_second(cutoff):%Y-%m-%d %H:%M:%S} UTC"):
        request_restore(dataset=dataset, by=owner(), at=cutoff - timedelta(seconds=1))

    insert(dataset, [["4", "d"]])
    restored(dataset, at=cutoff + timedelta(seconds=1))
    assert records(dataset) == [("2", "b"), ("3", "c")]


def test_nothing_is_written_before_the_person_confirms_and_agrees_to_deletions(t1: TenantRef) -> None:
    dataset = dataset_with([["1", "a"]])
    at = database_time()
    insert(dataset, [["2", "b"]])
    job = worked(request_restore(dataset=dataset, by=owner(), at=at))
    assert (job.state, job.deleted_rows, records(dataset)) == (
        State.PREVIEW_SUCCEEDED, 1, [("1", "a"), ("2", "b")],
    )  # fmt: skip

    confirm_import(job=job, by=owner(), deletes=0)

    assert (worked(job).state, records(dataset)) == (State.IMPORT_SUCCEEDED, [("1", "a"), ("2", "b")])


@pytest.mark.case("F45")
def test_a_file_that_is_not_the_stored_one_restores_nothing(t1: TenantRef, tmp_path: Any) -> None:
    dataset = dataset_with([["1", "a"]])
    file = export().files.get()
    (tmp_path / "storage" / file.key).write_bytes(b"id,note\n1,b\n")

    job = worked(request_restore(dataset=dataset, by=owner(), file=file))

    assert (job.state, job.error_code) == (State.PREVIEW_FAILED, "file-changed")
    assert "is not the one that was exported" in job.error


def test_what_cannot_be_restored_is_refused_with_what_to_do(t1: TenantRef) -> None:
    ExportSettings.objects.create(content=Content.INCREMENTAL)
    dataset, other = dataset_with([["1", "a"]]), dataset_with([["1", "a"]], slug="parts")
    loose = create_dataset(title="Loose", columns=[column("a")])
    base, theirs = (export(datasets=[one]).files.get() for one in (dataset, other))
    file = export(datasets=[dataset]).files.get()
    ExportFile.objects.filter(pk=base.pk).update(fault=Fault.MISSING)
    for refusal, says, source in (
        (NotFoldable, f"{base.file_name} is missing. Restore another file, or as of a time.", {"file": file}),
        (NotRestorable, "is no file of Orders", {"file": theirs}),
        (NotRestorable, "Orders exists since", {"at": clock.now() - timedelta(days=1)}),
        (NotRestorable, "Choose a time from then to now", {"at": clock.now() + timedelta(days=1)}),
        (NotRestorable, "Choose a file or a time", {}),
    ):
        with pytest.raises(refusal, match=says):
            request_restore(dataset=dataset, by=owner(), **source)
    with pytest.raises(NoKey):
        request_restore(dataset=loose, by=owner(), at=clock.now())
    assert not ImportJob.objects.exists()


def test_a_restore_cancelled_before_its_file_is_made_is_over(t1: TenantRef) -> None:
    dataset = dataset_with([["1", "a"]])
    job = request_restore(dataset=dataset, by=owner(), at=database_time())

    cancel_import(job=job, by=owner())

    assert worked(job).state == State.CANCELLED
    assert [key for key, _ in storage.list_keys()] == []


def test_a_restore_whose_file_could_not_be_made_can_be_started_again(t1: TenantRef, tmp_path: Any) -> None:
    dataset = dataset_with([["1", "a"]])
    file = export().files.get()
    stored = tmp_path / "storage" / file.key
    data = stored.read_bytes()
    stored.unlink()
    job = worked(request_restore(dataset=dataset, by=owner(), file=file))
    assert job.state == State.PREVIEW_FAILED
    stored.write_bytes(data)

    jobs.services.retry(int(job.preview_job_id))

    assert (worked(job).state, worked(job).unchanged_rows) == (State.PREVIEW_SUCCEEDED, 1)


@pytest.mark.case("O17")
def test_a_restore_needs_every_right_and_sees_every_column(
    t1: TenantRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = dataset_with([["1", "a"]])
    with pytest.raises(PermissionDenied):
        request_restore(dataset=dataset, by=User.objects.get(email="viewer@t1.example"), at=clock.now())

    from datasets import access  # noqa: PLC0415 -- beside its one use

    monkeypatch.setattr(access, "has_hidden", lambda *_: True)
    with pytest.raises(ColumnsHidden):
        request_restore(dataset=dataset, by=owner(), at=clock.now())


def test_the_page_leads_to_the_import(pair: list[TenantRef]) -> None:
    with in_tenant(pair[0]):
        dataset = dataset_with([["1", "a"]])
        old, new = export().files.get(), export().files.get()
        insert(dataset, [["2", "b"]])
    client = Client(HTTP_HOST="t1.localhost")
    with in_tenant(pair[0]):
        client.force_login(owner(), backend="accounts.backends.TenantBackend")
    address = f"/admin/datasets/dataset/{dataset.pk}/restore/"

    page = client.get(f"{address}?file={old.pk}").text
    assert f'<option value="{old.pk}" selected>' in page
    assert f'<option value="{new.pk}">' in page
    refused = client.post(address, {"source": "time", "at": "1999-01-01T00:00"})
    assert (refused.status_code, "Orders exists since" in refused.text) == (422, True)
    refused = client.post(address, {"source": "file", "file": "77777"})
    assert (refused.status_code, "Choose one of the files" in refused.text) == (422, True)
    answer = client.post(address, {"source": "file", "file": str(old.pk)})

    with in_tenant(pair[0]):
        job = ImportJob.objects.get()
    assert answer["Location"] == f"/admin/importer/importjob/{job.pk}/change/"
    assert client.get(answer["Location"]).status_code == 200
    with in_tenant(pair[0]):
        worked(job)
    page = client.get(answer["Location"]).text
    assert "1 record of Orders would be deleted" in page
    assert f"Makes Orders what it was, as {old.file_name} has it" in page
    assert address + f"?file={old.pk}" in client.get("/admin/exporter/exportfile/").text


def test_the_command_restores_and_says_what(pair: list[TenantRef]) -> None:
    with in_tenant(pair[0]):
        dataset = dataset_with([["1", "a"]])
        file = export().files.get()
        at = database_time().astimezone(UTC)
        insert(dataset, [["2", "b"]])
    here = ("restore_dataset", "--tenant", "t1", "--dataset", "orders")

    code, said, _ = run(*here, "--as-of", at.isoformat())
    assert (code, said["state"], said["deleted"], said["unchanged"]) == (0, "PREVIEW_SUCCEEDED", 1, 1)
    code, said, errors = run(*here, "--export", file.key, "--confirm", "--deletes", "5")
    assert (code, said["state"], errors.split(":")[0]) == (2, "PREVIEW_SUCCEEDED", "error[not-confirmable]")
    code, said, _ = run(*here, "--export", str(file.pk), "--confirm", "--as", "owner@t1.example")
    assert (code, said["state"], said["deleted"]) == (0, "IMPORT_SUCCEEDED", 1)
    with in_tenant(pair[0]):
        assert records(dataset) == [("1", "a")]
    assert run(*here, "--as-of", "yesterday")[::2] == (
        2, "error[usage]: 'yesterday' is no time; write it as 2026-08-26T14:00Z.\n",
    )  # fmt: skip
    assert run(*here, "--export", "7777777")[2].startswith("error[not-restorable]: There is no export")
