"""Which datasets to export now."""

from __future__ import annotations

from typing import Any

from django import forms

from accounts.models import User
from datasets.access import whole_datasets_for
from datasets.models import Dataset


class ExportNowForm(forms.Form):
    """The datasets a person may export, all of them chosen at first."""

    datasets = forms.ModelMultipleChoiceField(
        queryset=Dataset.objects.none(),
        widget=forms.CheckboxSelectMultiple,
        error_messages={
            "required": "Choose one dataset or more.",
            "invalid_choice": "One of these datasets is not there any more, or not yours to export.",
            "invalid_pk_value": "One of these datasets is not there any more, or not yours to export.",
        },
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        own = whole_datasets_for(user, "export").order_by("title")
        field = self.fields["datasets"]
        assert isinstance(field, forms.ModelMultipleChoiceField)
        field.queryset = own
        field.initial = own
