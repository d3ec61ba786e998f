"""What the API tells, as serializers: the schema is made of them, and tests hold every answer against it."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.tokens.models import Scope
from datasets.access import RIGHTS
from exporter.models import Content, Format
from exporter.models import Mode as FileMode
from importer.models import Mode, Policy, Severity, State
from jobs.models import State as JobState


class Told(serializers.Serializer[Any]):
    """What is told of something; nothing of it is read back."""


def page_of(one: type[Told], name: str) -> type[Told]:
    """Return the serializer of a page of these."""
    fields = {
        "results": one(many=True),
        "next": serializers.URLField(allow_null=True, help_text="The next page; null: there is none."),
    }
    return type(name, (Told,), fields)


class TokenTold(Told):
    """The token a request was made with."""

    name = serializers.CharField()
    person = serializers.EmailField()
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=Scope.choices))
    datasets = serializers.ListField(
        child=serializers.CharField(),
        allow_null=True,
        help_text="Slugs; null: every one its person may reach.",
    )
    expires_at = serializers.DateTimeField()


class DatasetTold(Told):
    """A dataset in a list."""

    dataset = serializers.CharField(help_text="The slug, which stands in addresses.")
    title = serializers.CharField()
    definition_version = serializers.IntegerField()
    records = serializers.IntegerField()
    is_exact = serializers.BooleanField(help_text="Whether `records` was counted; else it is an estimate.")


class ColumnTold(Told):
    """A column as filters and sorts name it."""

    name = serializers.CharField(help_text="As `c7`: what filters, `sort` and `cols` call it, for ever.")
    label = serializers.CharField(  # type: ignore[assignment] # a field of this name hides the label of fields
        help_text="What files, people and `values` call it."
    )
    type = serializers.CharField()
    is_required = serializers.BooleanField()
    is_key = serializers.BooleanField()
    may_set = serializers.BooleanField(help_text="Whether an import by this person may fill it.")
    filters = serializers.ListField(child=serializers.CharField(), help_text="As `c7__from`.")


class DefinitionTold(DatasetTold):
    """A dataset with its columns, as far as the person sees them."""

    rights = serializers.ListField(child=serializers.ChoiceField(choices=[(one, one) for one in RIGHTS]))
    columns = ColumnTold(many=True)
    table_schema = serializers.DictField(help_text="The definition as Table Schema (Frictionless).")


@extend_schema_field(
    {
        "type": "object",
        "additionalProperties": {},
        "description": "By label. null: no value. Decimals, dates and times are texts, so that no digit is lost.",
    }
)
class ValuesField(serializers.DictField):
    """Cells by label."""


class RecordTold(Told):
    """A record."""

    id = serializers.IntegerField()
    values = ValuesField()


class CellTold(Told):
    """A cell that a version changed; what is long is cut and ends in “…”."""

    name = serializers.CharField(required=False)
    label = serializers.CharField()  # type: ignore[assignment] # as above
    old = serializers.CharField(allow_null=True)
    new = serializers.CharField(allow_null=True)


class VersionTold(Told):
    """A version of a record."""

    version = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=[(one, one) for one in ("created", "changed", "deleted")])
    at = serializers.DateTimeField()
    by = serializers.CharField(allow_null=True)
    reason = serializers.CharField(allow_blank=True)
    changes = CellTold(many=True)


class FiguresTold(Told):
    """How many rows and records an import is about."""

    read = serializers.IntegerField()
    created = serializers.IntegerField()
    updated = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    rejected = serializers.IntegerField()
    blank = serializers.IntegerField()
    missing = serializers.IntegerField(help_text="Records that the file does not have.")
    deleted = serializers.IntegerField()
    kept = serializers.IntegerField(help_text="Of an undo: records that stay, since they were edited.")


class ErrorTold(Told):
    """Why something failed."""

    code = serializers.CharField()
    message = serializers.CharField()


class ImportTold(Told):
    """An import, or the undo of one."""

    id = serializers.IntegerField()
    dataset = serializers.CharField()
    file_name = serializers.CharField(allow_blank=True)
    bytes = serializers.IntegerField()
    sha256 = serializers.CharField(allow_blank=True)
    state = serializers.ChoiceField(choices=State.choices)
    mode = serializers.ChoiceField(choices=Mode.choices)
    policy = serializers.ChoiceField(choices=Policy.choices)
    undoes = serializers.IntegerField(allow_null=True, help_text="The import that this one takes back.")
    job = serializers.IntegerField(
        allow_null=True, help_text="The background job that works on it now, or did last."
    )
    figures = FiguresTold()
    issues = serializers.DictField(
        child=serializers.IntegerField(), help_text="How many of each code; rows with one are rejected."
    )
    warnings = serializers.DictField(child=serializers.IntegerField())
    unmapped_labels = serializers.ListField(child=serializers.CharField())
    notice = serializers.CharField(allow_blank=True)
    error = ErrorTold(allow_null=True)
    preview = serializers.CharField(
        allow_null=True, help_text="The fingerprint of the preview, which a confirmation names."
    )
    why_not = serializers.CharField(allow_null=True, help_text="What stands against a confirmation now.")
    by = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()
    previewed_at = serializers.DateTimeField(allow_null=True)
    confirmed_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)


class IssueTold(Told):
    """Something wrong with a row of the file."""

    id = serializers.IntegerField()
    code = serializers.CharField()
    severity = serializers.ChoiceField(choices=Severity.choices)
    row = serializers.IntegerField(help_text="As a spreadsheet counts: the header is 1.")
    line = serializers.IntegerField()
    column = serializers.CharField(allow_blank=True)
    value = serializers.CharField(allow_blank=True)
    rule = serializers.CharField()


class ChangeTold(Told):
    """A record that an import changes, or changed."""

    place = serializers.IntegerField(help_text="For `after`.")
    kind = serializers.ChoiceField(choices=[(one, one) for one in ("created", "changed", "deleted")])
    key = serializers.CharField(allow_blank=True)
    record = serializers.IntegerField(allow_null=True)
    row = serializers.IntegerField(allow_null=True)
    changes = CellTold(many=True)


class FileTold(Told):
    """An export file."""

    id = serializers.IntegerField()
    dataset = serializers.CharField()
    title = serializers.CharField()
    file_name = serializers.CharField()
    format = serializers.ChoiceField(choices=Format.choices)
    mode = serializers.ChoiceField(choices=FileMode.choices)
    content = serializers.ChoiceField(choices=Content.choices)
    rows = serializers.IntegerField()
    bytes = serializers.IntegerField()
    sha256 = serializers.CharField()
    run = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    removed_at = serializers.DateTimeField(allow_null=True, help_text="When retention removed it.")


class JobTold(Told):
    """How far a background job is."""

    job = serializers.IntegerField()
    kind = serializers.CharField()
    title = serializers.CharField()
    about = serializers.CharField(allow_blank=True)
    state = serializers.ChoiceField(choices=JobState.choices)
    words = serializers.CharField()
    has_ended = serializers.BooleanField()
    is_paused = serializers.BooleanField()
    cancel_requested = serializers.BooleanField()
    processed = serializers.IntegerField()
    total = serializers.IntegerField(allow_null=True)
    percent = serializers.IntegerField(allow_null=True)
    rows_per_second = serializers.FloatField(allow_null=True)
    seconds_left = serializers.FloatField(allow_null=True)
    attempts = serializers.IntegerField()
    error_code = serializers.CharField(allow_blank=True)
    error = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)


DatasetPage = page_of(DatasetTold, "DatasetPage")
RecordPage = page_of(RecordTold, "RecordPage")
VersionPage = page_of(VersionTold, "VersionPage")
ImportPage = page_of(ImportTold, "ImportPage")
IssuePage = page_of(IssueTold, "IssuePage")
ChangePage = page_of(ChangeTold, "ChangePage")
FilePage = page_of(FileTold, "FilePage")
