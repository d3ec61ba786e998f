"""A tenant's own templates: definitions kept to begin further datasets with. No record goes along."""

from __future__ import annotations

from django.db import IntegrityError, transaction

from accounts.models import User
from audit.services import record
from core.errors import RowhouseError
from datasets import rules
from datasets.definition import Definition, InvalidDefinition, from_table_schema, to_table_schema
from datasets.models import Dataset, DatasetTemplate


class TemplateTaken(RowhouseError):
    """Another template of the tenant has this title."""

    code = "template-taken"


@transaction.atomic
def save_as_template(
    *, dataset: Dataset, title: str, description: str = "", by: User | None = None
) -> DatasetTemplate:
    """Keep a dataset's definition as a template; later changes of the dataset do not change it.

    :raises InvalidDefinition: the title is empty, too long or not printable.
    :raises TemplateTaken: another template has the title.
    """
    title = rules.clean_label(title)
    if problem := rules.label_problem(title, limit=rules.MAX_TITLE):
        raise InvalidDefinition(problem.replace("A label is", "The title is"))
    schema = {**to_table_schema(dataset.spec()), "title": title}
    del schema["name"]  # the slug is the dataset's
    try:
        with transaction.atomic():
            made = DatasetTemplate.objects.create(
                title=title, description=" ".join(description.split())[:500], schema=schema, created_by=by
            )
    except IntegrityError as error:
        raise TemplateTaken(f"Another template is called “{title}”; choose another title.") from error
    record("datasets.template.saved", actor=by, target=made, dataset=dataset.slug)
    return made


@transaction.atomic
def delete_template(*, template: DatasetTemplate, by: User | None = None) -> None:
    """Forget a template. Datasets that were made of it stay."""
    record("datasets.template.deleted", actor=by, target=template)
    template.delete()


def definition_of(template: DatasetTemplate) -> Definition:
    """Return the definition a template keeps."""
    return from_table_schema(template.schema)
