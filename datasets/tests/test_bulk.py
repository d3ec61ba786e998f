from __future__ import annotations

import pytest
from django.db import IntegrityError, connection, transaction

from datasets import bulk
from datasets.models import Dataset
from datasets.rules import NewColumn
from datasets.services import create_dataset
from datasets.spec import DatasetSpec


@pytest.fixture
def spec(as_acme) -> DatasetSpec:
    columns = [NewColumn("id", "integer", is_required=True), NewColumn("code", "text", is_unique=True)]
    dataset: Dataset = create_dataset(title="Loaded", columns=columns, key=["id"], by=None)
    return dataset.spec()


def indexes(spec: DatasetSpec) -> set[tuple[str, str]]:
    """Return name and definition of each index of both tables."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema() AND tablename IN (%s, %s)",
            [spec.table, spec.history_table],
        )
        return set(cursor.fetchall())


def load(spec: DatasetSpec, first: int, last: int) -> None:
    one, two = (column.name for column in spec.columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {spec.table} ({one}, {two}) SELECT n, n::text FROM generate_series(%s, %s) n",
            [first, last],
        )


def test_a_first_load_ends_with_the_very_same_indexes(spec):
    before = indexes(spec)
    with bulk.first_load(spec, bulk.WORTH_IT_ROWS):
        assert indexes(spec) == set()
        load(spec, 1, 100)
    assert indexes(spec) == before
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT (SELECT count(*) FROM {spec.table}), (SELECT count(*) FROM {spec.history_table})"
        )
        assert cursor.fetchone() == (100, 100)


def test_a_dataset_with_records_keeps_its_indexes_during_a_load(spec):
    load(spec, 1, 1)
    before = indexes(spec)
    with bulk.first_load(spec, bulk.WORTH_IT_ROWS):
        assert indexes(spec) == before
        load(spec, 2, 3)


def test_a_small_load_keeps_the_indexes(spec):
    before = indexes(spec)
    with bulk.first_load(spec, bulk.WORTH_IT_ROWS - 1):
        assert indexes(spec) == before


def test_a_repeated_key_is_refused_at_the_end_and_leaves_nothing(spec):
    before = indexes(spec)
    with pytest.raises(IntegrityError), transaction.atomic(), bulk.first_load(spec, bulk.WORTH_IT_ROWS):
        load(spec, 1, 2)
        load(spec, 2, 2)
    assert indexes(spec) == before
