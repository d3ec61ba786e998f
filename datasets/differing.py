"""What differs between a dataset as of one moment and as of another: which records, and which of their cells.

A record that came and went in between, or that was changed and changed back, is no difference. Only columns that the
caller's spec has are compared, so what is hidden from somebody makes no difference to him.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from django.db import connection

from datasets.columntypes import type_of
from datasets.columntypes.grammar import sql_literal
from datasets.display import shorten
from datasets.erasure_models import not_erased_sql
from datasets.spec import ColumnSpec, DatasetSpec
from datasets.sqltext import name_text, quoted
from datasets.versions import Cell, cut_sql, shown_text

CREATED, CHANGED, DELETED = KINDS = ("created", "changed", "deleted")
# Of a file of differences, which has one line for each cell.
LABELS = ("Record", "Name", "Difference", "Column", "Before", "After")


@dataclass(frozen=True, slots=True)
class Difference:
    """A record that differs: `kind` is one of KINDS, `cells` those that differ, cut to what a page shows."""

    record_id: int
    kind: str
    name: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Totals:
    """How many records differ by kind, and in how many of them each column does, by physical name."""

    kinds: Mapping[str, int]
    columns: Mapping[str, int]

    @property
    def records(self) -> int:
        return sum(self.kinds.values())


NOTHING = Totals(MappingProxyType(dict.fromkeys(KINDS, 0)), MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Between:
    """Two moments of a dataset, as the columns of `spec` show it. An earlier `until` has no differences."""

    spec: DatasetSpec
    since: datetime
    until: datetime

    def totals(self) -> Totals:
        """Return how many records differ. Reads all that was written in between, and what was before of it."""
        if not self.spec.columns:
            return NOTHING
        kinds = ", ".join(f"count(*) FILTER (WHERE d.kind = '{kind}')" for kind in KINDS)
        columns = "".join(
            f", count(*) FILTER (WHERE {self._differs(one, 'd.')})" for one in self.spec.columns
        )
        found = self._rows(f"SELECT {kinds}{columns} FROM ({self._differing()}) d")[0]
        names = [column.name for column in self.spec.columns]
        return Totals(
            MappingProxyType(dict(zip(KINDS, found[: len(KINDS)], strict=True))),
            MappingProxyType(dict(zip(names, found[len(KINDS) :], strict=True))),
        )

    def page(
        self, *, kinds: Sequence[str] = (), columns: Sequence[str] = (), after: int = 0, size: int = 50
    ) -> list[Difference]:
        """Return the next records that differ, by their numbers.

        :param kinds: only these, of KINDS; none are all.
        :param columns: physical names: only records that differ in one of these; none are all.
        :param after: the number of the last record that was shown.
        """
        if not self.spec.columns:
            return []
        changed, old, new = (
            ", ".join(part) for part in zip(*(self._cell_sql(one) for one in self.spec.columns), strict=True)
        )
        rows = self._rows(
            f"SELECT d.id, d.kind, {self._name_sql()}, ARRAY[{changed}], ARRAY[{old}]::text[], ARRAY[{new}]::text[]"
            f" FROM ({self._differing(after)}) d{self._where(kinds, columns)} ORDER BY d.id LIMIT {int(size)}"
        )
        return [Difference(pk, kind, shorten(name), self._cells(*cells)) for pk, kind, name, *cells in rows]

    def lines_sql(self, *, kinds: Sequence[str] = (), columns: Sequence[str] = ()) -> str:
        """Return the SELECT of one line for each cell that differs, whole, with columns c1 to c6 under LABELS.

        No parameters: it is for COPY.
        """
        shown = [one for one in self.spec.columns if not columns or one.name in columns]
        cells = ", ".join(
            f"({at}, {sql_literal(one.label)}, {self._differs(one, 'd.')},"
            f" {type_of(one).text_sql(_side(one, 'o_'))}, {type_of(one).text_sql(_side(one, 'n_'))})"
            for at, one in enumerate(shown)
        )
        return (
            f"SELECT d.id AS c1, {self._name_sql()} AS c2, d.kind AS c3, x.label AS c4, x.old AS c5, x.new AS c6, x.at"
            f" FROM ({self._differing()}) d CROSS JOIN LATERAL (VALUES {cells}) x (at, label, differs, old, new)"
            f"{self._where(kinds, columns)} {'AND' if kinds or columns else 'WHERE'} x.differs"
        )

    def _differing(self, after: int = 0) -> str:
        """Return the SELECT of the records that differ: id, kind, and each column as `o_…` and `n_…`.

        A record differs only if something of it was written in between. What was written there last is what it is at
        the end unless an entry from before has a higher number: then nothing of in between shows.
        """
        table, names = self.spec.history_table, [column.name for column in self.spec.columns]
        listed = quoted(names)
        since, until = (f"{sql_literal(at.isoformat())}::timestamptz" for at in (self.since, self.until))
        written = (
            f"SELECT DISTINCT ON (id) id, history_id, history_type, {listed} FROM {table}"
            f" WHERE history_date > {since} AND history_date <= {until} AND id > {int(after)}"
            f" AND {not_erased_sql(self.spec.pk, f'{table}.id')}"
            " ORDER BY id, history_id DESC"
        )
        before = (
            f"SELECT history_id, history_type, {listed} FROM {table} b WHERE b.id = n.id AND b.history_date <= {since}"
            " ORDER BY b.history_id + 0 DESC LIMIT 1"
        )
        sides = ", ".join(
            f"{_value(one, side, is_there)} AS {quoted([f'{side}_{one}'])}"
            for one in names
            for side, is_there in (("o", "o.history_type <> '-'"), ("n", "n.history_type <> '-'"))
        )
        differs = " OR ".join(f"n.{quoted([one])} IS DISTINCT FROM o.{quoted([one])}" for one in names)
        was, is_ = "coalesce(o.history_type <> '-', false)", "n.history_type <> '-'"
        return (
            f"SELECT n.id, CASE WHEN NOT {was} THEN '{CREATED}' WHEN {is_} THEN '{CHANGED}' ELSE '{DELETED}' END"
            f" AS kind, {sides} FROM ({written}) n LEFT JOIN LATERAL ({before}) o ON true"
            f" WHERE (o.history_id IS NULL OR n.history_id > o.history_id) AND ({was} OR {is_})"
            f" AND NOT ({was} AND {is_} AND NOT ({differs}))"
        )

    def _where(self, kinds: Sequence[str], columns: Sequence[str]) -> str:
        asked = []
        if kinds:
            asked.append(f"d.kind IN ({', '.join(sql_literal(kind) for kind in kinds)})")
        if columns:
            found = [one for one in self.spec.columns if one.name in columns]
            asked.append(f"({' OR '.join(self._differs(one, 'd.') for one in found) or 'false'})")
        return f" WHERE {' AND '.join(asked)}" if asked else ""

    def _differs(self, column: ColumnSpec, alias: str) -> str:
        return f"{_side(column, 'n_', alias)} IS DISTINCT FROM {_side(column, 'o_', alias)}"

    def _cell_sql(self, column: ColumnSpec) -> tuple[str, str, str]:
        old, new = _side(column, "o_"), _side(column, "n_")
        return self._differs(column, "d."), cut_sql(column, old), cut_sql(column, new)

    def _name_sql(self) -> str:
        """Return the SQL of what people call the record by: at the end, or before it was deleted."""
        names = ", ".join(
            f"CASE WHEN d.kind = '{DELETED}' THEN {_side(one, 'o_')} ELSE {_side(one, 'n_')} END"
            f" AS {quoted([one.name])}"
            for one in self.spec.key_columns
        )
        return f"(SELECT {name_text(self.spec, 'k')} FROM (SELECT d.id{', ' + names if names else ''}) k)"

    def _cells(
        self, changed: Sequence[bool], olds: Sequence[str | None], news: Sequence[str | None]
    ) -> tuple[Cell, ...]:
        return tuple(
            Cell(column.name, column.label, shown_text(old, column), shown_text(new, column))
            for column, is_changed, old, new in zip(self.spec.columns, changed, olds, news, strict=True)
            if is_changed
        )

    def _rows(self, sql: str) -> list[Any]:
        with connection.cursor() as cursor:
            cursor.execute(sql)  # without parameters, so that no percent sign is one
            return list(cursor.fetchall())


def _side(column: ColumnSpec, side: str, alias: str = "d.") -> str:
    return f"{alias}{quoted([side + column.name])}"


def _value(name: str, side: str, is_there: str) -> str:
    return f"CASE WHEN {is_there} THEN {side}.{quoted([name])} END"
