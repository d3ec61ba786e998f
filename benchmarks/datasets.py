"""How fast a list of 1,000,000 records is: the queries of real pages beside the same SQL written by hand.

python -m benchmarks.datasets [--rows N] [--rounds N]

On a server of its own, with records made by seed. Each page is asked through the test client, and its time is the
sum of its own queries of the records; the same is asked by hand, in turns. Rendering, sessions and rights are left
out of the ratio, since nobody would write those by hand; what a whole page takes is said beside it. The list is
asked with the indexes our pages offer: of the sorted column, and of a search.

The last line is one JSON object: `ratio_…` is ours by theirs at the 95th percentile, `…_p95_ms` the times.
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

from benchmarks.imports_ground import Ground, open_ground

SLUG = "bench"
WORDS = ("copper", "silver", "walnut", "marble", "canvas", "cotton", "bamboo", "ceramic", "velvet", "linen")
LABELS = ("sku", "name", "maker", "price", "stock", "active", "added", "seen", "state", "note")
AT_ONCE = 50


@dataclass(slots=True)
class Page:
    """One page: its address, the SQL somebody would write for it, and what both took, in milliseconds."""

    name: str
    url: str
    by_hand: tuple[str, ...]
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    queries: int = 0
    record_queries: int = 0

    def ratio(self) -> float:
        return p95(self.ours) / p95(self.theirs)


def p95(times: list[float]) -> float:
    """Return the 95th percentile."""
    return statistics.quantiles(times, n=20, method="inclusive")[-1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=60)
    asked = parser.parse_args()
    with open_ground() as ground:
        ground.run("-m", "rowhouse", "migrate_tenants")
        ground.run("-m", "rowhouse", "provision_tenant", SLUG, "--admin", "bench@rowhouse.example")
        os.environ.update(ground.environment)
        os.environ["DJANGO_SETTINGS_MODULE"] = "rowhouse.settings"
        import django  # noqa: PLC0415 -- after the environment

        django.setup()
        _measure(ground, asked.rows, asked.rounds)


def _measure(ground: Ground, rows: int, rounds: int) -> None:
    from accounts.command import active_tenant  # noqa: PLC0415 -- after the settings
    from core.tenancy import in_tenant  # noqa: PLC0415 -- after the settings

    tenant = active_tenant(SLUG)
    with in_tenant(tenant):
        dataset, pk = _fill(ground, tenant.schema, rows)
        pages = _pages(dataset, pk)
    client = _client(tenant)
    for _ in range(3):  # warm: caches, classes, connections
        for page in pages:
            _ask(client, page)
    for page in pages:
        page.ours.clear()
        page.whole.clear()
    link = ground.link()
    try:
        with link.cursor() as cursor:
            cursor.execute(f'SET search_path = "{tenant.schema}"')
            for page in pages:
                _by_hand(cursor, page)
                page.theirs.clear()
            for number in range(rounds):
                for page in pages:
                    turns = [lambda page=page: _ask(client, page), lambda page=page: _by_hand(cursor, page)]
                    for turn in turns if number % 2 else reversed(turns):
                        turn()
    finally:
        link.close()
    _report(pages, rows, rounds)


def _fill(ground: Ground, schema: str, rows: int) -> tuple[Any, int]:
    """Make the dataset and its records; return it and the primary key of one in the middle."""
    from accounts.models import User  # noqa: PLC0415 -- after the settings
    from datasets import indexing, services  # noqa: PLC0415 -- after the settings
    from datasets.models import RecordIndex  # noqa: PLC0415 -- after the settings
    from datasets.rules import NewColumn  # noqa: PLC0415 -- after the settings
    from datasets.spec import ColumnOptions  # noqa: PLC0415 -- after the settings
    from jobs import services as jobs  # noqa: PLC0415 -- after the settings

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
    names = ", ".join(f'"{column.name}"' for column in dataset.spec().columns)
    words = "(ARRAY[" + ", ".join(f"'{word}'" for word in WORDS) + "])"
    started = time.perf_counter()
    link = ground.link()
    with link.cursor() as cursor:
        cursor.execute(f'SET search_path = "{schema}"')
        cursor.execute("SELECT setseed(0.7)")
        cursor.execute(
            f'INSERT INTO "ds_{dataset.pk}" ({names})'
            f" SELECT 'S-' || lpad(n::text, 8, '0'), {words}[1 + (random() * 9)::int] || ' ' || md5(random()::text),"
            " 'Maker ' || (random() * 500)::int, (random() * 10000)::numeric(12, 2), (random() * 1000)::int,"
            " random() < 0.5, date '2020-01-01' + (random() * 2500)::int,"
            " timestamptz '2020-01-01 00:00Z' + random() * interval '2500 days',"
            " (ARRAY['new', 'open', 'done'])[1 + (random() * 2)::int], md5(random()::text)"
            " FROM generate_series(1, %s) n",
            [rows],
        )
        cursor.execute(f'VACUUM ANALYZE "ds_{dataset.pk}"')
    link.close()
    print(f"{rows:,} records in {time.perf_counter() - started:.0f} s", file=sys.stderr)
    owner = User.objects.get(email="bench@rowhouse.example")
    price = next(one for one in dataset.spec().columns if one.label == "price")
    started = time.perf_counter()
    for ask in (
        lambda: [indexing.request_sort_index(dataset=dataset, column=price, by=owner)],
        lambda: indexing.make_search_fast(dataset=dataset, by=owner),
    ):
        [made, *_] = ask()
        jobs.run_until_done(int(RecordIndex.objects.get(pk=made.pk).job_id or 0))
    print(f"indexes in {time.perf_counter() - started:.0f} s", file=sys.stderr)
    ground.settle()
    return dataset, rows // 2


def _pages(dataset: Any, pk: int) -> list[Page]:
    name = {column.label: column.name for column in dataset.spec().columns}
    cells = ", ".join(['"id"', *(f'"{column.name}"' for column in dataset.spec().columns)])
    table, base = f'"ds_{dataset.pk}"', f"/admin/datasets/dataset/{dataset.pk}/rows/"

    def listed(where: str = "", order: str = '"id" DESC', start: int = 0) -> tuple[str, ...]:
        condition = f" WHERE {where}" if where else ""
        return (
            f"SELECT count(*) FROM (SELECT 1 FROM {table}{condition} LIMIT 10001) s",
            f"SELECT {cells} FROM {table}{condition} ORDER BY {order} LIMIT {AT_ONCE + 1} OFFSET {start}",
        )

    price, state = (f'"{name[label]}"' for label in ("price", "state"))
    texts = [f'"{name[label]}"' for label in ("sku", "name", "maker", "state", "note")]
    words = ("marble", "0123ab")
    searched = " AND ".join(
        "(" + " OR ".join(f"upper({text}) LIKE upper('%{word}%')" for text in texts) + ")" for word in words
    )
    history = (
        f'SELECT * FROM "ds_{dataset.pk}_history" WHERE id = {pk} ORDER BY history_date DESC, history_id DESC',
        f"SELECT {cells} FROM {table} WHERE id = {pk}",
    )
    return [
        Page("list", base, listed()),
        Page(
            "filtered",
            f"{base}?{name['price']}__from=100&{name['price']}__to=120&{name['state']}__is=open",
            listed(f"{price} >= 100 AND {price} <= 120 AND {state} = 'open'"),
        ),
        Page("sorted", f"{base}?sort=-{name['price']}", listed("", f'{price} DESC, "id" DESC')),
        Page("search", f"{base}?q={'+'.join(words)}", listed(searched)),
        Page("record", f"{base}{pk}/change/", (f"SELECT {cells} FROM {table} WHERE id = {pk}",)),
        Page("history", f"{base}{pk}/history/", history),
    ]


def _client(tenant: Any) -> Any:
    from django.conf import settings  # noqa: PLC0415 -- after the environment
    from django.test import Client  # noqa: PLC0415 -- after the environment

    from accounts.models import User  # noqa: PLC0415 -- after the settings
    from core.tenancy import in_tenant  # noqa: PLC0415 -- after the settings

    settings.ALLOWED_HOSTS = ["*"]
    client = Client(HTTP_HOST=f"{SLUG}.localhost")
    with in_tenant(tenant):
        user = User.objects.get(email="bench@rowhouse.example")
        client.force_login(user, backend="accounts.backends.TenantBackend")
    return client


def _ask(client: Any, page: Page) -> None:
    """Ask a page and add up its own queries of the records.

    :raises SystemExit: it did not answer, or counted without a bound.
    """
    from django.db import connection  # noqa: PLC0415 -- after the environment

    spent: list[tuple[str, float]] = []

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        started = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            spent.append((sql, (time.perf_counter() - started) * 1000))

    started = time.perf_counter()
    with connection.execute_wrapper(watch):
        answer = client.get(page.url)
    whole = (time.perf_counter() - started) * 1000
    if answer.status_code != 200:
        sys.exit(f"{page.url} answered {answer.status_code}")
    own = [(sql, took) for sql, took in spent if '"ds_' in sql and sql.startswith("SELECT")]
    # The versions of one record are as few as they are; the records of a list are not.
    if any("COUNT(" in sql and "LIMIT" not in sql and "_history" not in sql for sql, _ in own):
        sys.exit(f"{page.url} counts without a bound")
    page.ours.append(sum(took for _, took in own))
    page.whole.append(whole)
    page.queries = sum(1 for sql, _ in spent if sql.startswith("SELECT"))
    page.record_queries = len(own)


def _by_hand(cursor: Any, page: Page) -> None:
    spent = 0.0
    for sql in page.by_hand:
        started = time.perf_counter()
        cursor.execute(sql)  # the driver takes all rows here, as it does for ours
        spent += time.perf_counter() - started
        cursor.fetchall()
    page.theirs.append(spent * 1000)


def _report(pages: list[Page], rows: int, rounds: int) -> None:
    print(f"{rows:,} records of 10 columns, {rounds} rounds; times at the 95th percentile, in milliseconds\n")
    print(f"{'page':<10}{'ratio':>8}{'ours':>10}{'by hand':>10}{'page':>10}{'queries':>9}")
    for page in pages:
        print(
            f"{page.name:<10}{page.ratio():>8.2f}{p95(page.ours):>10.2f}{p95(page.theirs):>10.2f}"
            f"{p95(page.whole):>10.1f}{page.queries:>9}"
        )
    figures: dict[str, float] = {"rows": rows, "rounds": rounds}
    for page in pages:
        figures[f"ratio_{page.name}"] = round(page.ratio(), 3)
        figures[f"{page.name}_p95_ms"] = round(p95(page.ours), 3)
        figures[f"{page.name}_by_hand_p95_ms"] = round(p95(page.theirs), 3)
        figures[f"{page.name}_page_p95_ms"] = round(p95(page.whole), 1)
        figures[f"{page.name}_queries"] = page.queries
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
