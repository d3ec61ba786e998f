"""The forms of the page that maps a file's labels, besides how the file is read (`importer.dialect_form`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from datasets.spec import ColumnSpec, DatasetSpec
from importer import mapping, saved_mappings
from importer.mapping import Match
from importer.matching import matches_of
from importer.models import ImportJob
from importer.recipe_form import ConstantForm, LabelForm, label_names, title
from importer.recipes import Recipe
from importer.specs import spec_of

# A page with the recipe of every label of a wide file would hold more fields than may be sent.
MOST_RECIPES = 100


class SaveForm(forms.Form):
    """The name under which the mapping is kept, besides being used."""

    save_as = forms.CharField(
        label="Save this mapping as",
        required=False,
        max_length=100,
        widget=UnfoldAdminTextInputWidget,
        help_text="Under a name that is there already, it becomes its new version.",
    )
    seen = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def clean_save_as(self) -> str:
        name = str(self.cleaned_data["save_as"])
        try:
            return saved_mappings.checked_name(name) if name else ""
        except saved_mappings.BadName as error:
            raise forms.ValidationError(error.message) from error


class NamedForm(forms.Form):
    """A saved mapping of the dataset, to use or to delete."""

    name = forms.ChoiceField(label="Saved mapping", widget=UnfoldAdminSelectWidget)

    def __init__(self, *args: Any, job: ImportJob, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["name"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [
            (version.saved.name, f"{version.saved.name} (version {version.number})")
            for version in ([] if job.target else saved_mappings.newest(job.dataset))
        ]


class MappingForm:
    """All labels of a file, the constants, and one empty row for a further constant.

    A recipe's fields are there for the labels of `opened`, or for all if they are not too many; what was not
    sent stays as it is.
    """

    def __init__(
        self, job: ImportJob, data: Mapping[str, Any] | None = None, opened: int | None = None
    ) -> None:
        self.job, self.data, self.spec = job, data, spec_of(job)
        self.matches = matches_of(job)
        self.samples, self.labels = job.head.get("samples", []), job.head.get("labels", [])
        self.names = label_names(self.labels)
        self.choices = [(column.name, title(column, self.spec.key)) for column in self.spec.columns]
        self.is_wide = len(self.matches) > MOST_RECIPES
        self.rows = list(self._rows(opened))
        self.constants = list(self._constants())

    def _rows(self, opened: int | None) -> Iterator[LabelForm]:
        seen: set[int] = set()
        doubts = mapping.doubtful(self.matches, self.spec.columns)
        for at, match in enumerate(self.matches):
            if match.position < 0:
                continue
            has_recipe = not self.is_wide or at == opened or match.recipe != Recipe()
            if self.data is not None:
                has_recipe = f"more_{at}" in self.data
            yield LabelForm(
                self.data, at=at, match=match, form=self, has_recipe=has_recipe,
                is_further=match.position in seen, is_doubt=match.position in doubts,
            )  # fmt: skip
            seen.add(match.position)

    def _constants(self) -> Iterator[ConstantForm]:
        for at, match in enumerate(self.matches):
            if match.position < 0:
                yield ConstantForm(self.data, at=str(at), match=match, form=self)
        yield ConstantForm(self.data, at="new", match=None, form=self)

    @property
    def columns(self) -> tuple[ColumnSpec, ...]:
        return self.spec.columns

    def is_valid(self) -> bool:
        """Look at every row, so that all errors are shown at once, each at its field."""
        valid = [form.is_valid() for form in (*self.rows, *self.constants)]
        if not all(valid):
            return False
        made = self._made()
        filled: set[str] = set()
        for form, match in made:
            if match.column and match.column in filled:
                form.add_error("column", mapping.clash(_titles(self.spec)[match.column]))
            filled.add(match.column or "")
        for fault in mapping.faults([match for _, match in made], self.spec, self.labels):
            form = made[fault.at][0]
            form.add_error(form.field_of(fault.field), fault.rule)
        return not any(form.errors for form in (*self.rows, *self.constants))

    def result(self) -> list[Match]:
        """Return the mapping as it was filled in: the labels in their order, then what goes beyond."""
        return [match for _, match in self._made()]

    def _made(self) -> list[tuple[LabelForm | ConstantForm, Match]]:
        first = [(form, form.made()) for form in self.rows if not form.is_further]
        further = [
            (form, form.made()) for form in self.rows if form.is_further and form.cleaned_data["column"]
        ]
        also = [(form, match) for form in self.rows if (match := form.made_also())]
        constants = [(form, match) for form in self.constants if (match := form.made())]
        return [*first, *further, *also, *constants]


def _titles(spec: DatasetSpec) -> dict[str, str]:
    return {column.name: column.label for column in spec.columns}
