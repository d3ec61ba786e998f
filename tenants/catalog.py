"""What a schema is made of, read from PostgreSQL's catalog: as statements that make it anew, or to compare two.

The statements name what is in the schema without saying which schema that is, and everything else in full. So they
make it anew in whichever schema stands alone in the search path. Rows, the values of sequences and rights are not in
them. No program is needed for it: the image of production has no pg_dump.

The catalog shows names as the search path finds them, so each question is asked with a path of the schema alone, in
one message with it. Call these outside of every tenant: inside, a message holds one statement.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from core.errors import RowhouseError

# What an expression says does not hang on these: PostgreSQL places them anew when it reads its own text.
_TEXT_CASTS = re.compile(r"::(?:character varying|text)(?:\(\d+\))?(?:\[\])?")
_INTEGERS = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}
_TRIGGER_STATES = {"D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}
_IDENTITIES = {"a": "ALWAYS", "d": "BY DEFAULT"}
_COMPRESSIONS = {"p": "pglz", "l": "lz4"}
_STORAGES = {"p": "PLAIN", "e": "EXTERNAL", "m": "MAIN", "x": "EXTENDED"}


class Cursor(Protocol):
    """A cursor of psycopg2, or Django's around one."""

    def execute(self, sql: Any, params: Any = None) -> Any: ...
    def fetchall(self) -> list[Any]: ...


class UnknownSchema(RowhouseError):
    """There is no schema of this name."""

    code = "unknown-schema"
    status = 404


class NotCopied(RowhouseError):
    """A schema holds things that no statement is written for here, so a copy of it would lack them."""

    code = "schema-not-copied"


@dataclass(frozen=True, slots=True)
class Part:
    """One thing of a schema: how it is called to people, how it is made, and what it says to compare by."""

    name: str
    statement: str
    meaning: str


@dataclass(slots=True)
class Schema:
    """A schema's parts, each list in an order in which they can be made."""

    sequences: list[Part] = field(default_factory=list)
    tables: list[Part] = field(default_factory=list)
    columns: list[Part] = field(default_factory=list)  # part of their tables' statements
    constraints: list[Part] = field(default_factory=list)  # those with a statement are not in their table's
    indexes: list[Part] = field(default_factory=list)
    views: list[Part] = field(default_factory=list)
    triggers: list[Part] = field(default_factory=list)
    references: list[Part] = field(default_factory=list)
    settings: list[Part] = field(default_factory=list)
    rights: list[Part] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def made(self) -> Iterator[Part]:
        """Yield everything that has a statement or could have, references between tables last."""
        for parts in (self.sequences, self.tables, self.columns, self.constraints, self.indexes, self.views):
            yield from parts
        for parts in (self.triggers, self.settings, self.references):
            yield from parts


def schema_script(cursor: Cursor, schema: str, rows: Sequence[str] = ()) -> list[str]:
    """Return the statements that make a schema's objects anew in the schema that stands alone in the path.

    Statements that fill its tables (`rows`) stand before those that make the references between them.
    About ten queries. Indexes that are being built, or whose building was cut off, are left out.

    :raises UnknownSchema: there is no such schema.
    :raises NotCopied: it holds something that this does not know, such as a function or a partitioned table.
    """
    found = read_schema(cursor, schema)
    if found.others:
        raise NotCopied(
            f"The schema {schema} holds what cannot be copied: {', '.join(found.others)}. Set it up by migrations."
        )
    made = [part.statement for part in found.made() if part.statement]
    references = [part.statement for part in found.references]
    return [*made[: len(made) - len(references)], *rows, *references]


def differences(cursor: Cursor, one: str, other: str, *, rights: bool = False) -> list[str]:
    """Return what differs between two schemas, each as a line with both sides; nothing if they are alike.

    Rows and the values of sequences are not compared. What a table's columns are called, in which order, is.

    :param rights: compare owners and grants too; a schema's own name counts as the same in both.
    :raises UnknownSchema: one of them is not there.
    """
    first, second = (_meanings(read_schema(cursor, schema), rights=rights) for schema in (one, other))
    found = []
    for name in sorted(first.keys() | second.keys()):
        left, right = first.get(name), second.get(name)
        if left is None:
            found.append(f"{name}: only in {other}: {right}")
        elif right is None:
            found.append(f"{name}: only in {one}: {left}")
        elif left != right:
            found.append(f"{name}: {left} in {one}, {right} in {other}")
    return found


def _meanings(schema: Schema, *, rights: bool) -> dict[str, str]:
    parts: Iterable[Part] = [*schema.made(), *(schema.rights if rights else [])]
    return {part.name: part.meaning for part in parts} | {f"other {one}": "there" for one in schema.others}


def quoted(name: str) -> str:
    """Return a name as SQL says it.

    >>> quoted('a"b')
    '"a""b"'
    """
    return '"' + name.replace('"', '""') + '"'


# ---- reading


def read_schema(cursor: Cursor, schema: str) -> Schema:
    """Return what a schema is made of.

    :raises UnknownSchema: there is no such schema.
    """
    return _Reading(cursor, schema).read()


class _Column(NamedTuple):
    """A column as the catalog has it."""

    table: int
    name: str
    type: str
    collation: str | None
    not_null: str | None
    identity: str
    generated: str
    default: str | None
    plain: str | None
    storage: str | None
    compression: str
    statistics: int | None
    options: list[str] | None
    sequence: str | None
    sequence_type: str
    start: int
    step: int
    least: int
    most: int
    cache: int
    cycles: bool

    def said(self, default: str | None) -> str:
        """Return its definition with this default, or this expression if it is a generated one."""
        said = [self.type]
        if self.collation:
            said.append(f"COLLATE {self.collation}")
        if self.not_null:
            said.append(self.not_null)
        if self.generated:
            said.append(f"GENERATED ALWAYS AS ({default}) {'STORED' if self.generated == 's' else 'VIRTUAL'}")
        elif default is not None:
            said.append(f"DEFAULT {default}")
        if self.sequence:
            options = _sequence_options(
                self.sequence_type, self.start, self.step, self.least, self.most, self.cache, self.cycles
            )
            by = f"GENERATED {_IDENTITIES[self.identity]} AS IDENTITY"
            said.append(f"{by} (SEQUENCE NAME {quoted(self.sequence)}{options})")
        return " ".join(said)

    def settings(self) -> dict[str, str]:
        """Return what it has besides its definition."""
        found = {}
        if self.storage:
            found["storage"] = f"STORAGE {_STORAGES[self.storage]}"
        if self.compression:
            found["compression"] = f"COMPRESSION {_COMPRESSIONS[self.compression]}"
        if self.statistics is not None:
            found["statistics"] = f"STATISTICS {self.statistics}"
        if self.options:
            found["options"] = f"({', '.join(sorted(self.options))})"
        return found


class _Reading:
    """The reading of one schema. Rows of the catalog are found by index, however many schemas there are."""

    def __init__(self, cursor: Cursor, schema: str) -> None:
        self.cursor = cursor
        self.name = schema
        self.found = Schema()
        self.tables: dict[int, str] = {}
        self.relations: list[int] = []

    def read(self) -> Schema:
        self._relations()
        self._sequences()
        self._tables()
        self._indexes()
        self._views()
        self._triggers()
        self._comments()
        self._rights()
        return self.found

    def ask(self, sql: str, params: Sequence[Any] = ()) -> list[Any]:
        # Names are then written as in the schema; the next statement brings its own path (`core.backend`).
        self.cursor.execute(f"SET LOCAL search_path = {quoted(self.name)}; {sql}", list(params))
        return self.cursor.fetchall()

    def _relations(self) -> None:
        # A scan of pg_class by namespace reads the relations of every tenant; pg_depend has an index for it.
        rows = self.ask(
            """
            SELECT d.classid = 'pg_class'::regclass, d.objid, c.relname, c.relkind::text,
                   pg_describe_object(d.classid, d.objid, 0),
                   c.relrowsecurity OR c.relhassubclass OR (c.relkind = 'r' AND c.relhasrules) OR c.relispartition
                     OR c.reloftype <> 0 OR EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid)
              FROM pg_namespace n
              JOIN pg_depend d ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = n.oid
              LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
             WHERE n.nspname = %s
               AND d.classid <> 'pg_default_acl'::regclass
             ORDER BY c.relname COLLATE "C"
            """,
            [self.name],
        )
        if not rows and not self.ask("SELECT FROM pg_namespace WHERE nspname = %s", [self.name]):
            raise UnknownSchema(f"There is no schema {self.name}.")
        for is_relation, oid, name, kind, described, is_special in rows:
            if not is_relation or kind not in "rvS" or is_special:
                self.found.others.append(described)
                continue
            self.relations.append(oid)
            if kind == "r":
                self.tables[oid] = name

    def _sequences(self) -> None:
        rows = self.ask(
            """
            SELECT c.relname, c.relpersistence::text, format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement,
                   s.seqmin, s.seqmax, s.seqcache, s.seqcycle, o.relname, a.attname
              FROM pg_class c JOIN pg_sequence s ON s.seqrelid = c.oid
              LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
                   AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
              LEFT JOIN pg_class o ON o.oid = d.refobjid
              LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
             WHERE c.oid = ANY(%s::oid[]) AND d.deptype IS DISTINCT FROM 'i'
             ORDER BY c.relname COLLATE "C"
            """,
            [self.relations],
        )
        for name, persistence, kind, *options, table, column in rows:
            unlogged = "UNLOGGED " if persistence == "u" else ""
            said = f"AS {kind}{_sequence_options(kind, *options)}"
            made = f"CREATE {unlogged}SEQUENCE {quoted(name)} {said}"
            self.found.sequences.append(Part(f"sequence {name}", made, unlogged + said))
            if table is not None:
                owned = f"OWNED BY {quoted(table)}.{quoted(column)}"
                self.found.settings.append(
                    Part(f"owner of sequence {name}", f"ALTER SEQUENCE {quoted(name)} {owned}", owned)
                )

    def _tables(self) -> None:
        columns = self._columns()
        constraints = self._constraints()
        rows = self.ask(
            """
            SELECT c.oid, c.relpersistence::text, c.reloptions, t.reloptions, c.relreplident::text, i.relname
              FROM pg_class c LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
              LEFT JOIN pg_index x ON x.indrelid = c.oid AND x.indisreplident
              LEFT JOIN pg_class i ON i.oid = x.indexrelid
             WHERE c.oid = ANY(%s::oid[]) AND c.relkind = 'r' ORDER BY c.relname COLLATE "C"
            """,
            [list(self.tables)],
        )
        for oid, persistence, options, toast_options, identity, identity_index in rows:
            table = quoted(self.tables[oid])
            lines, names = columns.get(oid, ([], []))
            unlogged = "UNLOGGED " if persistence == "u" else ""
            parameters = _parameters(options, toast_options)
            inside = ", ".join([*lines, *constraints.get(oid, [])])
            self.found.tables.append(
                Part(
                    f"table {self.tables[oid]}",
                    f"CREATE {unlogged}TABLE {table} ({inside}){parameters}",
                    f"{unlogged}TABLE ({', '.join(names)}){parameters}",
                )
            )
            if identity != "d":
                said = {"n": "NOTHING", "f": "FULL"}.get(identity) or f"USING INDEX {quoted(identity_index)}"
                self._set(self.tables[oid], "replica identity", f"REPLICA IDENTITY {said}")

    def _columns(self) -> dict[int, tuple[list[str], list[str]]]:
        """Return of each table its columns' definitions, and their names."""
        rows = self.ask(
            """
            SELECT a.attrelid, a.attname, format_type(a.atttypid, a.atttypmod),
                   CASE WHEN a.attcollation <> t.typcollation
                        THEN quote_ident(m.nspname) || '.' || quote_ident(l.collname) END,
                   -- PostgreSQL 18 gives these names, and one that was not checked yet is made by itself.
                   CASE WHEN n.convalidated THEN 'CONSTRAINT ' || quote_ident(n.conname) || ' NOT NULL'
                        WHEN a.attnotnull AND n.oid IS NULL THEN 'NOT NULL' END,
                   a.attidentity::text, a.attgenerated::text,
                   pg_get_expr(e.adbin, e.adrelid), pg_get_expr(e.adbin, e.adrelid, true),
                   NULLIF(a.attstorage, t.typstorage)::text, a.attcompression::text, NULLIF(a.attstattarget, -1),
                   a.attoptions, c.relname, format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmin,
                   s.seqmax, s.seqcache, s.seqcycle
              FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
              LEFT JOIN pg_collation l ON l.oid = a.attcollation
              LEFT JOIN pg_namespace m ON m.oid = l.collnamespace
              LEFT JOIN pg_attrdef e ON e.adrelid = a.attrelid AND e.adnum = a.attnum
              LEFT JOIN pg_constraint n ON n.conrelid = a.attrelid AND n.contype = 'n'
                   AND n.conkey = ARRAY[a.attnum]
              LEFT JOIN pg_depend d ON a.attidentity <> '' AND d.refclassid = 'pg_class'::regclass
                   AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum AND d.deptype = 'i'
                   AND d.classid = 'pg_class'::regclass
              LEFT JOIN pg_class c ON c.oid = d.objid
              LEFT JOIN pg_sequence s ON s.seqrelid = c.oid
             WHERE a.attrelid = ANY(%s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
             ORDER BY a.attrelid, a.attnum
            """,
            [list(self.tables)],
        )
        found: dict[int, tuple[list[str], list[str]]] = {}
        for row in rows:
            one, table = _Column(*row), self.tables[row[0]]
            lines, names = found.setdefault(one.table, ([], []))
            lines.append(f"{quoted(one.name)} {one.said(one.default)}")
            names.append(one.name)
            meaning = one.said(one.plain and _plain(one.plain))
            self.found.columns.append(Part(f"column {table}.{one.name}", "", meaning))
            for what, value in one.settings().items():
                self._set(table, f"{what} of {one.name}", f"ALTER COLUMN {quoted(one.name)} SET {value}")
        return found

    def _constraints(self) -> dict[int, list[str]]:
        """Return of each table the constraints that are made with it."""
        rows = self.ask(
            """
            SELECT conrelid, conname, contype::text, convalidated, pg_get_constraintdef(oid),
                   pg_get_constraintdef(oid, true)
              FROM pg_constraint
             WHERE conrelid = ANY(%s::oid[]) AND contype <> 't' AND (contype <> 'n' OR NOT convalidated)
             ORDER BY conrelid, array_position('{p,u,x,c,n,f}'::text[], contype::text), conname COLLATE "C"
            """,
            [list(self.tables)],
        )
        found: dict[int, list[str]] = {}
        for oid, name, kind, is_checked, definition, plain in rows:
            table, constraint = self.tables[oid], f"CONSTRAINT {quoted(name)} {definition}"
            # In CREATE TABLE a constraint counts as checked, whatever is written there.
            is_inside = kind != "f" and is_checked
            alone = "" if is_inside else f"ALTER TABLE {quoted(table)} ADD {constraint}"
            if is_inside:
                found.setdefault(oid, []).append(constraint)
            parts = self.found.references if kind == "f" else self.found.constraints
            parts.append(Part(f"constraint {table}.{name}", alone, _plain(plain)))
        return found

    def _indexes(self) -> None:
        rows = self.ask(
            """
            SELECT x.indrelid, i.relname, quote_ident(n.nspname) || '.' || quote_ident(t.relname),
                   pg_get_indexdef(i.oid), pg_get_indexdef(i.oid, 0, true), x.indisclustered, k.conindid IS NOT NULL
              FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
              JOIN pg_namespace n ON n.oid = t.relnamespace
              LEFT JOIN pg_constraint k ON k.conrelid = x.indrelid AND k.conindid = i.oid
                   AND k.contype IN ('p', 'u', 'x')
             WHERE x.indrelid = ANY(%s::oid[]) AND x.indisvalid ORDER BY t.relname, i.relname COLLATE "C"
            """,
            [list(self.tables)],
        )
        for oid, name, owner, definition, plain, is_clustered, is_constraint in rows:
            made = definition.replace(f" ON {owner} ", f" ON {quoted(self.tables[oid])} ", 1)
            # A constraint's own index is made with it; what it says is compared all the same.
            self.found.indexes.append(Part(f"index {name}", "" if is_constraint else made, _plain(plain)))
            if is_clustered:
                self._set(self.tables[oid], "order of rows", f"CLUSTER ON {quoted(name)}")

    def _views(self) -> None:
        rows = self.ask(
            "SELECT relname, reloptions, pg_get_viewdef(oid), pg_get_viewdef(oid, true) FROM pg_class"
            " WHERE oid = ANY(%s::oid[]) AND relkind = 'v' ORDER BY oid",
            [self.relations],
        )
        for name, options, definition, plain in rows:
            given = _parameters(options, None)
            made = f"CREATE VIEW {quoted(name)}{given} AS {definition.rstrip(';')}"
            self.found.views.append(Part(f"view {name}", made, f"{given}{_plain(plain)}"))

    def _triggers(self) -> None:
        rows = self.ask(
            """
            SELECT g.tgrelid, g.tgname, quote_ident(n.nspname) || '.' || quote_ident(c.relname),
                   pg_get_triggerdef(g.oid), pg_get_triggerdef(g.oid, true), g.tgenabled::text
              FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE g.tgrelid = ANY(%s::oid[]) AND NOT g.tgisinternal ORDER BY c.relname, g.tgname COLLATE "C"
            """,
            [list(self.tables)],
        )
        for oid, name, owner, definition, plain, state in rows:
            table = self.tables[oid]
            made = definition.replace(f" ON {owner} ", f" ON {quoted(table)} ", 1)
            self.found.triggers.append(Part(f"trigger {table}.{name}", made, _plain(plain)))
            if state != "O":
                self._set(table, f"state of {name}", f"{_TRIGGER_STATES[state]} TRIGGER {quoted(name)}")

    def _comments(self) -> None:
        rows = self.ask(
            """
            SELECT c.relname, c.relkind::text, a.attname, quote_literal(d.description)
              FROM pg_description d JOIN pg_class c ON c.oid = d.objoid
              LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND d.objsubid > 0
             WHERE d.classoid = 'pg_class'::regclass AND d.objoid = ANY(%s::oid[])
             ORDER BY c.relname, a.attname COLLATE "C"
            """,
            [self.relations],
        )
        for name, kind, column, comment in rows:
            thing = {"r": "TABLE", "v": "VIEW", "S": "SEQUENCE"}[kind]
            what, on = f"{thing} {quoted(name)}", name
            if column is not None:
                what, on = f"COLUMN {quoted(name)}.{quoted(column)}", f"{name}.{column}"
            self.found.settings.append(
                Part(f"comment on {on}", f"COMMENT ON {what} IS {comment}", str(comment))
            )

    def _rights(self) -> None:
        rows = self.ask(
            """
            SELECT c.relname, pg_get_userbyid(c.relowner), c.relacl::text[] FROM pg_class c
             WHERE c.oid = ANY(%s::oid[])
            UNION ALL
            SELECT '', pg_get_userbyid(nspowner), nspacl::text[] FROM pg_namespace WHERE nspname = %s
            UNION ALL
            SELECT 'whatever is made by ' || pg_get_userbyid(d.defaclrole) || ' of kind ' || d.defaclobjtype::text, '',
                   d.defaclacl::text[]
              FROM pg_default_acl d JOIN pg_namespace n ON n.oid = d.defaclnamespace WHERE n.nspname = %s
            """,
            [self.relations, self.name, self.name],
        )
        for name, owner, grants in rows:
            said = f"owner {owner}, grants {', '.join(sorted(grants or ['none']))}"
            ours = re.compile(rf"\b{re.escape(self.name)}(?![a-z0-9])")
            self.found.rights.append(
                Part(
                    ours.sub("{schema}", f"rights on {name or 'the schema'}"), "", ours.sub("{schema}", said)
                )
            )

    def _set(self, table: str, what: str, said: str) -> None:
        self.found.settings.append(
            Part(f"{what} of table {table}", f"ALTER TABLE {quoted(table)} {said}", said)
        )


def _plain(definition: str) -> str:
    return _TEXT_CASTS.sub("", definition)


def _parameters(options: list[str] | None, toast_options: list[str] | None) -> str:
    given = [*(options or []), *(f"toast.{one}" for one in toast_options or [])]
    pairs = (one.partition("=") for one in sorted(given))
    said = ", ".join(f"{name}='{value}'" for name, _, value in pairs)
    return f" WITH ({said})" if said else ""


def _sequence_options(
    kind: str, start: int, step: int, least: int, most: int, cache: int, cycles: bool
) -> str:
    """Return what a sequence says besides its type, where it is not what PostgreSQL takes anyway.

    >>> _sequence_options("integer", 5, 1, 1, 2147483647, 1, False)
    ' START WITH 5'
    """
    largest = _INTEGERS[kind]
    usual_least, usual_most = (1, largest) if step > 0 else (-largest - 1, -1)
    said = []
    if step != 1:
        said.append(f"INCREMENT BY {step}")
    if least != usual_least:
        said.append(f"MINVALUE {least}")
    if most != usual_most:
        said.append(f"MAXVALUE {most}")
    if start != (least if step > 0 else most):
        said.append(f"START WITH {start}")
    if cache != 1:
        said.append(f"CACHE {cache}")
    if cycles:
        said.append("CYCLE")
    return "".join(f" {one}" for one in said)
