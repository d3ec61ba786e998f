"""Files of changes: a full one with all that follow it is the dataset at each run, record by record."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import psycopg2
import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.actor import actor
from core.clock import now
from core.tenancy import TenantRef
from datasets.editing import add_columns
from datasets.models import Dataset
from datasets.pruning import prune_now
from datasets.rules import NewColumn
from datasets.services import create_dataset, delete_dataset
from exporter.folding import fold
from exporter.form import FileForm, FormColumn
from exporter.manifest import change_label
from exporter.models import Content, ExportFile, ExportRun, ExportSettings, Fault, State
from exporter.pruning import prune_exports
from exporter.retention import Policy
from exporter.services import verify_exports
from exporter.tests.helpers import column, content, dataset_with, export, insert, parsed, stored_keys


def incremental(**values: Any) -> None:
    ExportSettings.objects.create(content=Content.INCREMENTAL, **values)


def run_sql(statement: str, *values: str | int | None) -> None:
    with actor(None, "a test"), connection.cursor() as cursor:
        cursor.execute(statement, values)


def folded(file: ExportFile, dataset: Dataset) -> list[list[str | None]]:
    out = io.BytesIO()
    fold(file, dataset.spec(), out)
    return sorted(parsed(out.getvalue())[1:], key=str)


def records(dataset: Dataset) -> list[list[str | None]]:
    spec = dataset.spec()
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(f'{one.name}::text' for one in spec.columns)} FROM {spec.table}")
        return sorted((list(row) for row in cursor.fetchall()), key=str)


def last() -> ExportFile:
    return export().files.get()


def names(dataset: Dataset) -> tuple[str, str, str]:
    spec = dataset.spec()
    return spec.table, spec.columns[0].name, spec.columns[1].name


def test_a_file_of_changes_tells_each_key_once_with_what_came_of_it(t1: TenantRef) -> None:
    incremental()
    dataset = dataset_with([["1", "a"], ["2", "b"], ["3", "c"], ["4", "d"], ["5", "e"], ["6", "f"]])
    table, key, note = names(dataset)
    first = last()
    insert(dataset, [["7", "new"], ["8", "gone again"]])
    run_sql(f"UPDATE {table} SET {note} = 'B' WHERE {key} = 2")
    run_sql(f"UPDATE {table} SET {note} = NULL WHERE {key} = 2")
    run_sql(f"DELETE FROM {table} WHERE {key} IN (3, 8)")
    run_sql(f"UPDATE {table} SET {key} = 40 WHERE {key} = 4")
    run_sql(f"UPDATE {table} SET {note} = 'E' WHERE {key} = 5")
    run_sql(f"UPDATE {table} SET {note} = 'e' WHERE {key} = 5")
    run_sql(f"DELETE FROM {table} WHERE {key} = 6")
    insert(dataset, [["6", "made anew"]])

    file = last()

    assert (first.content, first.base, file.content, file.base) == (
        Content.FULL, None, Content.INCREMENTAL, first,
    )  # fmt: skip
    assert content(file).decode() == (
        "_change,id,note\nchanged,2,\ndeleted,3,\ndeleted,4,\nchanged,6,made anew\ncreated,7,new\ncreated,40,d\n"
    )
    assert (file.rows, file.history_id > first.history_id) == (6, True)
    assert folded(file, dataset) == records(dataset)


def test_nothing_changed_is_a_file_of_no_changes(t1: TenantRef) -> None:
    incremental()
    dataset = dataset_with([["1", "a"]])
    first = last()

    second = last()

    assert (content(second), second.rows, second.base) == (b"_change,id,note\n", 0, first)
    assert folded(second, dataset) == [["1", "a"]]


def test_what_was_not_committed_at_the_base_is_in_the_next_file_however_old(t1: TenantRef) -> None:
    """A transaction that wrote before the base's snapshot and committed after it: its entries have lower numbers."""
    incremental()
    dataset = dataset_with([["1", "a"], ["2", "b"]])
    table, key, note = names(dataset)
    given = connection.get_connection_params()
    other = psycopg2.connect(
        **{name: given[name] for name in ("dbname", "user", "password", "host", "port") if name in given}
    )
    try:
        with other.cursor() as cursor:
            cursor.execute(f'SET search_path = "{t1.schema}"')
            cursor.execute(f"UPDATE {table} SET {note} = 'slow' WHERE {key} = 1")
            run_sql(f"UPDATE {table} SET {note} = 'quick' WHERE {key} = 2")
            first = last()
        other.commit()
    finally:
        other.close()

    second = last()

    assert parsed(content(first))[1:] == [["1", "a"], ["2", "quick"]]
    assert parsed(content(second))[1:] == [["changed", "1", "slow"]]
    assert folded(second, dataset) == records(dataset)


def _settings(**values: Any) -> None:
    ExportSettings.objects.update(**values)


def _widened(dataset: Dataset, file: ExportFile) -> None:
    add_columns(dataset=dataset, columns=[NewColumn("more")])


def _pruned(dataset: Dataset, file: ExportFile) -> None:
    ExportFile.objects.update(deleted_at="2026-11-20T00:00Z")


def _faulty(dataset: Dataset, file: ExportFile) -> None:
    ExportFile.objects.update(fault=Fault.ALTERED)


def _cleaned(dataset: Dataset, file: ExportFile) -> None:
    run_sql(f"DELETE FROM {dataset.spec().history_table} WHERE history_id <= %s", file.history_id)


def _half_cleaned(dataset: Dataset, file: ExportFile) -> None:
    run_sql(f"DELETE FROM {dataset.spec().history_table} WHERE history_id < %s", file.history_id)


def _forgotten(dataset: Dataset, file: ExportFile) -> None:
    """History forgets that a record was deleted, and nothing in it says so."""
    table, key, _ = names(dataset)
    run_sql(f"DELETE FROM {table} WHERE {key} = 1")
    insert(dataset, [["3", "c"]])
    run_sql(f"UPDATE {dataset.spec().history_table} SET history_date = history_date - interval '30 days'")
    ExportRun.objects.update(oldest_at=now() - timedelta(days=31))
    prune_now(dataset=dataset, before=now() - timedelta(days=10))
    run_sql(f"DELETE FROM {table} WHERE {key} = 3")


def _full_again(dataset: Dataset, file: ExportFile) -> None:
    _settings(full_after=0)


def _switched(dataset: Dataset, file: ExportFile) -> None:
    _settings(content=Content.FULL)


@pytest.mark.parametrize(
    "happens", [_widened, _pruned, _faulty, _cleaned, _half_cleaned, _forgotten, _full_again, _switched]
)
def test_a_full_file_comes_where_changes_could_not_be_told(t1: TenantRef, happens: Any) -> None:
    incremental()
    dataset = dataset_with([["1", "a"], ["2", "b"]])
    table, key, _ = names(dataset)
    first = last()
    happens(dataset, first)
    run_sql(f"DELETE FROM {table} WHERE {key} = 1")

    file = last()

    assert (file.content, file.base) == (Content.FULL, None)
    assert [row[:2] for row in parsed(content(file))[1:]] == [["2", "b"]]


def test_a_clean_up_of_what_was_before_the_last_file_leaves_changes_to_tell(t1: TenantRef) -> None:
    incremental()
    dataset = dataset_with([["1", "a"], ["2", "b"]])
    table, key, label = names(dataset)
    run_sql(f"UPDATE {table} SET {label} = 'c' WHERE {key} = 1")
    run_sql(f"UPDATE {dataset.spec().history_table} SET history_date = history_date - interval '30 days'")
    last()
    prune_now(dataset=dataset, before=now() - timedelta(days=10))
    run_sql(f"DELETE FROM {table} WHERE {key} = 2")

    file = last()

    assert (file.content, file.run.oldest_at is not None) == (Content.INCREMENTAL, True)
    assert [row[:2] for row in parsed(content(file))[1:]] == [["deleted", "2"]]


def test_after_so_many_files_of_changes_comes_a_full_one(t1: TenantRef) -> None:
    incremental(full_after=2)
    dataset_with([["1", "a"]])

    assert [last().content for _ in range(5)] == ["FULL", "INCREMENTAL", "INCREMENTAL", "FULL", "INCREMENTAL"]


def test_a_dataset_without_a_key_gets_full_files(t1: TenantRef) -> None:
    incremental()
    create_dataset(title="Loose", columns=[column("a")])

    assert [last().content, last().content] == ["FULL", "FULL"]


@pytest.mark.parametrize("labels", [(), ("_change",), ("_CHANGE", "__change")])
def test_the_first_column_has_a_label_of_its_own(labels: tuple[str, ...]) -> None:
    form = FileForm(columns=tuple(FormColumn(at, label) for at, label in enumerate(labels)))

    assert change_label(form) == "_" * (len(labels) + 1) + "change"


@pytest.mark.case("O14")
def test_a_file_that_another_goes_on_from_stays_as_long_as_that(t1: TenantRef) -> None:
    incremental(full_after=2)
    dataset = dataset_with([["1", "a"]])
    files = [last() for _ in range(6)]  # two chains of three

    assert prune_exports(now=files[-1].created_at, keep=Policy(0, 2)) == files[2::-1]  # none before one on it

    assert stored_keys() == [file.key for file in files[3:]]
    assert folded(files[-1], dataset) == [["1", "a"]]
    assert ExportRun.objects.exclude(manifest_key="").count() == 3


def test_names_can_say_what_is_in_a_file(t1: TenantRef) -> None:
    incremental(pattern="{dataset}/{content}/{dataset}_{time}.{ext}")
    dataset_with([["1", "a"]])

    assert [last().key.split("/")[3] for _ in range(2)] == ["full", "changes"]


OPERATION = st.tuples(
    st.sampled_from(["insert", "update", "delete", "rekey", "swap", "anew"]),
    st.integers(0, 6),
    st.integers(0, 6),
    st.sampled_from([None, "", "x", 'a "b", c\n', "=1+1"]),
)


def _do(dataset: Dataset, operation: tuple[str, int, int, str | None]) -> None:
    kind, one, other, text = operation
    table, key, note = names(dataset)
    free = f"NOT EXISTS (SELECT FROM {table} WHERE {key} = %s)"
    insertion = f"INSERT INTO {table} ({key}, {note}) SELECT %s, %s WHERE {free}"
    match kind:
        case "insert":
            run_sql(insertion, one, text, one)
        case "update":
            run_sql(f"UPDATE {table} SET {note} = %s WHERE {key} = %s", text, one)
        case "delete":
            run_sql(f"DELETE FROM {table} WHERE {key} = %s", one)
        case "rekey":
            run_sql(f"UPDATE {table} SET {key} = %s WHERE {key} = %s AND {free}", other, one, other)
        case "swap":
            run_sql(f"UPDATE {table} SET {key} = %s WHERE {key} = %s", -1, one)
            run_sql(f"UPDATE {table} SET {key} = %s WHERE {key} = %s", one, other) if one != other else None
            run_sql(f"UPDATE {table} SET {key} = %s WHERE {key} = -1", other)
        case "anew":
            run_sql(f"DELETE FROM {table} WHERE {key} = %s", one)
            run_sql(insertion, one, text, one)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(OPERATION, max_size=8), min_size=2, max_size=5), st.integers(1, 3))
def test_whatever_happens_between_runs_the_chain_is_the_dataset_at_each(
    t1: TenantRef, between: list[list[Any]], full_after: int
) -> None:
    ExportSettings.objects.all().delete()
    incremental(full_after=full_after)
    dataset = dataset_with([[str(number), "first"] for number in range(4)])
    try:
        seen = []
        for operations in between:
            for operation in operations:
                _do(dataset, operation)
            seen.append((last(), records(dataset)))
        for file, expected in seen:
            assert folded(file, dataset) == expected
        assert [one.fault for one in verify_exports(now=seen[-1][0].created_at)] == [Fault.NONE] * len(seen)
    finally:
        assert set(ExportRun.objects.values_list("state", flat=True)) == {State.SUCCEEDED}
        ExportFile.objects.update(base=None)
        ExportFile.objects.all().delete()
        ExportRun.objects.all().delete()
        delete_dataset(dataset=dataset)
