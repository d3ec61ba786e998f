"""Migrating every tenant at once: the same as Django would, whatever fails, and from wherever it was stopped."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.tenancy import TenantRef, in_tenant
from importer.examples.stock import migrations as stock
from tenants import fanout, spares, template
from tenants.catalog import differences, read_schema
from tenants.migrating import migrate
from tenants.models import MigrationOutcome, SpareSchema, Tenant
from tenants.planning import behind
from tests.test_catalog import make_everything

Plant = Callable[..., None]
NEWEST = ("stock", "0002_planted")
CHANGE = """
        migrations.AddField("stockrecord", "shelf", models.CharField(max_length=9, default="it's %s")),
        migrations.AddField("stockrecord", "seen", models.BooleanField(null=True)),
        migrations.AddIndex("stockrecord", models.Index("shelf", "seen", name="stock_by_shelf")),
        migrations.RemoveConstraint("stockrecord", "an_article_stands_once_at_a_place"),
        migrations.AddConstraint("stockrecord", models.UniqueConstraint(fields=["sku"], name="an_article_once")),
        migrations.CreateModel("Shelf", [("id", models.BigAutoField(primary_key=True)),
            ("record", models.ForeignKey("stock.stockrecord", models.CASCADE))]),
        migrations.RunSQL(
            "UPDATE stock_stockrecord SET quantity = quantity + 1; COMMENT ON TABLE stock_shelf IS 'a;b'"
        ),
"""
PYTHON = """
        migrations.RunPython(lambda apps, editor: apps.get_model("stock", "stockrecord").objects.create(
            sku="made by Python", place="-", quantity=1)),
"""


@pytest.fixture
def plant(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Return a function that gives an app of the tenants another migration, as if its code were newer."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(operations: str = CHANGE, *, number: int = 2, more: str = "") -> None:
        package = f"planted_{tmp_path.name}_{number}".replace("-", "_")
        folder = tmp_path / package
        shutil.copytree(Path(stock.__path__[0]), folder, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "0002_planted.py").write_text(
            "import uuid\nfrom django.db import migrations, models\n\n"
            "class Migration(migrations.Migration):\n"
            f'    dependencies = [("stock", "0001_initial")]\n    {more}\n    operations = [{operations}    ]\n'
        )
        monkeypatch.setitem(sys.modules, package, None)
        monkeypatch.delitem(sys.modules, package)
        settings.MIGRATION_MODULES = {**settings.MIGRATION_MODULES, "stock": package}

    return make


def add_stock(tenant: TenantRef, *articles: str) -> None:
    with in_tenant(tenant), connection.cursor() as cursor:
        for number, article in enumerate(articles):
            cursor.execute(
                "INSERT INTO stock_stockrecord (sku, place, quantity) VALUES (%s, %s, 1)", [article, number]
            )


def rows(tenant: TenantRef, columns: str = "*") -> list[Any]:
    with in_tenant(tenant), connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns} FROM stock_stockrecord ORDER BY id")
        return list(cursor.fetchall())


def states(report: fanout.Report) -> dict[str, str]:
    return {one.slug: str(one.state) for one in report.outcomes}


def test_a_replayed_tenant_is_what_django_makes_of_it(
    acme: TenantRef, globex: TenantRef, plant: Plant
) -> None:
    for tenant in (acme, globex):
        add_stock(tenant, "a", "b")
    plant()
    with in_tenant(globex):
        migrate()
    report = fanout.migrate_all()
    assert states(report) == {"acme": "REPLAYED"}
    with connection.cursor() as cursor:
        assert differences(cursor, acme.schema, globex.schema, rights=True) == []
    assert rows(acme) == rows(globex)
    assert rows(acme, "quantity, shelf") == [(2, "it's %s"), (2, "it's %s")]
    assert behind([acme.schema, globex.schema, "public"]) == {}
    with in_tenant(acme), connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM django_migrations WHERE app = 'stock' AND name = '0002_planted'")
        assert cursor.fetchone() == (1,)
    assert MigrationOutcome.objects.get(run=report.run).schema == acme.schema


def test_datasets_are_left_as_they_are(acme: TenantRef, globex: TenantRef, plant: Plant) -> None:
    with in_tenant(acme):
        make_everything()

    def made() -> list[str]:
        with connection.cursor() as cursor:
            parts = read_schema(cursor, acme.schema).made()
            return [part.meaning for part in parts if re.search(r"\bds_\d", part.name)]

    before = made()
    assert len(before) > 40
    plant()
    assert states(fanout.migrate_all()) == {"acme": "REPLAYED", "globex": "REPLAYED"}
    assert made() == before


@pytest.mark.parametrize(
    ("operations", "more"),
    [
        (PYTHON, ""),
        ('migrations.AddField("stockrecord", "token", models.UUIDField(default=uuid.uuid4)),', ""),
        ("migrations.RunSQL(\"SELECT setval('stock_stockrecord_id_seq', 50)\"),", ""),
        (CHANGE, "atomic = False"),
    ],
    ids=["python", "a value of each tenant's own", "a question", "not atomic"],
)
def test_what_is_not_the_same_everywhere_is_done_by_django(
    acme: TenantRef, globex: TenantRef, plant: Plant, operations: str, more: str
) -> None:
    plant(operations, more=more)
    assert states(fanout.migrate_all()) == {"acme": "MIGRATED", "globex": "MIGRATED"}
    assert behind([acme.schema, globex.schema]) == {}
    if operations == PYTHON:
        assert rows(acme, "sku") == rows(globex, "sku") == [("made by Python",)]
    with connection.cursor() as cursor:
        assert differences(cursor, acme.schema, globex.schema) == []


def test_a_tenant_that_fails_is_as_it_was_and_holds_up_no_other(
    acme: TenantRef, globex: TenantRef, plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    add_stock(acme, "a", "a")
    plant()
    with pytest.raises(SystemExit) as ended:
        call_command("migrate_tenants", "--canaries", "0")
    assert ended.value.code == 1
    said = capsys.readouterr().out
    assert "acme failed and is as it was before" in said
    assert set(behind([acme.schema, globex.schema])) == {acme.schema}
    assert rows(acme, "quantity") == [(1,), (1,)]
    failed = MigrationOutcome.objects.get(state="FAILED")
    assert (failed.slug, "an_article_once" in failed.error) == ("acme", True)
    with in_tenant(acme), connection.cursor() as cursor:
        cursor.execute("DELETE FROM stock_stockrecord")
    assert states(fanout.migrate_all()) == {"acme": "REPLAYED"}


def test_if_one_of_the_first_fails_the_others_are_not_tried(
    acme: TenantRef, globex: TenantRef, plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    add_stock(acme, "a", "a")
    plant()
    with pytest.raises(SystemExit) as ended:
        call_command("migrate_tenants")
    assert ended.value.code == 1
    assert "1 tenant not tried, because one of the first failed: globex." in capsys.readouterr().out
    assert set(behind([acme.schema, globex.schema])) == {acme.schema, globex.schema}


def test_a_run_that_was_stopped_goes_on_where_it_stood(
    acme: TenantRef, globex: TenantRef, plant: Plant
) -> None:
    plant()

    def stop(_outcome: MigrationOutcome) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fanout.migrate_all(tell=stop)
    assert set(behind([acme.schema, globex.schema])) == {globex.schema}
    assert states(fanout.migrate_all()) == {"globex": "REPLAYED"}
    assert states(fanout.migrate_all()) == {}


def test_tenants_that_lack_different_migrations_have_a_plan_each(
    acme: TenantRef, globex: TenantRef, plant: Plant
) -> None:
    with in_tenant(globex), connection.cursor() as cursor:  # as one that 0001 never reached
        cursor.execute("DROP TABLE stock_stockrecord")
        cursor.execute("DELETE FROM django_migrations WHERE app = 'stock'")
    plant()
    found = behind([acme.schema, globex.schema])
    assert {schema: len(missing) for schema, missing in found.items()} == {acme.schema: 1, globex.schema: 2}
    assert states(fanout.migrate_all()) == {"acme": "REPLAYED", "globex": "REPLAYED"}
    with connection.cursor() as cursor:
        assert differences(cursor, acme.schema, globex.schema) == []


def test_a_plan_that_does_not_fit_a_tenant_is_left_to_django(
    acme: TenantRef, globex: TenantRef, plant: Plant
) -> None:
    with in_tenant(globex), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE stock_stockrecord ADD shelf varchar(9), ADD CONSTRAINT odd UNIQUE (sku)")
    plant('migrations.RunSQL("ALTER TABLE stock_stockrecord ADD shelf varchar(9)"),')
    assert states(fanout.migrate_all(canaries=0)) == {"acme": "REPLAYED", "globex": "FAILED"}


def test_rights_come_with_it(acme: TenantRef, globex: TenantRef, plant: Plant) -> None:
    def granted(tenant: TenantRef) -> list[Any]:
        with in_tenant(tenant):
            return sorted(
                Group.objects.values_list("name", "permissions__content_type__model", "permissions__codename")
            )

    before = granted(acme)
    with in_tenant(acme):
        viewer = Group.objects.get(name="viewer")
        viewer.permissions.add(*Permission.objects.filter(codename="delete_user"))
        Permission.objects.filter(codename="view_dataset").delete()
        assert granted(acme) != before
    plant()
    assert states(fanout.migrate_all())["acme"] == "REPLAYED"
    assert granted(acme) == before == granted(globex)


def test_the_template_and_spares_are_of_the_new_code(
    acme: TenantRef, globex: TenantRef, plant: Plant
) -> None:
    old, stale = template.ensure(), spares.make_one()
    plant()
    fanout.migrate_all()
    new = template.current()
    assert new is not None
    assert new.pk != old.pk
    assert behind([new.schema_name]) == {}
    assert not SpareSchema.objects.filter(pk=stale.pk).exists()
    with connection.cursor() as cursor:
        assert differences(cursor, new.schema_name, globex.schema) == []


def test_check_names_who_is_behind_and_asks_little(
    acme: TenantRef, globex: TenantRef, plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("migrate_tenants", "--check")
    assert capsys.readouterr().out == "Every schema is up to date.\n"
    with CaptureQueriesContext(connection) as asked:
        assert behind([acme.schema, globex.schema, "public"]) == {}
    assert len([one for one in asked if "search_path" not in one["sql"]]) == 2
    plant()
    with pytest.raises(SystemExit) as ended:
        call_command("migrate_tenants", "--check")
    assert ended.value.code == 1
    assert capsys.readouterr().out.splitlines() == [
        f"{name} is behind. Run `rowhouse migrate_tenants`." for name in ("public", "acme", "globex")
    ]


def test_a_suspended_tenant_is_migrated_and_a_deleted_one_is_not_looked_for(
    acme: TenantRef, globex: TenantRef, plant: Plant
) -> None:
    Tenant.objects.filter(slug="acme").update(state="SUSPENDED")
    Tenant.objects.filter(slug="globex").update(state="DELETED")
    plant()
    assert states(fanout.migrate_all()) == {"acme": "REPLAYED"}
