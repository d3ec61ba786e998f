"""What can be done with datasets: define, rename, delete, grant. One transaction and one event each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.utils.text import slugify
from guardian.models import GroupObjectPermission, UserObjectPermission
from simple_history.utils import bulk_create_with_history, bulk_update_with_history

from accounts.models import User
from audit.services import record
from core.errors import RowhouseError
from core.quotas import Resource, require_room
from core.standing import require_writable
from datasets import access, ddl, references, rules, signals
from datasets.checks import by_names
from datasets.definition import Definition, InvalidDefinition, check_definition
from datasets.inference import infer, suggest_key
from datasets.models import SLUG_PATTERN, Column, Dataset, stored_options
from datasets.rules import NewCheck, NewColumn
from datasets.spec import CheckSpec

__all__ = [
    "InvalidDefinition",
    "NewColumn",
    "create_dataset",
    "delete_dataset",
    "grant_right",
    "infer_definition",
    "rename_dataset",
    "revoke_right",
]


class SlugTaken(RowhouseError):
    """Another dataset of the tenant has this slug."""

    code = "slug-taken"


class DefinitionOutdated(RowhouseError):
    """The definition is not the one the person looked at."""

    code = "definition-outdated"


class UnknownDataset(RowhouseError):
    """No dataset of the tenant has this slug."""

    code = "unknown-dataset"
    status = 404


def dataset_by_slug(slug: str) -> Dataset:
    """Return a dataset of the current tenant.

    :raises UnknownDataset: there is none.
    """
    dataset = Dataset.objects.filter(slug=slug).first()
    if dataset is None:
        known = ", ".join(Dataset.objects.values_list("slug", flat=True)[:20]) or "none yet"
        raise UnknownDataset(f"There is no dataset “{slug}”. Datasets here: {known}.")
    return dataset


def infer_definition(
    labels: Sequence[str], rows: Iterable[list[str | None]], *, key: Sequence[str] = ()
) -> tuple[list[NewColumn], list[str]]:
    """Return columns that fit every row, and a key: the one asked for, or the one that suggests itself."""
    cleaned = [rules.clean_label(label) for label in labels]
    found = infer(cleaned, rows)
    columns = [NewColumn(one.label, one.type, one.is_required, one.is_unique, one.options) for one in found]
    return columns, [rules.clean_label(label) for label in key] or list(suggest_key(found))


@transaction.atomic
def create_dataset(
    *,
    title: str,
    columns: Sequence[NewColumn],
    key: Sequence[str] = (),
    checks: Sequence[NewCheck] = (),
    slug: str | None = None,
    by: User | None = None,
) -> Dataset:
    """Create a dataset with its table, its history and its content type. Key columns become required.

    :raises InvalidDefinition: the definition has problems; the message lists them.
    :raises SlugTaken: another dataset has the slug.
    :raises QuotaReached: the tenant has as many datasets as it may have.
    :raises TenantReadOnly: the tenant is read-only.
    """
    require_writable()
    require_room(Resource.DATASETS)
    checked = checked_definition(
        title=title, columns=references.resolved(columns, key), key=key, checks=checks
    )
    dataset = _saved(Dataset(slug=slug or _free_slug(checked.title), title=checked.title), by)
    made = _saved_columns(dataset, checked.columns, key, by)
    dataset.key = [made[label].pk for label in key]
    dataset.checks = stored_checks(checks, list(made.values()))
    Dataset.objects.filter(pk=dataset.pk).update(key=dataset.key, checks=dataset.checks)
    ddl.create_table(dataset.spec())
    # Made here and removed in delete_dataset: pages would make it on the first visit, and keep it for ever.
    ContentType.objects.get_or_create(app_label="datasets", model=f"ds{dataset.pk}")
    record("datasets.dataset.created", actor=by, target=dataset, columns=len(made), key=list(key))
    return dataset


def stored_checks(
    checks: Sequence[NewCheck], columns: Sequence[Column], before: Sequence[CheckSpec] = ()
) -> list[dict[str, Any]]:
    """Return checks as a dataset stores them; one that says what it said before keeps its number."""
    specs = [column.spec() for column in columns]
    numbers = {check.name: check.number for check in before}
    free = max(numbers.values(), default=0) + 1
    made = []
    for check in checks:
        number = numbers.get(check.name, free)
        free = max(free, number + 1)
        made.append(CheckSpec(number, check.name, by_names(check.expression, specs), check.message))
    return [asdict(check) for check in made]


def checked_definition(
    *, title: str, columns: Sequence[NewColumn], key: Sequence[str], checks: Sequence[NewCheck] = ()
) -> Definition:
    """Return a definition with its key columns required and its limits in canonical form.

    :raises InvalidDefinition: no dataset can be made of it; the message names each problem.
    """
    cleaned = rules.clean_label(title)
    if problem := rules.label_problem(cleaned, limit=rules.MAX_TITLE):
        raise InvalidDefinition(problem.replace("A label is", "The title is"))
    return check_definition(Definition(cleaned, None, tuple(columns), tuple(key), checks=tuple(checks)))


def _free_slug(title: str) -> str:
    base = slugify(title).replace("_", "-").strip("-")[:50].strip("-") or "dataset"
    taken = set(Dataset.objects.filter(slug__startswith=base).values_list("slug", flat=True))
    number, slug = 1, base
    while slug in taken:
        number += 1
        slug = f"{base}-{number}"
    return slug


def _saved(dataset: Dataset, by: User | None) -> Dataset:
    if not re.fullmatch(SLUG_PATTERN, dataset.slug):
        raise InvalidDefinition(
            f"“{dataset.slug}” cannot be a slug; use up to 63 lower case letters, digits and hyphens."
        )
    dataset._history_user = by  # type: ignore[attr-defined] # simple-history reads it
    try:
        with transaction.atomic():
            dataset.save()
    except IntegrityError as error:
        raise SlugTaken(f"Another dataset is called “{dataset.slug}”; choose another slug.") from error
    return dataset


def _saved_columns(
    dataset: Dataset, columns: Sequence[NewColumn], key: Sequence[str], by: User | None
) -> dict[str, Column]:
    """Save the columns, those last that refer to the dataset's own key: it must have its number."""
    made: dict[str, Column] = {}
    placed = list(enumerate(columns, start=1))
    own = [(position, column) for position, column in placed if _refers_to_itself(column)]
    for some in ([one for one in placed if one not in own], own):
        key_pk = made[key[0]].pk if some is own and own else None
        made |= {one.label: one for one in _save_at(dataset, some, key_pk, by=by)}
    return made


def save_columns(
    dataset: Dataset, columns: Sequence[NewColumn], *, by: User | None, first: int, reason: str | None = None
) -> list[Column]:
    """Save new columns of a dataset that is there, from a position on, with their history; no table is touched."""
    key_pk = dataset.key[0] if len(dataset.key) == 1 else None
    return _save_at(dataset, list(enumerate(columns, start=first)), key_pk, by=by, reason=reason)


def _save_at(
    dataset: Dataset,
    placed: Sequence[tuple[int, NewColumn]],
    key_pk: int | None,
    *,
    by: User | None,
    reason: str | None = None,
) -> list[Column]:
    rows = [
        Column(
            dataset=dataset,
            label=column.label,
            type=column.type,
            position=position,
            is_required=column.is_required,
            is_unique=column.is_unique,
            options=_options_to_store(column, dataset, key_pk),
        )
        for position, column in placed
    ]
    if not rows:
        return []
    return list(bulk_create_with_history(rows, Column, default_user=by, default_change_reason=reason))


def _refers_to_itself(column: NewColumn) -> bool:
    return column.options.target is not None and not column.options.target.dataset


def _options_to_store(column: NewColumn, dataset: Dataset, key_pk: int | None) -> dict[str, Any]:
    options, target = column.options, column.options.target
    if target is not None and not target.dataset and key_pk is not None:
        options = replace(options, target=replace(target, dataset=dataset.pk, column=key_pk))
    return stored_options(options)


@transaction.atomic
def rename_dataset(
    *,
    dataset: Dataset,
    title: str,
    labels: Mapping[int, str] | None = None,
    seen: int | None = None,
    by: User | None = None,
) -> None:
    """Change a dataset's title and its columns' labels (by column primary key). The tables stay as they are.

    :param seen: the version of the definition the person looked at; None takes any.
    :raises DefinitionOutdated: somebody changed the definition since.
    :raises InvalidDefinition: a label is empty, too long, not printable or stands twice.
    """
    dataset = Dataset.objects.select_for_update().get(pk=dataset.pk)
    require_seen(dataset, seen)
    columns = list(dataset.columns.in_use())
    wanted = {column.pk: rules.clean_label((labels or {}).get(column.pk, column.label)) for column in columns}
    renamed = [NewColumn(wanted[c.pk], c.type, c.is_required, c.is_unique, c.spec().options) for c in columns]
    checked = checked_definition(title=title, columns=renamed, key=())
    changed = [column for column in columns if column.label != wanted[column.pk]]
    for column in changed:
        column.label = wanted[column.pk]
    save_labels(changed, by=by)
    before, dataset.title = dataset.title, checked.title
    if not changed and before == dataset.title:
        return
    dataset.definition_version += 1
    dataset._history_user = by  # type: ignore[attr-defined]
    dataset.save()
    record(
        "datasets.dataset.renamed",
        actor=by,
        target=dataset,
        before=before,
        after=dataset.title,
        labels=len(changed),
    )


def require_seen(dataset: Dataset, seen: int | None) -> None:
    """Go on only if a dataset's definition has the version a person looked at; None takes any.

    :raises DefinitionOutdated: it has another.
    """
    if seen is not None and dataset.definition_version != seen:
        raise DefinitionOutdated(
            f"Somebody changed the definition of “{dataset.title}” since you opened it: it has version"
            f" {dataset.definition_version}, and you saw version {seen}. Nothing of yours was saved. Open it again,"
            " look, then change it."
        )


def save_labels(columns: Sequence[Column], *, by: User | None) -> None:
    """Save the labels and positions of columns in use, with their history. Two may have swapped their labels."""
    # Free all of them before one takes another's.
    Column.objects.filter(pk__in=[column.pk for column in columns]).update(is_retired=True)
    bulk_update_with_history(columns, Column, ["label", "position", "is_retired"], default_user=by)


@transaction.atomic
def delete_dataset(*, dataset: Dataset, by: User | None = None) -> None:
    """Delete a dataset: records, their history, definition, rights and content type.

    :raises DatasetBusy: other work holds it.
    :raises StillReferenced: another dataset refers to it.
    :raises RowhouseError: an app above refuses, because it still works on the dataset.
    """
    with ddl.short_wait():
        ddl.lock_dataset(dataset.pk)
        Dataset.objects.select_for_update().get(pk=dataset.pk)
    references.require_unreferenced(dataset, to=f"delete “{dataset.title}”")
    signals.deleting.send(sender=Dataset, dataset=dataset)
    ddl.drop_table(dataset.spec())
    access.forget(dataset)
    ContentType.objects.filter(app_label="datasets", model=f"ds{dataset.pk}").delete()
    ContentType.objects.clear_cache()
    record("datasets.dataset.deleted", actor=by, target=dataset)
    dataset._history_user = by  # type: ignore[attr-defined]
    dataset.delete()


@transaction.atomic
def grant_right(*, right: str, to: User | Group, dataset: Dataset, by: User | None = None) -> None:
    """Grant a user or a group a right in one dataset. Without `by` it is the platform itself that grants.

    :raises PermissionDenied: `by` may not manage the dataset, or lacks the right.
    """
    _check_granter(by, right, dataset)
    _, is_new = _grants(to).get_or_create(**_grant(right, to, dataset))
    if is_new:
        record("datasets.right.granted", actor=by, target=dataset, right=right, **_whom(to))


@transaction.atomic
def revoke_right(*, right: str, of: User | Group, dataset: Dataset, by: User | None = None) -> None:
    """Take back a right granted in one dataset; rights through a role stay.

    :raises PermissionDenied: `by` may not manage the dataset, or lacks the right.
    """
    _check_granter(by, right, dataset)
    removed, _ = _grants(of).filter(**_grant(right, of, dataset)).delete()
    if removed:
        record("datasets.right.revoked", actor=by, target=dataset, right=right, **_whom(of))


def _check_granter(by: User | None, right: str, dataset: Dataset) -> None:
    if by is None:
        return
    # Held until the end: what is granted and taken on one dataset at once happens one after the other.
    Dataset.objects.select_for_update(no_key=True).filter(pk=dataset.pk).first()
    held = access.rights_of(by, dataset)
    if not {"manage", right} <= held:
        raise PermissionDenied(f"You cannot grant or revoke “{right}” here, because you do not hold it.")


def _grants(who: User | Group) -> Any:
    return UserObjectPermission.objects if isinstance(who, User) else GroupObjectPermission.objects


def _grant(right: str, who: User | Group, dataset: Dataset) -> dict[str, Any]:
    content_type = ContentType.objects.get_for_model(Dataset)
    return {
        "permission": content_type.permission_set.get(codename=access.codename(right)),
        "content_type": content_type,
        "object_pk": str(dataset.pk),
        "user" if isinstance(who, User) else "group": who,
    }


def _whom(who: User | Group) -> dict[str, Any]:
    kind = "user" if isinstance(who, User) else "group"
    return {"whom": kind, "whom_id": who.pk, "whom_label": str(who)}
