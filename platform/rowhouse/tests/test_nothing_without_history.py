"""No way of writing records leaves history behind: each is enumerated, done, and the tables compared.

The comparison (`datasets.unrecorded`) reads both tables and knows of no trigger. Whoever adds a way of writing (a
statement, a page, a job, a command) makes a test here fail until he has said what it does.
"""

from __future__ import annotations

import ast
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection

from accounts.models import User
from audit.tracking import untracked
from core.tenancy import TenantRef, as_owner, bind_tenant, current_tenant, in_tenant, leave_tenant
from datasets import changesets, changing, editing, pruning, rebuilding
from datasets.cells import CellEdit, edit_cells
from datasets.changeset import ChangeSet, State
from datasets.models import Dataset
from datasets.operations import SET, Operation
from datasets.rows import get_row_model
from datasets.rules import NewColumn
from datasets.spec import ColumnOptions
from datasets.tests.changes import change_column, worked
from datasets.tests.moments import database_time
from datasets.tests.pages import Visitor, rows_url
from datasets.unrecorded import unrecorded
from importer.models import State as ImportState
from importer.tests.tools import change_type, import_text, make_orders, merge, person, upload, work
from importer.undo import undo_import
from rowhouse.restoring import request_restore
from tests.source import APPS, PLATFORM
from tests.test_inventory import our_commands
from tests.test_pages_need_rights import Place, ask, furnish, needs, pages

ROOT = Path(__file__).resolve().parents[3]
OUR_APPS = {*APPS, *PLATFORM}
OURS = ("platform", "tenants", "datasets", "importer", "exporter", "audit")
GOOD = "id,status,amount,note\n1,new,10.00,call\n2,paid,20.50,\n3,sent,,later\n"


# ---- every statement that writes records

# Where a statement writes records, and the way below that goes through it; "-": what is written there has its history
# beside it by the same hand, or is no record.
STATEMENTS = {
    "datasets/cells.py bring_back INSERT INTO": "bringing a record back",
    "datasets/changesets.py _write DELETE FROM": "deleting picked records",
    "datasets/changesets.py _write UPDATE": "editing picked records",
    "datasets/undo_plan.py remove DELETE FROM": "undoing an import that added",
    "datasets/undo_plan.py restore UPDATE": "undoing an import that changed",
    "datasets/undo_plan.py bring_back INSERT INTO": "undoing a deletion",
    "importer/merge.py _delete DELETE FROM": "an import that deletes",
    "importer/merge.py _insert INSERT INTO": "an import that adds",
    "importer/merge.py _update UPDATE": "an import that changes",
    "datasets/change_tables.py _write UPDATE": "-",
    "datasets/rebuild_tables.py copy INSERT INTO": "making tables anew by a job",
    "datasets/rebuild_tables.py drain DELETE FROM": "making tables anew by a job",
    "datasets/rebuild_tables.py drain INSERT INTO": "making tables anew by a job",
    "datasets/rebuild_tables.py take_out_written DELETE FROM": "making tables anew by a job",
    # test_bundles.py compares what came in.
    "platform/rowhouse/bundle/reading.py _load_records COPY": "-",
}
_WRITES = re.compile(
    r"\b(INSERT INTO|UPDATE|DELETE FROM|COPY|MERGE INTO|TRUNCATE(?: TABLE)?) (?:ONLY )?"
    r'"?(?:\{[^{}]*(?:\bspec\.table|shape\.table|pair\.new|rows\.new|records\(shape\)\.new)[^{}]*\}|ds_\{)'
)
# Statements of which only the table's name is handed in, by whom is known.
_HANDED_IN = {"datasets/change_tables.py _write": r'UPDATE "\{table\}"'}


def statements() -> set[str]:
    """Return every statement of ours that writes a table of records, with its file and function."""
    found = set()
    for file in sources():
        name = str(file.relative_to(ROOT))
        for function, text in texts(ast.parse(file.read_text())):
            found |= {f"{name} {function} {verb}" for verb in _WRITES.findall(text)}
            handed_in = _HANDED_IN.get(f"{name} {function}")
            if handed_in and re.search(handed_in, text):
                found.add(f"{name} {function} UPDATE")
    return found


def sources() -> Iterator[Path]:
    for folder in OURS:
        for file in sorted((ROOT / folder).rglob("*.py")):
            if not {"tests", "migrations"} & set(file.parts):
                yield file


def texts(tree: ast.AST, function: str = "") -> Iterator[tuple[str, str]]:
    """Yield each text of a module with the function it stands in; what is put into a text stands in braces."""
    for node in ast.iter_child_nodes(tree):
        within = node.name if isinstance(node, ast.FunctionDef) else function
        if isinstance(node, ast.JoinedStr):
            yield within, "".join(_part(part) for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield within, node.value
        else:
            yield from texts(node, within)


def _part(part: ast.expr) -> str:
    if isinstance(part, ast.FormattedValue):
        return "{" + ast.unparse(part.value) + "}"
    return str(part.value) if isinstance(part, ast.Constant) else ""


def test_every_statement_that_writes_records_is_known() -> None:
    assert statements() == STATEMENTS.keys()
    assert set(STATEMENTS.values()) - {"-"} <= WAYS.keys()


def test_a_new_statement_would_be_seen() -> None:
    planted = 'def sneak(spec):\n    cursor.execute(f"UPDATE {spec.table} SET x = 1")\n'
    assert [(function, _WRITES.findall(text)) for function, text in texts(ast.parse(planted))] == [
        ("sneak", ["UPDATE"])
    ]


# Calls by which Django writes, in modules that know the class of records.
CALLS = {
    "datasets/admin/records.py delete_model obj.delete": "deleting on a record's page",
    "datasets/admin/records.py save_model obj.save": "editing on a record's page",
    "datasets/cells.py _save model.objects.filter.update": "editing cells",
    "datasets/cells.py revert_record model.objects.filter.update": "reverting a record",
}
_KNOWS = re.compile(r"\b(get_row_model|MODELS\.get|RowBase|RowsAdmin)\b")
_WRITING = {"save", "update", "create", "delete", "bulk_create", "bulk_update", "_raw_delete", "get_or_create",
            "update_or_create"}  # fmt: skip
# Names of what is no record, in these modules.
_NO_RECORDS = re.compile(
    r"^(made|view|change|changes|index|context|attrs|form|self\._|values|options|ImportJob|ChangeSet|Column|Dataset"
    r"|RecordIndex|SavedView|fields|ExportFile|Change|found|ids|known|cache)\b"
)


def calls() -> set[str]:
    """Return every call that may write records by Django, with its file and function."""
    found = set()
    for file in sources():
        text = file.read_text()
        if not _KNOWS.search(text):
            continue
        for function in (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)):
            for node in ast.walk(function):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.func.attr in _WRITING
                ):
                    receiver = re.sub(r"\(.*?\)+", "", ast.unparse(node.func.value), flags=re.DOTALL)
                    if not _NO_RECORDS.match(receiver):
                        found.add(f"{file.relative_to(ROOT)} {function.name} {receiver}.{node.func.attr}")
    return found


def test_every_call_that_writes_records_is_known() -> None:
    assert calls() == CALLS.keys()
    assert set(CALLS.values()) <= WAYS.keys()


# ---- every way, done


@dataclass(frozen=True)
class Ground:
    """A dataset with some records, who works on it, and a visitor of its pages."""

    dataset: Dataset
    visitor: Visitor
    owner: User

    @property
    def model(self) -> Any:
        return get_row_model(Dataset.objects.get(pk=self.dataset.pk))

    def name(self, label: str) -> str:
        return f"c{self.dataset.columns.get(label=label).pk}"

    def first(self) -> int:
        return int(self.model.objects.order_by("pk").values_list("pk", flat=True)[0])

    def posted(self, **values: str) -> dict[str, str]:
        empty = {f"c{column.pk}": "" for column in self.dataset.columns.in_use()}
        return {**empty, **{self.name(label): value for label, value in values.items()}}

    def newest(self, pk: int) -> Any:
        return self.model.history.filter(id=pk).order_by("-history_id").first()


def _page(ground: Ground, url: str, data: dict[str, Any]) -> None:
    answer = ground.visitor.post(url, data)
    assert answer.status_code in (200, 302), answer.content[:2000]


def _add(ground: Ground) -> None:
    _page(ground, rows_url(ground.dataset, "add"), ground.posted(id="9", status="new", note="by form"))


def _change(ground: Ground) -> None:
    url = rows_url(ground.dataset, ground.first(), "change")
    _page(ground, url, ground.posted(id="1", status="paid", note="by form"))


def _delete(ground: Ground) -> None:
    _page(ground, rows_url(ground.dataset, ground.first(), "delete"), {"post": "yes"})


def _cells(ground: Ground) -> None:
    edit_cells(dataset=ground.dataset, edits=[CellEdit(ground.first(), ground.name("note"), "call", "x")],
               by=ground.owner)  # fmt: skip


def _revert(ground: Ground) -> None:
    _cells(ground)
    pk = ground.first()
    oldest = ground.model.history.filter(id=pk).order_by("history_id").first()
    _page(ground, rows_url(ground.dataset, pk, "revert"),
          {"version": oldest.history_id, "seen": ground.newest(pk).history_id})  # fmt: skip


def _stock_revert(ground: Ground) -> None:
    """By the form of a former version, which simple-history has."""
    _cells(ground)
    pk = ground.first()
    oldest = ground.model.history.filter(id=pk).order_by("history_id").first()
    url = rows_url(ground.dataset, pk, "history", oldest.history_id)
    _page(ground, url, ground.posted(id="1", status="new", amount="10.00", note="call"))


def _bring_back(ground: Ground) -> None:
    pk = ground.first()
    _delete(ground)
    newest = ground.newest(pk).history_id
    _page(
        ground, rows_url(ground.dataset, pk, "revert"), {"version": newest, "seen": newest, "bring_back": "1"}
    )
    assert ground.model.objects.filter(pk=pk).exists()


def _bulk_edit(ground: Ground) -> ChangeSet:
    operation = Operation(ground.name("note"), SET, "all the same")
    made = changesets.plan_edit(
        dataset=ground.dataset, records=ground.model.objects.all(), operation=operation, by=ground.owner
    )
    return _confirmed(made, ground)


def _bulk_delete(ground: Ground) -> ChangeSet:
    made = changesets.plan_delete(dataset=ground.dataset, records=ground.model.objects.all(), by=ground.owner)
    return _confirmed(made, ground)


def _confirmed(made: ChangeSet, ground: Ground) -> ChangeSet:
    made = changesets.confirm_changes(changes=made, by=ground.owner, seen=made.plans)
    assert made.state == State.DONE, made.error
    return made


def _undo_deletion(ground: Ground) -> None:
    _confirmed(changesets.plan_undo(changes=_bulk_delete(ground), by=ground.owner), ground)
    assert ground.model.objects.count() == 3


def _import(text: str, mode: str) -> Callable[[Ground], Any]:
    def run(ground: Ground) -> Any:
        job = upload(ground.dataset, text, mode=mode)
        job = merge(job, deletes=job.deleted_rows or None)
        assert job.state == ImportState.IMPORT_SUCCEEDED and job.changes_in_all, job.error
        return job

    return run


ADDS = _import("id,status\n7,new\n8,new\n", "insert")
CHANGES = _import("id,note\n1,changed\n", "update")
DELETES = _import("id,status\n1,new\n", "sync")


def _undo_import(what: Callable[[Ground], Any]) -> Callable[[Ground], None]:
    def run(ground: Ground) -> None:
        job = work(undo_import(job=what(ground), by=ground.owner))
        job = merge(job, deletes=job.deleted_rows or None)
        assert job.state == ImportState.IMPORT_SUCCEEDED, job.error

    return run


def _restore(ground: Ground) -> None:
    at = database_time()
    _bulk_edit(ground)
    job = work(request_restore(dataset=ground.dataset, by=ground.owner, at=at))
    merge(job, deletes=job.deleted_rows or None)
    assert ground.model.objects.filter(**{ground.name("note"): "call"}).exists()


def _command(name: str, *arguments: str) -> None:
    call_command(name, *arguments, stdout=io.StringIO(), stderr=io.StringIO())


def _import_command(ground: Ground, tmp: Path) -> None:
    file = tmp / "orders.csv"
    file.write_text("id,status\n11,new\n")
    tenant = current_tenant()
    leave_tenant()  # a command enters it by itself
    _command("import_file", str(file), "--tenant", tenant.slug, "--dataset", ground.dataset.slug)
    bind_tenant(tenant)


def _type(ground: Ground) -> None:
    change_type(dataset=ground.dataset, column=ground.dataset.columns.get(label="note"), type="long_text")


def _type_and_back(ground: Ground) -> None:
    change = change_column(ground.dataset, "amount", "text")
    back = worked(changing.revert_change(change=change))
    changing.confirm_change(change=back)
    worked(back)
    assert back.state == "CHANGE_SUCCEEDED", back.error


def _columns(ground: Ground) -> None:
    default = NewColumn("kind", "text", options=ColumnOptions(default="usual"))
    [made] = editing.add_columns(dataset=ground.dataset, columns=[default], by=ground.owner)
    _add(ground)
    editing.retire_column(dataset=ground.dataset, column=made, by=ground.owner)
    _add_another(ground)
    editing.bring_back_column(dataset=ground.dataset, column=made, by=ground.owner)
    editing.arrange_columns(
        dataset=ground.dataset, order=[made.pk], labels={made.pk: "sort"}, by=ground.owner
    )


def _add_another(ground: Ground) -> None:
    _page(ground, rows_url(ground.dataset, "add"), ground.posted(id="10", status="new"))


def _purge(ground: Ground) -> None:
    [made] = editing.add_columns(dataset=ground.dataset, columns=[NewColumn("gone", "text")], by=ground.owner)
    editing.retire_column(dataset=ground.dataset, column=made, by=ground.owner)
    at = editing.order_purge(dataset=ground.dataset, column=made, typed="gone", at_once=True, by=ground.owner)
    assert editing.purge_column(column_pk=made.pk, at=at.isoformat(), by_pk=None)
    assert "gone" not in [column.label for column in ground.dataset.columns.all()]


def _rebuild(ground: Ground) -> None:
    _purge(ground)
    change = worked(rebuilding.request_rebuild(dataset=ground.dataset, by=ground.owner))
    assert change.state == "CHANGE_SUCCEEDED", change.error


def _prune(ground: Ground) -> None:
    _cells(ground)
    _delete(ground)
    with as_owner():
        assert pruning.prune_now(dataset=ground.dataset, before=database_time()) > 0


# Each way, by its name. Those that take a folder get one.
WAYS: dict[str, Callable[..., Any]] = {
    "adding on a record's page": _add,
    "editing on a record's page": _change,
    "deleting on a record's page": _delete,
    "editing cells": _cells,
    "reverting a record": _revert,
    "reverting by a version's form": _stock_revert,
    "bringing a record back": _bring_back,
    "editing picked records": _bulk_edit,
    "deleting picked records": _bulk_delete,
    "undoing a deletion": _undo_deletion,
    "an import that adds": ADDS,
    "an import that changes": CHANGES,
    "an import that deletes": DELETES,
    "undoing an import that added": _undo_import(ADDS),
    "undoing an import that changed": _undo_import(CHANGES),
    "undoing an import that deleted": _undo_import(DELETES),
    "a restore": _restore,
    "the command of imports": _import_command,
    "a change of a type without filling": _type,
    "a change of a type and its revert": _type_and_back,
    "columns that come, go and come back": _columns,
    "a purge": _purge,
    "making tables anew by a job": _rebuild,
    "cleaning up history": _prune,
}


# Those after which each record says what it said before.
LEAVING_ALL = (
    "undoing",
    "reverting",
    "bringing",
    "a restore",
    "a change of a type",
    "a purge",
    "making tables",
)


@pytest.fixture
def ground(as_acme: TenantRef, acme: TenantRef, globex: TenantRef, client_of: Any) -> Ground:
    dataset = make_orders()
    import_text(dataset, GOOD)
    return Ground(dataset, Visitor(client_of(acme)), person())


def faults() -> dict[str, Any]:
    """Return, for each dataset of the tenant, what its history does not tell."""
    found = {dataset.slug: unrecorded(dataset.spec()) for dataset in Dataset.objects.all()}
    return {slug: wrong for slug, wrong in found.items() if wrong}


@pytest.mark.parametrize("way", sorted(WAYS))
def test_no_way_leaves_without_history(ground: Ground, tmp_path: Path, way: str) -> None:
    before = list(ground.model.objects.order_by("pk").values_list())
    WAYS[way](*([ground, tmp_path] if way == "the command of imports" else [ground]))
    ground.dataset.refresh_from_db()
    assert faults() == {}
    after = list(ground.model.objects.order_by("pk").values_list())
    assert (before == after) == way.startswith(LEAVING_ALL)


def test_a_write_beside_the_trigger_is_found(ground: Ground) -> None:
    with untracked(), connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM ds_{ground.dataset.pk} WHERE id = %s", [ground.first()])
    assert [one.what for one in faults()["orders"]] == ["gone"]


# ---- every page, whatever it is sent


def test_no_page_leaves_records_without_history(acme: TenantRef, globex: TenantRef, client_of: Any) -> None:
    place: Place = furnish(acme)
    client, asked = client_of(acme), 0
    wrong: list[str] = []

    def compare() -> None:
        with in_tenant(acme):
            if found := faults():
                wrong.append(f"{page.name} {method}: {found}")

    for page in pages():
        for method, need in zip(("GET", "POST"), needs(page) or ("", ""), strict=True):
            if need != "nobody" and page.name != "logout":
                ask(client, place, page, method, compare)
                asked += 1
    assert wrong == [] and asked > 100


# ---- every job and every command

# Those that write records, with the way above that does; and those that write none.
JOBS = {
    "importer.merge": "an import that adds",
    "datasets.apply_changes": "editing picked records",
    "datasets.change": "a change of a type and its revert",
    "datasets.erase": "-",  # takes values from both tables; its own tests look into both
    "datasets.purge": "a purge",
    "datasets.prune_history": "cleaning up history",
    "datasets.forget_former_values": "a change of a type and its revert",
}
JOBS_WITHOUT_RECORDS = {
    "accounts.reset", "audit.seal", "audit.stream", "datasets.preview_erasure", "tenants.tell_of_entry",
    "datasets.check_change", "datasets.index", "datasets.plan_changes", "datasets.tidy_change",
    "exporter.notify", "exporter.run", "importer.preview", "importer.propose", "importer.tidy", "rowhouse.measure",
    "rowhouse.restore", "tenants.backup", "tenants.delete", "tenants.drop_schema", "tenants.invite",
    "tenants.look_after", "tenants.provision", "tenants.spares", "tenants.verify_backup",
}  # fmt: skip
COMMANDS = {
    "import_file": "the command of imports",
    "undo_import": "undoing an import that added",
    "change_column": "a change of a type and its revert",
    "restore_dataset": "a restore",
    "rebuild_dataset": "making tables anew by a job",
    "prune_history": "cleaning up history",
    "import_bundle": "-",  # test_bundles.py compares what came in
    "erase_person": "-",  # takes values from both tables; its own tests look into both
    # Both tables of each dataset as they were, from one snapshot, before there are triggers.
    "restore_tenant": "-",
    "drill_backups": "-",
    "migrate_tenants": "-",  # tests/ready.py: no migration writes records
    "worker": "-",  # does the jobs above
    "demo": "-",  # imports files, as everybody does
}
COMMANDS_WITHOUT_RECORDS = {
    "event_streams", "reset_operator_factor", "reset_second_factor",
    "add_domain", "backup_tenant", "backup_tenants", "create_dataset", "create_operator", "delete_tenant",
    "describe_dataset",
    "describe_mapping", "doctor", "enter_tenant", "export_bundle", "export_datasets", "generate_rows", "list_backups",
    "list_datasets", "list_exports", "list_imports", "list_mappings", "list_tenants", "make_read_only", "make_writable",
    "measure_tenants", "probe", "provision_tenant", "prune_backups", "prune_exports", "reseal_secrets", "resume_tenant",
    "seal_audit", "set_export_settings", "set_quota", "setup_schedules", "show_export_settings", "storage_usage",
    "suspend_tenant", "verify_audit", "verify_backup", "verify_domain", "verify_exports",
}  # fmt: skip


def test_every_job_is_known_to_write_records_or_not() -> None:
    kinds = {kind for config in apps.get_app_configs() for kind in getattr(config, "job_kinds", {})}
    assert kinds == JOBS.keys() | JOBS_WITHOUT_RECORDS
    assert set(JOBS.values()) - {"-"} <= WAYS.keys()


def test_every_command_is_known_to_write_records_or_not() -> None:
    assert our_commands() == COMMANDS.keys() | COMMANDS_WITHOUT_RECORDS
    assert set(COMMANDS.values()) - {"-"} <= WAYS.keys()


# ---- what the database lets nobody do


def test_who_works_for_a_tenant_can_neither_empty_a_table_nor_write_history(
    ground: Ground, acme: TenantRef
) -> None:
    """TRUNCATE is the one way that no trigger of ours follows; only an owner of the table has it."""
    spec = ground.dataset.spec()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT has_table_privilege(%(role)s, %(table)s, 'TRUNCATE'), has_table_privilege(%(role)s, %(table)s,"
            " 'UPDATE'), has_table_privilege(%(role)s, %(history)s, 'INSERT, UPDATE, DELETE, TRUNCATE'),"
            " has_table_privilege(%(role)s, %(history)s, 'SELECT')",
            {"role": acme.schema, "table": spec.table, "history": spec.history_table},
        )
        assert cursor.fetchone() == (False, True, False, True)


# ---- models that people change

# Without a history of their own. Each has the name of the event by which every change of it is kept with who made it,
# or the reason in words.
NO_HISTORY = {
    "audit.Event": "it is what was done, and is only added to",
    "audit.Seal": "it proves the events",
    "datasets.Change": "it is a change itself, with its log, before and after",
    "datasets.ChangeSet": "it is a change itself; the history of records names it",
    "datasets.ColumnLimit": "datasets.column.limited",
    "datasets.DatasetTemplate": "datasets.template.saved",
    "datasets.DefaultView": "datasets.view.made_default",
    "core.Taken": "counts attempts",
    "datasets.Erasure": "it is what was asked and done, and says so in events",
    "datasets.ErasureRecord": "it is the proof of an erasure",
    "datasets.FailingRecord": "written by the check of a change",
    "datasets.RecordIndex": "datasets.index.requested",
    "datasets.SavedView": "datasets.view.changed",
    "exporter.DatasetSlot": "written by the schedule",
    "exporter.Delivery": "written by the job that delivers",
    "exporter.ExportFile": "written by the job that exports",
    "exporter.ExportRun": "exporter.run.requested",
    "exporter.SpaceSample": "measured",
    "importer.ImportIssue": "written by the preview",
    "importer.ImportJob": "importer.job.created",
    "importer.ImportRules": "importer.rules.changed",
    "importer.MappingVersion": "it is a version itself",
    "importer.Proposal": "importer.proposal.created",
    "importer.RejectedRow": "written by the preview",
    "importer.RowFix": "importer.rows.fixed",
    "importer.SavedMapping": "every version of it is kept as a MappingVersion",
    "jobs.Job": "written by the work itself",
    "jobs.TenantShare": "written by the dispatcher",
    "jobs.WorkerSign": "written by the workers",
    "operators.OperatorFactor": "each is an event of who signs in with it",
    "operators.Operator": "accounts.operator.changed",
    "tenants.EventStream": "each change is an event of the platform's log",
    "tenants.Domain": "tenants.domain.claimed",
    "tenants.DomainClaim": "tenants.domain.claimed",
    "tenants.EntryGrant": "tenants.entry.ended",
    "tenants.MigrationOutcome": "written by the migration of tenants",
    "tenants.ReadOnlyTenant": "tenants.tenant.made-read-only",
    "tenants.SchemaTemplate": "made from the migrations",
    "tenants.SpareSchema": "made in stock",
    "tenants.Tenant": "tenants.tenant.requested",
    "tenants.TenantBackup": "tenants.backup.requested",
    "tenants.TenantFigures": "measured",
    "tenants.TenantLimits": "tenants.quota.set",
    "tokens.ApiToken": "never changed: made, used and revoked, which are events",
    "tokens.TokenAddress": "noted by the use of a token",
    "tenants.TenantNote": "tenants.note.added",
}


def own_models() -> dict[str, Any]:
    """Return our models, but for those that hold a history."""
    return {
        model._meta.label: model
        for model in apps.get_models()
        if model.__module__.partition(".")[0] in OUR_APPS
        and not hasattr(model, "history_change_reason")
        and model._meta.app_label not in {"stock", "examples"}  # what importer/examples shows a developer
    }


def test_every_model_of_ours_has_a_history_or_a_reason_to_have_none() -> None:
    without = {label for label, model in own_models().items() if not hasattr(model, "history")}
    assert without == NO_HISTORY.keys()


def test_every_event_that_stands_for_a_history_is_recorded_somewhere() -> None:
    text = "\n".join(file.read_text() for file in sources())
    events = [
        reason for reason in NO_HISTORY.values() if re.fullmatch(r"[a-z]+[.][a-z_]+[.][a-z_-]+", reason)
    ]
    assert [event for event in events if f'"{event}"' not in text] == [] and len(events) > 10
