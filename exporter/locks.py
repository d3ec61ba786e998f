"""Who may touch the files of a run: one process at a time, for as long as its transaction lives."""

from __future__ import annotations

from django.db import connection

from core.tenancy import current_tenant


def lock_run(run_pk: int) -> bool:
    """Hold the files of a run until the transaction ends; False when another process holds them.

    A worker that was taken for dead may still be writing: while it can, nobody writes beside it.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtext(%s), %s)", [_space("run"), run_pk])
        return bool(cursor.fetchone()[0])


def lock_names() -> None:
    """Wait for the right to choose file names; held until the transaction ends."""
    _wait_for("names")


def lock_slots() -> None:
    """Wait for the right to say what becomes of a slot; held until the transaction ends. Before that to names."""
    _wait_for("slots")


def _wait_for(name: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s), 0)", [_space(name)])


def lock_pointer(slug: str) -> None:
    """Wait for the right to write the pointer to a dataset's newest file; held until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s), hashtext(%s))", [_space("latest"), slug])


def _space(name: str) -> str:
    # Apart from the locks of datasets, which are (schema, primary key).
    return f"exporter.{name}:{current_tenant().schema}"
