"""A tenant leaves one installation with a bundle and begins on another, which was empty: nothing is lost on the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql

from tests.conftest import Told, own_database

# What is the installation's own: when and where the bundle was written, its files, and its log.
OWN = {"datapackage.json", "files.csv", "events.csv"}


def rowhouse(environment: dict[str, str], *words: str) -> Any:
    """Run a command and return what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "rowhouse", *words, "--json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def tables_of(url: str, slug: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return records, versions and grants of a tenant, asked of its tables and of nothing of ours."""
    with closing(psycopg2.connect(url)) as link, link.cursor() as cursor:
        cursor.execute("SELECT schema_name FROM public.tenants_tenant WHERE slug = %s", [slug])
        [[schema]] = cursor.fetchall()
        cursor.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(schema)))
        cursor.execute("SELECT id, slug FROM datasets_dataset ORDER BY slug")
        found: dict[str, list[tuple[Any, ...]]] = {}
        for number, name in cursor.fetchall():
            found[f"{name}: records"] = rows(cursor, f"ds_{number}")
            found[f"{name}: versions"] = rows(cursor, f"ds_{number}_history")
            cursor.execute(
                "SELECT g.name, p.codename FROM guardian_groupobjectpermission o"
                " JOIN auth_group g ON g.id = o.group_id JOIN auth_permission p ON p.id = o.permission_id"
                " JOIN django_content_type t ON t.id = p.content_type_id"
                " WHERE t.app_label = 'datasets' AND t.model = 'dataset' AND o.object_pk = %s ORDER BY 1, 2",
                [str(number)],
            )
            found[f"{name}: grants"] = cursor.fetchall()
        cursor.execute(
            "SELECT u.email, u.is_active, g.name, p.codename FROM accounts_user u"
            " LEFT JOIN accounts_user_groups m ON m.user_id = u.id LEFT JOIN auth_group g ON g.id = m.group_id"
            " LEFT JOIN auth_group_permissions gp ON gp.group_id = g.id"
            " LEFT JOIN auth_permission p ON p.id = gp.permission_id ORDER BY 1, 3, 4"
        )
        found["people"] = cursor.fetchall()
        return found


def rows(cursor: Any, table: str) -> list[tuple[Any, ...]]:
    """Return a table's rows as texts; who made a version is named by address, since numbers of people may differ.

    Which transaction wrote a version (xid8) is the database's own and goes nowhere; nor do retired columns, what a
    change of type has put aside, and the order in which columns were added, which a dataset's own order of columns
    makes up for.
    """
    cursor.execute(
        "SELECT attname FROM pg_attribute LEFT JOIN datasets_column ON attname = 'c' || datasets_column.id"
        " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
        " AND atttypid <> 'xid8'::regtype AND attname !~ '_was[0-9]+$' AND is_retired IS NOT TRUE"
        " ORDER BY label NULLS FIRST, position, attname",
        [table],
    )
    names = [name for (name,) in cursor.fetchall()]
    columns = sql.SQL(", ").join(
        sql.SQL("(SELECT email FROM accounts_user u WHERE u.id = {})").format(sql.Identifier(name))
        if name == "history_user_id"
        else sql.SQL("{}::text").format(sql.Identifier(name))
        for name in names
    )
    order = sql.Identifier("history_id" if "history_id" in names else "id")
    cursor.execute(sql.SQL("SELECT {} FROM {} ORDER BY {}").format(columns, sql.Identifier(table), order))
    found: list[tuple[Any, ...]] = cursor.fetchall()
    return found


def test_acme_begins_anew_on_an_empty_installation(told: Told, tmp_path: Path) -> None:
    left = tmp_path / "acme.zip"
    rowhouse(told.environment, "export_bundle", "--tenant", "acme", "--to", str(left))
    with own_database() as url:
        elsewhere = {
            **os.environ,
            "DATABASE_URL": url,
            "ROWHOUSE_DATA": str(tmp_path / "elsewhere"),
            "ROWHOUSE_SECRET_KEY": "another installation's own key, which opens nothing here",
        }
        rowhouse(elsewhere, "migrate_tenants")
        made = rowhouse(elsewhere, "import_bundle", str(left), "--as", "acme")
        assert made["state"] == "ACTIVE"
        before = tables_of(told.environment["DATABASE_URL"], "acme")
        after = tables_of(url, "acme")
        assert {name: len(each) for name, each in after.items()} == {
            name: len(each) for name, each in before.items()
        }
        differing = {
            name: next((was, now) for was, now in zip(before[name], after[name], strict=True) if was != now)
            for name in before
            if before[name] != after[name]
        }
        assert differing == {}
        assert sum(len(each) for name, each in after.items() if name.endswith("records")) > 40_000
        for dataset in sorted(made["records"]):
            words = ("describe_dataset", dataset, "--tenant", "acme")
            assert rowhouse(elsewhere, *words) == rowhouse(told.environment, *words)
        again = tmp_path / "again.zip"
        rowhouse(elsewhere, "export_bundle", "--tenant", "acme", "--to", str(again))
        with zipfile.ZipFile(left) as one, zipfile.ZipFile(again) as other:
            parts = set(one.namelist())
            assert set(other.namelist()) == parts
            parts_differing = [name for name in sorted(parts - OWN) if one.read(name) != other.read(name)]
        assert parts_differing == []
        listed = rowhouse(elsewhere, "list_tenants")
        assert [each["tenant"] for each in listed["tenants"]] == ["acme"]  # globex was never in it
