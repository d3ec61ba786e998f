"""References from table to table, kept by PostgreSQL itself: asked once for each statement, not for each row.

A FOREIGN KEY asks for every row it is handed, which costs an import of a hundred thousand rows as much again as writing
them. These triggers ask for all rows of a statement in two queries, and hold as a foreign key does: who refers to a key
locks it against deletion until he commits (FOR KEY SHARE), and whoever deletes one, or changes it, looks for records
that refer to it after he got hold of it. Both see what was committed meanwhile, as every query of a READ COMMITTED
transaction does; in another isolation level they could miss it, so they refuse to run there.
"""

from __future__ import annotations

from django.db import connection

from core.tenancy import as_owner

# The messages are those of a foreign key, for whoever reads them.
REFERS = """
CREATE OR REPLACE FUNCTION public.rowhouse_refers() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $function$
DECLARE
  wanted text := format('SELECT n_.%I FROM new_rows n_', TG_ARGV[1]);
  lost text;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'references are written in READ COMMITTED transactions only';
  END IF;
  IF TG_OP = 'UPDATE' THEN
    -- What some record referred to already is held by that: others see it until this transaction ends.
    wanted := format('%s EXCEPT SELECT o_.%I FROM old_rows o_', wanted, TG_ARGV[1]);
  END IF;
  EXECUTE format('SELECT FROM %I.%I t_ WHERE t_.%I IN (%s) ORDER BY t_.%3$I FOR KEY SHARE',
    TG_TABLE_SCHEMA, TG_ARGV[2], TG_ARGV[3], wanted);
  EXECUTE format('SELECT w_.key::text FROM (%s) w_ (key) WHERE w_.key IS NOT NULL
    AND NOT EXISTS (SELECT FROM %I.%I t_ WHERE t_.%I = w_.key) LIMIT 1',
    wanted, TG_TABLE_SCHEMA, TG_ARGV[2], TG_ARGV[3]) INTO lost;
  IF lost IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = '23503', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME, CONSTRAINT = TG_ARGV[0],
      MESSAGE = format('insert or update on table "%s" violates foreign key constraint "%s"',
        TG_TABLE_NAME, TG_ARGV[0]),
      DETAIL = format('Key (%s)=(%s) is not present in table "%s".', TG_ARGV[1], lost, TG_ARGV[2]);
  END IF;
  RETURN NULL;
END $function$
"""
REFERRED = """
CREATE OR REPLACE FUNCTION public.rowhouse_referred() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $function$
DECLARE
  gone text := format('SELECT o_.%I FROM old_rows o_', TG_ARGV[3]);
  held text;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'what is referred to is deleted in READ COMMITTED transactions only';
  END IF;
  IF TG_OP = 'TRUNCATE' THEN
    gone := format('SELECT r_.%I FROM %I.%I r_', TG_ARGV[1], TG_TABLE_SCHEMA, TG_ARGV[2]);
  ELSIF TG_OP = 'UPDATE' THEN
    gone := format('%s EXCEPT SELECT n_.%I FROM new_rows n_', gone, TG_ARGV[3]);
  END IF;
  EXECUTE format('SELECT r_.%I::text FROM %I.%I r_ WHERE r_.%1$I IN (%4$s)
    AND NOT EXISTS (SELECT FROM %2$I.%5$I t_ WHERE t_.%6$I = r_.%1$I) LIMIT 1',
    TG_ARGV[1], TG_TABLE_SCHEMA, TG_ARGV[2], gone, TG_TABLE_NAME, TG_ARGV[3]) INTO held;
  IF held IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = '23503', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_ARGV[2], CONSTRAINT = TG_ARGV[0],
      MESSAGE = format('update or delete on table "%s" violates foreign key constraint "%s" on table "%s"',
        TG_TABLE_NAME, TG_ARGV[0], TG_ARGV[2]),
      DETAIL = format('Key (%s)=(%s) is still referenced from table "%s".', TG_ARGV[3], held, TG_ARGV[2]);
  END IF;
  RETURN NULL;
END $function$
"""

# One trigger per event: PostgreSQL allows transition tables on single events only.
_OF_REFERRING = {
    "refers_ins": "AFTER INSERT ON {table} REFERENCING NEW TABLE AS new_rows",
    "refers_upd": "AFTER UPDATE ON {table} REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows",
}
_OF_TARGET = {
    "referred_del": "AFTER DELETE ON {table} REFERENCING OLD TABLE AS old_rows",
    "referred_upd": "AFTER UPDATE ON {table} REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows",
    "referred_all": "AFTER TRUNCATE ON {table}",
}


@as_owner()
def refer(table: str, column: str, target: str, key: str, *, name: str) -> None:
    """Let a column hold only keys of another table, as a foreign key called `name` would."""
    quote = connection.ops.quote_name
    with connection.cursor() as cursor:
        for on, events, function, arguments in (
            (table, _OF_REFERRING, "rowhouse_refers", (name, column, target, key)),
            (target, _OF_TARGET, "rowhouse_referred", (name, column, table, key)),
        ):
            literals = ", ".join(f"'{argument}'" for argument in arguments)
            for event, clause in events.items():
                cursor.execute(
                    f"CREATE TRIGGER {quote(f'{table}_{column}_{event}')} {clause.format(table=quote(on))}"
                    f" FOR EACH STATEMENT EXECUTE FUNCTION public.{function}({literals})"
                )


def forget_references(table: str) -> None:
    """Remove from other tables what guards the references of a table that is about to be dropped."""
    _drop_triggers(f"^{table}_c[0-9]+_referred_[a-z]+$", but_on=table)


def forget_reference(table: str, column: str) -> None:
    """Let a column hold anything: it is about to be dropped."""
    _drop_triggers(f"^{table}_{column}_refer(s|red)_[a-z]+$")


@as_owner()
def _drop_triggers(pattern: str, *, but_on: str = "") -> None:
    quote = connection.ops.quote_name
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT t.tgname, c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
            " WHERE c.relnamespace = current_schema()::regnamespace AND c.relname <> %s AND t.tgname ~ %s",
            [but_on, pattern],
        )
        for trigger, other in cursor.fetchall():
            cursor.execute(f"DROP TRIGGER {quote(trigger)} ON {quote(other)}")
