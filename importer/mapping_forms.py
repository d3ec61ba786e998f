"""The forms of the page that maps a file's labels, besides how the file is read (`importer.dialect_form`)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from datasets.spec import ColumnSpec
from importer import mapping, saved_mappings
from importer.column_field import MOST_OPTIONS, column_field, title
from importer.mapping import Match
from importer.matching import matches_of
from importer.models import ImportJob
from importer.recipe_form import ConstantForm, LabelForm, label_names
from importer.specs import spec_of

# A page with every label of a wide file would be slow, and hold more fields than may be sent.
ON_A_PAGE = 50
NEW = -1  # the place of the empty row


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
    """All labels of a file, the constants, and one empty row for a further constant: some to a page.

    What is filled in on one page goes on to the next in hidden fields; what was not sent stays as it is.
    """

    def __init__(
        self,
        job: ImportJob,
        data: Mapping[str, Any] | None = None,
        page: int = 1,
        visible: Collection[str] | None = None,
    ) -> None:
        self.job, self.data, self.spec = job, data, spec_of(job)
        self._visible = visible  # the columns that are offered, by physical name; None is all of them
        self.matches = matches_of(job)
        self.samples, self.labels = job.head.get("samples", []), job.head.get("labels", [])
        self.names = label_names(self.labels)
        self._doubts = mapping.doubtful(self.matches, self.spec.columns)
        firsts: dict[int, int] = {}
        for at, match in enumerate(self.matches):
            firsts.setdefault(match.position, at)
        self._further = set(range(len(self.matches))) - set(firsts.values())
        self._labels = [at for at, match in enumerate(self.matches) if match.position >= 0]
        self._constants = [at for at, match in enumerate(self.matches) if match.position < 0]
        self._forms: dict[int, LabelForm | ConstantForm] = {}
        self.last_page = max(1, -(-max(len(self._labels), len(self._constants)) // ON_A_PAGE))
        self.page = min(max(page, 1), self.last_page)
        for at in (*range(len(self.matches)), NEW):
            if data is not None and f"column_{_name(at)}" in data:
                self._form(at).fill_in(data)

    @property
    def columns(self) -> tuple[ColumnSpec, ...]:
        if self._visible is None:
            return self.spec.columns
        return tuple(column for column in self.spec.columns if column.name in self._visible)

    @property
    def rows(self) -> list[LabelForm]:
        """The labels of the page that is shown."""
        forms_here = [self._form(at) for at in self._labels[self._here]]
        return [form for form in forms_here if isinstance(form, LabelForm)]

    @property
    def constants(self) -> list[ConstantForm]:
        """The constants of the page that is shown, and the empty row."""
        forms_here = [self._form(at) for at in (*self._constants[self._here], NEW)]
        return [form for form in forms_here if isinstance(form, ConstantForm)]

    @property
    def again(self) -> list[forms.BoundField]:
        """The fields that keep what was filled in on other pages."""
        others = (form for at, form in self._forms.items() if self._page_of(at) != self.page)
        return [field for form in others for field in form.again()]

    @property
    def pages(self) -> list[dict[str, Any]]:
        """What the links to the pages say; none where one page has it all."""
        wrong = self._wrong_pages()
        for at in self._labels:
            if self.matches[at].position in self._doubts and not self._is_filled_in(at):
                wrong.add(self._page_of(at))
        numbers = range(1, self.last_page + 1) if self.last_page > 1 else ()
        return [
            {"number": number, "name": self._name_of(number), "is_unsettled": number in wrong,
             "is_shown": number == self.page}
            for number in numbers
        ]  # fmt: skip

    @property
    def here(self) -> str:
        """What the page shows."""
        return f"{self._name_of(self.page)} of {self._counted(self.page)[1]:,}"

    def _name_of(self, page: int) -> str:
        what, number = self._counted(page)
        return f"{what} {(page - 1) * ON_A_PAGE + 1:,} to {min(page * ON_A_PAGE, number):,}"

    def _counted(self, page: int) -> tuple[str, int]:
        labels, constants = len(self._labels), len(self._constants)
        return ("Labels", labels) if (page - 1) * ON_A_PAGE < labels else ("Constants", constants)

    def column_field(self, label: str, empty: str) -> forms.Field:
        """Return a field for a column of the dataset."""
        return column_field(label, empty, self.columns, self.spec.key)

    @property
    def long_list(self) -> list[tuple[str, str]]:
        """The columns' labels and titles, where they are too many to stand in every field."""
        if len(self.columns) <= MOST_OPTIONS:
            return []
        return [(column.label, title(column, self.spec.key)) for column in self.columns]

    def is_valid(self) -> bool:
        """Look at every row, so that all errors are shown at once, each at its field."""
        valid = [form.is_valid() for form in self._forms.values() if form.is_bound]
        if not all(valid):
            return False
        made = self._made()
        self._find_clashes(made)
        for fault in mapping.faults([match for _, match in made], self.spec, self.labels):
            self._blame(made[fault.at][0], fault.field, fault.rule)
        return not self.has_errors

    @property
    def has_errors(self) -> bool:
        """Whether something that was filled in cannot be used, as far as it was looked at."""
        return bool(self._wrong_pages())

    def turn_to_error(self) -> None:
        """Show a page with an error, if there is one."""
        wrong = self._wrong_pages()
        if wrong and self.page not in wrong:
            self.page = min(wrong)

    def result(self) -> list[Match]:
        """Return the mapping as it was filled in: the labels in their order, then what goes beyond."""
        return [match for _, match in self._made()]

    def _wrong_pages(self) -> set[int]:
        return {self._page_of(at) for at, form in self._forms.items() if form.is_bound and form.errors}

    def _find_clashes(self, made: Sequence[tuple[int, Match]]) -> None:
        titles = {column.name: column.label for column in self.spec.columns}
        filled: dict[str, tuple[int, Match]] = {}
        for at, match in made:
            if not match.column:
                continue
            before, other = filled.setdefault(match.column, (at, match))
            if other is not match:
                is_at_other = self._is_filled_in(before) and not self._is_filled_in(at)
                names = " and ".join(
                    f"“{one.label}”" if one.label else "a constant" for one in (other, match)
                )
                rule = f"{mapping.clash(titles[match.column])} These fill it: {names}."
                self._blame(before if is_at_other else at, "column", rule)

    def _blame(self, at: int, field: str, rule: str) -> None:
        """Say what is wrong at its field, also where nothing was filled in."""
        form = self._form(at)
        if not form.is_bound:
            form.fill_in({})
            form.full_clean()
        form.add_error(form.field_of(field), rule)

    def _made(self) -> list[tuple[int, Match]]:
        first = [(at, self._made_at(at)) for at in self._labels if at not in self._further]
        further = [(at, self._made_at(at)) for at in self._labels if at in self._further]
        also = [
            (at, match)
            for at, form in sorted(self._forms.items())
            if isinstance(form, LabelForm) and (match := form.made_also())
        ]
        constants = [(at, self._made_at(at)) for at in (*self._constants, NEW)]
        beyond = (*further, *also, *constants)
        kept = [(at, match) for at, match in first if match is not None]
        return [*kept, *((at, match) for at, match in beyond if match is not None and match.column)]

    def _made_at(self, at: int) -> Match | None:
        form = self._forms.get(at)
        if form is not None:
            return form.made()
        return self.matches[at] if at != NEW else None

    def _form(self, at: int) -> LabelForm | ConstantForm:
        if at not in self._forms:
            match = self.matches[at] if at != NEW else None
            if match is None or match.position < 0:
                self._forms[at] = ConstantForm(at=_name(at), match=match, form=self)
            else:
                is_doubt = match.position in self._doubts
                self._forms[at] = LabelForm(
                    at=at, match=match, form=self, is_further=at in self._further, is_doubt=is_doubt
                )
        return self._forms[at]

    def _is_filled_in(self, at: int) -> bool:
        return at in self._forms and self._forms[at].is_bound

    @property
    def _here(self) -> slice:
        return slice((self.page - 1) * ON_A_PAGE, self.page * ON_A_PAGE)

    def _page_of(self, at: int) -> int:
        if at == NEW:
            return self.page  # it stands on every page
        return self._places[at] // ON_A_PAGE + 1

    @cached_property
    def _places(self) -> dict[int, int]:
        return {at: place for found in (self._labels, self._constants) for place, at in enumerate(found)}


def _name(at: int) -> str:
    return "new" if at == NEW else str(at)
