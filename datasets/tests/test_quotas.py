"""Counting records for a limit: exactly near it, from statistics far below."""

from __future__ import annotations

from django.db import connection
from django.test.utils import CaptureQueriesContext

from datasets import quotas
from importer.tests.tools import make_orders

FILL = """INSERT INTO {table} ({columns}) SELECT n, 'new', 1 FROM generate_series(1, 30000) AS n"""


def filled() -> str:
    spec = make_orders().spec()
    columns = ", ".join(column.name for column in spec.columns[:3])
    with connection.cursor() as cursor:
        cursor.execute(FILL.format(table=spec.table, columns=columns))
        cursor.execute(f"ANALYZE {spec.table}")
        cursor.execute(f"DELETE FROM {spec.table} WHERE id % 10 = 0")
    return spec.table


def counted(limit: int) -> tuple[int, bool]:
    with CaptureQueriesContext(connection) as asked:
        number = quotas.rows(limit)
    return number, any("count(*)" in one["sql"] for one in asked.captured_queries)


def test_near_the_limit_records_are_counted_one_by_one(as_acme):
    filled()
    assert counted(40_000) == (27_000, True)


def test_far_below_it_statistics_do(as_acme):
    filled()
    assert counted(1_000_000) == (30_000, False)


def test_a_table_nobody_has_analysed_is_counted(as_acme):
    make_orders()
    assert counted(1_000_000) == (0, True)
