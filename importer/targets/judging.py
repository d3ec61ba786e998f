"""Rows of a plain model's import, judged by its serializer: what is wrong with each, or what it would do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Model, Q
from rest_framework.exceptions import ErrorDetail
from rest_framework.serializers import BaseSerializer

from datasets.spec import DatasetSpec
from importer.issues import Issue, shown
from importer.models import Blank, ImportJob, Mode
from importer.targets.shape import field_names, key_fields

CODES = {
    "required": "missing-cell",
    "null": "missing-cell",
    "blank": "missing-cell",
    "unique": "constraint-error",
}
LIMITS = (
    "max_length",
    "min_length",
    "max_value",
    "min_value",
    "max_digits",
    "max_decimal_places",
    "invalid_choice",
)


@dataclass(slots=True)
class Row:
    """One row of the file: `data` by field, as the serializer is given it; hooks may change it.

    `instance` is the record with its `key`, if there is one; `op` is "+", "~", or "=" when nothing changes.
    """

    number: int
    data: dict[str, Any]
    instance: Model | None = None
    serializer: BaseSerializer[Any] | None = None
    op: str = ""
    key: tuple[str, ...] = ()
    issues: list[Issue] = field(default_factory=list)

    def refuse(self, rule: str, *, column: str = "", value: str = "", code: str = "constraint-error") -> None:
        """Reject the row with a sentence of the app's own; for use in hooks."""
        self.issues.append(Issue(code, self.number, 0, column, value, rule))


class Judge:
    """Judges batches of rows for one job. `proxy` is an instance of the job's proxy class: its hooks are called."""

    def __init__(self, proxy: Any, spec: DatasetSpec, *, holds_records: bool = False) -> None:
        self.proxy = proxy
        self._holds_records = holds_records  # until the transaction ends: what is judged is what is saved
        self._names = field_names(type(proxy))
        self._labels = {self._names[column.name]: column.label for column in spec.columns}
        self._key = key_fields(type(proxy))
        self._fields = type(proxy).serializer_class().fields
        self._kept = {
            match["column"] for match in proxy.mapping if match.get("recipe", {}).get("blank") == Blank.KEEP
        }

    def judge(self, cells: Sequence[tuple[int, Mapping[str, str | None]]]) -> list[Row]:
        """Return a row for each (number, column to text), with its issues or what it would do."""
        rows = [Row(number, self._data(texts)) for number, texts in cells]
        self.proxy.before_batch(rows)
        for row in rows:
            self.proxy.before_row(row)
        found = self._records(rows)
        for row in rows:
            row.key = self._key_of(row.data) if self._key else ()
            row.instance = found.get(row.key)
            if not row.issues:
                self._look(row)
        return rows

    def _data(self, texts: Mapping[str, str | None]) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for column, text in texts.items():
            name = self._names[column]
            if text is not None:
                data[name] = text
            elif column in self._kept:
                continue
            elif self._fields[name].allow_null:
                data[name] = None
            elif getattr(self._fields[name], "allow_blank", False):
                data[name] = ""
        return data

    def _records(self, rows: Sequence[Row]) -> dict[tuple[str, ...], Model]:
        if not self._key or not rows:
            return {}
        records = type(self.proxy).target_model._default_manager.all()
        if self._holds_records:
            records = records.select_for_update(of=("self",))
        if len(self._key) == 1:
            (name,) = self._key
            wanted = Q(**{f"{name}__in": [row.data[name] for row in rows if row.data.get(name)]})
        else:
            wanted = Q()
            for row in rows:
                wanted |= Q(**{name: row.data.get(name) for name in self._key})
        return {
            self._key_of({name: getattr(one, name) for name in self._key}): one
            for one in records.filter(wanted)
        }

    def _key_of(self, data: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(str(data.get(name)) for name in self._key)

    def _look(self, row: Row) -> None:
        mode = self.proxy.mode
        if mode == Mode.INSERT and row.instance is not None:
            row.refuse(
                "A record with this key exists, and this import only adds records.", code="primary-key"
            )
        elif mode == Mode.UPDATE and row.instance is None:
            row.refuse("No record has this key, and this import only changes records.", code="primary-key")
        else:
            self._validate(row)

    def _validate(self, row: Row) -> None:
        is_partial = row.instance is not None
        row.serializer = type(self.proxy).serializer_class(row.instance, data=row.data, partial=is_partial)
        if row.serializer.is_valid():
            row.op = "+" if row.instance is None else "~" if _differs(row.instance, row.serializer) else "="
        else:
            row.issues += self._issues(row, row.serializer.errors)

    def _issues(self, row: Row, errors: Any) -> Iterator[Issue]:
        for name, details in errors.items():
            for detail in details if isinstance(details, list) else [details]:
                code = getattr(detail, "code", "") if isinstance(detail, ErrorDetail) else ""
                value = shown(str(row.data.get(name) or ""))
                yield Issue(_code(code), row.number, 0, self._labels.get(name, ""), value, str(detail))


def _code(code: str) -> str:
    return CODES.get(code, "constraint-error" if code in LIMITS else "type-error")


def _differs(instance: Model, serializer: BaseSerializer[Any]) -> bool:
    return any(getattr(instance, name, None) != value for name, value in serializer.validated_data.items())


class Hooks:
    """What a proxy may do around rows and batches, at the preview and at the merge alike unless said otherwise.

    All of it runs in the import's tenant and transaction; an exception at the merge takes everything back.
    """

    def before_batch(self, rows: Sequence[Row]) -> None:
        """Look at, or change, the data of some hundred rows, before each of them is looked at by itself."""

    def before_row(self, row: Row) -> None:
        """Change a row's data, or refuse it, before its record is looked up and the serializer sees it."""

    def after_row(self, row: Row, instance: Model) -> None:
        """Do something with a record that was created or changed. At the merge only."""

    def after_batch(self, instances: Sequence[Model]) -> None:
        """Do something with the records of a batch that were created or changed. At the merge only."""


def as_proxy(job: ImportJob, proxy: type[ImportJob]) -> Any:
    """Return the job as an instance of its proxy class, for its hooks."""
    made = proxy()
    made.__dict__.update(job.__dict__)
    return made
