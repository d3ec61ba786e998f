"""Erasing a person's values: found wherever they can stand, gone from there, and only their proof stays."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.core.management import call_command
from django.db import connection

import jobs.services
from accounts.models import User
from accounts.services import create_user
from audit.models import Event
from core import storage
from core.clock import now
from core.tenancy import TenantRef, in_public, in_tenant, leave_tenant
from datasets import changesets, erasing
from datasets.asof import records_as_of
from datasets.changeset import ChangeSet
from datasets.erasing import BadErasure, NotErasable, Wanted
from datasets.erasing_work import places
from datasets.erasure_models import Erasure, ErasureMode, ErasureState
from datasets.models import Dataset, SavedView
from datasets.operations import Operation
from datasets.rows import get_row_model
from datasets.services import create_dataset
from datasets.versions import versions_of
from exporter.folding import write_as_of
from exporter.models import ExportFile
from exporter.tests.helpers import column, export, insert
from importer.fixing import fix_rows
from importer.models import ImportIssue, ImportJob, RejectedRow, State
from importer.services import confirm_import
from importer.tests.tools import import_text, upload
from importer.undo import undo_import

CANARY = "zoë.canary-7@example.org"
FILE = (
    f"no,email,name,born\n1,{CANARY},Zoë,1990-01-01\n2,b@example.org,Bob,1991-02-02\n3,{CANARY.upper()},Zoe again,\n"
    f"x,{CANARY},Rejected Row,1990-13-01\n"
)


def people(title: str = "People") -> Dataset:
    columns = [
        column("no", "integer"),
        column("email"),
        column("name"),
        column("born", "date"),
        column("note"),
    ]
    return create_dataset(title=title, columns=columns, key=["no"], by=None)


def owner(tenant: TenantRef) -> User:
    return User.objects.get(email=f"owner@{tenant.slug}.example")


def planted(tenant: TenantRef) -> Dataset:
    """Bring the canary in by every way there is."""
    dataset = people()
    imported = import_text(dataset, FILE, by=owner(tenant))
    assert imported.rejected_rows == 1
    names = [one.name for one in dataset.spec().columns]
    model = get_row_model(dataset)
    record = model._default_manager.get(**{names[0]: 1})
    setattr(record, names[2], "Zoë Renamed")
    record.save()
    model._default_manager.filter(**{names[0]: 3}).delete()  # only versions of it are left
    waiting = upload(dataset, FILE, name=f"waiting {CANARY}.csv", by=owner(tenant))
    rejected = waiting.rejects.get()
    fix_rows(job=waiting, by=owner(tenant), cells={rejected.row: ["9", CANARY, "Fixed", "1990-01-01"]})
    failed = upload(dataset, "a;b\n" + CANARY + ";2\n", by=owner(tenant))
    assert failed.state == State.PREVIEW_FAILED or failed.head
    SavedView.objects.create(
        dataset=dataset,
        owner=owner(tenant),
        name=f"of {CANARY}",
        pairs=[["q", CANARY], [f"{names[1]}__is", CANARY]],
    )
    changesets.plan_edit(
        dataset=dataset, records=model._default_manager.filter(**{names[0]: 2}), by=owner(tenant),
        operation=Operation(names[4], "set", CANARY), note=f"asked by {CANARY}",
    )  # fmt: skip
    LogEntry.objects.create(
        user=owner(tenant), content_type=ContentType.objects.get_for_model(Dataset), object_id="1",
        object_repr=f"record {CANARY}", action_flag=2, change_message=f'["{CANARY}"]',
    )  # fmt: skip
    for form in ("csv", "csv.gz", "jsonl", "xlsx", "parquet"):
        assert export(format=form).state == "SUCCEEDED"
    return dataset


def wanted(dataset: Dataset, *find: str, also: tuple[str, ...] = ()) -> list[Wanted]:
    columns = {one.label: one for one in dataset.columns.all()}
    return [Wanted(dataset, [columns[name] for name in find], [columns[name] for name in also])]


def previewed(values: list[str], where: list[Wanted], mode: ErasureMode, by: Any = None) -> Erasure:
    made = erasing.request_erasure(values=values, wanted=where, mode=mode, by=by)
    return worked(made)


def worked(erasure: Erasure) -> Erasure:
    jobs.services.run_until_done(int(erasure.job_id or 0))
    erasure.refresh_from_db()
    return erasure


def erased(
    values: list[str], where: list[Wanted], mode: ErasureMode = ErasureMode.DELETE, by: Any = None
) -> Erasure:
    made = previewed(values, where, mode, by)
    assert made.state == ErasureState.PREVIEW_SUCCEEDED, made.error
    erasing.confirm_erasure(erasure=made, by=by, typed=made.first_title)
    made = worked(made)
    assert made.state == ErasureState.ERASURE_SUCCEEDED, made.error
    return made


def everywhere_in_the_schema(text: str) -> dict[str, int]:
    """Return the tables in which any column of any row holds a text, in any case, with how many rows."""
    found = {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')"
        )
        for (table,) in cursor.fetchall():
            # As text, a bytea is in hexadecimal digits.
            cursor.execute(
                f'SELECT count(*) FROM "{table}" t WHERE t::text ILIKE %s OR t::text ILIKE %s OR t::text ILIKE %s',
                [
                    f"%{text}%",
                    f"%{text.encode().hex()}%",
                    f"%{json.dumps(text)[1:-1]}%".replace("\\", "\\\\"),
                ],
            )
            if number := cursor.fetchone()[0]:
                found[table] = number
    return found


def in_storage(text: str) -> set[str]:
    """Return the keys of the tenant's objects that hold a text, or are called by it, read as what they are."""
    from core.erasing import Needle  # noqa: PLC0415 -- the one reader of every format

    needle, found = Needle((text,)), set()
    for key, _size in storage.list_keys():
        with storage.open_read(key) as file:
            if needle.in_file(file) or text.lower() in key.lower():
                found.add(key)
    return found


@pytest.fixture
def planted_pair(pair: list[TenantRef]) -> Iterator[Dataset]:
    """The canary in t1, where the test runs, and in t10 beside it."""
    with in_tenant(pair[1]):
        planted(pair[1])
    with in_tenant(pair[0]):
        yield planted(pair[0])
    for ref in pair:
        with in_tenant(ref):
            LogEntry.objects.all().delete()
            Erasure.objects.all().delete()


def test_an_erasure_leaves_the_value_nowhere_but_where_its_proof_says(
    planted_pair: Dataset, pair: list[TenantRef]
) -> None:
    before, stored = everywhere_in_the_schema(CANARY), in_storage(CANARY)
    table = f"ds_{planted_pair.pk}"
    # What was planted is found by the eyes of this test, or it would prove nothing.
    assert {table, f"{table}_history", "importer_rejectedrow", "importer_rowfix", "datasets_savedview",
            "datasets_changeset", "django_admin_log", "importer_importjob"} <= before.keys()  # fmt: skip
    assert len([key for key in stored if "/exports/" in key]) == 5
    assert [key for key in stored if "/uploads/" in key]
    made = erased([CANARY], wanted(planted_pair, "email"))
    left = everywhere_in_the_schema(CANARY)
    said = {re.match(r"\w+", words)[0] for words in made.left if "." in words.split(":")[0]}  # type: ignore[index]
    assert left.keys() <= said
    assert left.keys() <= {"audit_event"}  # the name of a file, in the sealed log
    assert in_storage(CANARY) == set()
    assert made.sealed == ""
    assert made.done["records"] == 2
    assert made.done["export files"] == 5
    with in_public(), connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM jobs_job j WHERE j::text ILIKE %s AND schema = %s",
                       [f"%{CANARY}%", pair[0].schema])  # fmt: skip
        assert cursor.fetchone()[0] == 0
    with_leave = {name: number for name, number in made.left.items() if "audit_event" not in name}
    assert with_leave == {}


def test_another_tenant_with_the_same_value_keeps_all_of_it(
    planted_pair: Dataset, pair: list[TenantRef]
) -> None:
    leave_tenant()
    with in_tenant(pair[1]):
        before, stored = everywhere_in_the_schema(CANARY), in_storage(CANARY)
    with in_tenant(pair[0]):
        erased([CANARY], wanted(planted_pair, "email"))
    with in_tenant(pair[1]):
        assert (everywhere_in_the_schema(CANARY), in_storage(CANARY)) == (before, stored)
        assert before
        assert not Erasure.objects.exists()


def test_the_preview_changes_nothing_and_says_what_would_go(planted_pair: Dataset) -> None:
    before, stored = everywhere_in_the_schema(CANARY), in_storage(CANARY)
    made = previewed([CANARY], wanted(planted_pair, "email"), ErasureMode.DELETE)
    assert (everywhere_in_the_schema(CANARY), in_storage(CANARY)) == (before, stored)
    assert made.found["records"] == 2
    assert made.found["export files"] == 5
    assert made.found["bulk changes"] == 1
    assert "versions" not in made.found
    erasing.cancel_erasure(erasure=made, by=None)
    assert made.sealed == ""
    assert not made.records.exists()


def test_whole_records_go_and_their_timelines_say_so(t1: TenantRef) -> None:
    dataset = people()
    import_text(dataset, FILE.rpartition("x,")[0], by=owner(t1))
    spec = dataset.spec()
    model = get_row_model(dataset)
    pk = model._default_manager.get(**{spec.columns[0].name: 1}).pk
    before = now()
    made = erased([CANARY], wanted(dataset, "email"), by=owner(t1))
    assert [getattr(one, spec.columns[0].name) for one in records_as_of(spec, before)] == [2]
    everyone = records_as_of(spec, before, all_of_them=True)
    assert [getattr(one, spec.columns[0].name) for one in everyone] == [2]
    with io.BytesIO() as out:
        assert write_as_of(spec, before, out).rows == 1
        assert CANARY not in out.getvalue().decode().lower()
    assert [record.pk for record in model._default_manager.all()] == [
        model._default_manager.get(**{spec.columns[0].name: 2}).pk
    ]
    shown = versions_of(spec, pk)
    assert [(one.kind, one.reason) for one in shown] == [("-", f"erasure {made.pk}"), ("+", "import " + str(
        ImportJob.objects.get().pk))]  # fmt: skip
    assert all(not cell.old and not cell.new for one in shown for cell in one.cells)


def test_chosen_columns_are_emptied_in_the_record_and_in_all_its_versions(t1: TenantRef) -> None:
    dataset = people()
    import_text(dataset, FILE.rpartition("x,")[0], by=owner(t1))
    no, email, name, born, _note = (one.name for one in dataset.spec().columns)
    made = erased([CANARY], wanted(dataset, "email", also=("name",)), ErasureMode.EMPTY)
    rows = list(get_row_model(dataset)._default_manager.order_by(no).values_list(no, email, name))
    assert rows == [(1, None, None), (2, "b@example.org", "Bob"), (3, None, None)]
    history = get_row_model(dataset).history.filter(**{no: 1}).order_by("history_id")
    assert [(one.history_type, getattr(one, email), getattr(one, name)) for one in history] == [
        ("+", None, None),
        ("~", None, None),
    ]
    assert history.last().history_change_reason == f"erasure {made.pk}"
    assert str(getattr(history.first(), born)) == "1990-01-01"  # nobody asked for that


def test_a_required_text_gets_a_word_that_says_nothing(t1: TenantRef) -> None:
    columns = [column("mail", is_required=True), column("name")]
    dataset = create_dataset(title="Mail", columns=columns, key=["mail"], by=None)
    insert(dataset, [[CANARY, "Zoë"], ["b@x.org", "Bob"]])
    made = erased([CANARY], wanted(dataset, "mail"), ErasureMode.EMPTY)
    model, mail = get_row_model(dataset), dataset.spec().columns[0].name
    found = model._default_manager.exclude(**{mail: "b@x.org"}).get()
    assert getattr(found, mail) == f"erased-{made.pk}-{found.pk}"
    assert {getattr(one, mail) for one in model.history.filter(id=found.pk)} == {getattr(found, mail)}
    number = create_dataset(
        title="No", columns=[column("no", "integer", is_required=True)], key=["no"], by=None
    )
    with pytest.raises(BadErasure, match="Delete the records instead"):
        erasing.request_erasure(
            values=["12345"], wanted=wanted(number, "no"), mode=ErasureMode.EMPTY, by=None
        )


def test_undo_brings_no_erased_value_back(t1: TenantRef) -> None:
    dataset = people()
    first = import_text(dataset, FILE.rpartition("x,")[0], by=owner(t1))
    second = import_text(
        dataset, f"no,email,name,born\n1,{CANARY},Zed,\n2,b@example.org,Rob,\n", by=owner(t1)
    )
    erased([CANARY], wanted(dataset, "email"))
    for job in (second, first):
        undo = undo_import(job=job, by=owner(t1))
        jobs.services.run_pending()
        undo.refresh_from_db()
        assert undo.state == State.PREVIEW_SUCCEEDED, undo.error
        confirm_import(job=undo, by=owner(t1))
        jobs.services.run_pending()
        undo.refresh_from_db()
        assert undo.state == State.IMPORT_SUCCEEDED, undo.error
    assert everywhere_in_the_schema(CANARY).keys() <= {"audit_event"}
    assert not get_row_model(dataset)._default_manager.exists()


def test_undoing_a_deletion_does_not_bring_an_erased_record_back(t1: TenantRef) -> None:
    dataset = create_dataset(title="Bare", columns=[column("email"), column("name")], key=[], by=None)
    insert(dataset, [[CANARY, "Zoë"], ["b@x.org", "Bob"]])
    model = get_row_model(dataset)
    gone = changesets.plan_delete(dataset=dataset, records=model._default_manager.all(), by=owner(t1))
    changesets.confirm_changes(changes=gone, by=owner(t1), seen=gone.plans)
    erased([CANARY], wanted(dataset, "email"))
    gone = ChangeSet.objects.get(pk=gone.pk)
    undo = changesets.plan_undo(changes=gone, by=owner(t1))
    changesets.confirm_changes(changes=undo, by=owner(t1), seen=undo.plans)
    email = dataset.spec().columns[0].name
    assert list(model._default_manager.values_list(email, flat=True)) == ["b@x.org"]


def test_two_owners_are_needed_where_there_are_two(t1: TenantRef) -> None:
    dataset, one = people(), owner(t1)
    insert(dataset, [["1", CANARY, None, None, None]])
    second = create_user(email="second@t1.example", password="-", role="owner")
    editor = User.objects.get(email="editor@t1.example")
    try:
        made = previewed([CANARY], wanted(dataset, "email"), ErasureMode.DELETE, one)
        with pytest.raises(PermissionDenied):
            erasing.confirm_erasure(erasure=made, by=editor, typed="People")
        with pytest.raises(NotErasable, match="Type"):
            erasing.confirm_erasure(erasure=made, by=one, typed="people")
        erasing.confirm_erasure(erasure=made, by=one, typed="People")
        assert made.state == ErasureState.APPROVAL_AWAITED
        with pytest.raises(PermissionDenied, match="yourself"):
            erasing.approve_erasure(erasure=made, by=one)
        with pytest.raises(PermissionDenied):
            erasing.approve_erasure(erasure=made, by=editor)
        assert everywhere_in_the_schema(CANARY)
        erasing.approve_erasure(erasure=made, by=second)
        assert worked(made).state == ErasureState.ERASURE_SUCCEEDED
        assert (made.confirmed_by, made.approved_by) == (one, second)
        with pytest.raises(NotErasable):
            erasing.approve_erasure(erasure=made, by=second)
    finally:
        Erasure.objects.all().delete()
        second.delete()


@pytest.mark.parametrize("values", [[], ["ab"], ["x" * 301], ["one\x00two"], [f"v{n:03}" for n in range(21)]],
                         ids=["none", "short", "long", "control", "many"])  # fmt: skip
def test_what_tells_no_person_apart_is_refused(t1: TenantRef, values: list[str]) -> None:
    dataset = people()
    with pytest.raises(BadErasure):
        erasing.request_erasure(
            values=values, wanted=wanted(dataset, "email"), mode=ErasureMode.DELETE, by=None
        )


def test_a_reason_may_not_hold_the_value(t1: TenantRef) -> None:
    with pytest.raises(BadErasure, match="reason"):
        erasing.request_erasure(
            values=[CANARY],
            wanted=wanted(people(), "email"),
            mode=ErasureMode.DELETE,
            by=None,
            note=f"of {CANARY}",
        )


def test_a_record_others_refer_to_stays_and_the_erasure_goes_on_after_it_is_freed(t1: TenantRef) -> None:
    from datasets.spec import Target  # noqa: PLC0415 -- of this test alone

    dataset = people()
    insert(dataset, [["1", CANARY, None, None, None]])
    orders = create_dataset(
        title="Orders", columns=[column("o", "integer"), column("who", "reference", target=Target("people"))],
        key=["o"], by=None,
    )  # fmt: skip
    insert(orders, [["7", "1"]])
    made = previewed([CANARY], wanted(dataset, "email"), ErasureMode.DELETE)
    assert any("Orders" in words for words in made.left)
    erasing.confirm_erasure(erasure=made, by=None, typed="People")
    worked(made)
    assert (made.state, made.error_code) == (ErasureState.ERASURE_FAILED, "still-referenced")
    assert CANARY not in made.error
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM ds_{orders.pk}")
    erasing.resume_erasure(erasure=made, by=None)
    assert worked(made).state == ErasureState.ERASURE_SUCCEEDED
    assert not get_row_model(dataset)._default_manager.exists()


def test_the_proof_and_the_log_have_no_value_and_know_it_again(t1: TenantRef) -> None:
    dataset = people()
    insert(dataset, [["1", CANARY, None, None, None]])
    made = erased([CANARY], wanted(dataset, "email"), by=owner(t1))
    facts = Event.objects.get(name="datasets.erasure.finished", data__uid=str(made.uid)).data
    with in_public():
        theirs = Event.objects.filter(name="datasets.erasure.finished", data__uid=str(made.uid)).get().data
    for text in (json.dumps(facts), json.dumps(theirs), json.dumps([made.hashes, made.done, made.scope])):
        assert CANARY not in text.lower()
    assert erasing.erasures_of(f" {CANARY.upper()} ")[0] == made
    assert erasing.erasures_of("b@example.org") == []


def test_what_a_restore_brings_back_is_asked_for_again(t1: TenantRef) -> None:
    dataset = people()
    insert(dataset, [["1", CANARY, None, None, None]])
    made = erased([CANARY], wanted(dataset, "email"))
    assert made.uid not in {one.uid for one in erasing.to_repeat()}
    Erasure.objects.all().delete()  # as after a restore to a time before it
    insert(dataset, [["1", CANARY, None, None, None]])
    [pending] = [one for one in erasing.to_repeat() if one.uid == made.uid]
    with pytest.raises(BadErasure, match="not the values"):
        erasing.repeat_erasure(uid=pending.uid, values=["other@example.org"], by=None)
    again = worked(erasing.repeat_erasure(uid=pending.uid, values=[CANARY.upper()], by=None))
    erasing.confirm_erasure(erasure=again, by=None, typed=again.first_title)
    worked(again)
    assert (again.state, again.repeats) == (ErasureState.ERASURE_SUCCEEDED, made.uid)
    assert pending.uid not in {one.uid for one in erasing.to_repeat()}
    assert not get_row_model(dataset)._default_manager.exists()


def test_every_place_may_run_twice(planted_pair: Dataset) -> None:
    made = erased([CANARY], wanted(planted_pair, "email"))
    after = everywhere_in_the_schema("erased")
    second = erased([CANARY], wanted(planted_pair, "email"))
    assert second.done["records"] == 0
    assert set(second.done.values()) == {0}
    assert made.done["records"] == 2
    assert everywhere_in_the_schema("erased").keys() >= after.keys()
    assert {name for name, _place in places()} >= {
        "uploads",
        "export files",
        "backups",
        "records",
        "elsewhere",
    }


def test_the_command_shows_and_erases(
    t1: TenantRef, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = people()
    insert(dataset, [["1", CANARY, None, None, None], ["2", "b@example.org", None, None, None]])
    values = tmp_path / "values.txt"
    values.write_text(f"{CANARY}\n")
    leave_tenant()

    def run(*words: str) -> dict[str, Any]:
        call_command("erase_person", "--tenant", "t1", "--json", *words)
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    scope = ("--values", str(values), "--dataset", "people", "--find", "email", "--delete")
    shown = run(*scope)
    assert (shown["found"]["records"], shown["state"]) == (1, "CANCELLED")
    done = run(*scope, "--confirm")
    assert (done["done"]["records"], done["state"]) == (1, "ERASURE_SUCCEEDED")
    assert run("--values", str(values), "--check")["erasures"][-1] == done["erasure"]
    with in_tenant(t1):
        assert get_row_model(dataset)._default_manager.count() == 1
        assert not ImportIssue.objects.exists()
        assert not RejectedRow.objects.exists()
        assert not ExportFile.objects.exists()


def test_every_text_of_the_schema_is_rewritten_or_has_its_reason() -> None:
    """A new field that could hold values of records must be named in `erased_texts`, or here with why it holds none."""
    from django.apps import apps  # noqa: PLC0415 -- of this test alone
    from django.db import models  # noqa: PLC0415 -- of this test alone

    from datasets.erasing_records import kept_texts  # noqa: PLC0415 -- of this test alone

    named = {(model._meta.label, name) for model, fields, _rows in kept_texts() for name in fields}
    unnamed = set()
    for app in ("datasets", "importer", "exporter"):
        for model in apps.get_app_config(app).get_models():
            for one in model._meta.concrete_fields:
                is_text = isinstance(one, models.TextField | models.JSONField) or (
                    isinstance(one, models.CharField) and not one.choices
                )
                if is_text and (model._meta.label, one.name) not in named:
                    unnamed.add(f"{model._meta.label}.{one.name}")
    assert sorted(one for one in unnamed if "Historical" not in one) == sorted(
        f"{label}.{name}" for label, names in HOLD_NONE.items() for name in names.split()
    )


# What people define, and what the platform writes itself: names, codes, numbers, keys of objects, hashes. The scan at
# the end of each erasure reads all of them anyway, and says where a value stands.
HOLD_NONE = {
    "datasets.Change": "after before error_code job_id",
    "datasets.ChangeSet": "columns job_id",
    "datasets.Column": "label options type",
    "datasets.Dataset": "checks key slug title",
    "datasets.DatasetTemplate": "description schema title",
    "datasets.Erasure": "done error error_code found hashes left note scope sealed",
    "datasets.FailingRecord": "code",
    "exporter.Destination": "access_key bucket endpoint error name prefix region sealed_secret",
    "exporter.ExportFile": "dataset_slug dataset_title form key key_columns sha256",
    "exporter.ExportNotice": "emails name sealed_secret url",
    "exporter.ExportRun": "chosen error_code manifest_key manifest_sha256 overrides plan skipped snapshot",
    "exporter.ExportSettings": "columns cron delimiter encoding null_word pattern time_zone",
    "exporter.SpaceSample": "dataset_slug kind",
    "importer.ImportIssue": "code",
    "importer.ImportJob": "error_code issue_counts key kind merge_job_id preview_job_id request_key sha256 sheet"
    " snapshot target warning_counts",
    "importer.Proposal": "key sha256",
    "importer.RejectedRow": "codes",
    "importer.SavedMapping": "fingerprint",
}
