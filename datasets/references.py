"""What refers to what: the keys that references point to, and the records that stand in the way of a deletion.

PostgreSQL keeps references, whoever writes: by triggers between datasets (`audit.referring`), by a FOREIGN KEY within
one. What is asked here comes before that, so that people read a sentence and not an error of the database.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from django.db import IntegrityError, connection, transaction
from psycopg2.errors import ForeignKeyViolation

from core.errors import RowhouseError
from core.words import count
from datasets.definition import THEIRS, InvalidDefinition
from datasets.models import Column, Dataset
from datasets.rules import NewColumn
from datasets.spec import ColumnSpec, DatasetSpec, Target

NAMED = 5


class StillReferenced(RowhouseError):
    """Something was to go, or to change its key, to which records of a dataset refer."""

    code = "still-referenced"
    status = 409


class NothingReferenced(RowhouseError):
    """A record was to refer to one that is not there."""

    code = "nothing-referenced"
    status = 409


@dataclass(frozen=True, slots=True)
class Referrer:
    """A reference column of a dataset, as seen from the dataset it points to."""

    dataset: Dataset
    column: Column
    key: str  # the physical key column it points to

    @property
    def table(self) -> str:
        return f"ds_{self.dataset.pk}"

    @property
    def name(self) -> str:
        return f"c{self.column.pk}"


@dataclass(frozen=True, slots=True)
class Held:
    """How many records of a dataset refer to others through one of its columns."""

    referrer: Referrer
    records: int

    @property
    def words(self) -> str:
        """What refers: `12 records of “Orders”`."""
        return f"{count(self.records, 'record')} of “{self.referrer.dataset.title}”"


def referrers_of(dataset: Dataset) -> list[Referrer]:
    """Return the reference columns that point to a dataset, its own among them. One query."""
    found = Column.objects.filter(type="reference", options__target__dataset=dataset.pk)
    return [
        Referrer(column.dataset, column, f"c{column.options['target']['column']}")
        for column in found.select_related("dataset").order_by("dataset__title", "position", "pk")
    ]


def require_unreferenced(dataset: Dataset, *, to: str, column: Column | None = None) -> None:
    """Go on only if no other dataset, and with a `column` no column at all, refers to the dataset's key.

    :param to: what was to be done, as in "delete “Customers”".
    :param column: ask only for this column; it is no matter unless it is the key that is referred to.
    :raises StillReferenced: with the names of the datasets that refer to it.
    """
    found = [
        one
        for one in referrers_of(dataset)
        if (one.dataset.pk != dataset.pk if column is None else one.key == f"c{column.pk}")
    ]
    if found:
        names = [f"“{one.column.label}” of “{one.dataset.title}”" for one in found]
        raise StillReferenced(
            f"You cannot {to}: {listed(names)} {'refers' if len(found) == 1 else 'refer'} to it."
            " Delete those datasets or give those columns another type first."
        )


def outside(datasets: Sequence[Dataset]) -> list[str]:
    """Return in words which columns of other datasets refer to some of these, which therefore cannot all go."""
    gone = {dataset.pk for dataset in datasets}
    return [
        f"“{one.column.label}” of “{one.dataset.title}” refers to “{dataset.title}”"
        for dataset in datasets
        for one in referrers_of(dataset)
        if one.dataset.pk not in gone
    ]


def referring_first(datasets: Iterable[Dataset]) -> list[Dataset]:
    """Return datasets in an order in which they can be deleted: each before those it refers to."""
    left, ordered = {dataset.pk: dataset for dataset in datasets}, list[Dataset]()
    while left:
        free = [
            one
            for one in left.values()
            if not {by.dataset.pk for by in referrers_of(one)} & (set(left) - {one.pk})
        ]
        for dataset in free or list(left.values()):
            ordered.append(left.pop(dataset.pk))
    return ordered


def listed(names: Sequence[str]) -> str:
    """Return names as a list in words, at most NAMED of them.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    shown = [*names[:NAMED], *([f"{len(names) - NAMED} more"] if len(names) > NAMED else [])]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


# ---- definitions


def resolved(columns: Sequence[NewColumn], key: Sequence[str]) -> list[NewColumn]:
    """Return the columns of a definition with the key each reference points to, as it is now.

    A reference to the dataset that is being defined has its target's `dataset` and `column` still 0.

    :raises InvalidDefinition: a dataset is not there, has no single key column, or has another key than was stated.
    """
    problems: list[str] = []
    made: list[NewColumn] = []
    for column in columns:
        target = column.options.target
        if column.type != "reference" or target is None or target.dataset:
            made.append(column)
            continue
        try:
            found = _own_key(column, columns, key) if not target.slug else _key_of(column, target.slug)
            _compare(column, target, found)
        except InvalidDefinition as problem:
            problems.append(problem.message)
            continue
        made.append(replace(column, options=replace(column.options, target=found)))
    if problems:
        raise InvalidDefinition(" ".join(problems))
    return made


def _key_of(column: NewColumn, slug: str) -> Target:
    dataset = Dataset.objects.filter(slug=slug).first()
    if dataset is None:
        raise InvalidDefinition(f"“{column.label}” refers to “{slug[:63]}”; there is no such dataset.")
    if len(dataset.key) != 1:
        raise InvalidDefinition(_no_single_key(column, f"“{dataset.title}”", len(dataset.key)))
    key = Column.objects.get(pk=dataset.key[0])
    return Target(dataset.slug, key.label, key.spec().value_type, dataset.title, dataset.pk, key.pk)


def _own_key(column: NewColumn, columns: Sequence[NewColumn], key: Sequence[str]) -> Target:
    own = next((one for one in columns if len(key) == 1 and one.label == key[0]), None)
    if own is None:
        raise InvalidDefinition(_no_single_key(column, "its own dataset", len(key)))
    if own is column:
        raise InvalidDefinition(f"“{column.label}” is the key; it cannot refer to itself.")
    if own.type == "reference":
        [own] = resolved([own], key)
    target = own.options.target
    return Target("", own.label, own.type if target is None else target.type)


def _no_single_key(column: NewColumn, dataset: str, columns: int) -> str:
    has = f"a key of {columns} columns" if columns else "no key"
    return f"“{column.label}” refers to {dataset}, which has {has}; a reference needs a key of one column."


def _compare(column: NewColumn, stated: Target, found: Target) -> None:
    """Refuse what was stated of a key that is another one.

    :raises InvalidDefinition: label or type differ.
    """
    name = f"“{found.title}”" if found.slug else "its own dataset"
    if stated.label and stated.label != found.label:
        raise InvalidDefinition(
            f"“{column.label}” refers to “{stated.label}” of {name}, whose key is “{found.label}”; refer to that."
        )
    if stated.type and THEIRS[stated.type] != THEIRS[found.type]:
        raise InvalidDefinition(
            f"“{column.label}” is stated as {stated.type}, but the key of {name} is {found.type};"
            " state that, or nothing."
        )


# ---- records


def exists(target: Target, value: Any) -> bool:
    """Return whether a record has this key, given as the key's Python value."""
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT EXISTS (SELECT FROM "{target.table}" WHERE "{target.name}" = %s)', [value])
        return bool(cursor.fetchone()[0])


def missing_rule(target: Target) -> str:
    """Return the rule that a value breaks which is no record's key."""
    return f"No record of “{target.title}” has this key. Correct the value, or add that record first."


def held(dataset: Dataset, chosen: str = "true", parameters: Sequence[Any] = ()) -> list[Held]:
    """Return which records refer to some of a dataset's records, without those that are among these themselves.

    :param chosen: the SQL condition of those records; the table is called `t`.
    """
    found = []
    for one in referrers_of(dataset):
        chosen_keys = f'SELECT t."{one.key}" FROM "ds_{dataset.pk}" t WHERE {chosen}'
        stays, more = "", []
        if one.dataset.pk == dataset.pk:
            stays = f' AND r.id NOT IN (SELECT t.id FROM "{one.table}" t WHERE {chosen})'
            more = [*parameters]
        with connection.cursor() as cursor:
            cursor.execute(
                f'SELECT count(*) FROM "{one.table}" r WHERE r."{one.name}" IN ({chosen_keys}){stays}',
                [*parameters, *more],
            )
            if records := int(cursor.fetchone()[0]):
                found.append(Held(one, records))
    return found


def referring_records(referrer: Referrer, key: Any, *, most: int) -> int:
    """Return how many records refer to a key, and no more than `most`."""
    with connection.cursor() as cursor:
        cursor.execute(
            f'SELECT count(*) FROM (SELECT FROM "{referrer.table}" WHERE "{referrer.name}" = %s LIMIT {most}) r',
            [key],
        )
        return int(cursor.fetchone()[0])


def words_of(held: Sequence[Held], visible: Container[int]) -> str:
    """Return which records refer to something, for somebody who may know the `visible` datasets, by primary key."""
    names = [one.words for one in held if one.referrer.dataset.pk in visible]
    if len(names) < len(held):
        names.append("records of datasets you may not see")
    return listed(names)


@contextmanager
def refusals() -> Iterator[None]:
    """Run the block in a transaction or savepoint, and say in a sentence which reference forbids what it was to write.

    :raises StillReferenced: a record that goes, or changes its key, is referred to.
    :raises NothingReferenced: a record refers to one that is not there.
    """
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        if refusal := refusal_of(error):
            raise refusal from error
        raise


def refusal_of(error: IntegrityError) -> RowhouseError | None:
    """Return the sentence of a broken reference, None where something else was broken."""
    cause = error.__cause__
    if not isinstance(cause, ForeignKeyViolation):
        return None
    column = int(str(cause.diag.constraint_name).removesuffix("_refers").rpartition("_c")[2])
    found = Column.objects.select_related("dataset").filter(pk=column).first()
    if found is None:
        return None
    target = found.spec().options.target
    assert target is not None
    if "still referenced" in str(cause.diag.message_detail):
        return StillReferenced(
            f"Records of “{found.dataset.title}” refer to it in “{found.label}”. Change or delete those first."
        )
    return NothingReferenced(f"“{found.label}”: {missing_rule(target)}")


def label_column(spec: DatasetSpec) -> ColumnSpec | None:
    """Return the column whose texts tell people which record a key is, if there is one."""
    return next(
        (
            one
            for one in spec.columns
            if one.value_type == "text" and one.name not in spec.key and one.options.target is None
        ),
        None,
    )
