"""What a dataset is, as frozen values: everything the table, the model class and the importer depend on.

Pure: no Django, no storage, no clock. Physical names are generated (`ds_7`, `c12`), labels are only data,
so no label can clash with a column, a Python attribute or a PostgreSQL limit.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Target:
    """The key a reference takes its values from: the single key column of a dataset.

    In a definition that is still to be made, `dataset` and `column` are 0, and `slug` alone says which dataset is
    meant: "" is the one that is being defined. `label` and `type` are then what was stated of the key, "" for nothing.
    """

    slug: str
    label: str = ""  # of the key column
    type: str = ""  # of the key's values; never "reference"
    title: str = ""  # of the dataset
    dataset: int = 0
    column: int = 0

    @property
    def table(self) -> str:
        return f"ds_{self.dataset}"

    @property
    def name(self) -> str:
        """The physical key column."""
        return f"c{self.column}"


@dataclass(frozen=True, slots=True)
class ColumnOptions:
    """The parameters of a column's type and its rules; what does not apply is None or empty.

    Those of a reference are the key's it points to, so that its values are read by the very same grammar.
    """

    precision: int | None = None  # decimal: digits in all
    scale: int | None = None  # decimal: digits after the point
    choices: tuple[str, ...] = ()  # choice, multi_choice
    minimum: str | None = None  # canonical text of the column's type
    maximum: str | None = None
    max_length: int | None = None  # text, in characters
    region: str | None = None  # phone: of numbers without a +, as DE
    target: Target | None = None  # reference
    min_length: int | None = None
    pattern: str | None = None  # text, of `datasets.columntypes.patterns`
    default: str | None = None  # canonical text: what a new record gets that brings no value


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """One column. `type` is a name registered in `datasets.columntypes`."""

    pk: int
    label: str
    type: str
    is_required: bool = False
    is_unique: bool = False
    options: ColumnOptions = field(default_factory=ColumnOptions)

    @property
    def name(self) -> str:
        """The physical column and the model's field."""
        return f"c{self.pk}"

    @property
    def value_type(self) -> str:
        """The type of its values: its own, but for a reference, which holds what the key it points to holds."""
        return self.type if self.options.target is None else self.options.target.type

    @property
    def must_be_given(self) -> bool:
        """Whether a new record must bring a value: the column is required and has no default."""
        return self.is_required and self.options.default is None


@dataclass(frozen=True, slots=True)
class CheckSpec:
    """A condition across the columns of each record, in the language of `datasets.checks`.

    `number` is its own within the dataset; the expression names columns physically, so that labels may change.
    """

    number: int
    name: str
    expression: str
    message: str = ""  # what to tell people; without one, the expression


@dataclass(frozen=True, slots=True)
class DatasetSpec:
    """One dataset. `key` holds the physical names of the key columns, in the key's order; each is required."""

    pk: int
    slug: str
    title: str
    columns: tuple[ColumnSpec, ...]
    key: tuple[str, ...]
    checks: tuple[CheckSpec, ...] = ()

    @property
    def table(self) -> str:
        return f"ds_{self.pk}"

    @property
    def history_table(self) -> str:
        return f"ds_{self.pk}_history"

    @property
    def key_columns(self) -> tuple[ColumnSpec, ...]:
        """The key's columns, in the key's order."""
        by_name = {column.name: column for column in self.columns}
        return tuple(by_name[name] for name in self.key)

    @property
    def references(self) -> tuple[tuple[ColumnSpec, Target], ...]:
        """The references among its columns, with what they point to."""
        return tuple((one, one.options.target) for one in self.columns if one.options.target is not None)

    @property
    def own_references(self) -> tuple[ColumnSpec, ...]:
        """The references to records of this very dataset."""
        return tuple(column for column, target in self.references if target.dataset == self.pk)
