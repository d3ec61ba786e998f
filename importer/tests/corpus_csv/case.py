"""What a case of the corpus is: the bytes of a small file, and everything that must come of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from datasets.spec import ColumnSpec, DatasetSpec

type Row = tuple[str | None, ...]
type Problem = tuple[int, int, str, str]  # row, line, label, code

PEOPLE = "id:integer name:text"
STOCK = "id:integer name:text qty:integer"


@dataclass(frozen=True, slots=True)
class Case:
    """A file and its truth.

    `columns` are those of the dataset, the first one its key. `records` are the staged values as canonical text,
    in the order of the columns; `issues` those of rejected rows. `dialect` names only what is telling. A case with
    `refusal` is refused as a whole with that code. `doubts` are words of the sentences that are shown, in order.
    """

    name: str
    data: bytes
    records: Sequence[Row] = ()
    issues: Sequence[Problem] = ()
    columns: str = PEOPLE
    dialect: Mapping[str, object] = field(default_factory=dict)
    labels: Sequence[str] | None = None
    doubts: Sequence[str] = ()
    refusal: str = ""
    chosen: Mapping[str, object] = field(default_factory=dict)
    blank: int | None = None
    rules: Mapping[int, str] = field(default_factory=dict)  # row: words of its first rule

    @property
    def spec(self) -> DatasetSpec:
        columns = tuple(
            ColumnSpec(number, label.replace("_", " "), kind)
            for number, (label, _, kind) in enumerate(
                (each.partition(":") for each in self.columns.split()), start=1
            )
        )
        return DatasetSpec(1, "things", "Things", columns, (columns[0].name,))


def case(name: str, data: str | bytes, *records: Row, encoding: str = "utf-8", **truth: object) -> Case:
    """Return a case; text becomes bytes in `encoding`."""
    content = data if isinstance(data, bytes) else data.encode(encoding)
    return Case(name, content, records, **truth)  # type: ignore[arg-type]
