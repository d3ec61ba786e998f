"""Which datasets to export now."""

from __future__ import annotations

from typing import Any

from django import forms

from accounts.models import User
from datasets.access import whole_datasets_for
from datasets.models import Dataset
from exporter.retention import Policy


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


class RetentionForm(forms.Form):
    """Limits to try on the files there are; 0 switches one off, and nothing is removed by trying."""

    keep_days = forms.IntegerField(label="Days", min_value=0, max_value=100_000, initial=30)
    keep_count = forms.IntegerField(label="Files of each dataset", min_value=0, max_value=10**9, initial=1000)
    keep_mb = forms.IntegerField(label="MB of each dataset", min_value=0, max_value=10**9, initial=0)
    keep_daily = forms.IntegerField(label="One a day, for days", min_value=0, max_value=100_000, initial=0)
    keep_monthly = forms.IntegerField(
        label="One a month, for months", min_value=0, max_value=10_000, initial=0
    )

    def policy(self) -> Policy:
        """Return what was typed; the form is valid."""
        said = dict(self.cleaned_data)
        return Policy(keep_bytes=said.pop("keep_mb") * 1024 * 1024, **said)
