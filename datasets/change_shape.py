"""What a change of a definition does to the tables, as values: names, constraints that go, come and stay. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from datasets.conversion import is_in_place
from datasets.spec import ColumnSpec, DatasetSpec


@dataclass(frozen=True)
class Shape:
    """A change number `pk` from one definition to another, of a single column's type and rules or of the key.

    `column` is the physical name of the column that changes, None for the key's. `may_empty`: failing records
    lose their value. `source`: the physical column with the values from before the change that is reverted.
    """

    pk: int
    old: DatasetSpec
    new: DatasetSpec
    column: str | None
    may_empty: bool = False
    source: str | None = None

    @cached_property
    def before(self) -> ColumnSpec:
        return self._column(self.old)

    @cached_property
    def after(self) -> ColumnSpec:
        return self._column(self.new)

    def _column(self, spec: DatasetSpec) -> ColumnSpec:
        return next(column for column in spec.columns if column.name == self.column)

    @property
    def table(self) -> str:
        return self.old.table

    @property
    def history(self) -> str:
        return self.old.history_table

    @property
    def queue(self) -> str:
        """The table of what was written since the change began."""
        return f"{self.table}_change_{self.pk}"

    @property
    def needs_column(self) -> bool:
        """Whether values become others, so that a new column is filled beside the old one."""
        if self.column is None:
            return False
        return self.may_empty or self.source is not None or not is_in_place(self.before, self.after)

    @property
    def next(self) -> str:
        """The column that is filled beside the old one."""
        return f"{self.column}_next"

    @property
    def former(self) -> str:
        """What the old column is called once the new one has taken its place."""
        return former_name(self.column or "", self.pk)

    def names(self, columns: tuple[str, ...]) -> tuple[str, ...]:
        """Return what columns are called while the new one still stands beside the old."""
        return tuple(self.next if self.needs_column and name == self.column else name for name in columns)

    @cached_property
    def uniques_to_build(self) -> dict[str, tuple[str, ...]]:
        """Constraint names of the new definition with their columns, where there is no index for them yet."""
        old, new = uniques(self.old), uniques(self.new)
        return {name: columns for name, columns in new.items() if self._is_other(columns, old.get(name))}

    @cached_property
    def uniques_to_drop(self) -> tuple[str, ...]:
        old, new = uniques(self.old), uniques(self.new)
        return tuple(name for name, columns in old.items() if self._is_other(columns, new.get(name)))

    def _is_other(self, columns: tuple[str, ...], counterpart: tuple[str, ...] | None) -> bool:
        return columns != counterpart or (self.needs_column and self.column in columns)

    def index(self, constraint: str) -> str:
        """The name of an index that becomes a constraint of this name."""
        return f"{constraint}_{self.pk}"

    @cached_property
    def newly_required(self) -> tuple[str, ...]:
        """Physical names of columns that must hold a value from now on, or in the new column's stead."""
        were = {column.name for column in self.old.columns if column.is_required}
        return tuple(
            column.name
            for column in self.new.columns
            if column.is_required
            and (column.name not in were or (self.needs_column and column.name == self.column))
        )

    @cached_property
    def no_longer_required(self) -> tuple[str, ...]:
        are = {column.name for column in self.new.columns if column.is_required}
        return tuple(c.name for c in self.old.columns if c.is_required and c.name not in are)

    @cached_property
    def columns_with_other_rules(self) -> tuple[ColumnSpec, ...]:
        """The other columns, as they were, that must hold a value from now on or need not any more."""
        are = {column.name: column.is_required for column in self.new.columns}
        return tuple(c for c in self.old.columns if c.name != self.column and c.is_required != are[c.name])


def former_name(column: str, change_pk: int) -> str:
    """Return what a column with the values from before a change is called."""
    return f"{column}_was{change_pk}"


def uniques(spec: DatasetSpec) -> dict[str, tuple[str, ...]]:
    """Return the UNIQUE constraints of a dataset's table: name to columns."""
    found = {
        f"{spec.table}_{c.name}_unique": (c.name,)
        for c in spec.columns
        if c.is_unique and spec.key != (c.name,)
    }
    return {**({f"{spec.table}_key": spec.key} if spec.key else {}), **found}
