"""The key of a record of another dataset, or of the same one."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NoReturn

from datasets.columntypes.base import ColumnType, Reading

if TYPE_CHECKING:
    from datasets.spec import ColumnSpec


class Reference(ColumnType):
    """A name among the types, and no grammar of its own.

    `type_of` gives the type of the key a reference points to, and the column's options are that key's: what one
    takes the other takes, in the same canonical text and the same type of PostgreSQL. Whether there is such a record
    is no question of a cell: the database holds it, an import asks it of all its rows at once.
    """

    name: ClassVar[str] = "reference"
    title: ClassVar[str] = "Reference"

    def parse(self, raw: str, column: ColumnSpec, reading: Reading) -> str:
        _ask_the_key(column)

    def sql_type(self, column: ColumnSpec) -> str:
        _ask_the_key(column)

    def to_python(self, canonical: str) -> object:
        raise TypeError("The type of the key reads the values of a reference.")

    def to_text(self, value: object) -> str:
        raise TypeError("The type of the key writes the values of a reference.")

    def guess(self, values: list[str]) -> bool:
        return False  # that values are keys of some dataset is a decision, not an observation


def _ask_the_key(column: ColumnSpec) -> NoReturn:
    raise TypeError(
        f"“{column.label}” is a reference whose key is not known yet; type_of() gives that key's type."
    )
