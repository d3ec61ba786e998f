"""What a dataset wants of every import into it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction

from audit.services import record
from core.errors import RowhouseError
from datasets import access
from datasets.models import Dataset
from importer.models import ImportRules


class BadRules(RowhouseError):
    """The rules cannot be as given."""

    code = "bad-import-rules"
    status = 422


def rules_of(dataset: Dataset) -> ImportRules:
    """Return the dataset's rules; the defaults, unsaved, where nobody set any."""
    return ImportRules.objects.filter(dataset=dataset).first() or ImportRules(dataset=dataset)


@transaction.atomic
def set_rules(
    *, dataset: Dataset, by: Any, policy: str, max_rejected_percent: Decimal | None, blank: str
) -> ImportRules:
    """Set the rules of a dataset for its imports to come; a preview that waits is judged by them too.

    :raises PermissionDenied: the person may not change the dataset's definition.
    :raises BadRules: a value is none of the allowed ones.
    """
    if by is not None and not access.may(by, "manage", dataset):
        raise PermissionDenied(f"You may not change the import rules of {dataset.title}.")
    rules = ImportRules(
        dataset=dataset, policy=policy, max_rejected_percent=max_rejected_percent, blank=blank
    )
    try:
        rules.clean_fields(exclude=["dataset"])
    except ValidationError as error:
        raise BadRules(" ".join(error.messages)) from error
    rules.save()
    record(
        "importer.rules.changed", actor=by, target=dataset,
        policy=policy, max_rejected_percent=str(max_rejected_percent), blank=blank,
    )  # fmt: skip
    return rules
