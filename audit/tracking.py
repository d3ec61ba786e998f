"""History written by PostgreSQL itself: no path around it, as cheap as writing it in the statement."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

from core.tenancy import as_owner

# One function for every table: it reads the table's columns when it runs, so a changed table needs nothing
# here. The transition tables are aliased by names that no generated column (`c12`) can have.
# It writes with the rights of the platform's role: a tenant's members may read history and not write it, nor have it
# look away (`role` says who they are: within the function the current user is another).
# statement_timestamp(), because simple-history's prev/next compare history_date strictly.
FUNCTION = """
CREATE OR REPLACE FUNCTION public.rowhouse_track() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $function$
DECLARE
  cols text;
  source text;
  kind text;
BEGIN
  IF current_setting('rowhouse.track', true) = 'off' AND current_setting('role') !~ '^t_[a-z0-9]+$' THEN
    RETURN NULL;
  END IF;
  SELECT string_agg(quote_ident(attname), ',' ORDER BY attnum) INTO cols FROM pg_attribute
   WHERE attrelid = TG_RELID AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
  IF TG_OP = 'INSERT' THEN
    kind := '+'; source := 'SELECT * FROM new_rows';
  ELSIF TG_OP = 'UPDATE' THEN
    kind := '~';
    IF current_setting('rowhouse.all_differ', true) = 'yes' THEN
      source := 'SELECT * FROM new_rows';
    ELSE
      source := 'SELECT n_.* FROM new_rows n_ JOIN old_rows o_ USING (id) WHERE n_ IS DISTINCT FROM o_';
    END IF;
  ELSE
    kind := '-'; source := 'SELECT * FROM old_rows';
  END IF;
  EXECUTE format(
    'INSERT INTO %I.%I (%s, history_date, history_type, history_user_id, history_change_reason)
     SELECT %s, statement_timestamp(), %L, $1, $2 FROM (%s) s_',
    TG_TABLE_SCHEMA, TG_TABLE_NAME || '_history', cols, cols, kind, source)
  USING nullif(current_setting('rowhouse.user_id', true), '')::bigint,
        nullif(current_setting('rowhouse.reason', true), '');
  RETURN NULL;
END $function$
"""

# While a definition changes: every new version is noted in a table of the change (first argument), so that
# what was written meanwhile is converted too.
QUEUE_FUNCTION = """
CREATE OR REPLACE FUNCTION public.rowhouse_queue() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $function$
BEGIN
  EXECUTE format('INSERT INTO %I.%I (history_id, id) SELECT history_id, id FROM new_rows',
                 TG_TABLE_SCHEMA, TG_ARGV[0]);
  RETURN NULL;
END $function$
"""

# And the new column (first argument) of a record whose old value was just changed is emptied: no value or the
# right one stands there, never a stale one that another record's could clash with.
RESET_FUNCTION = """
CREATE OR REPLACE FUNCTION public.rowhouse_reset() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $function$
BEGIN
  RETURN jsonb_populate_record(NEW, jsonb_build_object(TG_ARGV[0], NULL));
END $function$
"""

# One trigger per event: PostgreSQL allows transition tables on single events only.
TRIGGERS = {
    "ins": "AFTER INSERT ON {table} REFERENCING NEW TABLE AS new_rows",
    "upd": "AFTER UPDATE ON {table} REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows",
    "del": "AFTER DELETE ON {table} REFERENCING OLD TABLE AS old_rows",
}


@contextmanager
def untracked() -> Iterator[None]:
    """Run the block without history, as the owner: for what changes the form of records and not what they say.

    Must be inside a transaction.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL rowhouse.track = 'off'")
    with as_owner():
        yield
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL rowhouse.track = ''")


@as_owner()
def track(table: str) -> None:
    """Make every change of `table` write a row of `<table>_history`, which exists already."""
    quoted = connection.ops.quote_name(table)
    with connection.cursor() as cursor:
        for event, clause in TRIGGERS.items():
            name = connection.ops.quote_name(f"{table}_{event}")
            cursor.execute(
                f"CREATE TRIGGER {name} {clause.format(table=quoted)}"
                " FOR EACH STATEMENT EXECUTE FUNCTION public.rowhouse_track()"
            )
