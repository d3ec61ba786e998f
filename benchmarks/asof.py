"""What the list as of a moment costs beside the list of today: 1,000,000 records of five versions each.

python -m benchmarks.asof [--rows N] [--versions N] [--rounds N]

On a server of its own, with records made by seed and changed by statements over all of them, as imports do. Some
records were added after the moment that is asked for and some were deleted before it, and after it. Each page is asked
through the test client, in turns with the page of today; its time is the sum of the queries of records and of versions
that it sends, rendering and rights left out on both sides. Whole pages are said beside it.

The last line is one JSON object: `ratio_…` is the page as of a moment by the same page of today at the 95th percentile,
`ratio_…_rows_alone` by its query of records without the bounded count, which a page as of a moment leaves out, and
`…_p95_ms` the times. The first page has to stay below ten times either.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from benchmarks.imports_ground import Ground, open_ground

SLUG = "bench"
LABELS = ("sku", "name", "maker", "price", "stock", "active", "added", "seen", "state", "note")
LIMIT = 10.0
LATER = 0.02  # of the records are added after the moments, and as many deleted before and after them


@dataclass(slots=True)
class Pair:
    """The same page as of a moment and of today, and what both took, in milliseconds."""

    name: str
    then: str
    today: str
    thens: list[float] = field(default_factory=list)
    todays: list[float] = field(default_factory=list)
    rows_today: list[float] = field(
        default_factory=list
    )  # without the bounded count that stands beside the pages
    whole: list[float] = field(default_factory=list)
    whole_today: list[float] = field(default_factory=list)

    def ratio(self) -> float:
        return p95(self.thens) / p95(self.todays)

    def ratio_of_rows(self) -> float:
        """Return the ratio to the query of today's records alone, which the page of then has to do without a count."""
        return p95(self.thens) / p95(self.rows_today)


def p95(times: list[float]) -> float:
    """Return the 95th percentile."""
    return statistics.quantiles(times, n=20, method="inclusive")[-1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--versions", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=60)
    asked = parser.parse_args()
    with open_ground() as ground:
        ground.run("-m", "rowhouse", "migrate_tenants")
        ground.run("-m", "rowhouse", "provision_tenant", SLUG, "--admin", "bench@rowhouse.example")
        os.environ.update(ground.environment)
        os.environ["DJANGO_SETTINGS_MODULE"] = "rowhouse.settings"
        import django  # noqa: PLC0415 -- after the environment

        django.setup()
        _measure(ground, asked.rows, asked.versions, asked.rounds)


def _measure(ground: Ground, rows: int, versions: int, rounds: int) -> None:
    from accounts.command import active_tenant  # noqa: PLC0415 -- after the settings
    from core.tenancy import in_tenant  # noqa: PLC0415 -- after the settings

    tenant = active_tenant(SLUG)
    with in_tenant(tenant):
        dataset, moments = _fill(ground, tenant.schema, rows, versions)
        pairs = _pairs(dataset, moments)
    client = _client(tenant)
    for _ in range(2):  # warm: caches, classes, connections
        for pair in pairs:
            _ask(client, pair, pair.then, [], [], [])
            _ask(client, pair, pair.today, [], [], [])
    slow = [pair for pair in pairs if pair.name.startswith(("sorted", "searched", "differences"))]
    for number in range(rounds):
        for pair in pairs:
            if pair in slow and number >= max(3, rounds // 10):
                continue  # seconds each: a few rounds say it
            turns = [
                lambda pair=pair: _ask(client, pair, pair.then, pair.thens, pair.whole, []),
                lambda pair=pair: _ask(
                    client, pair, pair.today, pair.todays, pair.whole_today, pair.rows_today
                ),
            ]
            for turn in turns if number % 2 else reversed(turns):
                turn()
    _report(pairs, rows, versions, rounds)


def _fill(ground: Ground, schema: str, rows: int, versions: int) -> tuple[Any, dict[str, str]]:
    """Make the dataset, its records and their versions; return it and moments of its past by name."""
    from datasets import services  # noqa: PLC0415 -- after the settings
    from datasets.rules import NewColumn  # noqa: PLC0415 -- after the settings
    from datasets.spec import ColumnOptions  # noqa: PLC0415 -- after the settings

    kinds = ("text", "text", "text", "decimal", "integer", "boolean", "date", "timestamp", "choice", "text")
    options = {
        "price": ColumnOptions(precision=12, scale=2),
        "state": ColumnOptions(choices=("new", "open", "done")),
    }
    columns = [
        NewColumn(label, kind, options=options.get(label, ColumnOptions()))
        for label, kind in zip(LABELS, kinds, strict=True)
    ]
    dataset = services.create_dataset(title="Stock", columns=columns, key=["sku"])
    name = {column.label: column.name for column in dataset.spec().columns}
    table, names = f'"ds_{dataset.pk}"', ", ".join(name.values())
    later = max(1, int(rows * LATER))
    insert = (
        f"INSERT INTO {table} ({names}) SELECT 'S-' || lpad(n::text, 8, '0'), 'name ' || md5(n::text),"
        " 'Maker ' || (random() * 500)::int, (random() * 10000)::numeric(12, 2), (random() * 1000)::int,"
        " random() < 0.5, date '2020-01-01' + (random() * 2500)::int,"
        " timestamptz '2020-01-01 00:00Z' + random() * interval '2500 days',"
        " (ARRAY['new', 'open', 'done'])[1 + (random() * 2)::int], md5(random()::text)"
        " FROM generate_series(%s, %s) n"
    )
    started, moments = time.perf_counter(), {}
    link = ground.link()
    link.autocommit = True
    with link.cursor() as cursor:

        def moment(called: str) -> None:
            cursor.execute("SELECT pg_sleep(0.01)")
            cursor.execute("SELECT clock_timestamp()")
            moments[called] = cursor.fetchone()[0].isoformat()

        cursor.execute(f'SET search_path = "{schema}"')
        cursor.execute("SELECT setseed(0.7)")
        cursor.execute(insert, [1, rows])
        for version in range(2, versions + 1):
            cursor.execute(
                f"UPDATE {table} SET {name['stock']} = {name['stock']} + 1, {name['note']} = 'v{version}'"
            )
            if version == versions // 2:
                moment("middle")
        # As many deleted, and added, as make a page look past them: at the end that is shown first.
        cursor.execute(f"DELETE FROM {table} WHERE id > (SELECT max(id) FROM {table}) - %s", [later])
        moment("late")
        cursor.execute(insert, [rows + 1, rows + later])
        cursor.execute(f"VACUUM ANALYZE {table}")
        cursor.execute(f'VACUUM ANALYZE "ds_{dataset.pk}_history"')
        moment("now")
        cursor.execute(f"SELECT pg_total_relation_size('\"ds_{dataset.pk}_history\"') / 1048576")
        size = cursor.fetchone()[0]
    link.close()
    print(
        f"{rows:,} records, {versions} versions each, {size:,} MB of history in {time.perf_counter() - started:.0f} s",
        file=sys.stderr,
    )
    ground.settle()
    return dataset, moments


def _pairs(dataset: Any, moments: dict[str, str]) -> list[Pair]:
    name = {column.label: column.name for column in dataset.spec().columns}
    base = f"/admin/datasets/dataset/{dataset.pk}/rows/"

    def pair(called: str, at: str, **query: str) -> Pair:
        return Pair(
            called,
            f"{base}as-of/?{urlencode({'at': moments[at], **query})}",
            f"{base}?{urlencode(query) or 'v=0'}",
        )

    narrow = {f"{name['price']}__from": "100", f"{name['price']}__to": "120", f"{name['state']}__is": "open"}
    # The place behind a record in the middle, as the list writes it.
    from datasets.keyset import Order, place_of  # noqa: PLC0415 -- after the settings
    from datasets.rows import get_row_model  # noqa: PLC0415 -- after the settings

    model = get_row_model(dataset)
    middle = model.objects.order_by("pk")[:1].get().pk + 500_000
    record = (
        model.objects.filter(pk__gte=middle).order_by("pk").first() or model.objects.order_by("pk").first()
    )
    place = place_of(record, Order(()))
    between = {"from": moments["middle"], "to": moments["late"]}
    return [
        pair("first page, middle", "middle"),
        pair("first page, now", "now"),
        pair("behind deleted ones", "late"),
        pair("deep page", "middle", after=place, p="2"),
        pair("filtered", "middle", **narrow),
        pair("sorted", "middle", sort=f"-{name['price']}"),
        pair("searched", "middle", q="0123ab"),
        Pair("differences", f"{base}differences/?{urlencode(between)}", f"{base}?v=0"),
    ]


def _client(tenant: Any) -> Any:
    from django.conf import settings  # noqa: PLC0415 -- after the environment
    from django.test import Client  # noqa: PLC0415 -- after the environment

    from accounts.models import User  # noqa: PLC0415 -- after the settings
    from core.tenancy import in_tenant  # noqa: PLC0415 -- after the settings

    settings.ALLOWED_HOSTS = ["*"]
    settings.ROWS_TIMEOUT_SECONDS = 300.0  # what takes longer than a page may is measured too
    client = Client(HTTP_HOST=f"{SLUG}.localhost")
    with in_tenant(tenant):
        user = User.objects.get(email="bench@rowhouse.example")
        client.force_login(user, backend="accounts.backends.TenantBackend")
    return client


def _ask(
    client: Any, pair: Pair, url: str, times: list[float], wholes: list[float], rows: list[float]
) -> None:
    """Ask a page and add up its queries of records and versions.

    :raises SystemExit: it did not answer.
    """
    from django.db import connection  # noqa: PLC0415 -- after the environment

    spent: list[float] = []
    counting: list[float] = []

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        started = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            if "ds_" in sql and "LOCK TABLE" not in sql:
                took = (time.perf_counter() - started) * 1000
                spent.append(took)
                if "COUNT(" in sql:
                    counting.append(took)

    started = time.perf_counter()
    with connection.execute_wrapper(watch):
        answer = client.get(url)
    if answer.status_code != 200:
        sys.exit(f"{pair.name}: {url} answered {answer.status_code}")
    times.append(sum(spent))
    rows.append(sum(spent) - sum(counting))
    wholes.append((time.perf_counter() - started) * 1000)


def _report(pairs: list[Pair], rows: int, versions: int, rounds: int) -> None:
    print(f"{rows:,} records of {versions} versions, {rounds} rounds; milliseconds at the 95th percentile\n")
    print(
        f"{'page':<22}{'ratio':>8}{'then':>10}{'today':>10}{'page then':>12}{'page today':>12}{'rows alone':>12}"
    )
    figures: dict[str, float] = {"rows": rows, "versions": versions, "rounds": rounds}
    for pair in pairs:
        print(
            f"{pair.name:<22}{pair.ratio():>8.2f}{p95(pair.thens):>10.2f}{p95(pair.todays):>10.2f}"
            f"{p95(pair.whole):>12.1f}{p95(pair.whole_today):>12.1f}{pair.ratio_of_rows():>12.2f}"
        )
        called = pair.name.replace(",", "").replace(" ", "_")
        figures[f"ratio_{called}"] = round(pair.ratio(), 3)
        figures[f"ratio_{called}_rows_alone"] = round(pair.ratio_of_rows(), 3)
        figures[f"{called}_p95_ms"] = round(p95(pair.thens), 3)
        figures[f"{called}_today_p95_ms"] = round(p95(pair.todays), 3)
        figures[f"{called}_page_p95_ms"] = round(p95(pair.whole), 1)
        figures[f"{called}_today_page_p95_ms"] = round(p95(pair.whole_today), 1)
    worst = max(pair.ratio_of_rows() for pair in pairs if pair.name.startswith("first page"))
    print(
        f"\nthe first page takes at most {worst:.1f} times the query of today's records; the limit is {LIMIT:.0f}"
    )
    figures["ratio_first_page_worst"] = round(worst, 3)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
